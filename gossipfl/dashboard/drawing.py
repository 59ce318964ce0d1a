"""The places of the peers on the page, and the links between them that are drawn."""

from collections.abc import Sequence

from gossipfl.report.layout import graph_positions
from gossipfl.report.payload import MAX_DRAWN_LINKS, MAX_DRAWN_PEERS

MAX_LAID_OUT = 20_000
"""Links that positions are chosen by; graphs of more are nearly complete, and all places in them are alike."""


def drawing_of(num_peers: int, links: Sequence[tuple[int, int]]) -> tuple[list[list[float]], list[list[int]], int]:
    """Positions of all peers, the links to draw, and how many there are; nothing is drawn of more than
    `MAX_DRAWN_PEERS`. Takes about a second for 1,000 peers."""
    if num_peers > MAX_DRAWN_PEERS:
        return [], [], len(links)
    names = [str(place) for place in range(num_peers)]
    laid_out = [(names[a], names[b]) for a, b in links] if len(links) <= MAX_LAID_OUT else []
    positions = graph_positions(names, laid_out).round(3).tolist()
    stride = -(-len(links) // MAX_DRAWN_LINKS) if links else 1
    return positions, [list(link) for link in links[::stride]], len(links)
