"""The exam of trainers: what engines and experiments rely on, whoever trains."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from toy_data import SIZES
from trainer_exam import ALL, TRAINERS, Candidate

from gossipfl.actions import Evaluate, Train, Update
from gossipfl.errors import SchemaMismatchError, TrainingError
from gossipfl.training.trainer import ModelTrainer, Trainer, outcomes_of
from gossipfl.weights import Constants, ModelVectors, frozen

ROWS = [pytest.param(one, id=name, marks=[pytest.mark.slow] if one.is_slow else []) for name, one in TRAINERS.items()]


@pytest.fixture(scope="module", params=ROWS)
def trainer(request) -> Iterator[Trainer]:
    candidate: Candidate = request.param
    with candidate.make() as made:
        made.prepare()
        yield made


@pytest.fixture
def model_trainer(trainer: Trainer, request) -> ModelTrainer:
    if not request.node.callspec.params["trainer"].says_its_model:
        pytest.skip("its peers come with their own models")
    return trainer


def job_of(trainer: Any, peer_id: str, num_steps: int, **fields: Any) -> Train:
    initial: ModelVectors = trainer.initial()
    return Train(peer_id, **{"job": 1, "first_step": 0, "num_steps": num_steps} | model_of(initial) | fields)


def model_of(model: Any) -> dict[str, Any]:
    return {"weights": model.weights, "statistics": model.statistics, "state": getattr(model, "state", {})}


def broken(job: Train) -> Train:
    return replace(job, weights=frozen(np.full_like(job.weights, np.nan)))


def assert_same_bits(left: Update, right: Update) -> None:
    assert (left.peer_id, left.job, left.num_examples, left.num_steps) == (
        right.peer_id,
        right.job,
        right.num_examples,
        right.num_steps,
    )
    np.testing.assert_array_equal(left.weights, right.weights)
    np.testing.assert_array_equal(left.statistics, right.statistics)
    assert left.state.keys() == right.state.keys()
    for name, part in left.state.items():
        np.testing.assert_array_equal(part, right.state[name])


def jobs_of(trainer: Trainer) -> list[Train]:
    return [job_of(trainer, peer, num_steps) for peer in SIZES for num_steps in (1, 7)]


def test_updates_do_not_depend_on_grouping(trainer):
    jobs = jobs_of(trainer)
    alone = [update for job in jobs for update in trainer.train([job])]
    for together in (trainer.train(jobs), trainer.train(jobs[::-1])[::-1]):
        for left, right in zip(alone, together, strict=True):
            assert_same_bits(left, right)
            assert left.metrics == right.metrics
    assert [(update.peer_id, update.num_steps) for update in alone] == [(job.peer_id, job.num_steps) for job in jobs]
    assert trainer.train([]) == []


def test_updates_do_not_depend_on_where_work_is_cut(trainer):
    (whole,) = trainer.train([job_of(trainer, "d", 9)])
    (first,) = trainer.train([job_of(trainer, "d", 4)])
    (second,) = trainer.train([job_of(trainer, "d", 5, first_step=4, **model_of(first))])
    assert_same_bits(replace(second, num_examples=whole.num_examples, num_steps=9), whole)
    assert first.num_examples + second.num_examples == whole.num_examples


def test_another_trainer_of_the_same_run_gives_the_same_bits(trainer, request):
    if request.node.callspec.id == "ray":
        pytest.skip("a process is at one cluster at a time; tests/training/test_ray_trainer.py compares it with Keras")
    candidate: Candidate = request.node.callspec.params["trainer"]
    with candidate.make() as other:
        jobs = jobs_of(other)
        if candidate.says_its_model:
            other.forget_initial()
        for left, right in zip(trainer.train(jobs_of(trainer)), other.train(jobs), strict=True):
            assert_same_bits(left, right)


def test_a_job_that_fails_fails_alone(trainer):
    jobs = [job_of(trainer, peer, 3) for peer in "abd"]
    jobs[1] = broken(replace(jobs[1], job=7))
    with pytest.raises(TrainingError) as caught:
        trainer.train(jobs)
    assert (caught.value.peer_id, caught.value.round) == ("b", 7)
    first, failure, last = outcomes_of(trainer, jobs)
    assert isinstance(failure, TrainingError)
    for outcome, update in zip((first, last), trainer.train([jobs[0], jobs[2]]), strict=True):
        assert_same_bits(outcome, update)


@pytest.mark.parametrize(("first_step", "num_steps"), [(0, 1), (2, 3), (1, 9)])
def test_examples_are_counted_as_they_are_seen(trainer, first_step, num_steps):
    job = job_of(trainer, "a", num_steps, first_step=first_step)
    expected = sum(5 if step % 3 == 2 else 16 for step in range(first_step, first_step + num_steps))  # of 37
    assert trainer.num_examples("a", first_step, num_steps) == expected
    (update,) = trainer.train([job])
    (scores,) = trainer.score([Evaluate("a", 1, (trainer.initial(),), first_step, num_steps)])
    assert update.num_examples == scores.num_examples == expected


@cache
def trained(trainer: Trainer) -> tuple[ModelVectors, ...]:
    updates = trainer.train([job_of(trainer, peer, 5) for peer in "abd"])
    return trainer.initial(), *(ModelVectors(update.weights, update.statistics) for update in updates)


def test_scores_do_not_depend_on_grouping(trainer):
    models = trained(trainer)
    jobs = [Evaluate("a", 0, models, 0, 3), Evaluate("d", 4, models[:1], 2, 7), Evaluate("c", 1, models[1:], 1, 1)]
    together = trainer.score(jobs)
    assert [(one.peer_id, one.job, len(one.scores)) for one in together] == [("a", 0, 4), ("d", 4, 1), ("c", 1, 3)]
    assert together == [scores for job in jobs for scores in trainer.score([job])] == trainer.score(jobs[::-1])[::-1]
    for job, scores in zip(jobs, together, strict=True):
        for model, score in zip(job.models, scores.scores, strict=True):
            assert trainer.score([replace(job, models=(model,))])[0].scores == (score,)
    assert trainer.score([]) == []
    assert trainer.score([replace(jobs[0], models=())])[0].scores == ()


def test_a_score_is_that_of_the_held_out_data_where_these_are_the_peers_own(trainer):
    models = trained(trainer)
    num_examples = trainer.num_examples(ALL, 0, 1)
    steps = next(steps for steps in range(1, 99) if trainer.num_examples(ALL, steps, 1) < num_examples) + 1
    (own,) = trainer.score([Evaluate(ALL, 0, models, 0, steps)])
    for score, expected in zip(own.scores, trainer.evaluate(models), strict=True):
        assert score.loss == pytest.approx(expected.loss, rel=1e-5)
        assert score.metrics == pytest.approx(expected.metrics)
    assert len({score.loss for score in own.scores}) == len(models)


def test_a_model_is_evaluated_on_its_own_examples_of_a_part(model_trainer):
    models = list(trained(model_trainer))
    everything = [np.arange(100)] * len(models)
    on_whole = model_trainer.evaluate(models, "validation")
    for score, expected in zip(model_trainer.evaluate(models, "validation", everything), on_whole, strict=True):
        assert score.loss == pytest.approx(expected.loss, rel=1e-6)
        assert score.metrics == pytest.approx(expected.metrics)
    assert on_whole != model_trainer.evaluate(models, "test")
    own = [np.arange(k, 40 * k + 41) % 100 for k in range(len(models))]
    scores = model_trainer.evaluate(models, "validation", own)
    assert scores == [
        model_trainer.evaluate([model], "validation", [rows])[0] for model, rows in zip(models, own, strict=True)
    ]
    assert len({score.loss for score in model_trainer.evaluate([models[0]] * len(own), "validation", own)}) > 1
    assert model_trainer.evaluate([], "validation", []) == []


def test_a_peer_may_ask_how_good_models_are_on_held_out_examples(model_trainer):
    models = trained(model_trainer)[:2]
    own = np.arange(7, 31)
    jobs = [
        Evaluate("a", 3, models[:1], part="validation"),
        Evaluate("b", 4, models[:1], part="validation"),
        Evaluate("c", 5, models, part="validation", examples=own),
        Evaluate("d", 6, models[1:], 0, 2),
        Evaluate("e", 7, models[1:], part="test"),
    ]
    outcomes = outcomes_of(model_trainer, jobs)
    assert [(one.peer_id, one.job) for one in outcomes] == [("a", 3), ("b", 4), ("c", 5), ("d", 6), ("e", 7)]
    on_all, of_b, on_own, on_batches, on_test = outcomes
    assert list(on_all.scores) == list(of_b.scores) == model_trainer.evaluate(models[:1], "validation")
    assert (list(on_own.scores), on_own.num_examples) == (model_trainer.evaluate(models, "validation", [own] * 2), 24)
    assert on_batches == model_trainer.score([jobs[3]])[0]
    assert list(on_test.scores) == model_trainer.evaluate(models[1:], "test")
    assert [job.is_held_out for job in jobs] == [True, True, True, False, True]


def test_scoring_changes_nothing(trainer):
    jobs = jobs_of(trainer)
    before = trainer.train(jobs)
    trainer.score([Evaluate("d", 0, trained(trainer), 0, 4)])
    for left, right in zip(before, trainer.train(jobs), strict=True):
        assert_same_bits(left, right)


def test_statistics_of_batches_do_not_depend_on_grouping_and_change_nothing(trainer):
    (model,) = trained(trainer)[1:2]
    before = trainer.train(jobs_of(trainer))
    together = trainer.batch_statistics(model, ["d", "a"], 5)
    alone = [trainer.batch_statistics(model, [peer], 5)[0] for peer in "da"]
    for rows, expected in zip(together, alone, strict=True):
        assert rows.shape == (5, model.statistics.size)
        np.testing.assert_array_equal(rows, expected)
    (first,) = trainer.batch_statistics(model, ["d"], 2)
    np.testing.assert_array_equal(first, together[0][:2])
    assert not model.statistics.size or (together[0][0] != together[0][1]).any()
    assert trainer.batch_statistics(model, [], 3) == []
    for left, right in zip(before, trainer.train(jobs_of(trainer)), strict=True):
        assert_same_bits(left, right)


def test_a_model_that_is_no_good_is_scored_too(trainer):
    good = trainer.initial()
    bad = ModelVectors(frozen(np.full_like(good.weights, np.nan)), good.statistics)
    (scores,) = trainer.score([Evaluate("a", 0, (good, bad), 0, 2)])
    assert np.isnan(scores.scores[1].loss)
    assert scores.scores[:1] == trainer.score([Evaluate("a", 0, (good,), 0, 2)])[0].scores


def test_sizes_are_those_of_the_vectors(model_trainer):
    initial = model_trainer.initial()
    assert (initial.weights.size, initial.statistics.size) == (
        model_trainer.schema.size,
        model_trainer.statistics_schema.size,
    )
    (update,) = model_trainer.train([job_of(model_trainer, "a", 1)])
    assert update.weights.size == model_trainer.schema.size
    assert update.state.get("optimizer", np.zeros(0)).size == model_trainer.optimizer_size
    assert model_trainer.num_slots >= 1
    assert model_trainer.flags


def evaluated_with(trainer: ModelTrainer, constants: Constants) -> None:
    trainer.set_constants(constants)
    trainer.evaluate([trainer.initial()])  # where training is elsewhere, it shows only now


def test_constants_of_another_model_are_refused(model_trainer):
    own = model_trainer.constants
    before = model_trainer.evaluate([model_trainer.initial()])
    model_trainer.set_constants(own)
    assert model_trainer.evaluate([model_trainer.initial()]) == before
    try:
        with pytest.raises(SchemaMismatchError, match="there are 1 constants"):
            evaluated_with(model_trainer, Constants(("backbone",), (np.zeros(3, np.float32),)))
    finally:
        model_trainer.set_constants(own)
    assert model_trainer.evaluate([model_trainer.initial()]) == before
