"""Peers: pure state machines that decide. They never wait, and know neither time nor network; see `peer`."""

from gossipfl.peers.fedavg import FedAvgClient, FedAvgServer
from gossipfl.peers.local_model import LocalModel, Sharing
from gossipfl.peers.local_only import LocalOnlyPeer
from gossipfl.peers.pairwise_gossip import Backoff, PairwiseGossipPeer
from gossipfl.peers.peer import Peer
from gossipfl.peers.snapshot import Snapshot
from gossipfl.peers.synchronous_gossip import SynchronousGossipPeer

__all__ = [
    "Backoff",
    "FedAvgClient",
    "FedAvgServer",
    "LocalModel",
    "LocalOnlyPeer",
    "PairwiseGossipPeer",
    "Peer",
    "Sharing",
    "Snapshot",
    "SynchronousGossipPeer",
]
