"""Recipes: which peers an algorithm needs, and how to make each; one file for each, named as scenarios name it."""

from collections.abc import Mapping

from gossipfl.algorithms.algorithm import Algorithm, Family, Weighting
from gossipfl.algorithms.centralized import POOL, Centralized
from gossipfl.algorithms.d2 import D2Gossip
from gossipfl.algorithms.dfedavgm import DFedAvgM
from gossipfl.algorithms.diloco import DiLoCo
from gossipfl.algorithms.epidemic_learning import EpidemicLearning
from gossipfl.algorithms.exact_diffusion import ExactDiffusion
from gossipfl.algorithms.fedavg import FedAvg
from gossipfl.algorithms.fednova import FedNova
from gossipfl.algorithms.fedprox import FedProx
from gossipfl.algorithms.gosgd import GoSGD
from gossipfl.algorithms.gossip_learning import GossipLearning
from gossipfl.algorithms.gradient_tracking import GradientTrackingGossip
from gossipfl.algorithms.local import LocalOnly
from gossipfl.algorithms.local_sgd import LocalSGD
from gossipfl.algorithms.pairwise import PairwiseGossip
from gossipfl.algorithms.quasi_global_momentum import QuasiGlobalMomentumGossip
from gossipfl.algorithms.relay_sum import RelaySumGossip
from gossipfl.algorithms.scaffold import Scaffold
from gossipfl.algorithms.seat import Seat
from gossipfl.algorithms.server_based import SERVER
from gossipfl.algorithms.sgp import StochasticGradientPush
from gossipfl.algorithms.synchronous import SynchronousGossip

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
    "Family",
    "FedAvg",
    "FedNova",
    "FedProx",
    "GoSGD",
    "GossipLearning",
    "GradientTrackingGossip",
    "LocalOnly",
    "LocalSGD",
    "PairwiseGossip",
    "QuasiGlobalMomentumGossip",
    "RelaySumGossip",
    "Scaffold",
    "Seat",
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
