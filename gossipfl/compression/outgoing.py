"""A message leaves through one chain of stages, as gradients pass an `optax.chain`: frozen values, with memory in and
out.

The laws:

1. The chain runs once per message, and once for a message that goes to many. What it gives, and its memory, are in the
   peer's snapshot before the message leaves; whoever sends again, or goes on after a restart, sends those very bytes.
   Else noise would be drawn twice on one value, and an error be fed back twice.
2. A stage changes nothing but what leaves: a peer keeps its own vectors, and mixes with what others see of it.
3. Stages are pure. What they draw comes from the `Randomness` of this one message and of this stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Protocol, TypeAlias

from numpy.typing import NDArray

from gossipfl.compression.dense_floats import encoded
from gossipfl.errors import ConfigurationError
from gossipfl.messages import Encoded
from gossipfl.randomness import Randomness
from gossipfl.snapshot import under
from gossipfl.weights import Vector

Memory: TypeAlias = Mapping[str, NDArray[Any]]
"""The arrays that a stage, or a chain of them, keeps of earlier messages, by name; nobody writes to them."""


class Stage(Protocol):
    """One step on the way out: a frozen dataclass with parameters that can be printed, compared and pickled.

    What it gives can be decoded without its parameters, and `statistics` stay as they are: a difference that is
    brought later could make a variance negative.
    """

    encodes: ClassVar[bool]
    """True if other arrays leave than floats: then it is the last stage, since others give floats again."""

    def first(self, vectors: Mapping[str, Vector]) -> Memory:
        """The memory before the first message of a peer that begins with `vectors`, as all others do."""
        ...

    def apply(
        self, leaving: Mapping[str, Encoded], memory: Memory, randomness: Randomness
    ) -> tuple[Mapping[str, Encoded], Memory]:
        """The vectors that leave in place of `leaving`, and the memory from then on."""
        ...


@dataclass(frozen=True, slots=True)
class Chain:
    """The stages one after the other; without any, vectors leave as they are.

    Raises ConfigurationError for a stage behind one that encodes.
    """

    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        for stage, behind in pairwise(self.stages):
            if stage.encodes:
                raise ConfigurationError(
                    f"the outgoing stage {type(behind).__name__} would undo {type(stage).__name__}, which comes before "
                    f"it: let {type(stage).__name__} be the last one"
                )

    def first(self, vectors: Mapping[str, Vector]) -> Memory:
        """The memory before the first message."""
        return {
            f"{position}/{name}": array
            for position, stage in enumerate(self.stages)
            for name, array in stage.first(vectors).items()
        }

    def apply(
        self, vectors: Mapping[str, Vector], memory: Memory, randomness: Randomness
    ) -> tuple[Mapping[str, Encoded], Memory]:
        """The vectors of one message as they leave, and the memory from then on."""
        leaving: Mapping[str, Encoded] = encoded(vectors)
        after: dict[str, NDArray[Any]] = {}
        for position, stage in enumerate(self.stages):
            own = under(f"{position}/", memory)
            leaving, own_after = stage.apply(leaving, own, randomness.of("stage", position))
            after |= {f"{position}/{name}": array for name, array in own_after.items()}
        return leaving, after
