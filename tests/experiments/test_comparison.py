"""The common table: means over seeds, and what a target cost, also where numbers are missing."""

import math

import evaluations
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.experiments.comparison import (
    CONTESTS,
    COSTS,
    HELD_OUT,
    MEASURES,
    Comparison,
    Statistic,
    summarize,
    winners,
)
from gossipfl.history import Evaluation, History, history_row
from gossipfl.scenario import Scenario
from gossipfl.scores import Metric

NAN = float("nan")
ACCURACY = [Metric("accuracy")]
FIRST = evaluations.evaluation(consensus_distance=0.5, average_accuracy=0.1, peer_accuracy={"a": 0.05, "b": 0.15})


def evaluation(round: int, accuracy: float) -> Evaluation:
    """At `round`, 10 seconds and 100 bytes a round have gone by."""
    spent = {"time": 10.0 * round, "num_bytes": 100 * round, "busiest_peer_bytes": 60 * round}
    return evaluations.changed(FIRST, round=round, peer_accuracy={"a": accuracy, "b": accuracy}, **spent)


def history(label: str, seed: int, accuracies: list[float]) -> History:
    return History(label, seed, [evaluation(round, accuracy) for round, accuracy in enumerate(accuracies)])


def table(*histories: History, targets: tuple[float, ...] = ()) -> list:
    return summarize([row for history in histories for row in history.rows()], ACCURACY, {"accuracy": targets})


def test_a_row_is_the_last_evaluation_of_each_seed():
    (row,) = table(history("gossip", 0, [0.1, 0.9, 0.6]), history("gossip", 1, [0.1, 0.8]))
    assert row.label == "gossip"
    assert row.values.keys() == {*MEASURES, *(f"{aspect}_accuracy" for aspect in HELD_OUT)}
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
    spent = {"rounds": 1, "num_bytes": 100, "time": 10, "busiest_peer_bytes": 60}
    assert {name: cost.mean for name, cost in half.costs.items()} == spent
    assert nine_tenths.costs["rounds"].mean == 4
    assert (more.reached, more.of, set(more.costs.values()), more.spread) == (0, 1, {None}, None)


def test_the_spread_is_that_between_peers_when_the_target_is_reached():
    rows = [*history("gossip", 0, [0.1, 0.5, 0.9]).rows(), *history("gossip", 1, [0.1, 0.6, 0.9]).rows()]
    rows[1] |= {"worst_accuracy": 0.3, "best_accuracy": 0.7}
    rows[4] |= {"worst_accuracy": 0.4, "best_accuracy": 0.6}
    (row,) = summarize(rows, ACCURACY, {"accuracy": [0.5, 0.9]})
    assert row.targets[0].spread == Statistic(pytest.approx(0.3), pytest.approx(math.sqrt(0.02)))
    assert row.targets[1].spread == Statistic(0, 0)
    assert row.targets[0]["spread"] is row.targets[0].spread
    (gathered,) = summarize([row | {"worst_accuracy": None} for row in rows], ACCURACY, {"accuracy": [0.5]})
    assert math.isnan(gathered.targets[0].spread.mean)
    assert gathered.targets[0].costs["rounds"].mean == 1


def test_a_seed_that_failed_before_it_was_measured_reaches_no_target():
    histories = [history("gossip", 0, [0.9]), History("gossip", 1, failure="it failed"), history("other", 0, [0.9])]
    ended = [(one.algorithm, one.seed) for one in histories]
    gossip, other = summarize([row for one in histories for row in one.rows()], ACCURACY, {"accuracy": [0.5]}, ended)
    assert (gossip.targets[0].reached, gossip.targets[0].of) == (1, 2)
    assert (other.targets[0].reached, other.targets[0].of) == (1, 1)
    assert Comparison(Scenario(targets=[0.5]), histories).table == [gossip, other]


def test_a_target_counts_only_the_seeds_that_reached_it():
    (row,) = table(
        *(history("gossip", seed, accuracies) for seed, accuracies in enumerate([[0.9], [0.1, 0.9], [0.1]])),
        targets=(0.8,),
    )
    assert (row.targets[0].reached, row.targets[0].of) == (2, 3)
    assert row.targets[0].costs["rounds"] == Statistic(0.5, pytest.approx(math.sqrt(0.5)))


def test_a_target_is_read_off_what_is_deployed():
    """The server's model is there in round 1, its clients hold old ones until the end."""
    clients = {"peer_accuracy": {"a": 0.3, "b": 0.5}}
    measured = [evaluations.changed(evaluation(round, 0.0), average_accuracy=0.9, **clients) for round in (1, 2)]
    measured.append(evaluations.changed(evaluation(3, 0.9), average_accuracy=0.9))
    server = History("server", 0, [evaluations.changed(one, deploys_average=True) for one in measured])
    peers = History("gossip", 0, measured)
    deployed, own = table(server, peers, targets=(0.8,))
    assert (deployed.targets[0].costs["rounds"].mean, deployed.targets[0].spread.mean) == (1, 0)
    assert (own.targets[0].costs["rounds"].mean, own.targets[0].spread.mean) == (3, 0)
    assert winners([deployed, own])[0].labels["num_bytes"] == "server"
    assert winners([deployed, own])[0].labels["spread"] is None


@pytest.mark.parametrize("missing", [NAN, math.inf, None])
@pytest.mark.parametrize("num_seeds", [1, 2])
def test_a_number_that_is_missing_makes_its_mean_missing_and_nothing_else(missing, num_seeds):
    rows = [row for seed in range(num_seeds) for row in history("gossip", seed, [0.1, 0.9]).rows()]
    rows[-1] |= dict.fromkeys(("mean_accuracy", "deployed_accuracy", "consensus_distance"), missing)
    (row,) = summarize(rows, ACCURACY, {"accuracy": [0.8]})
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
    figures = (*COSTS, "spread")
    common = {"metric": "accuracy", "of": 1}
    assert reached == common | {"target": 0.5, "reached": 1} | {name: {"mean": 0, "std": None} for name in figures}
    assert missed == common | {"target": 0.95, "reached": 0} | dict.fromkeys(figures)


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
    assert Comparison(Scenario(targets=[0.5]), [run]).table == summarize(rows, ACCURACY, {"accuracy": [0.5]})


class TestWinners:
    def rows(self, label: str, accuracies: list[float], *, seed: int = 0, **per_round: float) -> list[dict]:
        """History rows with so much spent per round, and the same spread at each."""
        spread = per_round.pop("spread", 0.05)
        return [
            row
            | {name: each * row["round"] for name, each in per_round.items()}
            | {"worst_accuracy": row["mean_accuracy"] - spread, "best_accuracy": row["mean_accuracy"]}
            for row in history(label, seed, accuracies).rows()
        ]

    def test_each_contest_has_its_own(self):
        rows = [
            *self.rows("server", [0.1, 0.9], num_bytes=80, time=9, busiest_peer_bytes=80, spread=0.0),
            *self.rows("pairs", [0.1, 0.5, 0.9], num_bytes=30, time=5, busiest_peer_bytes=9, spread=0.2),
            *self.rows("rounds", [0.1, 0.9], num_bytes=90, time=4, busiest_peer_bytes=20, spread=0.1),
        ]
        half, most, all_ = winners(summarize(rows, ACCURACY, {"accuracy": [0.5, 0.8, 0.95]}))
        assert half.as_json() == {
            **{"metric": "accuracy", "target": 0.5, "of": 1},
            **{"num_bytes": "pairs", "time": "rounds", "busiest_peer_bytes": "pairs", "spread": "rounds"},
        }
        assert (most.target, most.labels) == (0.8, half.labels | {"busiest_peer_bytes": "pairs"})
        assert (all_.target, all_.labels) == (0.95, dict.fromkeys(CONTESTS))

    def test_only_who_reaches_the_target_with_every_seed_competes(self):
        rows = [
            *self.rows("lucky", [0.9]),
            *self.rows("lucky", [0.1, 0.1], seed=1),
            *self.rows("steady", [0.1, 0.1, 0.9]),
            *self.rows("steady", [0.1, 0.1, 0.9], seed=1),
            *self.rows("begun", [0.9, 0.9]),  # with one of the seeds when the run was interrupted
        ]
        (winner,) = winners(summarize(rows, ACCURACY, {"accuracy": [0.8]}))
        assert (winner.of, set(winner.labels.values())) == (2, {"steady"})

    def test_of_equals_the_first_wins_and_who_sends_nothing_does_not_compete(self):
        rows = [
            *self.rows("centralized", [0.9, 0.9], num_bytes=0, busiest_peer_bytes=0),
            *self.rows("z", [0.1, 0.9]),
            *self.rows("a", [0.1, 0.9]),
        ]
        (winner,) = winners(summarize(rows, ACCURACY, {"accuracy": [0.8]}))
        assert set(winner.labels.values()) == {"z"}
        assert winners(summarize(rows[:2], ACCURACY, {"accuracy": [0.8]})) == []

    def test_a_cost_that_was_not_measured_does_not_win(self):
        rows = [*self.rows("a", [0.9, 0.9]), *self.rows("b", [0.1, 0.9])]
        rows[0] |= {"time": None, "best_accuracy": NAN}
        (winner,) = winners(summarize(rows, ACCURACY, {"accuracy": [0.8]}))
        assert winner.labels == {"num_bytes": "a", "time": "b", "busiest_peer_bytes": "a", "spread": "b"}

    @given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=5), st.randoms())
    def test_nobody_does_it_with_less(self, spent, random):
        runs = [
            self.rows(str(number), [0.1, 0.9], num_bytes=size, time=time) for number, (size, time) in enumerate(spent)
        ]
        random.shuffle(runs)
        (winner,) = winners(summarize([row for run in runs for row in run], ACCURACY, {"accuracy": [0.8]}))
        assert spent[int(winner.labels["num_bytes"])][0] == min(size for size, _ in spent)
        assert spent[int(winner.labels["time"])][1] == min(time for _, time in spent)

    def test_a_comparison_knows_its_winners(self):
        compared = Comparison(Scenario(targets=[0.5]), [history("pairwise", 0, [0.1, 0.9])])
        assert compared.winners == winners(compared.table)
        assert compared.winners[0].labels["time"] == "pairwise"
