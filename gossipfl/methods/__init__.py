"""What algorithms do around local training, through its one door for corrections: one file each."""

from gossipfl.methods.gossip_method import GossipMethod, Memory

__all__ = ["GossipMethod", "Memory"]
