"""Builds peers that answer questions along a tree, for tests, and a query that tells who was in which pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer

from gossipfl.engines.virtual.simulator import Simulator, World
from gossipfl.peers import Backoff
from gossipfl.queries import Masking, Question, RelayPeer, RelayTree, Summary, Values
from gossipfl.queries.query import COUNTED, Counted, Found, Step, summary
from gossipfl.randomness import PublicRandomness
from gossipfl.topology import canonical
from gossipfl.weights import PeerId


@dataclass(frozen=True)
class Witness:
    """Asks, in several passes, for the sum of what peers have: of powers of two, which says who was in each."""

    num_passes: int

    def passes(self, num_features: int = 1) -> tuple[tuple[int, int], ...]:
        return ((COUNTED + 1, 1),) * self.num_passes

    def first(self, num_features: int = 1) -> Step:
        return Step.first(_Pass(self.num_passes))


@dataclass(frozen=True)
class _Pass:
    num_left: int
    seen: tuple[float, ...] = ()
    sizes = (1, 1)

    def local(self, values: Values) -> Summary:
        return summary(values.numbers.sum(keepdims=True), maxima=values.numbers.max(initial=-1.0, keepdims=True))

    def next(self, total: Summary, counted: Counted) -> "_Pass | Found":
        seen = (*self.seen, float(total.sums[0]))
        return _Pass(self.num_left - 1, seen) if self.num_left > 1 else Found(np.array(seen), 0.0)


def powers(graph: nx.Graph) -> dict[PeerId, Values]:
    """Peer k has 2^k."""
    return {peer_id: Values([2.0**k]) for k, peer_id in enumerate(graph)}


def who(sums: float) -> set[int]:
    """The positions of the peers whose powers of two make this."""
    return {k for k in range(60) if int(sums) >> k & 1}


def make(
    graph: nx.Graph,
    questions: Sequence[Question],
    values: Mapping[PeerId, Values | Sequence[Values]],
    *,
    timeout: float = 1.0,
    patience: float = 1e4,  # longer than any luck with losses
    only: PeerId | None = None,
    all_are_there: float = 0.0,
    masking: Callable[[PeerId], Masking | None] = lambda peer_id: None,
) -> dict[PeerId, RelayPeer]:
    tree, public = RelayTree.of(graph), PublicRandomness(0)
    return {
        peer_id: RelayPeer(
            tree.places[peer_id],
            questions,
            [own] * len(questions) if isinstance(own, Values) else own,
            backoff=Backoff(timeout, 8.0),
            generator=public.generator("relay", peer_id),
            patience=patience,
            all_are_there=all_are_there,
            masking=masking(peer_id),
        )
        for peer_id, own in values.items()
        if only in (None, peer_id)
    }


def simulator_of(peers: Mapping[PeerId, RelayPeer], world: World | None = None, seed: int = 0) -> Simulator:
    return Simulator(peers, NumpyTrainer({}), world, seed=seed)


@st.composite
def graphs(draw: st.DrawFn, most: int = 9, fewest: int = 1) -> nx.Graph:
    """A connected graph, or a strongly connected one whose links go one way."""
    size, seed = draw(st.integers(fewest, most)), draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    names = [f"p{k}" for k in rng.permutation(size)]
    directed = draw(st.booleans())
    graph = nx.DiGraph() if directed else nx.Graph()
    graph.add_nodes_from(names)
    for k in range(1, size):  # a random tree, or a circle
        graph.add_edge(names[k - 1] if directed else names[int(rng.integers(k))], names[k])
    if directed and size > 1:
        graph.add_edge(names[-1], names[0])
    for _ in range(draw(st.integers(0, 2 * size))):
        one, other = rng.integers(size, size=2)
        if one != other and not graph.has_edge(names[one], names[other]):
            graph.add_edge(names[one], names[other])
    return canonical(graph, "drawn")
