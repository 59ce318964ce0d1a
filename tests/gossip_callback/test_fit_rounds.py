"""The bridge between the event loop of a peer and the thread of a fit, without a framework."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gossipfl.actions import Train, Update
from gossipfl.errors import ConfigurationError, TrainingError
from gossipfl.keras.fit_room import FitRoom
from gossipfl.keras.fit_rounds import FitRounds
from gossipfl.training.no_trainer import NoTrainer
from gossipfl.weights import NOTHING, ModelVectors, frozen

WEIGHTS = frozen(np.ones(3, np.float32))


def job(number: int = 0) -> Train:
    return Train("a", number, 0, 2, WEIGHTS, NOTHING, {})


def update(of: Train) -> Update:
    return Update("a", of.job, WEIGHTS, NOTHING, {}, 4, of.num_steps, {"loss": 1.0})


def beside(fit: Callable[[FitRoom], None], loop: Callable[[FitRoom], Any]) -> None:
    """Runs one side in a thread, and the other in an event loop."""
    room = FitRoom(NoTrainer())

    async def act() -> None:
        await loop(room)
        await room.close()

    thread = threading.Thread(target=fit, args=(room,))
    thread.start()
    asyncio.run(act())
    thread.join()


def test_jobs_go_to_fit_and_updates_come_back():
    def fit(room: FitRoom) -> None:
        while (given := room.next_job(lambda: False)) is not None:
            room.give(update(given))

    async def loop(room: FitRoom) -> None:
        assert [(await room.run(job(number))).job for number in range(3)] == [0, 1, 2]
        room.end()

    beside(fit, loop)


def test_a_round_that_fails_is_the_peers_to_judge():
    def fit(room: FitRoom) -> None:
        room.next_job(lambda: False)
        room.give(TrainingError("diverged", peer_id="a", round=0))

    async def loop(room: FitRoom) -> None:
        with pytest.raises(TrainingError, match="diverged"):
            await room.run(job())

    beside(fit, loop)


def test_a_job_that_was_dropped_is_not_begun_and_one_that_has_finished_waits_for_none():
    room = FitRoom(NoTrainer())

    async def dropped() -> None:
        asking = asyncio.create_task(room.run(job()))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        await room.close()

    asyncio.run(dropped())
    assert room.next_job(lambda: True) is None
    assert room.next_job(lambda: False) is None, "it has ended"


def test_nobody_hears_what_a_fit_gives_to_a_peer_that_is_over():
    room, given = FitRoom(NoTrainer()), SimpleNamespace(job=None)

    async def over() -> None:
        asking = asyncio.create_task(room.run(job()))
        await asyncio.sleep(0)
        given.job = room.next_job(lambda: False)
        asking.cancel()
        await asyncio.wait([asking])
        await room.close()

    asyncio.run(over())
    room.give(update(given.job))


class _Model:
    """Three weights that a fit and its callback change."""

    weights = np.zeros(3, np.float32)

    def begin(self, given: Train) -> None:
        self.weights = given.weights

    def add(self, difference: Any) -> None:
        self.weights = self.weights + difference

    def become(self, model: ModelVectors) -> None:
        self.weights = model.weights

    def update(self, of: Train, moved: Any, metrics: Any, num_examples: int) -> Update:
        weights = self.weights if moved is None else self.weights - moved
        return replace(update(of), weights=frozen(weights), num_examples=num_examples, metrics=metrics)


class _Peer:
    """A peer that adds what a round has given to where it is by then, as those do that average while they train."""

    def __init__(self) -> None:
        self.value, self.finished = WEIGHTS, False
        self.jobs = [job(0), None]
        self.given: list[Any] = []

    @property
    def standing(self) -> Any:
        return SimpleNamespace(model=ModelVectors(self.value, NOTHING))

    def next_job(self, has_finished: Callable[[], bool]) -> Train | None:
        return self.jobs.pop(0)

    def give(self, outcome: Update) -> None:
        self.given.append(outcome)
        self.value, self.finished = frozen(self.value + (outcome.weights - WEIGHTS)), True


def rounds_of(peer: _Peer, model: Any) -> FitRounds:
    thread: Any = SimpleNamespace(host=SimpleNamespace(peer=peer), room=peer, join=lambda: None)
    trainer: Any = SimpleNamespace(num_examples=lambda peer_id, first, num: 30 * num)
    return FitRounds(thread, model, trainer)


def test_what_neighbors_add_while_a_round_runs_moves_the_model_and_is_not_counted_as_training():
    peer, model = _Peer(), _Model()
    rounds = rounds_of(peer, model)
    rounds.before_batch()
    assert model.weights.tolist() == [1, 1, 1]
    model.weights = model.weights + 10  # a step of fit
    peer.value = frozen(peer.value + np.array([1, 2, 3], np.float32))
    rounds.after_batch(1, {"loss": 2.0})
    assert model.weights.tolist() == [12, 13, 14]
    model.weights = model.weights + 10
    assert not rounds.is_over
    rounds.after_batch(1, {"loss": 1.0})
    (given,) = peer.given
    assert (given.weights.tolist(), given.num_examples, given.metrics) == ([21, 21, 21], 60, {"loss": 1.0})
    assert rounds.is_over
    assert model.weights.tolist() == peer.value.tolist() == [22, 23, 24]
    model.weights = model.weights + 10  # a batch that was under way
    rounds.after_batch(1, {"loss": 1.0})
    assert model.weights.tolist() == [22, 23, 24]


def test_a_round_that_nobody_disturbs_gives_the_bits_of_the_model():
    peer, model = _Peer(), _Model()
    rounds = rounds_of(peer, model)
    rounds.before_batch()
    model.weights = trained = frozen(np.array([0.1, 0.2, 1e8], np.float32))
    rounds.after_batch(2, {})
    assert peer.given[0].weights is trained


def test_corrected_gradients_are_refused_before_a_step_is_made():
    peer = _Peer()
    peer.jobs = [replace(job(), wants=frozenset({"gradient_sum"}))]
    with pytest.raises(ConfigurationError, match="corrects or sums gradients in every step"):
        rounds_of(peer, _Model()).before_batch()
