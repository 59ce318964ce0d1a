"""How a peer mixes in one gossip step: what it sends to whom, and what it makes of what it has received."""

from gossipfl.mixing.mixing import Encode, Mixing, Parcel, RowMixing
from gossipfl.mixing.push_sum import PushSumMixing
from gossipfl.mixing.relay_sum import RelaySum

__all__ = ["Encode", "Mixing", "Parcel", "PushSumMixing", "RelaySum", "RowMixing"]
