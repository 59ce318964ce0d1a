"""The place of a peer's local work where a `fit` does it, in another thread than the event loop of the peer."""

import asyncio
import queue
from collections.abc import Callable

from gossipfl.actions import Evaluate, Job, Scores, Train, Update
from gossipfl.engines.http.training_room import Result, TrainingRoom
from gossipfl.errors import TrainingError
from gossipfl.training.trainer import Trainer

_LOOK_SECONDS = 0.1
"""How often a fit that waits looks if the peer has finished, which brings no further job."""


class FitRoom:
    """Training goes to the thread of `fit`, which asks for `next_job` and gives back its outcome; scores are made by
    the `trainer`."""

    def __init__(self, trainer: Trainer) -> None:
        self._room = TrainingRoom(trainer, 1)
        self._jobs: queue.SimpleQueue[tuple[Train, asyncio.Future[Update]] | None] = queue.SimpleQueue()
        self._done: asyncio.Future[Update] | None = None
        self._has_ended = False

    # In the event loop

    async def prepare(self) -> None:
        """There is nothing to build: `fit` has built it."""

    async def run(self, job: Job) -> Update | Scores:
        if isinstance(job, Evaluate):
            return await self._room.run(job)
        done: asyncio.Future[Update] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, done))
        return await done

    async def evaluate(self, work: Callable[[Trainer], Result]) -> Result:
        return await self._room.evaluate(work)

    async def close(self) -> None:
        await self._room.close()

    def end(self) -> None:
        """There are no more jobs."""
        self._jobs.put(None)

    # In the thread of fit

    def next_job(self, has_finished: Callable[[], bool]) -> Train | None:
        """Wait for the next job; None when there are no more."""
        while not self._has_ended:
            try:
                given = self._jobs.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                self._has_ended = has_finished()
                continue
            if given is None:
                self._has_ended = True
            elif not given[1].cancelled():
                job, self._done = given
                return job
        return None

    def give(self, outcome: Update | TrainingError) -> None:
        """The job has come to this; nobody hears it of a peer that is over."""
        done, self._done = self._done, None
        assert done is not None

        def tell() -> None:
            if done.done():
                return
            if isinstance(outcome, TrainingError):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

        loop = done.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell)
