"""What a scenario says of algorithms reaches their recipes: schedules, optimizers, goals, and what does not fit."""

import pickle
from dataclasses import fields

import pytest

from gossipfl import Scenario
from gossipfl.algorithms import (
    ALGORITHMS,
    DFedAvgM,
    FedAvg,
    LocalSGD,
    QuasiGlobalMomentumGossip,
    StochasticGradientPush,
)
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.fairness import caveats
from gossipfl.methods.server_optimizers import ServerAdam
from gossipfl.scenario.algorithms import SECTIONS
from gossipfl.schedules import BaseGraph

MOMENTUM = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
NEEDS = {
    "d2": {"topology": "complete"},
    "relay_sum": {"topology": {"generator": "path_graph", "arguments": {"n": 8}}},
    "dfedavgm": {"optimizer": MOMENTUM},
}


def recipe(algorithm, **fields):
    scenario = Scenario(algorithms=[algorithm], **fields)
    section = scenario.algorithms[0]
    return scenario.recipe(section, scenario.graph(section))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_can_be_named(name):
    needs = NEEDS.get(name, {})
    common = {"topology": needs["topology"]} if "topology" in needs else {}
    algorithm = {"name": name} | {key: value for key, value in needs.items() if key != "topology"}
    scenario = Scenario(algorithms=[algorithm], **common)
    assert type(recipe(algorithm, **common)) is ALGORITHMS[name]
    assert pickle.loads(pickle.dumps(scenario)) == scenario
    assert Scenario(**scenario.model_dump(mode="json")) == scenario


def test_the_fields_of_a_section_say_what_they_mean():
    for kind, sections in SECTIONS.items():
        for name, section in sections.items():
            unexplained = [key for key, field in section.model_fields.items() if not field.description]
            assert unexplained == [], f"{kind} {name}"


def test_values_reach_the_recipe():
    gossip = recipe({"name": "sgp", "schedule": {"name": "base_graph", "k": 2}, "gossip_steps": 2})
    assert gossip == StochasticGradientPush(BaseGraph(k=2), gossip_steps=2)
    server = recipe({"name": "fedavg", "server_optimizer": {"name": "adam", "learning_rate": 0.5}})
    assert isinstance(server, FedAvg)
    assert server.server_optimizer == ServerAdam(learning_rate=0.5)


def test_the_goal_of_the_scenario_reaches_those_who_can_keep_it():
    assert recipe("sgp", weighting="examples").weighting == "examples"
    with pytest.raises(ConfigurationError, match="weighting 'examples' cannot be kept by 'synchronous'"):
        recipe("synchronous", weighting="examples")


def test_local_sgd_is_known_to_those_who_calculate_with_it():
    mean = recipe("quasi_global_momentum", training={"optimizer": {"name": "SGD", "learning_rate": 0.05}})
    assert mean == QuasiGlobalMomentumGossip(LocalSGD(0.05))
    assert recipe("quasi_global_momentum").sgd.learning_rate == 0.1  # that of a built-in model
    own = recipe({"name": "dfedavgm", "optimizer": MOMENTUM}, training={"optimizer": "sgd"})
    assert own == DFedAvgM(LocalSGD(0.05, momentum=0.9))
    assert recipe("fednova", training={"optimizer": MOMENTUM}).sgd.momentum == 0.9
    decaying = {"name": "sgd", "learning_rate": 0.5, "weight_decay": 0.01}
    assert recipe("fednova", training={"optimizer": decaying}).sgd.decay == 0.005
    assert recipe("fednova", training={"optimizer": {"name": "sgd", "weight_decay": 0.01}}).sgd.decay == 1e-4
    assert recipe("scaffold", weighting="examples").weighting == "examples"


@pytest.mark.parametrize(
    ("algorithm", "optimizer", "reason"),
    [
        ("quasi_global_momentum", "adam", "calculates with the learning rate of plain local SGD, got .*'adam'"),
        ("quasi_global_momentum", MOMENTUM, "calculates with the learning rate of plain local SGD"),
        ("fednova", {**MOMENTUM, "nesterov": True}, "calculates with the momentum and decay of plain local SGD"),
        ("fednova", {**MOMENTUM, "weight_decay": 1e-4}, "leave out one of them, or decay by a kernel_regularizer"),
        ("dfedavgm", {**MOMENTUM, "weight_decay": 1e-4}, "calculates with the momentum of plain local SGD"),
        ("dfedavgm", "sgd", "DFedAvgM needs an optimizer with momentum between 0 and 1, got 0"),
    ],
)
def test_an_optimizer_that_does_not_fit_is_refused(algorithm, optimizer, reason):
    with pytest.raises(ConfigurationError, match=rf"(?s)algorithms\.0: .*{reason}"):
        recipe(algorithm, training={"optimizer": optimizer})


@pytest.mark.parametrize(
    ("algorithm", "reason"),
    [
        ({"name": "d2"}, "D2 diverges on topology 'ring'"),
        ({"name": "relay_sum"}, "RelaySum needs a tree"),
        ({"name": "synchronous", "schedule": {"name": "base_graph", "k": 0}}, "must be >= 1, got 0"),
        ({"name": "synchronous", "schedule": "base_graf"}, "base_graph"),
        ({"name": "synchronous", "gossip_steps": 0}, "gossip_steps must be at least 1, got 0"),
        ({"name": "synchronous", "patience": float("inf")}, "patience"),
        ({"name": "gradient_tracking", "schedule": "epidemic_local"}, "does not keep the mean"),
        ({"name": "gradient_tracking", "patience": 3.0}, "there is no such field"),
        (
            {"name": "pairwise", "aggregator": "median"},
            "'pairwise' takes no aggregator: an exchange gives one peer what",
        ),
        ({"name": "synchronous", "aggregator": "medain"}, "allowed are mean, median.* Did you mean 'median'"),
    ],
)
def test_what_is_not_sound_is_refused_with_the_reason(algorithm, reason):
    with pytest.raises(ConfigurationError, match=rf"(?s)algorithms\.0.*{reason}"):
        recipe(algorithm)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_takes_what_others_take_or_says_why_not(name):
    explained = {field for makes in ALGORITHMS.values() for field in makes.takes_no}
    assert {"aggregator", "outgoing"} <= explained
    assert explained - {field.name for field in fields(ALGORITHMS[name])} == {*ALGORITHMS[name].takes_no}


def test_what_would_pass_for_taken_is_refused_in_products_too():
    with pytest.raises(ConfigurationError, match=r"'pairwise' takes no aggregator: an exchange gives"):
        Scenario(algorithms=[{"name": ["synchronous", "pairwise"], "aggregator": ["median"]}])


def test_clients_do_not_count_by_examples_for_a_median():
    with pytest.raises(ConfigurationError, match=r"Median, clients count equally.*weighting = 'uniform'"):
        recipe({"name": "fedavg", "aggregator": "median"}, weighting="examples")


def test_a_lossy_network_needs_an_algorithm_with_patience():
    with pytest.raises(ConfigurationError, match=r"'gradient_tracking' waits for ever.*if it can have one"):
        recipe("gradient_tracking", network={"loss": 0.1})


@pytest.mark.parametrize(
    ("algorithm", "topology", "caveat"),
    [
        ("gosgd", "ring", None),
        ("gosgd", "star", "counts peers by their number of neighbors, not equally"),
        ("gosgd", "directed-ring-chords", "counts peers by their number of neighbors, not equally"),
        ("gossip_learning", "ring", "keeps no mean: how much a peer counts depends on who was heard when"),
        ({"name": "epidemic_learning", "variant": "local"}, "ring", "keeps the mean over peers on average only"),
        ({"name": "sgp", "schedule": "epidemic_local"}, "ring", None),
        ("pairwise", "star", None),
        ("fedavg", "star", None),
        ({"name": "synchronous", "aggregator": "median"}, "ring", "keeps no mean over peers: each takes the Median of"),
        ({"name": "fedavg", "aggregator": "median"}, "ring", "keeps no mean over clients: the server takes the Median"),
    ],
)
def test_what_an_algorithm_does_not_keep_of_the_goal_is_noted(algorithm, topology, caveat):
    scenario = Scenario(algorithms=[algorithm], topology=topology)
    (label,), found = scenario.labels, caveats(scenario)
    assert [text.startswith(f"{label} {caveat}") for text in found] == ([] if caveat is None else [True])
