"""The addresses of the peers of a run."""

import re
from typing import TypeAlias
from urllib.parse import urlsplit

import networkx as nx

from gossipfl.errors import ConfigurationError, TopologyError
from gossipfl.scenario import Scenario
from gossipfl.weights import PeerId

Where: TypeAlias = tuple[str, int]
"""Host and port."""


def addresses(scenario: Scenario, network: nx.Graph) -> dict[PeerId, str | None]:
    """The address of each participant; None for a peer with `listen = false`, and "" where none is given.

    Raises TopologyError for an address that is none, and for a link between two peers that others cannot reach.
    """
    found: dict[PeerId, str | None] = {}
    for peer_id, attributes in network.nodes(data=True):
        address = scenario.http.addresses.get(peer_id, attributes.get("address", ""))
        listens = attributes.get("listen", True)
        if not isinstance(listens, bool):
            raise TopologyError(f"peer {peer_id!r}: listen is true or false, got {listens!r}")
        found[peer_id] = checked_address(peer_id, address) if listens else None
    for peer_id in scenario.http.addresses:
        if peer_id not in network:
            raise ConfigurationError(f"http.addresses names {peer_id!r}; there are {', '.join(network)}")
    for first, second in network.edges:
        if found[first] is None and found[second] is None:
            raise TopologyError(
                f"peers {first!r} and {second!r} are linked, but neither can be reached (listen = false): remove the "
                "link, or let one of them listen"
            )
    return found


def checked_address(peer_id: PeerId, address: object) -> str:
    """An address as given, or "". Raises TopologyError unless it is http(s)://HOST:PORT, perhaps with the path of
    an application that the peer is mounted in."""
    if address == "":
        return ""
    try:
        parts = urlsplit(str(address))
        is_right = (
            isinstance(address, str)
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port is not None
            and re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?", parts.path)
            and not (parts.query or parts.fragment or parts.username or parts.password)
        )
    except ValueError:  # a port that is none
        is_right = False
    if not is_right:
        raise TopologyError(f"the address of peer {peer_id!r} is http(s)://HOST:PORT[/PATH], got {address!r}")
    return str(address).rstrip("/")


def host_and_port(address: str) -> tuple[str, int]:
    """The host and the port of a checked address."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
