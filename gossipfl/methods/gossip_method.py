"""A method of synchronous gossip acts around local training and mixing."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from gossipfl.actions import Correction, Update
from gossipfl.methods.server_optimizers import Memory
from gossipfl.weights import Vector


class GossipMethod(Protocol):
    """Corrects the gradient, says which vectors are mixed, and what becomes of the mix: a frozen dataclass.

    A round of a peer with weights x: `begin` -> local training gives y -> `emit` -> every emitted vector v_j of the
    peers is mixed, sum_j w_ij v_j -> `absorb` gives the new x. All are pure functions of their arguments.
    """

    mixed: ClassVar[frozenset[str]]
    """Names of the emitted vectors beside "weights"."""

    def begin(self, x: Vector, memory: Memory) -> Correction:
        """The correction of the gradients of the round."""
        ...

    def emit(self, x: Vector, update: Update, memory: Memory) -> dict[str, Vector]:
        """The vectors to be mixed: "weights", and those that `mixed` names."""
        ...

    def absorb(
        self, x: Vector, emitted: Mapping[str, Vector], mixed: Mapping[str, Vector], memory: Memory
    ) -> tuple[Vector, Memory]:
        """The new weights and what to remember, after mixing has made `mixed` of the peers' `emitted`."""
        ...
