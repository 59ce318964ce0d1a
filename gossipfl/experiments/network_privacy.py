"""The guarantee against one neighbor of a planned run, which is better than that against who sees everything."""

from collections import defaultdict
from statistics import fmean
from typing import NamedTuple, TypeGuard

import networkx as nx
import numpy as np

from gossipfl.accounting.accountant import epsilon
from gossipfl.aggregators import Mean
from gossipfl.algorithms import Algorithm, SynchronousGossip
from gossipfl.experiments.privacy_plan import PrivacyPlan
from gossipfl.privacy.spending import Mechanism
from gossipfl.privacy.views import LARGEST_VIEW, GossipStep, told_by
from gossipfl.scenario import Scenario
from gossipfl.scenario.algorithms import AlgorithmSection

_MOST_VIEWS = 8


class ByDistance(NamedTuple):
    """The epsilon against a curious peer so many links away: the mean over `num_pairs`, and the largest."""

    distance: int
    num_pairs: int
    mean: float
    largest: float


def guarantees(scenario: Scenario, section: AlgorithmSection, plan: PrivacyPlan) -> list[ByDistance] | str:
    """The guarantees of an algorithm by distance, over the views of all peers, or of eight spread over the graph.

    In place of them a sentence on why only the guarantee against everybody is claimed.
    """
    recipe, graph = scenario.recipe(section, scenario.graph(section)), scenario.graph(section)
    name = scenario.label_of(section)
    if plan.section.level != "peer":
        return f'{name}: computed for noise on updates of peers, level = "peer", alone'
    if not _is_linear(recipe):
        return f'{name}: computed where a round is an update and a mean by the schedule, as of "synchronous", alone'
    columns = len(graph) * plan.rounds
    if columns > LARGEST_VIEW:
        return f"{name}: computed up to {LARGEST_VIEW:,} peers times rounds, and these are {columns:,}"
    network = recipe.network(graph)
    rounds = _steps_of(recipe, network, plan.rounds, scenario.seed)
    peers, distances = list(network), dict(nx.all_pairs_shortest_path_length(network))
    curious = np.unique(np.linspace(0, len(peers) - 1, _MOST_VIEWS).astype(int)).tolist()
    is_summed = scenario.privacy.secure_aggregation is not None
    found: defaultdict[int, list[float]] = defaultdict(list)
    for position in curious:
        told = told_by(position, rounds, plan.noise, summed=is_summed)
        for other, mu in enumerate(told):
            if other != position:
                spending = {Mechanism(1 / mu): 1} if mu else {}
                found[distances[peers[other]][peers[position]]].append(epsilon(spending, plan.section.delta))
    return [ByDistance(distance, len(of), fmean(of), max(of)) for distance, of in sorted(found.items())]


def _is_linear(recipe: Algorithm) -> TypeGuard[SynchronousGossip]:
    if type(recipe) is not SynchronousGossip or recipe.patience is not None:
        return False
    return recipe.aggregator == Mean() and not recipe.combines_first and not recipe.outgoing


def _steps_of(recipe: SynchronousGossip, network: nx.Graph, num_rounds: int, seed: int) -> list[list[GossipStep]]:
    """The matrices of all gossip steps, by round."""
    peers = {peer_id: position for position, peer_id in enumerate(network)}
    meetings = {peer_id: recipe.schedule.meetings(network, peer_id, seed) for peer_id in peers}

    def step(number: int) -> GossipStep:
        matrix = np.zeros((len(peers), len(peers)))
        for peer_id, position in peers.items():
            for other, share in meetings[peer_id](number).row.items():
                matrix[position, peers[other]] = share
        return GossipStep(matrix)

    steps = recipe.gossip_steps
    return [[step(number * steps + k) for k in range(steps)] for number in range(num_rounds)]
