"""The standing of a peer with a model, for those who measure it."""

from dataclasses import dataclass

from gossipfl.agreements import Agreement
from gossipfl.privacy.spending import Spending
from gossipfl.scores import Score
from gossipfl.weights import ModelVectors, PeerId, Vector


@dataclass(frozen=True, slots=True)
class Standing:
    """One peer at one moment: its model, the number of its training examples, how many it has seen, with repetition,
    and how good the model is on them, where the peer has that scored itself."""

    peer_id: PeerId
    model: ModelVectors
    num_examples: int
    examples_seen: int = 0
    own_score: Score | None = None
    agreement: Agreement | None = None
    """The newest that it knows of how good all peers' models are, where they agree on that."""
    spending: Spending | None = None
    """The uses of noise that its privacy budget has paid for, where it has one."""
    stopped: str | None = None
    """Why it ended before its rounds were over, in words; None: it did not."""

    @property
    def weights(self) -> Vector:
        return self.model.weights
