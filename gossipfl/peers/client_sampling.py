"""A server samples the clients that train in a round."""

from collections.abc import Sequence

import numpy as np

from gossipfl.weights import PeerId


def num_sampled(fraction: float, num_clients: int) -> int:
    """The number of clients that are drawn at a time."""
    return max(1, round(fraction * num_clients))


class ClientSampling:
    """Draws a `fraction` of the clients, at least one, uniformly and without replacement; `clients` are in node
    order."""

    def __init__(self, clients: Sequence[PeerId], fraction: float, generator: np.random.Generator) -> None:
        self.clients = tuple(clients)
        self.generator = generator
        self._fraction = fraction

    def draw(self) -> list[PeerId]:
        """The clients of the next round, in node order."""
        size = num_sampled(self._fraction, len(self.clients))
        chosen = self.generator.choice(len(self.clients), size=size, replace=False)
        return [self.clients[i] for i in np.sort(chosen)]
