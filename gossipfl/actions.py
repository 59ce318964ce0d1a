"""A peer asks the engine that runs it for what stands here, and local work gives the rest back.

A peer never waits and never calls anything: it returns actions, and the engine feeds completions back in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossipfl.agreements import Agreement
from gossipfl.errors import TrainingError
from gossipfl.messages import Message
from gossipfl.scores import Part, Score
from gossipfl.weights import ModelVectors, PeerId, Vector

State: TypeAlias = Mapping[str, NDArray[np.generic]]
"""A peer's private training state by name: `optimizer` (momenta, and the counters that go with them), `local` (what of
its model is its own), and what a trainer needs beside them (seed generators, a loss scale).

A part that is missing begins anew: resetting an optimizer is training from a state without "optimizer".
"""


@dataclass(frozen=True, slots=True)
class LocalWork:
    """One peer's training: `num_rounds` rounds of `steps_per_round` optimizer steps over its `num_examples`."""

    num_examples: int
    steps_per_round: int
    num_rounds: int


class Correction(NamedTuple):
    """The one door into local training: the gradient that is applied at weights y is g + c + proximal_mu (y - anchor).

    `c` and `anchor` are optional entries of `vectors`, each of the size of the weights. `wants` may name
    "gradient_sum": the sum of the plain gradients g over the applied steps, given back in `Update.vectors`. It is
    counted from the "gradient_sum" among `vectors`, if there is one: that of an earlier part of the same work.
    """

    vectors: Mapping[str, Vector] = MappingProxyType({})
    proximal_mu: float = 0.0
    wants: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Train:
    """Ask for local training: `num_steps` optimizer steps from step `first_step` on, starting at `weights`.

    `vectors`, `proximal_mu` and `wants` are those of its `Correction`. With a `secret`, its gradients are protected:
    batches are drawn by it, and so is the noise.

    A job is a pure function of its fields and of (run seed, peer_id): running it again anywhere gives the same update.
    """

    peer_id: PeerId
    job: int
    first_step: int
    num_steps: int
    weights: Vector
    statistics: Vector
    state: State
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    proximal_mu: float = 0.0
    wants: frozenset[str] = frozenset()
    secret: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Update:
    """The result of a `Train`: new weights, statistics and state.

    Of the `num_steps`, `num_skipped` changed nothing, because gradients overflowed in mixed precision; a sum of
    gradients has the others. `num_examples` counts the examples seen (with repetition); `metrics` has their mean `loss`
    and `accuracy`, each batch measured before its own step, as Keras reports them while training.
    """

    peer_id: PeerId
    job: int
    weights: Vector
    statistics: Vector
    state: State
    num_examples: int
    num_steps: int
    metrics: Mapping[str, float]
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    num_skipped: int = 0

    @property
    def num_applied(self) -> int:
        """Number of steps that changed the weights."""
        return self.num_steps - self.num_skipped


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Ask how good `models` are, its own or others', on a peer's own batches: those of the `num_steps` steps of
    training from `first_step` on; or on held-out data: these `examples` of a `part`, or (None) all of it.

    As a `Train`, it is a pure function of its fields and of (run seed, peer_id), and changes nothing.
    """

    peer_id: PeerId
    job: int
    models: tuple[ModelVectors, ...]
    first_step: int = 0
    num_steps: int = 0
    part: Part = "train"
    examples: NDArray[np.int64] | None = None

    @property
    def is_held_out(self) -> bool:
        """True if it is a measurement, which takes none of the peer's time: not on its batches."""
        return self.part != "train" or self.examples is not None


@dataclass(frozen=True, slots=True)
class Scores:
    """The result of an `Evaluate`: a score for each of its models, in their order, each the mean over `num_examples`
    examples (0 where that is all of a part). That of a model that is no good may be NaN."""

    peer_id: PeerId
    job: int
    scores: tuple[Score, ...]
    num_examples: int


Job: TypeAlias = Train | Evaluate
"""Work that takes its time; of a peer, one at most is outstanding."""

Outcome: TypeAlias = Update | Scores | TrainingError
"""A job comes to one of these."""


@dataclass(frozen=True, slots=True)
class Send:
    """Ask for delivery of a message; it may be lost, delayed, doubled or overtaken."""

    message: Message


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Ask to be woken at `time` (seconds); replaces the previous wish of the same peer. A spurious wake is harmless."""

    time: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Ask for a note that something lawful of `sender` was not taken in, and `why`: engines count and log it."""

    sender: PeerId
    why: str


@dataclass(frozen=True, slots=True)
class WentBack:
    """Ask for a note that training failed with vectors of `mixed` in it, which the peer has taken out again; without
    names, that it begins again from its first model."""

    mixed: tuple[PeerId, ...]
    why: str

    def __str__(self) -> str:
        if not self.mixed:
            return f"begins again from its first model, after models much larger than its own: {self.why}"
        return f"took out what it had mixed in of {', '.join(self.mixed)}: {self.why}"


@dataclass(frozen=True, slots=True)
class Agreed:
    """Ask for a note of what the peer has come to know of how good all peers' models are; it says so once."""

    agreement: Agreement


Action: TypeAlias = Job | Send | WakeAt | Refused | WentBack | Agreed
