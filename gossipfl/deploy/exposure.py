"""A peer's addresses, and those of its neighbors; and nothing leaves a machine in the clear unasked."""

import os
import socket
from collections.abc import Mapping
from typing import Protocol

import networkx as nx

from gossipfl.deploy.addresses import Where, addresses, checked_address, host_and_port
from gossipfl.deploy.process_start import taken
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.serving.origins import is_loopback
from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario
from gossipfl.topology import all_neighbors
from gossipfl.weights import PeerId


class Reach(Protocol):
    """The options by which a peer is reached, and reaches its neighbors."""

    @property
    def name(self) -> PeerId: ...
    @property
    def listen(self) -> Where | None: ...
    @property
    def listen_fd(self) -> int | None: ...
    @property
    def addresses(self) -> Mapping[PeerId, str]: ...
    @property
    def behind_proxy(self) -> bool: ...
    @property
    def insecure(self) -> bool: ...


def network_of(scenario: Scenario, algorithm: str | None) -> nx.Graph:
    """The participants of an algorithm of a scenario, and who talks to whom."""
    section = scenario.section(algorithm)
    graph = scenario.graph(section)
    return scenario.recipe(section, graph).network(graph)


def addresses_of_peer(scenario: Scenario, network: nx.Graph, options: Reach) -> dict[PeerId, str | None]:
    """Addresses of the peer itself and of its neighbors."""
    if options.name not in network:
        raise ConfigurationError(f"there is no peer {options.name!r}; there are {', '.join(network)}")
    where = addresses(scenario, network)
    for name, address in options.addresses.items():
        if name not in network:
            raise ConfigurationError(f"--address names {name!r}; there are {', '.join(network)}")
        where[name] = checked_address(name, address)
    neighbors = all_neighbors(network, options.name)
    missing = [name for name in neighbors if where[name] == "" and name not in scenario.http.revoked]
    if missing:
        raise ConfigurationError(
            f"nothing says where {', '.join(missing)} can be reached: give peers an address in the topology, or "
            f"--address {missing[0]}=http://HOST:PORT"
        )
    return {name: where[name] for name in (options.name, *neighbors)}


def listening_address(options: Reach, own: str | None) -> Where | None:
    """The address to listen at; None for a peer that cannot be reached and polls."""
    if own is None:
        return None
    if options.listen is not None:
        return options.listen
    if options.listen_fd is not None:
        return None
    if not own:
        raise ConfigurationError(
            f"nothing says where {options.name} listens: give it an address in the topology, or --listen HOST:PORT"
        )
    host, port = host_and_port(own)
    return (host if is_loopback(host) else "0.0.0.0", port)


def check_exposure(
    options: Reach,
    where: Mapping[PeerId, str | None],
    listen: Where | None,
    credentials: Credentials | None,
) -> None:
    """Raise ConfigurationError where words would leave this machine in the clear, or could not be understood."""
    serves_tls = credentials is not None and not options.behind_proxy
    for name, address in where.items():
        if not address:
            continue
        if address.startswith("https:") and credentials is None:
            raise ConfigurationError(
                f"{name} is at {address}: TLS needs certificates (gossipfl certs init, gossipfl certs issue {name}, "
                "then --certs DIRECTORY)"
            )
        host, _ = host_and_port(address)
        if address.startswith("http:") and not is_loopback(host) and not options.insecure:
            raise ConfigurationError(
                f"{name} is at {address}, in the clear and not on this machine: use https:// and --certs, or say "
                "--insecure"
            )
    own = where[options.name]
    if own and serves_tls and own.startswith("http:"):
        raise ConfigurationError(
            f"the address of {options.name} is {own}, but with --certs it serves https://: change the address, or say "
            "--behind-proxy where a proxy ends TLS"
        )
    if listen is not None and not serves_tls and not is_loopback(listen[0]) and not options.insecure:
        raise ConfigurationError(
            f"listening on {listen[0]}:{listen[1]} without TLS would be open to the network: give --certs, listen on "
            "127.0.0.1, or say --insecure"
        )


async def opened(
    host: HTTPPeer, options: Reach, listen: Where | None, credentials: Credentials | None, *, stays_open: bool = False
) -> Where | None:
    """Let a peer listen where it is to; gives that place, None for one that polls. A socket that was given to it is
    listened on by another peer afterwards if it `stays_open`.

    Raises ConfigurationError when the port is taken.
    """
    tls = None if credentials is None or options.behind_proxy else credentials.server_context()
    if options.listen_fd is not None:
        fileno = os.dup(options.listen_fd) if stays_open else options.listen_fd
        return await host.listen(socket.socket(fileno=fileno), tls)
    if listen is None:
        return None
    try:
        return await host.listen(listen, tls)
    except OSError as error:
        raise taken(listen, options.name, error) from error
