"""Mixing in gossip steps: one file for each way."""

from gossipfl.mixing.mixing import Content, Encode, Mixing
from gossipfl.mixing.pooling import UNPOOLED, Pooling
from gossipfl.mixing.push_sum import PushSumMixing
from gossipfl.mixing.relay_sum import RelaySum
from gossipfl.mixing.row import RowMixing

__all__ = ["UNPOOLED", "Content", "Encode", "Mixing", "Pooling", "PushSumMixing", "RelaySum", "RowMixing"]
