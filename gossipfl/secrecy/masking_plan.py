"""The public part of the secure sums of a run: who is in which, with which share, and the rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import networkx as nx

from gossipfl.messages import Kind
from gossipfl.secrecy.fixed_point import FixedPoint
from gossipfl.secrecy.terms import Phase, Rules
from gossipfl.weights import PeerId

_MOST_BYTES_OF_AN_ADVERT = 4_096
"""A certificate has some 500 bytes, keys and signature 160, a name 64."""

Rows = Callable[[PeerId, int], Mapping[PeerId, float]]
"""Gives the neighbors that a peer hears in a step, in node order, with the shares of its row."""


@dataclass(frozen=True, eq=False, slots=True)
class MaskingPlan:
    """The public part of the secure sums of a run: vectors by name and size, rows, and the rules; `kind` is that of the
    messages whose vectors are added up. Without `patience` nobody is ever left out."""

    sizes: Mapping[str, int]
    rows: Rows
    rules: Rules
    fixed_point: FixedPoint
    lead: int = 0
    patience: float | None = None
    kind: Kind = Kind.MODEL

    def due(self, phase: Phase, since: float) -> float | None:
        """When a phase is over for those who are late, in a step that has begun for who adds up: each has a sixth of
        the patience, or a twelfth where others have to train before they can answer at all."""
        if self.patience is None:
            return None
        before = 0 if self.kind is Kind.MODEL else 6
        return since + self.patience * (before + (phase + 1) // 2) / (before + 6)

    @property
    def size(self) -> int:
        """Number of all numbers of a term."""
        return sum(self.sizes.values())

    def members(self, aggregator: PeerId, step: int) -> tuple[PeerId, ...]:
        """Those whose models a peer adds up in a step."""
        return tuple(name for name in self.rows(aggregator, step) if name != aggregator)

    def largest_message(self, network: nx.Graph) -> int:
        """Bytes of the largest message of a sum in a network: a masked term, or keys and certificates of a roster."""
        degrees = network.in_degree if network.is_directed() else network.degree
        largest = max(int(degree) for _, degree in degrees)
        return 1 + max(4 * self.size, _MOST_BYTES_OF_AN_ADVERT * largest)
