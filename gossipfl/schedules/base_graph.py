"""Exact averaging among any number of peers in few steps, each with few partners.

Peers are positions, and a step is its links (i, j) with the weight W_ij = W_ji; b = k + 1 is the base.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Annotated, ClassVar, TypeAlias

import networkx as nx
import numpy as np
from scipy import sparse

from gossipfl.errors import ConfigurationError
from gossipfl.schedules.positions import linked, meeting, peers_of
from gossipfl.schedules.schedule import Meeting, Meetings
from gossipfl.weights import PeerId

_Step: TypeAlias = list[tuple[int, int, float]]


@dataclass(frozen=True, slots=True)
class BaseGraph:
    """The exact mean of any number of peers in few steps, with k partners in each (Takezawa et al., 2023).

    Every W_t is symmetric and doubly stochastic, and the product over one period, of at most 2 log_{k+1} n + 2 steps,
    is J.
    """

    k: Annotated[
        int,
        "Partners per step, at most. Higher: the mean in fewer steps, at the expense of bytes per step.",
    ] = 1

    keeps_mean: ClassVar[bool] = True
    follows_links: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigurationError(f"k is the largest number of partners per step and must be >= 1, got {self.k}")

    def period(self, num_peers: int) -> int:
        """Steps to the exact mean, and until the sequence begins again; 1 for a single peer."""
        return len(_matrices(num_peers, self.k))

    def links(self, graph: nx.Graph) -> nx.Graph:
        entries = (W.tocoo() for W in _matrices(len(graph), self.k))
        pairs = {pair for W in entries for pair in zip(W.row.tolist(), W.col.tolist(), strict=True)}
        return linked(graph, sorted((i, j) for i, j in pairs if i < j))

    def lead(self, links: nx.Graph) -> int:
        return 2 * self.period(len(links)) - 2  # any so many successive steps and one more hold a whole period

    def meetings(self, links: nx.Graph, peer_id: PeerId, seed: int) -> Meetings:
        peers, own = peers_of(links), links.nodes[peer_id]["position"]
        matrices = _matrices(len(peers), self.k)

        def meet(step: int) -> Meeting:
            W = matrices[step % len(matrices)]
            start, stop = W.indptr[own : own + 2]
            row = dict(zip(W.indices[start:stop].tolist(), W.data[start:stop].tolist(), strict=True))
            return meeting(peers, row, [other for other in row if other != own])

        return meet


# All peers of a process share one sequence. For 10,000 peers it takes 7 MB, and about a second to make.
@lru_cache(maxsize=8)
def _matrices(num_peers: int, k: int) -> tuple[sparse.csr_array, ...]:
    return tuple(_matrix(step, num_peers) for step in _base_graph(num_peers, k + 1) or [[]])


def _matrix(step: _Step, num_peers: int) -> sparse.csr_array:
    rows, columns, weights = (np.array(part) for part in zip(*step, strict=True)) if step else ([], [], [])
    upper = sparse.coo_array((weights, (rows, columns)), shape=(num_peers, num_peers))
    links = (upper + upper.T).tocsr()
    W = (links + sparse.diags_array(1.0 - links.sum(axis=1))).tocsr()
    W.sort_indices()
    return W


def _base_graph(num_peers: int, base: int) -> list[_Step]:
    """n = p q, where p has no prime factor above the base and q none up to it: p blocks of q peers average inside, then
    the i-th peers of all blocks. The simple graph of all n is sometimes shorter."""
    p = 1
    for factor in range(2, min(base, num_peers) + 1):
        while num_peers // p % factor == 0:
            p *= factor
    q = num_peers // p
    blocks = [range(first, first + q) for first in range(0, num_peers, q)]
    inside = _side_by_side([_simple_base_graph(block, base) for block in blocks])
    across = _side_by_side([_hyper_hypercube(range(i, num_peers, q), base) for i in range(q)])
    return min(inside + across, _simple_base_graph(range(num_peers), base), key=len)


def _simple_base_graph(peers: Sequence[int], base: int) -> list[_Step]:
    """The digits of n in the base give blocks of a_l b^(p_l) peers, p_1 > p_2 > ..., of a_l parts each.

    First every block averages inside. Then, block by block, each peer of the later blocks meets one of each part of
    the block, which gives it the mean of this block and all later ones; what the parts have given away they find again
    as the mean of each part, in which they average once more.
    """
    blocks = _blocks(peers, base)
    if len(blocks) == 1:
        return _hyper_hypercube(peers, base)
    inside = [_hyper_hypercube([peer for part in block for peer in part], base) for block in blocks]
    steps = [[link for block in inside if block for link in block[t % len(block)]] for t in range(len(inside[0]))]
    in_parts = [_side_by_side([_hyper_hypercube(part, base) for part in block]) for block in blocks]
    for t in range(1 + len(in_parts[0])):
        step = [link for past, part in enumerate(in_parts[:t]) if part for link in part[(t - past - 1) % len(part)]]
        if t < len(blocks) - 1:
            step += _pass_on(blocks[t], [peer for block in blocks[t + 1 :] for part in block for peer in part], base)
        steps.append(step)
    return steps


def _blocks(peers: Sequence[int], base: int) -> list[list[Sequence[int]]]:
    """The blocks of parts of b^p peers each, largest first."""
    blocks = []
    size = 1
    while size * base <= len(peers):
        size *= base
    while size:
        num_parts = len(peers) // size
        if num_parts:
            blocks.append([peers[first : first + size] for first in range(0, num_parts * size, size)])
        peers, size = peers[num_parts * size :], size // base
    return blocks


def _pass_on(block: list[Sequence[int]], later: Sequence[int], base: int) -> _Step:
    """Every later peer meets its own peer of each part. The idle peers of the block, who agree in theory, average in
    groups: it changes nothing in exact averaging and helps when peers train between the steps (as in the paper)."""
    size = sum(map(len, block))
    weight = size / (size + len(later)) / len(block)
    step = [(part[i], peer, weight) for part in block for i, peer in enumerate(later)]
    idle = [peer for part in block for peer in part[len(later) :]]
    return step + [link for first in range(0, len(idle), base) for link in _mean_of(idle[first : first + base])]


def _hyper_hypercube(peers: Sequence[int], base: int) -> list[_Step]:
    """n = n_1 n_2 ... with n_l <= b: step l takes means of n_l peers at strides of n_1 ... n_(l-1)."""
    steps, stride = [], 1
    for factor in _fewest_factors(len(peers), base):
        span = stride * factor
        firsts = [index for index in range(len(peers)) if index % span < stride]
        steps.append([link for first in firsts for link in _mean_of(peers[first : first + span : stride])])
        stride = span
    return steps


def _mean_of(peers: Sequence[int]) -> _Step:
    return [(i, j, 1 / len(peers)) for i, j in combinations(peers, 2)]


def _side_by_side(sequences: list[list[_Step]]) -> list[_Step]:
    """Sequences of the same length, at the same time."""
    return [[link for step in steps for link in step] for steps in zip(*sequences, strict=True)]


def _fewest_factors(number: int, largest: int) -> tuple[int, ...]:
    """As few factors as there are, each at most `largest`; `number` has no greater prime factor."""
    divisors = [d for d in range(2, min(largest, number) + 1) if number % d == 0]
    products: dict[int, tuple[int, ...]] = {1: ()}
    while number not in products:
        products = {
            product * d: (*factors, d)
            for product, factors in products.items()
            for d in divisors
            if number % (product * d) == 0
        }
    return products[number]
