"""How long do many peers take to agree on their mean?

    python simulations/benchmarks/queries_speed.py

One number for each peer, in virtual time, from the call to the answer: the tree, the peers, their messages. Real
seconds, best of two; beside them the error against exact fractions, the bound that the answer states, the depth of the
tree, and the virtual seconds on a LAN.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction

import networkx as nx
import numpy as np
from measuring import print_table, timed

from gossipfl.analytics import Mean, Question, Values, asked
from gossipfl.queries import RelayTree
from gossipfl.topology import canonical, complete


def exponential(num_peers: int) -> nx.Graph:
    """Everybody sends to those at distances 1, 2, 4, ... around a circle."""
    steps = [2**k for k in range(num_peers.bit_length()) if 2**k < num_peers]
    return canonical(
        nx.DiGraph([(i, (i + step) % num_peers) for i in range(num_peers) for step in steps]), "exponential"
    )


GRAPHS: Mapping[str, Callable[[int], nx.Graph]] = {
    "random, 4 neighbors": lambda num_peers: canonical(nx.random_regular_graph(4, num_peers, seed=0), "random"),
    "exponential, one way": exponential,
    "all linked": lambda num_peers: complete(canonical(nx.path_graph(num_peers), "all")),
    "ring": lambda num_peers: canonical(nx.cycle_graph(num_peers), "ring"),
}
AIMS = {1_000: "2 s", 10_000: "30 s"}


def row(name: str, num_peers: int) -> list[str]:
    """One line of the table."""
    graph = GRAPHS[name](num_peers)
    numbers = np.random.default_rng(0).normal(size=num_peers)
    values = {peer_id: [Values([number])] for peer_id, number in zip(graph, numbers, strict=True)}
    found = []
    seconds = min(timed(lambda: found.append(asked(graph, [Question(Mean())], values))) for _ in range(2))
    (answer,), cost = found[0].answers, found[0].cost
    error = float(abs(Fraction(answer.value) - sum(map(Fraction, numbers.tolist())) / num_peers))
    depth = RelayTree.of(graph).depth
    aim = AIMS.get(num_peers, "") if name != "ring" else ""
    return [
        f"{num_peers:,} x {name}",
        *(f"{seconds:.2f}", f"{error:.0e}", f"{answer.bound:.0e}", f"{depth:,}", f"{cost.seconds:.3f}", aim),
    ]


if __name__ == "__main__":
    headings = ["the mean of", "seconds", "error", "bound", "depth", "virtual seconds", "at most"]
    print_table(headings, [row(name, num_peers) for num_peers in AIMS for name in GRAPHS])
