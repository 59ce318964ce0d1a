"""The cost of questions, known before anybody asks them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import networkx as nx

from gossipfl.codec.sizes import largest_size
from gossipfl.engines.virtual.network_model import LAN, NetworkModel
from gossipfl.errors import ConfigurationError
from gossipfl.queries import Question, RelayTree, masked_pass_sizes, pass_sizes
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class Cost:
    """Passes, messages and bytes (overhead included) of all peers, and the seconds until the last of them knows."""

    num_passes: int
    num_messages: int
    num_bytes: int
    seconds: float


def predicted(
    graph: nx.Graph, questions: Sequence[Question], network: NetworkModel = LAN, *, is_masked: bool = False
) -> Cost:
    """The cost of asking these questions at once, at most, if nothing is lost and nobody leaves.

    Passes, messages and bytes are exact where no pass can be left out (`docs/analytics.md` tells of which queries some
    can). So are the seconds where links work both ways and have no jitter, which counts in full; where links go one
    way they are an estimate. In sums whose terms nobody sees (`is_masked`), the pass of keys costs less than that.

    >>> from gossipfl.queries import Mean
    >>> from gossipfl.topology import named
    >>> cost = predicted(named("ring"), [Question(Mean())])
    >>> cost.num_passes, cost.num_messages, round(cost.seconds, 3)
    (1, 30, 0.008)
    """
    return cost_on(RelayTree.of(graph), questions, network, is_masked=is_masked)


def cost_on(tree: RelayTree, questions: Sequence[Question], network: NetworkModel, *, is_masked: bool = False) -> Cost:
    """The same on the tree of a graph. Raises ConfigurationError where no question is asked."""
    if not questions:
        raise ConfigurationError("no question is asked: give one at least")
    if is_masked:
        payloads = masked_pass_sizes(questions, [*tree.places])
    else:
        payloads = [8 * size for size in pass_sizes(questions)]
    sizes = [network.overhead + largest_size(payload, 1) for payload in payloads]
    num_messages = 2 * (len(tree.places) - 1)
    lines = _Lines(tree, network)
    seconds = lines.up(sizes[0], {}) + max(lines.down(sizes[-1]).values())
    known: dict[tuple[int, int], float] = {}
    for total, summary in pairwise(sizes):
        if (total, summary) not in known:
            known[total, summary] = lines.up(summary, lines.down(total))
        seconds += known[total, summary]
    return Cost(len(sizes), num_messages * len(sizes), num_messages * sum(sizes), seconds)


class _Lines:
    """The lines along a tree, with nothing on them yet."""

    def __init__(self, tree: RelayTree, network: NetworkModel) -> None:
        self._tree = tree
        self._network = network
        self._rates = {name: network.rates_of(name) for name in tree.places}
        self._inward = _from_root(tree.root, {name: place.below for name, place in tree.places.items()})
        self._outward = _from_root(tree.root, {name: place.receivers for name, place in tree.places.items()})

    def down(self, num_bytes: int) -> dict[PeerId, float]:
        """The seconds after which each peer has a total of so many bytes that the root sends."""
        arrived = {self._tree.root: 0.0}
        for name in self._outward:
            for number, receiver in enumerate(self._tree.places[name].receivers):
                leaves = arrived[name] + number * num_bytes / self._rates[name].uplink
                _, arrived[receiver] = self._arrival(name, receiver, leaves, num_bytes, -inf)
        return arrived

    def up(self, num_bytes: int, begins: Mapping[PeerId, float]) -> float:
        """The seconds after which the root has all summaries of so many bytes, of peers who begin at these times."""
        ready = {name: begins.get(name, 0.0) for name in self._inward}
        for name in reversed(self._inward):
            free = -inf
            for one in sorted(self._tree.places[name].below, key=lambda one: ready[one] + self._delay(one, name)):
                free, arrival = self._arrival(one, name, ready[one], num_bytes, free)
                ready[name] = max(ready[name], arrival)
        return ready[self._tree.root]

    def _delay(self, sender: PeerId, receiver: PeerId) -> float:
        link = self._network.link_between(sender, receiver)
        return link.latency + link.jitter

    def _arrival(
        self, sender: PeerId, receiver: PeerId, leaves: float, num_bytes: int, free: float
    ) -> tuple[float, float]:
        """When a message has arrived that leaves then, and the downlink, which was `free` at some time, is free again:
        the rule of `network_model`."""
        first = leaves + self._delay(sender, receiver)
        free = max(first, free) + num_bytes / self._rates[receiver].downlink
        return free, max(free, first + num_bytes / self._rates[sender].uplink)


def _from_root(root: PeerId, children: Mapping[PeerId, Sequence[PeerId]]) -> list[PeerId]:
    """All peers, each after the one that it is a child of."""
    order = [root]
    for name in order:  # grows meanwhile
        order += children[name]
    return order
