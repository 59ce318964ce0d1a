"""The jobs of peers beside the event loop, for one peer or for all peers of a process."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar, cast

from gossipfl.actions import Evaluate, Job, Outcome, Scores, Train, Update
from gossipfl.peers.local_model import PutAway, kept
from gossipfl.training.trainer import Trainer, outcomes_of

CALL_SECONDS = 0.5
"""A call of the trainer is made to last about so long at most: whoever stops waits for the end of a call."""

SECONDS_PER_BYTE = CALL_SECONDS / 2**26
"""That of a large model lasts longer, because to set and to read its variables takes as long as some steps."""

Result = TypeVar("Result")


@dataclass(eq=False, slots=True)
class _Work:
    """A job on its way: the part that is still to be done, and what the parts before it gave."""

    job: Job
    rest: Job
    done: asyncio.Future[Update | Scores]
    sums: "_Sums" = field(default_factory=lambda: _Sums())


class TrainingRoom:
    """Runs the jobs that are there in one call per free slot, training in parts of bounded length.

    Results do not depend on how jobs are grouped and cut: a part begins with the weights and state that the part
    before it ended with, and batches are a function of the step. Evaluations of whoever measures go before all jobs.
    """

    def __init__(self, trainer: Trainer, num_slots: int, put_away: PutAway = kept) -> None:
        self._trainer = trainer
        self._put_away = put_away  # what is between two parts of a job
        self._num_slots = num_slots
        self._threads = ThreadPoolExecutor(num_slots + 1, thread_name_prefix="training")
        self._waiting: deque[_Work] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._num_busy = 0  # of the workers: those with a call that runs
        self._num_evaluations = 0
        self._no_evaluation = asyncio.Event()
        self._no_evaluation.set()
        self._steps_per_call = 1.0  # of one job; the first call also builds the graphs

    async def prepare(self) -> None:
        """Build what jobs need, beside the event loop."""
        await asyncio.get_running_loop().run_in_executor(None, self._trainer.prepare)

    async def run(self, job: Job) -> Update | Scores:
        """Run a job. Raises TrainingError; when cancelled, the job is dropped at the end of its present part."""
        work = _Work(job, job, asyncio.get_running_loop().create_future())
        self._waiting.append(work)
        if len(self._workers) < self._num_slots:
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
        return await work.done

    async def evaluate(self, work: Callable[[Trainer], Result]) -> Result:
        """The result of `work`, which is given the trainer; no new job begins meanwhile."""
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
        self._waiting.clear()
        for worker in list(self._workers):
            worker.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    async def _in_thread(self, call: "partial[Result]") -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _work(self) -> None:
        """Run group after group until nothing waits."""
        try:
            while self._waiting:
                await asyncio.sleep(0)  # peers that finish together begin together: let all of them ask first
                await self._no_evaluation.wait()
                group = self._next_group()
                if group:
                    self._num_busy += 1
                    try:
                        await self._run_group(group)
                    finally:
                        self._num_busy -= 1
        finally:
            # At once, not when the task's end is announced: a job that comes in between would find nobody to do it.
            self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _run_group(self, group: list[_Work]) -> None:
        jobs = [self._part(work.rest) for work in group]
        began = time.perf_counter()
        call = asyncio.ensure_future(self._in_thread(partial(self._outcomes, jobs, [work.rest for work in group])))
        await asyncio.wait([call])
        error = call.exception()
        outcomes = call.result() if error is None else [error] * len(group)
        self._adapt(jobs, time.perf_counter() - began)
        for work, outcome in zip(group, outcomes, strict=True):
            if not work.done.done():  # else nobody waits for it any more
                self._note(work, outcome)

    def _outcomes(self, jobs: Sequence[Job], rests: Sequence[Job]) -> list[Outcome]:
        outcomes = outcomes_of(self._trainer, jobs)
        for position, (outcome, rest) in enumerate(zip(outcomes, rests, strict=True)):
            if isinstance(outcome, Update) and isinstance(rest, Train) and outcome.num_steps < rest.num_steps:
                outcomes[position] = replace(outcome, weights=self._put_away(outcome.weights))
        return outcomes

    def _next_group(self) -> list[_Work]:
        """The share of a free slot in what waits."""
        share = -(-len(self._waiting) // (self._num_slots - self._num_busy))
        group = [self._waiting.popleft() for _ in range(share)]
        return [work for work in group if not work.done.done()]

    def _part(self, rest: Job) -> Job:
        """The next part; those that would leave a small rest are made equal."""
        if isinstance(rest, Evaluate):
            return rest
        num_parts = -(-rest.num_steps // max(1, int(self._steps_per_call)))
        return replace(rest, num_steps=-(-rest.num_steps // num_parts))

    def _adapt(self, jobs: Sequence[Job], seconds: float) -> None:
        if not all(isinstance(job, Train) for job in jobs):
            return
        per_step = seconds / sum(job.num_steps for job in jobs)
        longest = max(CALL_SECONDS, *(SECONDS_PER_BYTE * job.weights.nbytes for job in jobs if isinstance(job, Train)))
        wanted = longest / per_step / len(jobs)
        self._steps_per_call = max(1.0, min(wanted, 16 * self._steps_per_call))

    def _note(self, work: _Work, outcome: Outcome | BaseException) -> None:
        match outcome:
            case Scores():
                work.done.set_result(outcome)
            case Update():
                self._note_part(work, outcome)
            case _:
                work.done.set_exception(outcome)

    def _note_part(self, work: _Work, update: Update) -> None:
        work.sums.add(update)
        rest = work.rest
        assert isinstance(rest, Train)
        if update.num_steps == rest.num_steps:
            work.done.set_result(update if work.rest is work.job else work.sums.whole(update))
            return
        work.rest = replace(
            rest,
            first_step=rest.first_step + update.num_steps,
            num_steps=rest.num_steps - update.num_steps,
            weights=update.weights,
            statistics=update.statistics,
            state=update.state,
            vectors={**rest.vectors, **update.vectors},
        )
        self._waiting.append(work)


@dataclass(slots=True)
class _Sums:
    """What the parts of a job have in common to give: sums over their examples and steps, and no vectors, of which the
    last part has those of the whole job."""

    num_examples: int = 0
    num_steps: int = 0
    num_skipped: int = 0
    metrics: dict[str, float] = field(default_factory=dict)

    def add(self, part: Update) -> None:
        self.num_examples += part.num_examples
        self.num_steps += part.num_steps
        self.num_skipped += part.num_skipped
        for name, value in part.metrics.items():
            self.metrics[name] = self.metrics.get(name, 0.0) + value * part.num_examples

    def whole(self, last: Update) -> Update:
        """The update of the job, whose last part ended in `last`: its vectors and state, means over all parts."""
        return replace(
            last,
            num_examples=self.num_examples,
            num_steps=self.num_steps,
            num_skipped=self.num_skipped,
            metrics={name: total / self.num_examples for name, total in self.metrics.items()},
        )
