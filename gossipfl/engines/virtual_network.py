"""The network in virtual time: when a message arrives, or that it never does; and how many bytes went where.

A message leaves when the sender's uplink is free, and takes its time on the downlink of the receiver after those that
came before it. Without these queues a FedAvg server would have a full-rate link to each client at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np

from gossipfl.codec import encoded_size
from gossipfl.engines.evaluation import Traffic
from gossipfl.engines.network_model import Link, NetworkModel
from gossipfl.messages import Message
from gossipfl.randomness import generator
from gossipfl.weights import PeerId


@dataclass(slots=True)
class Wires:
    """The uplink and downlink of one participant: bytes per second, when they are free, and bytes so far."""

    uplink: float
    downlink: float
    uplink_free: float = 0.0
    downlink_free: float = 0.0
    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class Route:
    """One direction between two participants, and what was sent on it."""

    sender: Wires
    receiver: Wires
    link: Link
    generator: np.random.Generator | None  # None when nothing is left to chance
    num_messages: int = 0
    num_bytes: int = 0


class Transfer(NamedTuple):
    """A message of `num_bytes` on its way, its first and last byte at the receiver's downlink at these times."""

    message: Message
    num_bytes: int
    first_byte: float
    last_byte: float


class VirtualNetwork:
    """The lines between `peers`; what is left to chance comes from the run's seed, for each direction on its own."""

    def __init__(self, model: NetworkModel, peers: Iterable[PeerId], seed: int) -> None:
        self._model = model
        self._seed = seed
        self.has_outages = bool(model.offline)
        self.wires: dict[PeerId, Wires] = {}
        for peer_id in peers:
            rates = model.rates_of(peer_id)
            self.wires[peer_id] = Wires(rates.uplink, rates.downlink)
        self.routes: dict[tuple[PeerId, PeerId], Route] = {}

    def is_offline(self, peer_id: PeerId, now: float) -> bool:
        """Whether a participant is cut off at that time."""
        return self._model.is_offline(peer_id, now)

    def send(self, message: Message, now: float) -> Transfer | None:
        """Put a message on the sender's uplink; None when it gets lost, which costs its bytes all the same."""
        num_bytes = encoded_size(message)
        route = self.routes.get((message.sender, message.receiver)) or self._new_route(message.sender, message.receiver)
        route.num_messages += 1
        route.num_bytes += num_bytes
        sender = route.sender
        sender.sent += num_bytes
        first_byte = sender.uplink_free if sender.uplink_free > now else now
        sender.uplink_free = first_byte + num_bytes / sender.uplink
        latency = route.link.latency
        if route.generator is not None:
            vanishes, delay = route.generator.random(2).tolist()
            if vanishes < route.link.loss:
                return None
            latency += route.link.jitter * delay
        return Transfer(message, num_bytes, first_byte + latency, sender.uplink_free + latency)

    def has_queue(self, peer_id: PeerId) -> bool:
        """Whether messages to this participant may have to wait for its downlink."""
        return self.wires[peer_id].downlink < inf

    def queue(self, transfer: Transfer, now: float) -> float:
        """Let the first byte of a message into the receiver's downlink; gives the time when all of it has arrived."""
        receiver = self.wires[transfer.message.receiver]
        receiver.downlink_free = max(now, receiver.downlink_free) + transfer.num_bytes / receiver.downlink
        return max(receiver.downlink_free, transfer.last_byte)

    def arrived(self, transfer: Transfer) -> None:
        """Count the bytes of a message that was delivered."""
        self.wires[transfer.message.receiver].received += transfer.num_bytes

    @property
    def traffic(self) -> Traffic:
        """What was sent since the start."""
        return Traffic(
            sum(route.num_bytes for route in self.routes.values()),
            sum(route.num_messages for route in self.routes.values()),
            max(wires.sent + wires.received for wires in self.wires.values()),
        )

    def snapshot(self) -> Mapping[str, Any]:
        """Queues, counts and the states of the generators, JSON-ready."""
        return {
            "wires": [[w.uplink_free, w.downlink_free, w.sent, w.received] for w in self.wires.values()],
            "routes": [
                [*pair, route.num_messages, route.num_bytes, route.generator and route.generator.bit_generator.state]
                for pair, route in self.routes.items()
            ],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take the state of a `snapshot` of a network with the same participants."""
        for wires, state in zip(self.wires.values(), snapshot["wires"], strict=True):
            wires.uplink_free, wires.downlink_free, wires.sent, wires.received = state
        self.routes.clear()
        for sender, receiver, num_messages, num_bytes, chance in snapshot["routes"]:
            route = self._new_route(sender, receiver)
            route.num_messages, route.num_bytes = num_messages, num_bytes
            if route.generator is not None:
                route.generator.bit_generator.state = chance

    def _new_route(self, sender: PeerId, receiver: PeerId) -> Route:
        link = self._model.link_between(sender, receiver)
        chance = generator(self._seed, "network", sender, receiver) if link.jitter or link.loss else None
        route = Route(self.wires[sender], self.wires[receiver], link, chance)
        self.routes[sender, receiver] = route
        return route
