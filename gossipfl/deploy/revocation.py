"""Participants that are shut out of a run."""

from collections.abc import Sequence

import networkx as nx

from gossipfl.algorithms import ALGORITHMS
from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.weights import PeerId


def revoked(scenario: Scenario, section: AlgorithmSection) -> frozenset[PeerId]:
    """The participants shut out of an algorithm's run. Raises ConfigurationError where it cannot go on without them."""
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


def without_revoked(network: nx.Graph, revoked: Sequence[PeerId], name: PeerId) -> nx.Graph:
    """The graph of those who are not shut out.

    Raises ConfigurationError when `name` is, or when not everybody can reach everybody any more.
    """
    graph = network.copy()
    graph.remove_nodes_from(revoked)
    if name not in graph:
        raise ConfigurationError(f"{name} has been shut out of the run: http.revoked names it")
    if not (nx.is_strongly_connected(graph) if graph.is_directed() else nx.is_connected(graph)):
        raise ConfigurationError(
            f"without {', '.join(revoked)} (http.revoked) not everybody can reach everybody, so that no question "
            "reaches all: give the topology more links"
        )
    return graph
