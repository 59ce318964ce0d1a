"""The plan by which the peers of an experiment add up models that nobody sees one by one."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import networkx as nx

from gossipfl.algorithms import Algorithm
from gossipfl.algorithms.rounds import SynchronousRecipe
from gossipfl.schedules import Meetings
from gossipfl.secrecy.fixed_point import FixedPoint
from gossipfl.secrecy.masking_plan import MaskingPlan
from gossipfl.weights import PeerId

if TYPE_CHECKING:
    from gossipfl.experiments.experiment import Experiment


def masking_plan(experiment: "Experiment", recipe: Algorithm, network: nx.Graph) -> MaskingPlan | None:
    """The plan of an algorithm's peers; None: the scenario wants no secure sums, or nobody talks."""
    section = experiment.scenario.privacy.secure_aggregation
    if section is None or not recipe.agrees:
        return None
    assert isinstance(recipe, SynchronousRecipe), "others are refused with the scenario"
    schedule = recipe.schedule
    trainer = experiment.trainer
    sizes = dict.fromkeys(["weights", *sorted(recipe.extra_vectors)], trainer.schema.size)
    if experiment.scenario.training.statistics != "local" and trainer.statistics_schema.size:
        sizes["statistics"] = trainer.statistics_schema.size

    @cache
    def meetings(peer_id: PeerId) -> Meetings:
        return schedule.meetings(network, peer_id, experiment.seed)

    def row(peer_id: PeerId, step: int) -> Mapping[PeerId, float]:
        return meetings(peer_id)(step).row

    lead = schedule.lead(network)
    return MaskingPlan(sizes, row, section.rules, FixedPoint(section.range), lead, recipe.patience)
