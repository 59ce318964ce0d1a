"""Recipes: which peers an algorithm needs, and how to make each of them; one file per family."""

from collections.abc import Mapping

from gossipfl.algorithms.algorithm import Algorithm, Weighting
from gossipfl.algorithms.bounds import POOL, Centralized, LocalOnly
from gossipfl.algorithms.pairwise import PairwiseGossip
from gossipfl.algorithms.server_based import SERVER, FedAvg
from gossipfl.algorithms.synchronous import SynchronousGossip

__all__ = [
    "ALGORITHMS",
    "POOL",
    "SERVER",
    "Algorithm",
    "Centralized",
    "FedAvg",
    "LocalOnly",
    "PairwiseGossip",
    "SynchronousGossip",
    "Weighting",
]

ALGORITHMS: Mapping[str, type[Algorithm]] = {
    "pairwise": PairwiseGossip,
    "synchronous": SynchronousGossip,
    "fedavg": FedAvg,
    "local": LocalOnly,
    "centralized": Centralized,
}
"""The recipes by the names that scenarios use."""
