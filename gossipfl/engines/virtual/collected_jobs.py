"""Jobs of peers that run together when the first of them falls due."""

from collections.abc import Iterable

from gossipfl.actions import Evaluate, Job, Outcome
from gossipfl.training.trainer import Trainer, outcomes_of
from gossipfl.weights import PeerId


class CollectedJobs:
    """The jobs that were asked for and are not due yet, at most one of a peer.

    Measurements on held-out data are due at once, and run by themselves: training goes on in large groups.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._jobs: dict[PeerId, Job] = {}  # not yet run
        self._measurements: dict[PeerId, Job] = {}  # likewise
        self._outcomes: dict[PeerId, Outcome] = {}  # of those that have run

    def add(self, job: Job) -> int:
        """Collect a job; gives the number of examples that take time."""
        if isinstance(job, Evaluate) and job.is_held_out:
            self._measurements[job.peer_id] = job
            return 0
        self._jobs[job.peer_id] = job
        return self._trainer.num_examples(job.peer_id, job.first_step, job.num_steps)

    def take(self, peer_id: PeerId) -> Outcome:
        """The outcome of a peer's job, which is due; if it has not run, it runs with all others of its kind."""
        if peer_id not in self._outcomes:
            jobs = self._jobs if peer_id in self._jobs else self._measurements
            self._outcomes |= zip(jobs, outcomes_of(self._trainer, list(jobs.values())), strict=True)
            jobs.clear()
        return self._outcomes.pop(peer_id)

    @property
    def others(self) -> list[Outcome]:
        """The outcomes that are there, and not due yet."""
        return list(self._outcomes.values())

    def begin_again(self, jobs: Iterable[Job | None]) -> None:
        """Have these jobs and no others; those that had run are run again, with the same outcomes."""
        for collected in (self._jobs, self._measurements, self._outcomes):
            collected.clear()
        for job in jobs:
            if job is not None:
                self.add(job)
