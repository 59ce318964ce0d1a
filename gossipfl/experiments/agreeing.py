"""The plan by which the peers of an experiment agree on how good their models are."""

from typing import TYPE_CHECKING

import networkx as nx

from gossipfl.algorithms import Algorithm
from gossipfl.errors import ConfigurationError
from gossipfl.scores import LOSS
from gossipfl.stopping.known import window_of
from gossipfl.stopping.plan import AgreementPlan
from gossipfl.stopping.rule import StopRule
from gossipfl.stopping.table import Layout
from gossipfl.training.trainer import Trainer

if TYPE_CHECKING:
    from gossipfl.experiments.experiment import Experiment


def agreement_plan(
    experiment: "Experiment", trainer: Trainer, recipe: Algorithm, network: nx.Graph, rule: StopRule | None
) -> AgreementPlan | None:
    """The plan of an algorithm's peers, who are to end by a `rule` of their own, if there is one; None: the scenario
    wants none, or they do not talk.

    Raises ConfigurationError where the rule judges by what peers do not tell each other.
    """
    scenario = experiment.scenario
    if not (scenario.agrees and recipe.agrees):
        return None
    place, metrics = experiment.places[0], (LOSS, *trainer.metrics)
    columns = tuple(place.metric(metric) for metric in metrics)
    if rule is not None and rule.metric not in columns:
        raise ConfigurationError(
            f"stop.metric is {rule.metric.name!r}, and peers that decide for themselves tell each other "
            f"{', '.join(metric.name for metric in columns)}: name one of these, or have evaluation.on another value"
        )
    every = scenario.evaluation.every
    num_rounds = recipe.num_rounds(experiment.rounds, len(scenario.graph()))
    known_in = recipe.known_in(network, num_rounds, experiment.seed)
    layout = Layout(
        tuple(peer_id for peer_id in network if peer_id != recipe.hub),
        columns,
        num_rounds,
        every,
        0 if known_in is None else window_of(known_in, every),
    )
    return AgreementPlan(layout, metrics, place.part, place.shares, rule, known_in, recipe.gossip_steps, recipe.hub)
