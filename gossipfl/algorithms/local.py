"""Every peer alone: the lower bound of every comparison."""

from dataclasses import dataclass

import networkx as nx

from gossipfl.algorithms.alone import Alone


@dataclass(frozen=True, slots=True)
class LocalOnly(Alone):
    """Every peer trains alone on its own shard: what it would have without any exchange (the lower bound)."""

    def network(self, graph: nx.Graph) -> nx.Graph:
        alone = nx.Graph()
        alone.add_nodes_from(graph.nodes(data=True))
        return alone
