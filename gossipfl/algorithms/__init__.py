"""Recipes: which peers an algorithm needs, and how to make each of them; one file per family."""

from collections.abc import Mapping

from gossipfl.algorithms.algorithm import Algorithm, Weighting
from gossipfl.algorithms.bounds import POOL, Centralized, LocalOnly
from gossipfl.algorithms.corrected import (
    D2Gossip,
    DiLoCo,
    ExactDiffusion,
    GradientTrackingGossip,
    QuasiGlobalMomentumGossip,
)
from gossipfl.algorithms.gossip_learning import GossipLearning
from gossipfl.algorithms.pairwise import PairwiseGossip
from gossipfl.algorithms.push_sum import GoSGD
from gossipfl.algorithms.server_based import SERVER, FedAvg, FedNova, FedProx, Scaffold
from gossipfl.algorithms.synchronous import DFedAvgM, EpidemicLearning, SynchronousGossip
from gossipfl.algorithms.unbalanced import RelaySumGossip, StochasticGradientPush

__all__ = [
    "ALGORITHMS",
    "BOUNDS",
    "POOL",
    "SERVER",
    "Algorithm",
    "Centralized",
    "D2Gossip",
    "DFedAvgM",
    "DiLoCo",
    "EpidemicLearning",
    "ExactDiffusion",
    "FedAvg",
    "FedNova",
    "FedProx",
    "GoSGD",
    "GossipLearning",
    "GradientTrackingGossip",
    "LocalOnly",
    "PairwiseGossip",
    "QuasiGlobalMomentumGossip",
    "RelaySumGossip",
    "Scaffold",
    "StochasticGradientPush",
    "SynchronousGossip",
    "Weighting",
]

ALGORITHMS: Mapping[str, type[Algorithm]] = {
    "pairwise": PairwiseGossip,
    "gosgd": GoSGD,
    "gossip_learning": GossipLearning,
    "synchronous": SynchronousGossip,
    "epidemic_learning": EpidemicLearning,
    "dfedavgm": DFedAvgM,
    "d2": D2Gossip,
    "exact_diffusion": ExactDiffusion,
    "gradient_tracking": GradientTrackingGossip,
    "quasi_global_momentum": QuasiGlobalMomentumGossip,
    "diloco": DiLoCo,
    "sgp": StochasticGradientPush,
    "relay_sum": RelaySumGossip,
    "fedavg": FedAvg,
    "fedprox": FedProx,
    "scaffold": Scaffold,
    "fednova": FedNova,
    "local": LocalOnly,
    "centralized": Centralized,
}
"""The recipes by the names that scenarios use."""

BOUNDS = ("local", "centralized")
"""The algorithms that every comparison shows as lower and upper bound."""
