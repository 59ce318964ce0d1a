"""Numbers over the examples of all peers: budgets in epochs, weights of classes, and who may not ask for them."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from softmax_trainer import run_without_tensorflow

from gossipfl import analytics
from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.agreed_numbers import (
    NOTHING_ASKED,
    AgreedNumbers,
    AskedNumbers,
    agreed_in_virtual_time,
    class_weights_of,
    rounds_of,
)
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.loaded_data import load_data
from gossipfl.results.running import simulate
from gossipfl.scenario import Scenario
from gossipfl.training.normalization import NormalizedInput
from gossipfl.weights import Constants

DIGITS = {
    "model": "softmax",
    "data": {"source": "digits", "partition": {"name": "dirichlet", "alpha": 0.5}, "max_train": 300, "max_test": 60},
    "topology": {"name": "ring", "arguments": {"n": 5}},
}


def experiment(**fields) -> Experiment:
    return Experiment(Scenario(**DIGITS | fields))


def weights_of(ran: Experiment) -> dict[int, float]:
    return dict(class_weights_of(ran.scenario, ran.dataset, ran.numbers))


def test_a_run_that_needs_none_asks_for_none():
    assert experiment().numbers == NOTHING_ASKED
    assert (experiment().rounds, experiment(rounds=7).rounds) == (20, 7)


@pytest.mark.parametrize(
    ("epochs", "per_round", "rounds"), [("10 epochs", 1, 10), ("10 epochs", 4, 3), ("1 epoch", 5, 1)]
)
def test_epochs_that_rounds_are_made_of_need_no_numbers(epochs, per_round, rounds):
    ran = experiment(rounds=epochs, training={"epochs": per_round})
    assert (ran.rounds, ran.numbers) == (rounds, NOTHING_ASKED)


@pytest.mark.parametrize("training", [{"steps": 2}, {"steps": 3, "batch_size": 10}, {"steps": 1, "batch_size": 500}])
@pytest.mark.parametrize("epochs", [1, 7])
def test_a_budget_in_epochs_trains_on_so_many_examples(training, epochs, monkeypatch):
    fields = {"rounds": f"{epochs} epochs", "training": training, "algorithms": ["synchronous"]}
    ran = experiment(**fields)
    batches = ran._batches

    def num_trained(rounds: int) -> float:
        steps = rounds * training["steps"]
        return sum(steps * len(shard) / batches.steps_per_epoch(peer) for peer, shard in ran.shards.items())

    assert num_trained(ran.rounds - 1) < epochs * 300 * (1 + 1e-9)
    assert num_trained(ran.rounds) >= epochs * 300 * (1 - 1e-9)
    run_without_tensorflow(monkeypatch)
    assert simulate(Scenario(**DIGITS | fields)).last.round == ran.rounds


@given(st.integers(1, 50), st.integers(1, 50), st.lists(st.integers(1, 90), min_size=1, max_size=9), st.integers(1, 40))
def test_no_round_more_than_needed(epochs, steps, sizes, batch_size):
    """Against whole numbers, where shards are whole batches."""
    sizes = [size * batch_size for size in sizes]
    numbers = AgreedNumbers(sum(sizes), float(batch_size * len(sizes)))
    scenario = Scenario(rounds=f"{epochs} epochs", training={"steps": steps})
    assert rounds_of(scenario, numbers) == -(-epochs * sum(sizes) // (steps * batch_size * len(sizes)))


def test_balanced_classes_are_those_of_all_peers():
    balanced = {"training": {"class_weight": "balanced"}}
    ran = experiment(**balanced)
    expected = compute_class_weight("balanced", classes=np.arange(10), y=ran.dataset.labels)
    assert weights_of(ran) == pytest.approx(dict(enumerate(expected)))
    other = experiment(
        **balanced,
        topology={"generator": "star_graph", "arguments": {"n": 6}},
        seed=3,
        data=DIGITS["data"] | {"seed": 0},
    )
    assert weights_of(other) == weights_of(ran)


def test_in_secure_sums_they_are_the_same(monkeypatch):
    fields = {"rounds": "2 epochs", "training": {"steps": 2, "class_weight": "balanced"}, "algorithms": ["synchronous"]}
    secure = experiment(**fields, privacy={"secure_aggregation": True})
    seen, asked = [], analytics.asked
    monkeypatch.setattr(analytics, "asked", lambda *given, **by_name: seen.append(by_name) or asked(*given, **by_name))
    assert secure.numbers == experiment(**fields).numbers
    assert seen == [{"colluders": 0}, {"colluders": None}]


@pytest.mark.parametrize("kept", [(), (1,), (1, 2)])
def test_statistics_are_those_of_all_whatever_the_graph_and_whoever_holds_what(kept):
    """The nearest float32, to the bit, of exact fractions."""
    data = load_data(Scenario(**DIGITS))
    inputs = [NormalizedInput("normalization", "x", (8, 8, 1), kept, 0, 1)]
    ((features, _),) = inputs[0].features(data.train)
    exact = [[Fraction(number) for number in column] for column in features.T.tolist()]
    means = [sum(column) / len(column) for column in exact]
    variances = [sum((x - mean) ** 2 for x in column) / len(column) for column, mean in zip(exact, means, strict=True)]
    constants = Constants(("mean", "variance"), tuple(np.zeros((8,) * len(kept), np.float32) for _ in range(2)))
    for name, arguments in (("ring", {"n": 5}), ("star", {"n": 7}), ("complete", {"n": 3})):
        scenario = Scenario(**DIGITS | {"topology": {"name": name, "arguments": arguments}}, training={"steps": 1})
        ran = Experiment(scenario.with_changes(rounds="1 epoch"), data)
        asked = AskedNumbers(ran.holdings.dataset, ran._batches, 0, inputs)
        found = agreed_in_virtual_time(scenario, asked).normalized(constants, inputs)
        mean, variance = (array.ravel().tolist() for array in found.arrays)
        assert mean == [float(np.float32(float(one))) for one in means]
        assert variance == [float(np.float32(float(one))) if one else 1.0 for one in variances]


def test_classes_without_examples_count_as_before():
    x, y = np.eye(8, dtype=np.float32), np.array([0, 0, 0, 0, 2, 2, 2, 0])
    ran = Experiment(
        Scenario(topology={"name": "ring", "arguments": {"n": 3}}, training={"class_weight": "balanced"}),
        Dataset.from_arrays("toy", (x, y), (x, y), num_classes=4),
    )
    assert weights_of(ran) == pytest.approx({0: 8 / 10, 2: 8 / 6})


def test_what_cannot_be_balanced_is_refused():
    x = np.eye(8, dtype=np.float32)
    scenario = Scenario(topology={"name": "ring", "arguments": {"n": 3}}, training={"class_weight": "balanced"})
    with pytest.raises(ConfigurationError, match="'balanced' is for one target that is a class, and toy has none"):
        _ = Experiment(scenario, Dataset.from_arrays("toy", (x, x[:, 0]), (x, x[:, 0]))).numbers


@pytest.mark.parametrize(
    "fields", [{"training": {"class_weight": "balanced"}}, {"rounds": "2 epochs", "training": {"steps": 3}}]
)
def test_a_peer_alone_does_not_know_numbers_over_all(fields):
    scenario = Scenario(**DIGITS | fields)
    alone = Experiment(scenario, Experiment(scenario).dataset, shards={"0": np.arange(20)})
    with pytest.raises(ConfigurationError, match="those of the others are elsewhere"):
        _ = alone.numbers


@pytest.mark.parametrize("rounds", ["ten epochs", "0 epochs", "10 epoch s", "1.5 epochs"])
def test_budgets_that_are_none(rounds):
    with pytest.raises(
        ConfigurationError, match='is no budget: give a number of rounds, 20, or of passes over all, "10 e'
    ):
        Scenario(rounds=rounds)
