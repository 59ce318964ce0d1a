"""Peers without a model, which find out something together about numbers of theirs."""

from gossipfl.analytics.push_sum import Query, SummingPeer, summing_peer

__all__ = ["Query", "SummingPeer", "summing_peer"]
