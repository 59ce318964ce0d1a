"""A peer's own model: what it trains, what of it is shared with others, and what stays private."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from numpy.typing import NDArray

from gossipfl.actions import Correction, Evaluate, Job, LocalWork, Refused, Scores, Train, Update
from gossipfl.compression import decompress
from gossipfl.errors import LocalProtocolError, RemoteProtocolError, TrainingError
from gossipfl.messages import Message
from gossipfl.mixing import UNPOOLED, Pooling
from gossipfl.peers.jobs import job_of_snapshot, snapshot_of_job
from gossipfl.peers.last_sound import LARGE, LastSound, first_state
from gossipfl.peers.magnitudes import Bound, check_bound, limit, sum_of_squares, sum_of_squares_sent
from gossipfl.privacy.protection import AnyProtected
from gossipfl.snapshot import Snapshot, compose, part, read_only, under
from gossipfl.weights import NOTHING, ModelVectors, PeerId, Vector

_UNCORRECTED = Correction()


PutAway: TypeAlias = Callable[[Vector], Vector]
"""Gives an equal vector, which may lie elsewhere than in memory."""


def kept(vector: Vector) -> Vector:
    """The vector itself: it waits in memory."""
    return vector


@dataclass(frozen=True, slots=True)
class Sharing:
    """The policies for a model's parts beside its weights.

    `optimizer_state`, momenta with the counters that go with them: "keep" it at the peer between rounds, "average" it
    together with the weights, or "reset" it at the start of every round; a learning-rate schedule goes on in any case.
    `statistics` (BatchNorm means and variances, counters of layers): "average" them with the weights, or keep them
    "local" (useful when every peer's inputs differ, at the expense of an average model without statistics); "pooled":
    means and mean squares are averaged in place of means and variances (`gossipfl.mixing.Pooling`).
    `magnitude_bound`: vectors of others whose root mean square exceeds so many times that of one's own (of 1, if that
    is larger) are not taken in, and their sender counts as silent; False: whatever is finite is taken in.
    """

    optimizer_state: Literal["keep", "average", "reset"] = "keep"
    statistics: Literal["average", "local", "pooled"] = "average"
    magnitude_bound: Bound = 100.0

    def __post_init__(self) -> None:
        check_bound("magnitude_bound", self.magnitude_bound)


class LocalModel:
    """Weights, statistics and training state of one peer, and its outstanding job. What of the model is its own is
    "local" in the state, which no message carries.

    `extra_vectors` names the vectors of the size of the weights that its messages carry beside the shared ones. The
    weights that it trains from wait where they are `put_away` to. What it shares of its statistics is what `pooling`
    makes of them. All that its training gives is protected by `protection`, if there is one.
    """

    def __init__(
        self,
        peer_id: PeerId,
        work: LocalWork,
        initial: ModelVectors,
        sharing: Sharing,
        extra_vectors: frozenset[str] = frozenset(),
        put_away: PutAway = kept,
        pooling: Pooling = UNPOOLED,
        protection: AnyProtected | None = None,
    ) -> None:
        self.peer_id = peer_id
        self.work = work
        self.sharing = sharing
        self.extra_vectors = tuple(sorted(extra_vectors))
        self._put_away = put_away
        self._pooling = pooling
        self.protection = protection
        self._required_vectors = ("weights", *self.extra_vectors)
        self._sizes = dict.fromkeys(self._required_vectors, initial.weights.size)  # those that never change
        if sharing.statistics != "local" and initial.statistics.size:
            self._sizes["statistics"] = initial.statistics.size
        self.weights: Vector = initial.weights
        self.statistics: Vector = initial.statistics
        self.state = first_state(initial)
        self.outstanding: Job | None = None
        self.last_sound = LastSound(initial)
        self._small = min(LARGE, sharing.magnitude_bound) ** 2  # mean square that is taken in, and is not large
        self.num_jobs = 0  # rounds of local work that have ended
        self.examples_seen = 0  # in them, with repetition
        self._num_steps = 0

    @property
    def model(self) -> ModelVectors:
        """The model as it is now, with what of it stays at the peer."""
        return ModelVectors(self.weights, self.statistics, self.own)

    @property
    def own(self) -> Vector:
        """The part of the model that stays at the peer."""
        return cast(Vector, self.state.get("local", NOTHING))

    def train(self, correction: Correction = _UNCORRECTED) -> Train:
        """Ask for one round of local work from the present weights."""
        self._check_idle()
        self.weights = self._put_away(self.weights)
        job = self.outstanding = Train(
            peer_id=self.peer_id,
            job=self.num_jobs,
            first_step=self._num_steps,
            num_steps=self.work.steps_per_round,
            weights=self.weights,
            statistics=self.statistics,
            state=self.state,
            vectors=correction.vectors,
            proximal_mu=correction.proximal_mu,
            wants=correction.wants,
            secret=b"" if self.protection is None else self.protection.secret_of(self.num_jobs),
        )
        self.last_sound.job_begins()
        return job

    def evaluate(self, *models: ModelVectors) -> Evaluate:
        """Ask how good models are on the batches of the next round of local work."""
        self._check_idle()
        job = self.outstanding = Evaluate(
            self.peer_id, self.num_jobs, models, self._num_steps, self.work.steps_per_round
        )
        return job

    def _check_idle(self) -> None:
        if self.outstanding is not None:
            raise LocalProtocolError(f"peer {self.peer_id} asked for another job while job {self.num_jobs} is running")

    def protected(self, update: Update) -> Update:
        """The result of the outstanding job, as all may know it.

        Raises LocalProtocolError when `update` does not answer the outstanding job.
        """
        return update if self.protection is None else self.protection.protected(self._job_of(update), update)

    def finish(self, update: Update) -> Train:
        """Take note of the end of the outstanding job, and of its private state; what becomes of the new weights and
        statistics is the protocol's decision.

        Raises LocalProtocolError when `update` does not answer the outstanding job.
        """
        job = self._job_of(update)
        self.outstanding = None
        self.num_jobs += 1
        self.examples_seen += update.num_examples
        self._num_steps += job.num_steps
        self.state = update.state
        if self.sharing.optimizer_state == "reset":
            self.state = {name: part for name, part in update.state.items() if name != "optimizer"}
        self.last_sound.job_ends(update.weights, update.statistics, self.state)
        return job

    def _job_of(self, update: Update) -> Train:
        job = self.outstanding
        if not isinstance(job, Train) or (update.peer_id, update.job) != (job.peer_id, job.job):
            raise self._not_asked_for(update)
        return job

    def finish_evaluation(self, scores: Scores) -> None:
        """Take note of the end of the outstanding job. Raises LocalProtocolError when `scores` do not answer it."""
        job = self.outstanding
        if not isinstance(job, Evaluate) or (scores.peer_id, scores.job) != (job.peer_id, job.job):
            raise self._not_asked_for(scores)
        self.outstanding = None

    def _not_asked_for(self, outcome: Update | Scores) -> LocalProtocolError:
        job, kind = self.outstanding, type(outcome).__name__
        asked = "nothing" if job is None else f"a {type(job).__name__}, job {job.job}"
        return LocalProtocolError(
            f"peer {self.peer_id} got the {kind} of job {outcome.job} of peer {outcome.peer_id}; outstanding is {asked}"
        )

    def has_run_away(self, update: Update) -> bool:
        """True if training on what was mixed in gave weights that are finite, but beyond the bound."""
        return self.last_sound.has_mixed and self.is_beyond_bound(update)

    def is_beyond_bound(self, update: Update) -> bool:
        """True if training gave weights that whoever holds those before it would not take in."""
        bound = self.sharing.magnitude_bound
        if bound is False:
            return False
        size, squares = update.weights.size, sum_of_squares(update.weights)
        return not (squares <= self._small * size or squares <= limit(self.last_sound.weights, size, bound))

    def go_back(self, error: TrainingError) -> tuple[PeerId, ...]:
        """The outstanding job has failed: take what the last one gave, and give the names of those who are thereby
        taken out again; no names when it is the first model that is taken. Raises `error` when others are not the
        reason."""
        sound = self.last_sound
        if not isinstance(self.outstanding, Train) or not (sound.has_mixed or sound.has_taken_large):
            raise error
        self.outstanding = None
        undone = sound.undo()
        self.weights, self.statistics, self.state = sound.weights, sound.statistics, sound.state
        return undone

    def refusal(self, message: Message, own: Mapping[str, Vector], num_models: float = 1.0) -> Refused | None:
        """Why the vectors of a message, sums of `num_models` of them, are not to be taken in beside one's `own`; None:
        they are."""
        if self.last_sound.is_closed:
            return Refused(message.sender, "nothing is taken in for a round, after three that were undone")
        bound = self.sharing.magnitude_bound
        if bound is False:
            return None
        scale = num_models * num_models
        for name, encoded in message.vectors.items():
            squares = sum_of_squares_sent(encoded)
            if squares <= self._small * scale * encoded.size:
                continue  # whatever one's own are
            most = limit(own.get(name), encoded.size, bound) * scale
            if not squares <= most:  # so that NaN is not, either
                return Refused(message.sender, f"its {name} are more than {bound:g} times as large as one's own")
            if squares > most * (LARGE / bound) ** 2:
                self.last_sound.has_taken_large = True
        return None

    def shared(self) -> dict[str, Vector]:
        """The vectors that this peer averages with others, by name."""
        vectors = {"weights": self.weights}
        if self.sharing.statistics != "local" and self.statistics.size:
            vectors["statistics"] = self._pooling.moments(self.statistics)
        if self.sharing.optimizer_state == "average":
            optimizer = cast(Vector, self.state.get("optimizer", NOTHING))
            if optimizer.size:
                vectors["optimizer"] = optimizer
        return vectors

    def replace(self, vectors: Mapping[str, Vector]) -> None:
        """Take the given shared vectors for one's own."""
        self.weights = vectors.get("weights", self.weights)
        if "statistics" in vectors:
            self.statistics = self._pooling.statistics(vectors["statistics"])
        if "optimizer" in vectors:
            self.state = {**self.state, "optimizer": vectors["optimizer"]}

    def trained(self, update: Update) -> dict[str, Vector]:
        """The shared vectors that training gave, by name. One's own shared vectors stay those before the training,
        until the protocol replaces them; what is not shared is taken over at once."""
        before, statistics = self.shared(), self.statistics
        self.take_over(update)
        trained = self.shared()
        if before.pop("statistics", None) is not None:
            self.statistics = statistics  # as they were, not by way of their moments
        self.replace(before)
        return trained

    def take_over(self, update: Update) -> None:
        """Take what training gave for one's own."""
        self.weights, self.statistics = update.weights, update.statistics

    def received(self, message: Message) -> dict[str, Vector]:
        """The decoded vectors of a message: the shared and the extra ones.

        The size of an averaged optimizer state is not known, and not checked, before the first round of one's own.
        Raises RemoteProtocolError when the weights or an extra vector are missing, or when a vector has another length
        or dtype than one's own.
        """
        dtype = self.weights.dtype
        for name in self._required_vectors:
            if name not in message.vectors:
                raise RemoteProtocolError(f"a {message.kind} from peer {message.sender} carries no {name}")
        vectors = {}
        for name, theirs in message.vectors.items():
            size = self._sizes.get(name)
            if size is None:
                if name != "optimizer" or self.sharing.optimizer_state != "average":
                    continue
                size = self.state.get("optimizer", NOTHING).size or theirs.size
            if theirs.size != size:
                raise RemoteProtocolError(
                    f"{name} from peer {message.sender} has {theirs.size} elements, expected {size}"
                )
            vector = vectors[name] = decompress(theirs)
            if vector.dtype != dtype:
                raise RemoteProtocolError(f"{name} from peer {message.sender} is {vector.dtype}, expected {dtype}")
        return vectors

    def snapshot(self) -> Snapshot:
        arrays: dict[str, NDArray[Any]] = {"weights": self.weights, "statistics": self.statistics}
        arrays |= {f"state/{name}": array for name, array in self.state.items()}
        values: dict[str, Any] = {
            "num_jobs": self.num_jobs,
            "num_steps": self._num_steps,
            "examples_seen": self.examples_seen,
        }
        if self.protection is not None:
            values["protection"] = self.protection.saved
        parts = {
            "own": (arrays, values),
            "last_sound": self.last_sound.snapshot(),
            "outstanding": snapshot_of_job(self.outstanding),
        }
        return compose({}, parts)

    def restore(self, snapshot: Snapshot) -> None:
        arrays, values = part("own", snapshot)
        arrays = read_only(arrays)
        self.weights, self.statistics, self.state = arrays["weights"], arrays["statistics"], under("state/", arrays)
        self.num_jobs, self._num_steps = values["num_jobs"], values["num_steps"]
        self.examples_seen = values["examples_seen"]
        if self.protection is not None:
            self.protection.restore(values["protection"])
        self.last_sound.restore(part("last_sound", snapshot), self.weights, self.statistics, self.state)
        self.outstanding = job_of_snapshot(part("outstanding", snapshot), self.peer_id)
