"""The common table: means over seeds, and what a target cost, also where numbers are missing."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.comparison import COSTS, MEASURES, Comparison, Statistic, summarize
from gossipfl.history import Evaluation, History, history_row
from gossipfl.scenario import Scenario

NAN = float("nan")
FIRST = Evaluation(0, 0.0, 0, 0, 0, 0.5, 2.3, 0.1, {"a": 2.0, "b": 2.4}, {"a": 0.05, "b": 0.15})


def evaluation(round: int, accuracy: float) -> Evaluation:
    """At `round`, 10 seconds and 100 bytes a round have gone by."""
    spent = {"time": 10.0 * round, "num_bytes": 100 * round, "busiest_peer_bytes": 60 * round}
    return replace(FIRST, round=round, peer_accuracy={"a": accuracy, "b": accuracy}, **spent)


def history(label: str, seed: int, accuracies: list[float]) -> History:
    return History(label, seed, [evaluation(round, accuracy) for round, accuracy in enumerate(accuracies)])


def table(*histories: History, targets: tuple[float, ...] = ()) -> list:
    return summarize([row for history in histories for row in history.rows()], targets)


def test_a_row_is_the_last_evaluation_of_each_seed():
    (row,) = table(history("gossip", 0, [0.1, 0.9, 0.6]), history("gossip", 1, [0.1, 0.8]))
    assert row.label == "gossip"
    assert row.values.keys() == MEASURES.keys()
    assert row.values["mean_accuracy"].mean == pytest.approx(0.7)
    assert row.values["mean_accuracy"].std == pytest.approx(math.sqrt(0.02))
    assert row.values["rounds"] == Statistic(1.5, pytest.approx(math.sqrt(0.5)))
    assert row.values["num_bytes"].mean == 150


def test_a_single_seed_has_no_spread():
    (row,) = table(history("gossip", 0, [0.1, 0.9]))
    assert row.values["mean_accuracy"] == Statistic(0.9, None)


def test_rows_keep_the_order_of_the_algorithms():
    labels = ["z", "a", "m"]
    assert [row.label for row in table(*(history(label, seed, [0.1]) for seed in (0, 1) for label in labels))] == labels


def test_a_target_costs_what_was_spent_at_the_first_evaluation_that_reached_it():
    (row,) = table(history("gossip", 0, [0.1, 0.5, 0.4, 0.5, 0.9]), targets=(0.5, 0.9, 0.95))
    half, nine_tenths, more = row.targets
    assert {name: cost.mean for name, cost in half.costs.items()} == {"rounds": 1, "num_bytes": 100, "time": 10}
    assert nine_tenths.costs["rounds"].mean == 4
    assert (more.reached, more.of, set(more.costs.values())) == (0, 1, {None})


def test_a_target_counts_only_the_seeds_that_reached_it():
    (row,) = table(
        *(history("gossip", seed, accuracies) for seed, accuracies in enumerate([[0.9], [0.1, 0.9], [0.1]])),
        targets=(0.8,),
    )
    assert (row.targets[0].reached, row.targets[0].of) == (2, 3)
    assert row.targets[0].costs["rounds"] == Statistic(0.5, pytest.approx(math.sqrt(0.5)))


@pytest.mark.parametrize("missing", [NAN, math.inf, None])
@pytest.mark.parametrize("num_seeds", [1, 2])
def test_a_number_that_is_missing_makes_its_mean_missing_and_nothing_else(missing, num_seeds):
    rows = [row for seed in range(num_seeds) for row in history("gossip", seed, [0.1, 0.9]).rows()]
    rows[-1] |= {"mean_accuracy": missing, "consensus_distance": missing}
    (row,) = summarize(rows, [0.8])
    assert math.isnan(row.values["mean_accuracy"].mean)
    assert math.isnan(row.values["consensus_distance"].mean)
    assert row.values["rounds"].mean == 1
    if missing != math.inf:
        assert row.targets[0].reached == num_seeds - 1


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=6))
def test_the_mean_lies_between_the_values(values):
    statistic = Statistic.of(values)
    assert min(values) - 1e-6 <= statistic.mean <= max(values) + 1e-6
    assert (statistic.std is None) == (len(values) == 1)


def test_a_row_is_one_flat_mapping():
    (row,) = table(history("gossip", 0, [0.9]), targets=(0.5, 0.95))
    flat = row.as_json()
    assert flat["label"] == "gossip"
    assert flat["mean_accuracy"] == {"mean": 0.9, "std": None}
    reached, missed = flat["targets"]
    assert reached == {"target": 0.5, "reached": 1, "of": 1} | {name: {"mean": 0, "std": None} for name in COSTS}
    assert missed == {"target": 0.95, "reached": 0, "of": 1} | dict.fromkeys(COSTS)


def test_a_comparison_finds_the_first_history_of_a_label():
    first, second = history("pairwise", 0, [0.1]), history("pairwise", 1, [0.2])
    comparison = Comparison(Scenario(), [first, second])
    assert comparison["pairwise"] is first
    with pytest.raises(KeyError, match="no algorithm 'gossip'; there are pairwise"):
        comparison["gossip"]


def test_histories_without_evaluations_are_not_in_the_table():
    assert Comparison(Scenario(), [History("pairwise", 0)]).table == []


def test_a_table_from_objects_is_that_from_rows():
    run = history("pairwise", 3, [0.1, 0.9])
    rows = [history_row("pairwise", 3, evaluation) for evaluation in run]
    assert Comparison(Scenario(targets=[0.5]), [run]).table == summarize(rows, [0.5])
