"""Which clients train in a round of a server."""

from collections.abc import Sequence

import numpy as np

from gossipfl.weights import PeerId


class ClientSampling:
    """Draws `num_sampled` of the clients uniformly, without replacement; `clients` are in node order."""

    def __init__(self, clients: Sequence[PeerId], num_sampled: int, generator: np.random.Generator) -> None:
        self.clients = tuple(clients)
        self.num_sampled = num_sampled
        self.generator = generator

    def draw(self) -> list[PeerId]:
        """The clients of the next round, in node order."""
        chosen = self.generator.choice(len(self.clients), size=self.num_sampled, replace=False)
        return [self.clients[i] for i in np.sort(chosen)]
