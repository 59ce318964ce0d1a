"""The plan by which the peers of an experiment add up models that nobody sees one by one."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import networkx as nx

from gossipfl.algorithms import Algorithm
from gossipfl.algorithms.rounds import SynchronousRecipe
from gossipfl.algorithms.server_based import ServerRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.messages import Kind
from gossipfl.schedules import Meetings
from gossipfl.secrecy.fixed_point import FixedPoint
from gossipfl.secrecy.masking_plan import MaskingPlan, Rows
from gossipfl.weights import PeerId

if TYPE_CHECKING:
    from gossipfl.experiments.experiment import Experiment


def masking_plan(experiment: "Experiment", recipe: Algorithm, network: nx.Graph) -> MaskingPlan | None:
    """The plan of an algorithm's peers; None: the scenario wants no secure sums, or nobody talks."""
    section = experiment.scenario.privacy.secure_aggregation
    if section is None or not recipe.agrees:
        return None
    trainer = experiment.trainer
    sizes = dict.fromkeys(["weights", *sorted(recipe.extra_vectors)], trainer.schema.size)
    if experiment.scenario.training.statistics != "local" and trainer.statistics_schema.size:
        sizes["statistics"] = trainer.statistics_schema.size
    rules, fixed_point = section.rules, FixedPoint(section.range)
    if isinstance(recipe, ServerRecipe):
        rows = _rows_of_server(experiment, recipe, network)
        return MaskingPlan(sizes, rows, rules, fixed_point, patience=recipe.patience, kind=Kind.UPDATE)
    assert isinstance(recipe, SynchronousRecipe), "others are refused with the scenario"
    schedule = recipe.schedule

    @cache
    def meetings(peer_id: PeerId) -> Meetings:
        return schedule.meetings(network, peer_id, experiment.seed)

    def row(peer_id: PeerId, step: int) -> Mapping[PeerId, float]:
        return meetings(peer_id)(step).row

    return MaskingPlan(sizes, row, rules, fixed_point, schedule.lead(network), recipe.patience)


def _rows_of_server(experiment: "Experiment", recipe: ServerRecipe, network: nx.Graph) -> Rows:
    """All clients in each round, alike or by the examples that they are dealt."""
    clients = [name for name in network if name != recipe.hub]
    counts = dict.fromkeys(clients, 1)
    if recipe.weighting == "examples":
        unknown = [name for name in clients if name not in experiment.shards]
        if unknown:
            raise ConfigurationError(
                f"in a secure sum by examples, all have to know how many each client holds, and peer {unknown[0]} "
                'brings its own: set weighting = "uniform"'
            )
        counts = {name: len(experiment.shards[name]) for name in clients}
    shares = {name: count / sum(counts.values()) for name, count in counts.items()}
    return lambda peer_id, step: shares if peer_id == recipe.hub else {}
