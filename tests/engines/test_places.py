"""Where models are measured: on a held-out part, or each peer on its own share of it."""

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, nan

import numpy as np
import pytest

from gossipfl.algorithms import POOL
from gossipfl.engines.evaluation import EvaluationPlan, evaluate, own_score
from gossipfl.engines.places import Place, measured_metrics
from gossipfl.engines.progress import Traffic
from gossipfl.errors import ConfigurationError
from gossipfl.peers import Standing
from gossipfl.scores import Metric, Score
from gossipfl.weights import ModelVectors, frozen

SHARES = {"a": np.array([0, 1]), "c": np.array([2])}  # b has no example
PARTS = {"test": np.array([1.0, 2.0, 4.0]), "validation": np.array([10.0, 20.0, 60.0])}


class Trainer:
    """Its loss is the weight times the mean of the examples."""

    metrics = (Metric("mae", higher_is_better=False, unit="number"),)

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, list[list[int]] | None]] = []

    def evaluate(self, models: Sequence[ModelVectors], part="test", examples=None) -> list[Score]:
        self.calls.append((part, len(models), None if examples is None else [one.tolist() for one in examples]))
        values = PARTS[part]
        means = [values.mean()] * len(models) if examples is None else [values[one].mean() for one in examples]
        losses = [float(model.weights[0] * mean) for model, mean in zip(models, means, strict=True)]
        return [Score(loss, {"mae": 10 * loss}) for loss in losses]


def model(weight: float) -> ModelVectors:
    return ModelVectors(frozen(np.array([weight], np.float32)), frozen(np.zeros(0, np.float32)))


def standings() -> list[Standing]:
    return [Standing(name, model(weight), 1) for name, weight in (("a", 1), ("b", 2), ("c", 3))]


def measured(places, *, final=False, has_hub=False, peers=None, local=0):
    trainer = Trainer()
    plan = EvaluationPlan(places=places, peers=peers)
    evaluation = evaluate(
        trainer,
        plan,
        standings(),
        replace(model(10), local=frozen(np.zeros(local, np.float32))),
        Traffic(0, 0, 0),
        {"mae": 0.5},
        round=1,
        time=0.0,
        has_hub=has_hub,
        final=final,
    )
    return evaluation, trainer.calls


def test_a_whole_part_is_that_of_all_peers():
    evaluation, calls = measured((Place("validation"),))
    assert calls == [("validation", 4, None)]
    assert evaluation.loss.peers == {"a": 30, "b": 60, "c": 90}
    assert (evaluation.average_loss, evaluation.mean_mae, evaluation.training_mae) == (300, 600, 0.5)
    assert evaluation.main.metric.on == "validation data"


def test_on_shares_a_peer_meets_its_own_examples_and_the_average_model_those_of_each():
    evaluation, calls = measured((Place(shares=SHARES),))
    assert calls == [("test", 4, [[0, 1], [2], [0, 1], [2]])]
    assert evaluation.loss.peers == {"a": 1.5, "c": 12}
    assert evaluation.average_loss == 10 * (1.5 + 4) / 2
    assert (evaluation.mean_loss, evaluation.worst_mae, evaluation.best_mae) == (6.75, 120, 15)
    assert evaluation.main.metric.on == "each peer's own held-out data"


def test_what_a_server_deploys_is_measured_on_each_share():
    evaluation, _ = measured((Place(shares=SHARES),), has_hub=True)
    assert evaluation.deployed_mae == evaluation.average_mae == 275


def test_a_server_deploys_no_model_with_a_part_that_stays_at_its_clients():
    evaluation, _ = measured((Place(shares=SHARES),), has_hub=True, local=1)
    assert not evaluation.deploys_average
    assert evaluation.deployed_mae == evaluation.mean_mae == 67.5


def test_the_model_of_all_data_meets_the_examples_of_each_peer():
    trainer = Trainer()
    (score,) = Place(shares=SHARES).scores(trainer, [(POOL, model(10))], [POOL])
    assert (score.loss, trainer.calls) == (27.5, [("test", 2, [[0, 1], [2]])])


def test_only_the_shares_of_evaluated_peers_count():
    evaluation, calls = measured((Place(shares=SHARES),), peers=("b", "c"))
    assert calls == [("test", 2, [[2], [2]])]
    assert (evaluation.loss.peers, evaluation.average_loss) == ({"c": 12}, 40)


def test_a_model_that_peers_share_is_scored_once_on_each_share():
    shared = standings()[0].model
    trainer = Trainer()
    Place().scores(trainer, [(None, shared), ("a", shared), ("b", model(2))], "abc")
    assert trainer.calls == [("test", 2, None)]
    trainer.calls.clear()
    Place(shares=SHARES).scores(trainer, [(None, shared), ("a", shared), ("c", shared)], "abc")
    assert trainer.calls == [("test", 2, [[0, 1], [2]])]


def test_both_are_told_apart_by_name_and_the_test_part_waits_for_the_end():
    places = (Place("validation"), Place("validation", SHARES, "own_"), Place("test", None, "test_"))
    evaluation, calls = measured(places)
    assert [part for part, *_ in calls] == ["validation", "validation"]
    assert list(evaluation.metrics) == ["mae", "own_loss", "own_mae", "test_loss", "test_mae"]
    assert evaluation.mean_own_mae == (150 + 1800) / 2
    assert (evaluation.metrics["test_mae"].mean, evaluation.metrics["test_mae"].peers) == (None, {})
    assert evaluation.metrics["own_mae"].training is None
    assert evaluation.metrics["own_mae"].metric.on == "each peer's own validation data"
    final, calls = measured(places, final=True)
    assert [part for part, *_ in calls] == ["validation", "validation", "test"]
    assert final.mean_test_loss == pytest.approx(2 * 7 / 3)
    assert final.score("c").metrics.keys() == {"mae", "own_loss", "own_mae", "test_loss", "test_mae"}
    assert evaluation.score("b").metrics.keys() == {"mae"}


def test_a_peer_alone_measures_what_it_would_among_others():
    plan = EvaluationPlan(places=(Place(), Place("test", SHARES, "own_"), Place("test", None, "test_")))
    together = evaluate(
        Trainer(), plan, standings(), model(10), Traffic(0, 0, 0), {}, round=1, time=0.0, has_hub=False, final=True
    )
    for standing in standings():
        alone = own_score(Trainer(), plan, standing.peer_id, standing.model, final=True)
        expected = together.score(standing.peer_id)
        assert alone.loss == expected.loss
        known = {name: value for name, value in alone.metrics.items() if not isnan(value)}
        assert known == expected.metrics
    assert own_score(Trainer(), plan, None, model(10), final=True) == together.score()
    assert "test_mae" not in own_score(Trainer(), plan, "a", model(1), final=False).metrics
    assert isnan(own_score(Trainer(), plan, "b", model(1), final=False).metrics.get("own_loss", nan))


def test_a_metric_that_is_named_as_another_place_is_refused():
    places = (Place(), Place("test", SHARES, "own_"))
    names = [metric.name for metric in measured_metrics([Metric("accuracy")], places)]
    assert names == ["accuracy", "own_loss", "own_accuracy"]
    with pytest.raises(ConfigurationError, match="two metrics are called 'own_accuracy'"):
        measured_metrics([Metric("accuracy"), Metric("own_accuracy")], places)
