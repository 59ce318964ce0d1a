"""Messages take virtual time, and some do not arrive: latency, rates, loss and outages.

Rates belong to peers (an uplink and a downlink each, queued by the simulator), latency and loss to links. A message of
b bytes, `overhead` included, that is sent at time t occupies the sender's uplink for b / uplink seconds as soon as that
is free, its first byte arrives `latency` (plus up to `jitter`) seconds after it left, and it then occupies the
receiver's downlink for b / downlink seconds as soon as that is free. So a single message takes b / min(uplink,
downlink) + latency, and many messages to one receiver wait for each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

from gossipfl.codec.sizes import MESSAGE_OVERHEAD
from gossipfl.errors import ConfigurationError
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes per second that a peer can send (`uplink`) and receive (`downlink`)."""

    uplink: float = inf
    downlink: float = inf

    def __post_init__(self) -> None:
        for name in ("uplink", "downlink"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} must be above 0 bytes per second, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Link:
    """One direction between two peers: `latency` in seconds, to which up to `jitter` seconds (uniform) are added, and
    the probability `loss` that a message vanishes."""

    latency: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0

    def __post_init__(self) -> None:
        for name in ("latency", "jitter"):
            if not 0 <= getattr(self, name) < inf:
                raise ConfigurationError(f"{name} must be at least 0 seconds and finite, got {getattr(self, name)}")
        if not 0 <= self.loss < 1:
            raise ConfigurationError(f"loss is a probability below 1, got {self.loss}")


@dataclass(frozen=True, slots=True)
class NetworkModel:
    """Every peer has `rates` and every pair the same `link`, but for those that are named.

    `offline` maps a peer to intervals (from, until) of virtual seconds in which nothing reaches or leaves it; it trains
    on, and senders learn that their message failed. `overhead` is in bytes, and counts with every message as those of
    its body do.
    """

    rates: Rates = field(default_factory=Rates)
    link: Link = field(default_factory=Link)
    peer_rates: Mapping[PeerId, Rates] = field(default_factory=dict)
    links: Mapping[tuple[PeerId, PeerId], Link] = field(default_factory=dict)
    offline: Mapping[PeerId, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    overhead: int = MESSAGE_OVERHEAD

    def __post_init__(self) -> None:
        if self.overhead < 0:
            raise ConfigurationError(f"overhead must be at least 0 bytes per message, got {self.overhead}")
        for peer_id, intervals in self.offline.items():
            for start, end in intervals:
                if not 0 <= start < end < inf:
                    raise ConfigurationError(
                        f"offline interval of peer {peer_id} must have 0 <= start < end, got {start} to {end}"
                    )

    def rates_of(self, peer_id: PeerId) -> Rates:
        return self.peer_rates.get(peer_id, self.rates)

    def link_between(self, sender: PeerId, receiver: PeerId) -> Link:
        return self.links.get((sender, receiver), self.link)

    def is_offline(self, peer_id: PeerId, time: float) -> bool:
        if not self.offline:
            return False
        return any(start <= time < end for start, end in self.offline.get(peer_id, ()))

    @property
    def loses_messages(self) -> bool:
        """True if a message may silently vanish."""
        return any(link.loss > 0 for link in (self.link, *self.links.values()))


IDEAL = NetworkModel()
"""No delay, no limit, no loss: only computing takes time."""

LAN = NetworkModel(Rates(125e6, 125e6), Link(latency=0.5e-3))
"""1 Gbit/s each way and 0.5 ms."""

WAN = replace(LAN, rates=Rates(2.5e6, 12.5e6), link=Link(latency=40e-3, jitter=10e-3))
"""A home connection: 20 Mbit/s up, 100 Mbit/s down, 40 to 50 ms."""

PRESETS: Mapping[str, NetworkModel] = {"IDEAL": IDEAL, "LAN": LAN, "WAN": WAN}
