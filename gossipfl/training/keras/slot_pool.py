"""The slots of a trainer, and the threads that drive them: one task at a time on each slot."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import TypeVar

from gossipfl.training.keras.data_tensors import DataTensors
from gossipfl.training.keras.models import BuiltModel
from gossipfl.training.keras.slot import Slot
from gossipfl.training.settings import ExamplePrivacy

Result = TypeVar("Result")


class SlotPool:
    """One slot per model. Calls of `run` from several threads share the slots."""

    def __init__(
        self, models: Sequence[BuiltModel], data: DataTensors, seed: int, privacy: ExamplePrivacy | None = None
    ) -> None:
        self.slots = [Slot(model, data, model.layout.initial_seeds(seed, "evaluation"), privacy) for model in models]
        self._free: SimpleQueue[Slot] = SimpleQueue()
        for slot in self.slots:
            self._free.put(slot)
        # Kept, because an asynchronous run makes thousands of small calls.
        self._threads = ThreadPoolExecutor(len(models), thread_name_prefix="slot")
        self._tracing = threading.Lock()
        self._holding = threading.Lock()

    def trace(self, graph: str, part: str = "train") -> None:
        """Build a graph of every slot, for a part of the data set, unless it is there already, in this thread."""
        with self._tracing:
            for slot in self.slots:
                slot.trace(graph, part)

    def run(self, tasks: Sequence[Callable[[Slot], Result]]) -> list[Result]:
        """Run every task on some free slot, and give the results in the order of the tasks.

        When a task raises, or on Ctrl-C, the tasks of this call that are running end after their current step, those
        that wait are dropped, and the exception goes on.
        """
        held: set[Slot] = set()
        cancelled = threading.Event()

        def on_free_slot(task: Callable[[Slot], Result]) -> Result | None:
            slot = self._free.get()
            try:
                with self._holding:
                    held.add(slot)
                    slot.resume()
                return None if cancelled.is_set() else task(slot)
            finally:
                with self._holding:
                    held.discard(slot)
                self._free.put(slot)

        futures: list[Future[Result | None]] = []
        try:
            # One by one, so that an interrupt finds in the list whatever was submitted.
            futures.extend(self._threads.submit(on_free_slot, task) for task in tasks)
            return [_result(future) for future in futures]  # type: ignore[misc]
        except BaseException:
            cancelled.set()
            for future in futures:
                future.cancel()
            with self._holding:
                for slot in held:
                    slot.stop()
            wait(futures)
            raise


def _result(future: Future[Result]) -> Result:
    """The result of a task. CPython sees a signal that arrives just before a wait begins only when that wait ends, so
    none is long."""
    while not wait([future], timeout=0.1).done:
        pass
    return future.result()
