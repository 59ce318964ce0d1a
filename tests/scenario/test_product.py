"""Lists in an entry stand for their product, and what comes of it has names that tell its members apart."""

from collections.abc import Mapping
from typing import Any

import pytest

from gossipfl.algorithms import ALGORITHMS
from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario, load_scenario
from gossipfl.scenario.product import product_of
from gossipfl.schedules import SCHEDULES

TOPOLOGIES = ["ring", "torus"]


def labels(*entries: str | Mapping[str, Any]) -> list[str]:
    return Scenario(topology="torus", algorithms=list(entries)).labels


def test_every_name_with_every_topology_and_schedule():
    assert labels(
        {
            "name": ["synchronous", "gradient_tracking"],
            "topology": TOPOLOGIES,
            "schedule": ["static", "random_matchings"],
        }
    ) == [
        "synchronous (ring)",
        "synchronous (torus)",
        "synchronous (ring, random_matchings)",
        "synchronous (torus, random_matchings)",
        "gradient_tracking (ring)",
        "gradient_tracking (torus)",
        "gradient_tracking (ring, random_matchings)",
        "gradient_tracking (torus, random_matchings)",
    ]


def test_what_makes_no_difference_is_there_once():
    assert labels(
        {
            "name": ["synchronous", "sgp", "pairwise", "epidemic_learning", "fedavg"],
            "topology": TOPOLOGIES,
            "schedule": ["static", {"name": "base_graph", "k": 2}],
        }
    ) == [
        "synchronous (ring)",
        "synchronous (torus)",
        "synchronous (base_graph k=2)",
        "sgp (ring, static)",
        "sgp (torus, static)",
        "sgp (base_graph k=2)",
        "pairwise (ring)",
        "pairwise (torus)",
        "epidemic_learning",
        "fedavg",
    ]


def test_a_schedule_that_is_not_given_is_the_algorithms_own():
    assert labels({"name": ["synchronous", "sgp"], "topology": TOPOLOGIES}) == [
        "synchronous (ring)",
        "synchronous (torus)",
        "sgp",
    ]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_each_algorithm_is_there_once_for_each_topology_that_it_follows(name):
    (alone,) = product_of([{"name": name}])
    several = product_of([{"name": name, "topology": TOPOLOGIES}])
    follows = name in {
        *("pairwise", "gosgd", "gossip_learning", "synchronous", "dfedavgm", "d2", "exact_diffusion", "relay_sum"),
        *("gradient_tracking", "quasi_global_momentum", "diloco"),
    }
    assert several == ([alone | {"topology": topology} for topology in TOPOLOGIES] if follows else [alone])


def test_every_kind_of_choice_is_multiplied():
    entry = {"name": ["synchronous", "fedavg"], "server_optimizer": ["adam", {"name": "sgd", "momentum": 0.9}]}
    assert labels(entry) == [
        "synchronous",
        "fedavg (server_optimizer=adam)",
        "fedavg (server_optimizer=sgd momentum=0.9)",
    ]


def test_all_schedules():
    made = Scenario(
        topology={"name": "ring", "arguments": {"n": 8}},
        algorithms=[{"name": "synchronous", "schedule": list(SCHEDULES), "order": "combine_then_adapt"}],
    )
    assert [section.schedule.name for section in made.algorithms] == list(SCHEDULES)
    assert {section.order for section in made.algorithms} == {"combine_then_adapt"}
    assert made.labels == ["synchronous", *(f"synchronous ({name})" for name in SCHEDULES if name != "static")]


def test_from_a_file_and_overridden(tmp_path):
    file = tmp_path / "many.toml"
    file.write_text('[[algorithms]]\nname = ["pairwise", "fedavg"]\ntopology = ["ring", "torus"]\n')
    assert load_scenario(file).labels == ["pairwise (ring)", "pairwise (torus)", "fedavg"]
    assert load_scenario(file, ["algorithms.0.topology=['torus']"]).labels == ["pairwise (torus)", "fedavg"]
    several = ["algorithms=[{name='synchronous', schedule=['static', 'random_matchings']}]"]
    assert load_scenario(file, several).labels == ["synchronous", "synchronous (random_matchings)"]


def test_a_product_is_written_out_as_its_members():
    scenario = Scenario(algorithms=[{"name": ["pairwise", "synchronous"], "topology": TOPOLOGIES}])
    again = Scenario(**scenario.model_dump(mode="json"))
    assert again.algorithms == scenario.algorithms
    assert again.labels == scenario.labels
    assert scenario.with_changes(rounds=3).labels == scenario.labels


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"name": ["pairwise", "synchronos"]}, "algorithms.1.name is 'synchronos'"),
        ({"name": ["pairwise", "synchronos"]}, "Did you mean 'synchronous'?"),
        ({"name": "synchronous", "schedule": ["static", "statik"]}, "algorithms.1.schedule.name is 'statik'"),
        ({"name": "synchronous", "topology": ["ring", "rin"]}, "Did you mean 'ring'?"),
        ({"name": "pairwise", "schedule": ["static"]}, "algorithms.0.schedule: there is no such field"),
        ({"name": []}, "algorithms: an empty list for name"),
        ({"name": "pairwise", "topology": []}, "algorithms: an empty list for topology"),
        ({"name": ["pairwise", "pairwise"]}, "two algorithms are called 'pairwise'"),
        ({"name": [{}], "topology": TOPOLOGIES}, "algorithms.0.name is '{}'"),
        ({"name": ["synchronous"], "schedule": [5, [["static"]]], "topology": TOPOLOGIES}, "algorithms.0.schedule"),
        ({"topology": TOPOLOGIES}, "algorithms.0: a name is needed"),
    ],
)
def test_what_is_wrong_in_a_list_is_named(entry, expected):
    with pytest.raises(ConfigurationError) as error:
        Scenario(algorithms=[entry])
    assert expected in str(error.value)


class TestLabels:
    def test_parameters_tell_apart_what_would_be_called_the_same(self):
        assert labels({"name": "fedavg"}, {"name": "fedavg", "server_optimizer": "adam"}, "pairwise") == [
            "fedavg (server_optimizer=sgd)",
            "fedavg (server_optimizer=adam)",
            "pairwise",
        ]
        assert labels(
            {"name": "synchronous", "topology": "ring", "gossip_steps": 2, "patience": 5},
            {"name": "synchronous", "topology": "ring"},
            {"name": "synchronous", "topology": "torus"},
        ) == [
            "synchronous (ring, gossip_steps=2, patience=5.0)",
            "synchronous (ring, gossip_steps=1, patience=absent)",
            "synchronous (torus)",
        ]

    def test_values_inside_a_value_are_shown_where_they_are_not_the_usual(self):
        faster = {"name": "adam", "learning_rate": 0.1}
        assert labels(
            *({"name": "fedavg", "server_optimizer": one} for one in ("adam", faster)),
            *({"name": "local", "optimizer": one} for one in ("adam", {"name": "sgd", "learning_rate": 0.5})),
        ) == [
            "fedavg (server_optimizer=adam)",
            "fedavg (server_optimizer=adam learning_rate=0.1)",
            "local (optimizer=adam)",
            "local (optimizer=sgd learning_rate=0.5)",
        ]

    def test_a_given_label_stays_and_needs_nothing_of_others(self):
        assert labels({"name": "fedavg", "label": "mine"}, {"name": "fedavg", "client_fraction": 0.5}) == [
            "mine",
            "fedavg",
        ]

    def test_the_same_twice_is_an_error(self):
        with pytest.raises(ConfigurationError, match="two algorithms are called 'fedavg'"):
            labels("fedavg", {"name": "fedavg", "topology": "ring"})
