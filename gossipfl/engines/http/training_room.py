"""Local training beside the event loop, for one peer or for all peers of a process."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np

from gossipfl.actions import Train, Update
from gossipfl.training.trainer import Trainer
from gossipfl.weights import Vector, frozen

CALL_SECONDS = 0.5
"""A call of the trainer is made to last about so long at most: whoever stops waits for the end of a call."""

Result = TypeVar("Result")


@dataclass(eq=False, slots=True)
class _Work:
    """A job on its way: the part that is still to be done, and what the parts before it gave."""

    job: Train
    rest: Train
    done: asyncio.Future[Update]
    parts: list[Update] = field(default_factory=list)


class TrainingRoom:
    """Trains the jobs that are there in one call per free slot, in parts of bounded length.

    Results do not depend on how jobs are grouped and cut: a part begins with the weights and state that the part
    before it ended with, and batches are a function of the step. Evaluations go before training.
    """

    def __init__(self, trainer: Trainer, num_slots: int) -> None:
        self._trainer = trainer
        self._num_slots = num_slots
        self._threads = ThreadPoolExecutor(num_slots + 1, thread_name_prefix="training")
        self._waiting: deque[_Work] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._num_evaluations = 0
        self._no_evaluation = asyncio.Event()
        self._no_evaluation.set()
        self._steps_per_call = 1.0  # of one job; the first call also builds the graphs
        self._is_closed = False

    async def train(self, job: Train) -> Update:
        """Run a job. Raises TrainingError; when cancelled, the job is dropped at the end of its present part."""
        work = _Work(job, job, asyncio.get_running_loop().create_future())
        self._waiting.append(work)
        if len(self._workers) < self._num_slots:
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return await work.done

    async def evaluate(self, work: Callable[[Trainer], Result]) -> Result:
        """The result of `work`, which is given the trainer; no new training begins meanwhile."""
        self._num_evaluations += 1
        self._no_evaluation.clear()
        try:
            return await self._in_thread(partial(work, self._trainer))
        finally:
            self._num_evaluations -= 1
            if self._num_evaluations == 0:
                self._no_evaluation.set()

    async def close(self) -> None:
        """Drop what waits, and wait for the calls that run."""
        self._is_closed = True
        self._waiting.clear()
        for worker in self._workers:
            worker.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    async def _in_thread(self, call: "partial[Result]") -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _work(self) -> None:
        """Train group after group until nothing waits."""
        while self._waiting:
            await asyncio.sleep(0)  # peers that finish together begin together: let all of them ask first
            await self._no_evaluation.wait()
            group = self._next_group()
            if not group:
                continue
            await self._train_group(group)

    async def _train_group(self, group: list[_Work]) -> None:
        jobs = [replace(work.rest, num_steps=self._length(work.rest)) for work in group]
        began = time.perf_counter()
        call = asyncio.ensure_future(self._in_thread(partial(self._trainer.train, jobs)))
        await asyncio.wait([call])
        error = call.exception()
        if error is None:
            self._adapt(jobs, time.perf_counter() - began)
            for work, update in zip(group, call.result(), strict=True):
                self._note(work, update)
        elif len(group) > 1:  # find whose job it was; a job may be run again with the same result
            for work in group:
                await self._train_group([work])
        elif not group[0].done.done():
            group[0].done.set_exception(error)

    def _next_group(self) -> list[_Work]:
        """This slot's share of what waits."""
        share = -(-len(self._waiting) // self._num_slots)
        group = [self._waiting.popleft() for _ in range(min(share, len(self._waiting)))]
        return [work for work in group if not work.done.done()]

    def _length(self, rest: Train) -> int:
        """Steps of the next part; parts that would leave a small rest are made equal."""
        num_parts = -(-rest.num_steps // max(1, int(self._steps_per_call)))
        return -(-rest.num_steps // num_parts)

    def _adapt(self, jobs: Sequence[Train], seconds: float) -> None:
        per_step = seconds / sum(job.num_steps for job in jobs)
        wanted = CALL_SECONDS / per_step / len(jobs)
        self._steps_per_call = max(1.0, min(wanted, 16 * self._steps_per_call))

    def _note(self, work: _Work, update: Update) -> None:
        work.parts.append(update)
        rest = work.rest
        if work.done.done():  # nobody waits for it any more
            return
        if update.num_steps == rest.num_steps:
            work.done.set_result(whole(work.job, work.parts))
            return
        work.rest = replace(
            rest,
            first_step=rest.first_step + update.num_steps,
            num_steps=rest.num_steps - update.num_steps,
            weights=update.weights,
            statistics=update.statistics,
            state=update.state,
        )
        self._waiting.append(work)


def whole(job: Train, parts: Sequence[Update]) -> Update:
    """The update of a job from those of its parts: the last one's weights and state, means over all parts."""
    last = parts[-1]
    if len(parts) == 1:
        return last
    num_examples = sum(part.num_examples for part in parts)
    metrics = {
        name: sum(part.metrics[name] * part.num_examples for part in parts) / num_examples for name in last.metrics
    }
    return replace(
        last,
        num_examples=num_examples,
        num_steps=job.num_steps,
        metrics=metrics,
        vectors={name: _mean_over_steps(name, parts) for name in last.vectors},
    )


def _mean_over_steps(name: str, parts: Sequence[Update]) -> Vector:
    num_steps = sum(part.num_steps for part in parts)
    total = np.zeros(parts[0].vectors[name].shape, np.float64)
    for part in parts:
        total += np.multiply(part.vectors[name], part.num_steps / num_steps, dtype=np.float64)
    return frozen(total.astype(parts[0].vectors[name].dtype))
