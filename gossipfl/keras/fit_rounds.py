"""The rounds of a peer as the batches of a fit: what goes into the model at their beginning, and out at their end.

    at the beginning of a round    model <- x, the state of its optimizer with it;          seen <- x
    at the end of a batch          model <- model + (x' - seen), if x is x' by now;          seen <- x'
    at the end of a round          the peer is given y = model - (seen - x)

As jobs, rounds do not know of what comes in meanwhile: the peer adds y - x to where it is by then, which is the model.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gossipfl.actions import Train
from gossipfl.errors import ConfigurationError, TrainingError
from gossipfl.keras.peer_thread import PeerThread
from gossipfl.training.trainer import Trainer
from gossipfl.weights import Vector

if TYPE_CHECKING:
    from gossipfl.training.keras.fitted import FittedModel


class FitRounds:
    """The rounds of the peer in `thread`, which the model `fitted` trains; `trainer` knows the peer's examples."""

    def __init__(self, thread: PeerThread, fitted: "FittedModel", trainer: Trainer) -> None:
        self._thread = thread
        self._fitted = fitted
        self._trainer = trainer
        self._job: Train | None = None
        self._seen: Vector | None = None  # the weights of the peer, as far as they are in the model
        self._num_steps = 0  # of the job that are done
        self.is_over = False
        """True if no further round begins, and the model is the peer's."""

    def before_batch(self) -> None:
        """Begin the first round, as late as this: other callbacks may change the model when fit begins."""
        if self._job is None and not self.is_over:
            self._go_on()

    def after_batch(self, num_steps: int, metrics: Mapping[str, float]) -> None:
        """Note so many steps, and what fit shows of them; at the end of a round, wait for the next one and begin it.

        Raises what the peer ends with, if it ends before its rounds, and ConfigurationError for an algorithm that needs
        more than a plain fit.
        """
        if self.is_over:  # this batch was one too many
            self.end()
            return
        assert self._job is not None
        assert self._seen is not None
        self._num_steps += num_steps
        value = self._thread.host.peer.value
        if value is not self._seen:
            self._fitted.add(value - self._seen)
            self._seen = value
        if self._num_steps >= self._job.num_steps:
            self._give(self._job, self._seen, metrics)
            self._go_on()

    def end(self) -> None:
        """Let the model be the peer's."""
        self.is_over = True
        standing = self._thread.host.peer.standing
        if standing is not None:
            self._fitted.become(standing.model)

    def _go_on(self) -> None:
        thread = self._thread
        self._num_steps = 0
        self._job = job = thread.room.next_job(lambda: thread.has_finished)
        if job is None:
            if not thread.host.peer.finished:
                thread.join()  # raises what it failed of
            self.end()
            return
        if job.vectors or job.wants:
            raise ConfigurationError(
                "the algorithm corrects or sums gradients in every step, which a plain fit does not let it do; choose "
                "one that does not, such as synchronous, pairwise or fedavg"
            )
        self._fitted.begin(job)
        self._seen = job.weights

    def _give(self, job: Train, seen: Vector, metrics: Mapping[str, float]) -> None:
        moved = None if seen is job.weights else seen - job.weights
        num_examples = self._trainer.num_examples(job.peer_id, job.first_step, job.num_steps)
        try:
            self._thread.room.give(self._fitted.update(job, moved, metrics, num_examples))
        except TrainingError as error:  # others may be the reason, and the peer goes back; else it ends the run
            self._thread.room.give(error)
