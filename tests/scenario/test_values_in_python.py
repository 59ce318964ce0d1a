"""In Python a scenario takes values of the library in the place of their names."""

import pickle
from dataclasses import MISSING, fields
from typing import Any

import pytest

from gossipfl import ConfigurationError, Scenario
from gossipfl.algorithms import ALGORITHMS, DFedAvgM, FedAvg, LocalSGD, PairwiseGossip, SynchronousGossip
from gossipfl.methods.server_optimizers import ServerAdam
from gossipfl.scenario.algorithms import takers
from gossipfl.scenario.kinds import KINDS
from gossipfl.schedules import BaseGraph

PATH = {"generator": "path_graph", "arguments": {"n": 8}}


def scenario_of(algorithm: Any, **more: Any) -> Scenario:
    return Scenario(algorithms=[algorithm], topology=PATH, training={"optimizer": {"name": "sgd"}}, **more)


def is_complete(recipe: Any) -> bool:
    return all(one.default is not MISSING or one.default_factory is not MISSING for one in fields(recipe))


@pytest.mark.parametrize("name", [name for name, recipe in ALGORITHMS.items() if is_complete(recipe)])
def test_a_recipe_is_what_its_name_is(name: str) -> None:
    assert scenario_of(ALGORITHMS[name]()) == scenario_of(name)


CHOICES = [
    (algorithm, field, name, [member()] if is_list else member())
    for kind in KINDS
    for algorithm, field, is_list in takers(kind)
    for name, member in kind.members.items()
]


@pytest.mark.parametrize(("algorithm", "field", "name", "value"), CHOICES)
def test_a_choice_inside_an_algorithm_is_what_its_name_is(algorithm: str, field: str, name: str, value: Any) -> None:
    named = [name] if isinstance(value, list) else name

    def made(choice: Any) -> Any:
        try:
            return scenario_of({"name": algorithm, field: choice})
        except ConfigurationError as error:
            return str(error)

    assert made(value) == made(named)


def test_what_is_given_is_kept_and_written_by_name() -> None:
    recipes = [
        FedAvg(client_fraction=0.5, server_optimizer=ServerAdam(beta_1=0.8)),
        SynchronousGossip(schedule=BaseGraph()),
        PairwiseGossip(),
    ]
    scenario = Scenario(algorithms=recipes, weighting="uniform")
    assert scenario.labels == ["fedavg", "synchronous (base_graph)", "pairwise"]
    section = scenario.algorithms[0]
    made = scenario.recipe(section, scenario.graph(section))
    assert (made.client_fraction, made.server_optimizer) == (0.5, ServerAdam(beta_1=0.8))
    assert made.weighting == "uniform"
    assert Scenario(**scenario.model_dump(mode="json")) == scenario
    assert pickle.loads(pickle.dumps(scenario)) == scenario


def test_lists_of_values_stand_for_their_product() -> None:
    scenario = Scenario(algorithms=[{"name": "synchronous", "schedule": [BaseGraph(), "static"]}])
    assert scenario.labels == ["synchronous (base_graph)", "synchronous"]


@pytest.mark.parametrize(
    ("recipe", "field", "name"),
    [(FedAvg(weighting="uniform"), "weighting", "fedavg"), (DFedAvgM(LocalSGD(0.1, 0.9)), "sgd", "dfedavgm")],
)
def test_what_the_scenario_says_is_not_said_otherwise(recipe: Any, field: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"is given a {field}, which the scenario says .* choose '{name}'"):
        scenario_of(recipe)
