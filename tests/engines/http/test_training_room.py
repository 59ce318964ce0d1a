"""Jobs grouped and cut into parts give what they would give alone and in one piece."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from deadline import DEADLINE
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Train, Update
from gossipfl.engines.http import training_room
from gossipfl.engines.http.training_room import CALL_SECONDS, TrainingRoom
from gossipfl.errors import TrainingError
from gossipfl.weights import frozen

PEERS = "abcd"


class RecordingTrainer(NumpyTrainer):
    """Notes its calls, gives the mean gradient, and takes `cost` seconds per step on a clock of its own."""

    def __init__(self, cost: float = 0.001) -> None:
        rng = np.random.default_rng(0)
        shards = {peer_id: rng.normal(size=(7, 3)) for peer_id in PEERS}
        super().__init__(shards, momentum=0.9, batch_size=2, has_statistics=True)
        self.cost = cost
        self.seconds = 0.0
        self.calls: list[list[tuple[str, int]]] = []
        self.before: Callable[[Sequence[Train]], None] = lambda jobs: None

    def train(self, jobs: Sequence[Train]) -> list[Update]:
        self.before(jobs)
        self.calls.append([(job.peer_id, job.num_steps) for job in jobs])
        self.seconds += self.cost * sum(job.num_steps for job in jobs)
        return super().train(jobs)

    def _train_one(self, job: Train) -> Update:
        update = super()._train_one(job)
        return replace(update, metrics={"loss": update.metrics["loss"]})


def job(peer_id: str, num_steps: int, first_step: int = 0) -> Train:
    weights = frozen(np.full(3, ord(peer_id) / 100.0))
    state = {"optimizer": frozen(np.full(3, 0.25)), "integers": np.array([first_step])}
    wants = frozenset({"gradient_sum"})
    return Train(peer_id, 7, first_step, num_steps, weights, frozen(np.ones(3)), state, wants=wants)


def same(left: Update, right: Update) -> bool:
    """Whether two updates have the same bits, apart from the mean loss, which is summed in another order."""
    bits = [
        [update.peer_id, update.job, update.num_examples, update.num_steps]
        + [array.tobytes() for array in (update.weights, update.statistics, *update.state.values())]
        + [update.vectors["gradient_sum"].tobytes()]
        for update in (left, right)
    ]
    return bits[0] == bits[1] and np.isclose(left.metrics["loss"], right.metrics["loss"], rtol=1e-12)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch):
    """Lets the room measure time on the trainer's clock."""

    def use(trainer: RecordingTrainer) -> None:
        monkeypatch.setattr(training_room, "time", SimpleNamespace(perf_counter=lambda: trainer.seconds))

    return use


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    later=st.lists(st.integers(1, 40), max_size=4),
    cost=st.floats(0.001, 1.0),
    num_slots=st.integers(1, 3),
)
def test_results_depend_neither_on_groups_nor_on_cuts(lengths, later, cost, num_slots):
    trainer = RecordingTrainer(cost)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_room, "time", SimpleNamespace(perf_counter=lambda: trainer.seconds))

        async def train_twice(room: TrainingRoom, peer_id: str, first: int, second: int | None) -> list[Update]:
            updates = [await room.run(job(peer_id, first))]
            if second is not None:
                updates.append(await room.run(job(peer_id, second, first_step=3)))
            return updates

        async def run() -> list[list[Update]]:
            room = TrainingRoom(trainer, num_slots)
            seconds = [*later, *[None] * 4]
            works = [
                train_twice(room, peer_id, first, second)
                for peer_id, first, second in zip(PEERS, lengths, seconds, strict=False)
            ]
            async with asyncio.timeout(DEADLINE):
                results = await asyncio.gather(*works)
            await room.close()
            return results

        results = asyncio.run(run())
    alone = RecordingTrainer()
    for peer_id, length, updates in zip(PEERS, lengths, results, strict=False):
        assert same(updates[0], alone.train([job(peer_id, length)])[0])
    for peer_id, length, updates in zip(PEERS, later, results, strict=False):
        assert same(updates[1], alone.train([job(peer_id, length, first_step=3)])[0])


def test_calls_last_about_as_long_as_they_should(clock):
    trainer = RecordingTrainer(cost=0.01)
    clock(trainer)

    async def run() -> None:
        room = TrainingRoom(trainer, 1)
        await asyncio.gather(*(room.run(job(peer_id, 500)) for peer_id in PEERS))
        await room.close()

    asyncio.run(run())
    seconds = [trainer.cost * sum(num_steps for _, num_steps in call) for call in trainer.calls]
    assert sum(seconds) == pytest.approx(20.0)
    assert max(seconds) <= CALL_SECONDS
    assert np.median(seconds) > CALL_SECONDS / 2


def test_jobs_that_are_asked_for_together_are_one_call(clock):
    trainer = RecordingTrainer()
    clock(trainer)

    async def run() -> None:
        room = TrainingRoom(trainer, 1)
        await asyncio.gather(*(room.run(job(peer_id, 1)) for peer_id in PEERS))
        await room.close()

    asyncio.run(run())
    assert trainer.calls == [[(peer_id, 1) for peer_id in PEERS]]


def test_slots_train_at_the_same_time():
    trainer = RecordingTrainer()
    both = threading.Barrier(2, timeout=DEADLINE)
    trainer.before = lambda jobs: both.wait()

    async def run() -> None:
        room = TrainingRoom(trainer, 2)
        await asyncio.gather(*(room.run(job(peer_id, 1)) for peer_id in PEERS))
        await room.close()

    asyncio.run(run())
    assert [len(call) for call in trainer.calls] == [2, 2]


def test_a_job_that_is_asked_for_when_the_last_one_ends_is_done():
    trainer = RecordingTrainer()

    async def run() -> None:
        room = TrainingRoom(trainer, 1)
        async with asyncio.timeout(DEADLINE):
            for _ in range(50):
                await room.run(job("a", 1))
        await room.close()

    asyncio.run(run())
    assert trainer.num_jobs == 50


def test_a_job_that_fails_does_not_fail_the_others_of_its_group():
    trainer = RecordingTrainer()

    def fail(jobs: Sequence[Train]) -> None:
        if any(job.peer_id == "b" for job in jobs):
            raise TrainingError("NaN", peer_id="b", round=7)

    trainer.before = fail

    async def run() -> list[Update | BaseException]:
        room = TrainingRoom(trainer, 1)
        jobs = [room.run(job(peer_id, 5)) for peer_id in PEERS]
        async with asyncio.timeout(DEADLINE):
            results = await asyncio.gather(*jobs, return_exceptions=True)
        await room.close()
        return results

    results = asyncio.run(run())
    assert [type(result) for result in results] == [Update, TrainingError, Update, Update]
    alone = RecordingTrainer()
    for peer_id in "acd":
        assert same(results[PEERS.index(peer_id)], alone.train([job(peer_id, 5)])[0])


def test_a_job_that_nobody_waits_for_is_dropped_at_the_end_of_its_part():
    """Whether it waits, or is being worked on; another job of the group goes on."""
    trainer = RecordingTrainer(cost=CALL_SECONDS)  # one step per call
    at_work, may_go_on = threading.Event(), threading.Event()

    def pause(jobs: Sequence[Train]) -> None:
        at_work.set()
        assert may_go_on.wait(10.0)

    trainer.before = pause

    async def run() -> None:
        room = TrainingRoom(trainer, 1)
        first, second = (asyncio.create_task(room.run(job(peer_id, 50))) for peer_id in "ab")
        await until(at_work.is_set)
        third = asyncio.create_task(room.run(job("c", 50)))
        await asyncio.sleep(0)
        for dropped in (first, third):
            dropped.cancel()
        await asyncio.wait([first, third])
        may_go_on.set()
        async with asyncio.timeout(DEADLINE):
            await second
        await room.close()

    asyncio.run(run())
    assert trainer.calls[0] == [("a", 1), ("b", 1)]
    assert {peer_id for call in trainer.calls[1:] for peer_id, _ in call} == {"b"}


def test_evaluation_goes_before_training():
    trainer = RecordingTrainer(cost=CALL_SECONDS)
    order: list[str] = []
    trainer.before = lambda jobs: order.append("training")
    begun, may_end = threading.Event(), threading.Event()

    def evaluation(given: RecordingTrainer) -> str:
        assert given is trainer
        begun.set()
        assert may_end.wait(10.0)
        order.append("evaluation")
        return "score"

    async def run() -> None:
        room = TrainingRoom(trainer, 1)
        evaluating = [asyncio.create_task(room.evaluate(evaluation)) for _ in range(2)]
        await until(begun.is_set)
        training = asyncio.create_task(room.run(job("a", 2)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert order == []
        may_end.set()
        async with asyncio.timeout(DEADLINE):
            assert await asyncio.gather(*evaluating) == ["score"] * 2
            await training
        await room.close()

    asyncio.run(run())
    assert order[:2] == ["evaluation"] * 2
    assert set(order[2:]) == {"training"}


def test_an_evaluation_that_fails_lets_training_go_on():
    trainer = RecordingTrainer()

    def failing(given: RecordingTrainer) -> None:
        raise ValueError("no data")

    async def run() -> Update:
        room = TrainingRoom(trainer, 1)
        with pytest.raises(ValueError, match="no data"):
            await room.evaluate(failing)
        async with asyncio.timeout(DEADLINE):
            update = await room.run(job("a", 2))
        await room.close()
        return update

    assert same(asyncio.run(run()), RecordingTrainer().train([job("a", 2)])[0])


def test_closing_waits_for_the_call_that_runs_and_for_no_other():
    trainer = RecordingTrainer(cost=CALL_SECONDS)
    at_work, may_go_on = threading.Event(), threading.Event()

    def pause(jobs: Sequence[Train]) -> None:
        at_work.set()
        assert may_go_on.wait(10.0)

    trainer.before = pause

    async def run() -> None:
        room = TrainingRoom(trainer, 1)
        training = asyncio.create_task(room.run(job("a", 50)))
        await until(at_work.is_set)
        closing = asyncio.create_task(room.close())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not closing.done()
        may_go_on.set()
        async with asyncio.timeout(DEADLINE):
            await closing
        training.cancel()
        await asyncio.wait([training])

    asyncio.run(run())
    assert trainer.calls == [[("a", 1)]]
