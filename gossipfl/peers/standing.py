"""How far a peer with a model is, for those who measure it."""

from dataclasses import dataclass

from gossipfl.weights import ModelVectors, PeerId, Vector


@dataclass(frozen=True, slots=True)
class Standing:
    """One peer at one moment: its model, the number of its training examples, and how many it has seen, with
    repetition."""

    peer_id: PeerId
    model: ModelVectors
    num_examples: int
    examples_seen: int = 0

    @property
    def weights(self) -> Vector:
        return self.model.weights
