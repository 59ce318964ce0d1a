"""One participant with all data: the upper bound of every comparison."""

from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from gossipfl.algorithms.alone import Alone
from gossipfl.errors import ConfigurationError
from gossipfl.weights import PeerId

POOL: PeerId = "pool"
"""The name of the one participant that holds all data."""


@dataclass(frozen=True, slots=True)
class Centralized(Alone):
    """One participant trains on all data for the same epochs: what giving up all data would bring (the upper bound)."""

    pools_data: ClassVar[bool] = True

    def network(self, graph: nx.Graph) -> nx.Graph:
        if POOL in graph:
            raise ConfigurationError(f"Centralized adds a participant {POOL!r}, but a peer has that name; rename it")
        alone = nx.Graph()
        alone.add_node(POOL, position=0)
        return alone
