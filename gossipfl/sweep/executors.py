"""The runs of a sweep run on processes of this machine, or as tasks of Ray."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from gossipfl.sweep.run import Lost, Outcome, Run, execute

_STOP_SECONDS = 5.0
"""The seconds that a worker gets to end after it was told to, before it is killed."""


class Executor(Protocol):
    """Runs independent runs side by side."""

    def run(self, runs: Sequence[Run], begins: Callable[[Run], None]) -> Generator[tuple[Run, Outcome], None, None]:
        """Each run with its outcome, in the order in which they end; closing the generator ends those that still run.

        `begins` is called when a run begins, where that is known.
        """
        ...


@dataclass(eq=False, slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    run: Run | None = None


@dataclass(frozen=True, slots=True)
class WorkerProcesses:
    """Runs on at most `num_workers` fresh processes, each with one run at a time.

    A process that dies takes only its run with it; `log` is what they all wrote, and is kept when one has died.
    """

    num_workers: int
    log: Path
    task: Callable[[Run], Outcome] = execute

    def run(self, runs: Sequence[Run], begins: Callable[[Run], None]) -> Generator[tuple[Run, Outcome], None, None]:
        waiting = deque(runs)
        workers: dict[Connection, _Worker] = {}
        has_died = False
        try:
            while True:
                idle = [worker for worker in workers.values() if worker.run is None]
                while waiting and (idle or len(workers) < self.num_workers):
                    worker = idle.pop() if idle else self._start()
                    workers[worker.connection] = worker
                    worker.run = waiting.popleft()
                    with suppress(OSError):  # of a process that has died just now, which shows below
                        worker.connection.send(worker.run)
                    begins(worker.run)
                busy = [worker.connection for worker in workers.values() if worker.run is not None]
                if not busy:
                    return
                for connection in wait(busy):
                    worker = workers[connection]  # type: ignore[index]
                    run, worker.run = worker.run, None
                    assert run is not None
                    try:
                        outcome = worker.connection.recv()
                    except (EOFError, OSError):
                        has_died = True
                        del workers[worker.connection]
                        outcome = Lost(self._death(worker))
                    yield run, outcome
        finally:
            for worker in workers.values():
                worker.process.terminate()
            for worker in workers.values():
                _bury(worker)
            if not has_died:
                self.log.unlink(missing_ok=True)

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        here, there = context.Pipe()
        process = context.Process(target=_work, args=(there, self.task, str(self.log)), daemon=True)
        with _without_interruption():
            process.start()
        there.close()
        return _Worker(process, here)

    def _death(self, worker: _Worker) -> str:
        _bury(worker)
        status = worker.process.exitcode
        if status is not None and status < 0:
            return (
                f"its process was killed ({signal.Signals(-status).name}); if memory ran out, take fewer at a time "
                "(--jobs)"
            )
        return f"its process ended with status {status}; {self.log} says why"


def _bury(worker: _Worker) -> None:
    worker.process.join(_STOP_SECONDS)
    worker.process.kill()
    worker.process.join()
    worker.connection.close()


@contextmanager
def _without_interruption() -> Iterator[None]:
    """Processes that are started inside never see Ctrl-C, which a terminal sends to all; here it comes afterwards."""
    resource_tracker.ensure_running()  # multiprocessing would start it just then, and take the signal's block away
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, task: Callable[[Run], Outcome], log: str) -> None:
    """What a worker process does. An error that nobody expects ends it, and its traceback is in the log."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(written, 1)
    os.dup2(written, 2)
    while True:
        connection.send(task(connection.recv()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@dataclass(frozen=True, slots=True)
class RayTasks:
    """A task with one core for each run, on this machine or on the cluster at `address`."""

    address: str | None = None
    task: Callable[[Run], Outcome] = execute

    def run(self, runs: Sequence[Run], begins: Callable[[Run], None]) -> Generator[tuple[Run, Outcome], None, None]:
        from gossipfl.training.ray.trainer import ray_cluster

        with ray_cluster(self.address):
            import ray

            task = ray.remote(num_cpus=1, max_retries=0)(self.task)
            waiting = {task.remote(run): run for run in runs}
            while waiting:
                (ended, *_), _ = ray.wait(list(waiting))
                run = waiting.pop(ended)
                try:
                    outcome = ray.get(ended)
                except ray.exceptions.RayError as error:
                    outcome = Lost(str(error).strip().splitlines()[-1])
                yield run, outcome
