"""All peers of an algorithm on this machine: the federation in this process, and how much one process can carry."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import networkx as nx

from gossipfl.deploy.addresses import addresses, host_and_port
from gossipfl.deploy.agreement import run_facts
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.loopback_federation import LoopbackFederation, Member
from gossipfl.engines.http.serving.descriptors import caps_of_loopback, check_launcher
from gossipfl.engines.http.serving.origins import is_loopback
from gossipfl.engines.http.status import PeerStatus
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.experiments.experiment import Experiment
from gossipfl.scenario import Scenario
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.topology import all_neighbors
from gossipfl.weights import PeerId


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
        stop=cast.engines_rule,
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
        """Neighbors open one each, which brings messages; one that cannot be reached opens another, to poll."""
        if where[peer_id] is None:
            return 0
        return sum(2 if where[name] is None else 1 for name in all_neighbors(network, peer_id))

    return caps_of_loopback({peer_id: num_connections(peer_id) for peer_id in network}, scenario.http.max_connections)


def _loopback_port(address: str | None) -> int:
    if not address:
        return 0
    host, port = host_and_port(address)
    return port if is_loopback(host) else 0
