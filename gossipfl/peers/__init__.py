"""Peers: pure state machines that decide. They never wait, and know neither time nor network; see `peer`."""

from gossipfl.peers.client_sampling import ClientSampling
from gossipfl.peers.fedavg_client import FedAvgClient
from gossipfl.peers.fedavg_server import FedAvgServer
from gossipfl.peers.gossip_learning import GossipLearningPeer, MergeRule
from gossipfl.peers.local_model import LocalModel, Sharing
from gossipfl.peers.local_only import LocalOnlyPeer
from gossipfl.peers.model_peer import ModelPeer
from gossipfl.peers.pairwise_gossip import PairwiseGossipPeer
from gossipfl.peers.peer import Peer
from gossipfl.peers.push_sum import PushSumPeer
from gossipfl.peers.random_neighbors import Backoff
from gossipfl.peers.standing import Standing
from gossipfl.peers.synchronous_gossip import SynchronousGossipPeer

__all__ = [
    "Backoff",
    "ClientSampling",
    "FedAvgClient",
    "FedAvgServer",
    "GossipLearningPeer",
    "LocalModel",
    "LocalOnlyPeer",
    "MergeRule",
    "ModelPeer",
    "PairwiseGossipPeer",
    "Peer",
    "PushSumPeer",
    "Sharing",
    "Standing",
    "SynchronousGossipPeer",
]
