"""Who is compared with whom, and what readers are told of it."""

import pytest

from gossipfl.experiments.fairness import differences, spread
from gossipfl.scenario import Scenario


def toy(*algorithms: object, **fields: object) -> Scenario:
    topology = {"name": "ring", "arguments": {"n": 4}}
    return Scenario(**{"model": "softmax", "topology": topology, "algorithms": algorithms} | fields)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ("sgd", 0),
        ({"name": "sgd", "momentum": 0.9}, 1),
        ({"name": "sgd", "learning_rate": {"name": "exponential_decay"}}, 0),  # it follows the peer's step
        ("Adam", 1),
        (None, 0),
    ],
)
def test_a_difference_in_optimizer_state_is_told_where_there_is_a_state(optimizer, expected):
    scenario = toy("pairwise", "fedavg", training={"optimizer": optimizer})
    assert len(differences(scenario)) == expected
    assert not differences(toy("pairwise", "local", training={"optimizer": "adam"}))


RANDOM = {"generator": "random_regular_graph", "arguments": {"n": 6, "d": 3}}
FIXED = {"data": {"source": "digits", "seed": 0}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"topology": RANDOM}, "has its own graph, split of the data, initial weights and order of examples; "),
        (
            {},
            "has its own split of the data, initial weights and order of examples, and all have the same graph; the "
            "report shows the split of the data of seed 0.",
        ),
        ({"topology": RANDOM} | FIXED, "graph, initial weights and order of examples, and all have the same split of"),
        (
            {"topology": RANDOM | {"seed": 1}} | FIXED,
            "has its own initial weights and order of examples, and all have the same graph and the same split of the "
            "data.",
        ),
    ],
)
def test_the_spread_says_what_it_contains(fields, expected):
    scenario = toy("pairwise", **fields)
    assert expected in spread(scenario, [0, 1])
    assert spread(scenario, [0]) is None
