"""Methods act around local training, through its one door for corrections: one file each."""

from gossipfl.methods.d2 import D2
from gossipfl.methods.federated_method import Answer, FederatedMethod
from gossipfl.methods.fednova import NormalizedSteps
from gossipfl.methods.gossip_method import GossipMethod
from gossipfl.methods.gradient_tracking import GradientTracking
from gossipfl.methods.outer_step import OuterStep
from gossipfl.methods.proximal import Proximal
from gossipfl.methods.quasi_global_momentum import QuasiGlobalMomentum
from gossipfl.methods.scaffold import Scaffold
from gossipfl.methods.server_optimizers import Memory
from gossipfl.methods.uncorrected import Uncorrected

__all__ = [
    "D2",
    "Answer",
    "FederatedMethod",
    "GossipMethod",
    "GradientTracking",
    "Memory",
    "NormalizedSteps",
    "OuterStep",
    "Proximal",
    "QuasiGlobalMomentum",
    "Scaffold",
    "Uncorrected",
]
