"""What peers find out together about numbers of theirs: peers without a model."""

from gossipfl.analytics.push_sum import Query, SummingPeer, summing_peer

__all__ = ["Query", "SummingPeer", "summing_peer"]
