"""From a scenario to peers over HTTP: what a run's peers agree on, where they are, and how each is hosted."""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import networkx as nx

from gossipfl.algorithms import ALGORITHMS
from gossipfl.codec import VectorSchema
from gossipfl.engines.http.federation import LoopbackFederation, Member
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.serving.descriptors import caps_of_loopback, check_launcher
from gossipfl.engines.http.status import PeerStatus
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.engines.http.wire.envelope import PROTOCOL
from gossipfl.engines.http.wire.run_facts import RunFacts, digest_of_model
from gossipfl.errors import ConfigurationError, TopologyError
from gossipfl.experiments.experiment import Cast, Experiment
from gossipfl.scenario import Scenario
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.scenario import AGREED_FIELDS
from gossipfl.topology import all_neighbors
from gossipfl.weights import PeerId


def run_facts(cast: Cast, *, has_own_examples: bool = False) -> RunFacts:
    """What all peers of an algorithm's run must agree on; this one may have examples of its own."""
    experiment = cast.experiment
    scenario, initial, trainer = experiment.scenario, experiment.initial(cast.section), cast.trainer
    policies = cast.section.optimizer_state, scenario.training.statistics
    vectors = {"weights": VectorSchema(initial.weights.size, str(initial.weights.dtype))}
    if initial.statistics.size and policies[1] == "average":
        vectors["statistics"] = VectorSchema(initial.statistics.size, str(initial.statistics.dtype))
    if policies[0] == "average" and trainer.optimizer_size:
        vectors["optimizer"] = VectorSchema(trainer.optimizer_size)
    vectors |= dict.fromkeys(cast.recipe.extra_vectors, vectors["weights"])
    fields = scenario.model_dump(mode="json")
    agreed = {
        "protocol": PROTOCOL,
        **{name: fields[name] for name in AGREED_FIELDS},
        "seed": experiment.seed,
        "data": _held(experiment, has_own_examples),
        "algorithm": cast.section.model_dump(mode="json", exclude={"label", "topology"}),
        "participants": list(cast.network),
        "hub": cast.recipe.hub,
        "links": [list(link) for link in cast.network.edges],
        "initial": digest_of_model(initial),
        "constants": trainer.constants.digest,
    }
    num_peers = len(cast.network)
    return RunFacts(
        agreed,
        vectors,
        cast.recipe.num_rounds(scenario.rounds, len(experiment.scenario.graph(cast.section))),
        num_peers,
        gossip_steps=cast.recipe.gossip_steps,
        numbers=cast.recipe.numbers(num_peers, scenario.rounds),
    )


def _held(experiment: Experiment, has_own_examples: bool) -> Any:
    """Who holds what: the data by their content, wherever they lie on a host, and how they are dealt to whom.

    A peer with examples of its own has not seen those that others share; it knows their digest where the scenario says
    it. Where it does not, its neighbors have to hold examples of their own, too.
    """
    scenario = experiment.scenario
    data = scenario.data
    digest = data.digest if has_own_examples else experiment.dataset.digest
    if digest is None:
        return "examples of its own at every peer"
    partition = data.partition.model_dump(mode="json")
    holders = list(scenario.graph())
    return {"digest": digest, "partition": partition, "seed": scenario.data_seed, "holders": holders}


def revoked(scenario: Scenario, section: AlgorithmSection) -> frozenset[PeerId]:
    """Who is shut out of an algorithm's run. Raises ConfigurationError where it cannot go on without them."""
    names, recipe = scenario.http.revoked, ALGORITHMS[section.name]
    if names and recipe.needs_everybody is not None:
        raise ConfigurationError(
            f"http.revoked names {names[0]!r}, but {section.name!r} cannot go on without a participant: "
            f"{recipe.needs_everybody}. Begin a new run without it, or use another algorithm"
        )
    if recipe.hub in names:
        raise ConfigurationError(f"http.revoked names {recipe.hub!r}, which keeps the model: begin a new run")
    return frozenset(names)


def refuse_revoked(scenario: Scenario) -> None:
    """Raises ConfigurationError when peers are shut out of a run all of whose peers are started at once, on one
    machine."""
    if scenario.http.revoked:
        raise ConfigurationError(
            f"http.revoked ({', '.join(scenario.http.revoked)}) is for peers that are started one by one (`gossipfl "
            "peer`), and here all are started: say --set http.revoked=[]"
        )


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
    """An address as given, or "". Raises TopologyError unless it is http(s)://HOST:PORT."""
    if address == "":
        return ""
    try:
        parts = urlsplit(str(address))
        is_right = (
            isinstance(address, str)
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port is not None
            and parts.path in ("", "/")
            and not (parts.query or parts.fragment or parts.username or parts.password)
        )
    except ValueError:  # a port that is none
        is_right = False
    if not is_right:
        raise TopologyError(f"the address of peer {peer_id!r} is http(s)://HOST:PORT, got {address!r}")
    return str(address).rstrip("/")


def host_and_port(address: str) -> tuple[str, int]:
    """Of a checked address."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def is_loopback(host: str) -> bool:
    """Whether a host can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def loopback_federation(
    experiment: Experiment,
    section: AlgorithmSection,
    look: Callable[[Sequence[PeerStatus]], None] | None = None,
) -> LoopbackFederation:
    """All participants of an algorithm in this process, ready to run; a port that the topology gives is used."""
    scenario = experiment.scenario
    cast = experiment.cast(section)
    where = addresses(scenario, cast.network)
    caps = _loopback_caps(scenario, cast.network)
    members = [
        Member(
            cast.make_peer(peer_id, SystemSecrets()),
            tuple(all_neighbors(cast.network, peer_id)),
            Hosting(
                replace(scenario.http.limits(), max_connections=caps[peer_id]),
                linger=scenario.http.linger,
                meeting_seconds=scenario.http.meeting_seconds,
                listens=address is not None,
            ),
            _loopback_port(address),
        )
        for peer_id, address in where.items()
    ]
    return LoopbackFederation(
        members,
        run_facts(cast),
        cast.trainer,
        cast.plan,
        seed=experiment.seed,
        hub=cast.recipe.hub,
        label=scenario.label_of(section),
        look=look,
    )


def check_descriptors(scenario: Scenario, *, as_processes: bool) -> None:
    """Raises ConfigurationError when this process may not open as many files as an algorithm's peers on this machine
    need, with what they need."""
    for section in scenario.algorithms:
        graph = scenario.graph(section)
        network = scenario.recipe(section, graph).network(graph)
        if as_processes:
            check_launcher(len(network), max(len(all_neighbors(network, peer_id)) for peer_id in network))
        else:
            _loopback_caps(scenario, network)


def _loopback_caps(scenario: Scenario, network: nx.Graph) -> dict[PeerId, int]:
    """How many connections each participant may have open, when all are in this process."""
    where = addresses(scenario, network)

    def num_connections(peer_id: PeerId) -> int:
        """From its neighbors: one brings messages; of a peer that cannot be reached, another one polls."""
        if where[peer_id] is None:
            return 0
        return sum(2 if where[name] is None else 1 for name in all_neighbors(network, peer_id))

    return caps_of_loopback({peer_id: num_connections(peer_id) for peer_id in network}, scenario.http.max_connections)


def _loopback_port(address: str | None) -> int:
    if not address:
        return 0
    host, port = host_and_port(address)
    return port if is_loopback(host) else 0
