"""A method of federated averaging acts around a client's local training."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol

from gossipfl.actions import Correction, Update
from gossipfl.methods.server_optimizers import Memory
from gossipfl.weights import Vector


class Answer(NamedTuple):
    """A client's answer, beside its trained model y_i, and its memory.

    `extra` are the vectors that the method's `extra_vectors` name, `step_weight` is m_i in (0, 1]: how much the
    client's step y_i - x counts, relative to others.
    """

    extra: Mapping[str, Vector]
    step_weight: float
    memory: Memory


class FederatedMethod(Protocol):
    """Corrects a client's gradient, and says what it answers: a frozen dataclass of pure functions.

    A round of a client: the server's model x and extra vectors come -> `begin` -> local training gives y -> `answer`.
    The server adds to each of its extra vectors, which begin at 0, what the answers of that name come to: their sum
    over the number of all clients.
    """

    extra_vectors: ClassVar[frozenset[str]]
    """Names of the vectors, each of the size of the weights, that go both ways beside the shared ones."""

    def begin(self, received: Mapping[str, Vector], memory: Memory) -> Correction:
        """The correction of the gradients of the round; `received` has x as "weights"."""
        ...

    def answer(self, update: Update, memory: Memory) -> Answer:
        """The vectors to send beside the trained model, and those to remember."""
        ...
