"""Schedules say who mixes with whom in which gossip step, and with which weights: one file per family."""

from collections.abc import Mapping

from gossipfl.schedules.absence import without
from gossipfl.schedules.base_graph import BaseGraph
from gossipfl.schedules.epidemic import EpidemicLocal, EpidemicOracle
from gossipfl.schedules.one_peer import OnePeerExponential, OnePeerHypercube
from gossipfl.schedules.random_matchings import RandomMatchings
from gossipfl.schedules.schedule import Meeting, Meetings, Schedule, gives_the_mean, mixing_matrix_at
from gossipfl.schedules.static import Static

__all__ = [
    "SCHEDULES",
    "BaseGraph",
    "EpidemicLocal",
    "EpidemicOracle",
    "Meeting",
    "Meetings",
    "OnePeerExponential",
    "OnePeerHypercube",
    "RandomMatchings",
    "Schedule",
    "Static",
    "gives_the_mean",
    "mixing_matrix_at",
    "without",
]

SCHEDULES: Mapping[str, type[Schedule]] = {
    "static": Static,
    "one_peer_exponential": OnePeerExponential,
    "one_peer_hypercube": OnePeerHypercube,
    "base_graph": BaseGraph,
    "random_matchings": RandomMatchings,
    "epidemic_oracle": EpidemicOracle,
    "epidemic_local": EpidemicLocal,
}
"""The schedules by the names that scenarios use."""
