"""A run that ends early is the run without an end, up to there: in virtual time, over HTTP, and from a snapshot."""

import json
from math import isnan, nan

import numpy as np
import pytest
from evaluations import evaluation
from federation import make_simulator, random_shards, ring
from hypothesis import given
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import Algorithm, FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.engines.evaluation import EvaluationPlan
from gossipfl.engines.stopping import Stopping
from gossipfl.engines.virtual.simulator import Simulator
from gossipfl.errors import ConfigurationError
from gossipfl.history import History
from gossipfl.scores import LOSS, Metric
from gossipfl.stopping.rule import StopRule

ACCURACY = Metric("accuracy")
GRAPH = ring(4)


def new_trainer() -> NumpyTrainer:
    return NumpyTrainer(random_shards(GRAPH), momentum=0.9, has_statistics=True)


def new_simulator(algorithm: Algorithm, stop: StopRule | None, every: int = 1) -> Simulator:
    plan = EvaluationPlan(every=every)
    return make_simulator(algorithm, GRAPH, new_trainer(), num_rounds=12, plan=plan, stop=stop)


def first_stop(values: list[float], rule: StopRule) -> int | None:
    """The position of the evaluation with which a run of these values ends, in the plainest words."""
    better = max if rule.metric.higher_is_better else min
    for end in range(len(values)):
        seen = values[: end + 1]
        if rule.value is not None and better(seen[-1], rule.value) == seen[-1]:
            return end
        if rule.patience is not None and end >= rule.patience:
            before, since = seen[: -rule.patience], seen[-rule.patience :]
            if better([*before, *since]) == better(before):
                return end
    return None


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), min_size=1, max_size=12),
    st.sampled_from([ACCURACY, LOSS]),
    st.none() | st.sampled_from([0.15, 0.3, 0.45]),
    st.none() | st.integers(1, 4),
)
def test_a_run_ends_at_a_value_or_when_nothing_became_better(values, metric, value, patience):
    if value is None and patience is None:
        return
    rule, history = StopRule(metric, value, patience), History("x", 0)
    stopping = Stopping(rule, history)
    rows = [evaluation(round=k, peer_accuracy={"a": one}, peer_loss={"a": one}) for k, one in enumerate(values)]
    ends = [stopping.reason(row, None) is not None for row in rows]
    expected = first_stop(values, rule)
    assert ends.index(True) == expected if expected is not None else not any(ends)
    assert values[history.best_round] == metric.best(values)
    assert history.best_round == values.index(metric.best(values))


def test_nobody_who_has_no_number_is_the_best():
    history = History("x", 0)
    stopping = Stopping(StopRule(ACCURACY, patience=3), history)
    values = [nan, 0.5, nan, 0.4]
    reasons = [stopping.reason(evaluation(round=k, peer_accuracy={"a": one}), None) for k, one in enumerate(values)]
    assert (reasons, history.best_round) == ([None] * 4, 1)
    why = stopping.reason(evaluation(round=4, time=2.5, peer_accuracy={"a": nan}), None)
    assert why == (
        "in round 4, at 2.5 s: in 3 evaluations the accuracy of what is deployed, on held-out data, was never better "
        "than 0.5, that of round 1"
    )
    nothing = Stopping(StopRule(ACCURACY, patience=1), History("x", 0))
    assert "a number in none of them" in (nothing.reason(evaluation(peer_accuracy={"a": nan}), None) or "")
    with pytest.raises(ConfigurationError, match="a value of the metric, a patience"):
        StopRule(ACCURACY)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("algorithm", [SynchronousGossip(), FedAvg(), PairwiseGossip()], ids=repr)
def test_a_run_that_ends_early_is_the_whole_run_up_to_there(algorithm, every):
    whole = new_simulator(algorithm, None, every)
    average_of_round = {}
    for one in whole:
        average_of_round[one.round] = whole.average().weights.tobytes()
    values = [one.loss.deployed for one in whole.history]
    middle = values[len(values) // 2]
    early = new_simulator(algorithm, StopRule(LOSS, value=middle), every)
    history = early.run()
    last = first_stop(values, StopRule(LOSS, value=middle))
    assert last is not None
    assert 0 < last < len(values) - 1
    assert list(history) == list(whole.history)[: last + 1]
    assert history.stopped is not None
    assert f"as good as {middle:g}" in history.stopped
    assert history.best_round == history.last.round
    assert history.average.weights.tobytes() == average_of_round[history.last.round]
    assert history.best.weights.tobytes() == average_of_round[history.best_round]
    assert history.notes()[0].endswith(f"stopped early {history.stopped}.")
    assert early.next() is None


def test_it_ends_there_too_when_it_goes_on_from_a_snapshot():
    rule = StopRule(LOSS, patience=2)
    early = new_simulator(SynchronousGossip(), rule)
    snapshots = []

    def keep(round: int) -> None:
        arrays, values = early.snapshot()
        snapshots.append(({name: np.array(array) for name, array in arrays.items()}, json.loads(json.dumps(values))))

    early.on_round = keep
    history = early.run()
    assert history.stopped is not None
    assert history.best_round == history.last.round - 2
    assert len(snapshots) == history.last.round - 1
    for snapshot in snapshots:
        again = new_simulator(SynchronousGossip(), rule)
        again.restore(snapshot)
        resumed = again.run()
        assert list(resumed.rows()) == list(history.rows())
        assert (resumed.stopped, resumed.best_round) == (history.stopped, history.best_round)
        for left, right in ((resumed.best, history.best), (resumed.average, history.average)):
            assert left.weights.tobytes() == right.weights.tobytes()
            assert left.statistics.tobytes() == right.statistics.tobytes()


def test_a_reason_to_end_with_the_last_evaluation_is_none():
    whole = new_simulator(SynchronousGossip(), None).run()
    worst = max(one.loss.deployed for one in list(whole)[:-1])
    assert not isnan(worst)
    unreachable = new_simulator(SynchronousGossip(), StopRule(LOSS, value=-1.0)).run()
    assert list(unreachable) == list(whole)
    assert unreachable.stopped is None
    assert unreachable.best is not None
