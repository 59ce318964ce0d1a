"""Peers: pure state machines that decide. They never wait, and know neither time nor network; see `peer`."""

from gossipfl.peers.client_sampling import ClientSampling
from gossipfl.peers.fedavg_client import FedAvgClient
from gossipfl.peers.fedavg_server import FedAvgServer
from gossipfl.peers.gossip_learning import GossipLearningPeer, MergeRule
from gossipfl.peers.local_model import LocalModel, Sharing
from gossipfl.peers.local_only import LocalOnlyPeer
from gossipfl.peers.mixing import RowMixing
from gossipfl.peers.pairwise_gossip import PairwiseGossipPeer
from gossipfl.peers.peer import Peer
from gossipfl.peers.push_sum import PushSumPeer
from gossipfl.peers.push_sum_mixing import PushSumMixing
from gossipfl.peers.random_neighbors import Backoff
from gossipfl.peers.relay_sum import RelaySum
from gossipfl.peers.synchronous_gossip import SynchronousGossipPeer
from gossipfl.snapshot import Snapshot

__all__ = [
    "Backoff",
    "ClientSampling",
    "FedAvgClient",
    "FedAvgServer",
    "GossipLearningPeer",
    "LocalModel",
    "LocalOnlyPeer",
    "MergeRule",
    "PairwiseGossipPeer",
    "Peer",
    "PushSumMixing",
    "PushSumPeer",
    "RelaySum",
    "RowMixing",
    "Sharing",
    "Snapshot",
    "SynchronousGossipPeer",
]
