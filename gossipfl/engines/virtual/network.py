"""The network in virtual time: when a message arrives, or that it never does; and how many bytes went where.

A message leaves when the sender's uplink is free, and takes its time on the downlink of the receiver after those that
came before it. Without these queues a FedAvg server would have a full-rate link to each client at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import inf
from typing import Any, NamedTuple

from gossipfl.codec.sizes import encoded_size
from gossipfl.engines.progress import Traffic
from gossipfl.engines.virtual.network_model import NetworkModel
from gossipfl.messages import Message
from gossipfl.randomness import derived_seed
from gossipfl.weights import PeerId

MAX_PAIRS = 100_000
"""Pairs of a sender and a receiver whose traffic is counted, 25 MB of them: among 10,000 peers that meet whom they like
there are 100 million. Once there are more, none is: a part of them would pass for all."""


@dataclass(slots=True)
class Wires:
    """The uplink and downlink of one participant: bytes per second, when they are free, and bytes so far."""

    uplink: float
    downlink: float
    uplink_free: float = 0.0
    downlink_free: float = 0.0
    sent: int = 0
    received: int = 0
    moment: float = -1.0  # of the last message that was left to chance,
    at_once: dict[PeerId, int] = field(default_factory=dict)  # and how many were at that moment, by receiver


class Transfer(NamedTuple):
    """A message of `num_bytes`, overhead included, on its way; its first and last byte reach the receiver's downlink at
    these times."""

    message: Message
    num_bytes: int
    first_byte: float
    last_byte: float


class VirtualNetwork:
    """The lines between `peers`.

    What is left to chance is a function of the run's seed, sender, receiver, and the time of sending: nothing has to be
    kept for every pair that ever talks, and whatever others send changes nothing.
    """

    def __init__(self, model: NetworkModel, peers: Iterable[PeerId], seed: int) -> None:
        self._model = model
        self._key = derived_seed(seed, "network").to_bytes(16, "little")
        self.has_outages = bool(model.offline)
        self.wires: dict[PeerId, Wires] = {}
        for peer_id in peers:
            rates = model.rates_of(peer_id)
            self.wires[peer_id] = Wires(rates.uplink, rates.downlink)
        self._num_messages = 0
        self.pairs: dict[tuple[PeerId, PeerId], tuple[int, int]] | None = {}
        """(messages, bytes) per ordered pair (sender, receiver); None once more than `MAX_PAIRS` have talked."""

    def is_offline(self, peer_id: PeerId, now: float) -> bool:
        """True if a participant is cut off at that time."""
        return self._model.is_offline(peer_id, now)

    def send(self, message: Message, now: float) -> Transfer | None:
        """Put a message on the sender's uplink; None when it gets lost, which costs its bytes all the same."""
        num_bytes = encoded_size(message) + self._model.overhead
        self._num_messages += 1
        if self.pairs is not None:
            self._count(self.pairs, (message.sender, message.receiver), num_bytes)
        sender = self.wires[message.sender]
        sender.sent += num_bytes
        first_byte = sender.uplink_free if sender.uplink_free > now else now
        sender.uplink_free = first_byte + num_bytes / sender.uplink
        link = self._model.link_between(message.sender, message.receiver)
        latency = link.latency
        if link.jitter or link.loss:
            vanishes, delay = self._chance(sender, message, now)
            if vanishes < link.loss:
                return None
            latency += link.jitter * delay
        return Transfer(message, num_bytes, first_byte + latency, sender.uplink_free + latency)

    def _count(
        self, pairs: dict[tuple[PeerId, PeerId], tuple[int, int]], pair: tuple[PeerId, PeerId], num_bytes: int
    ) -> None:
        before = pairs.get(pair)
        if before is not None:
            pairs[pair] = (before[0] + 1, before[1] + num_bytes)
        elif len(pairs) < MAX_PAIRS:
            pairs[pair] = (1, num_bytes)
        else:
            self.pairs = None

    def _chance(self, sender: Wires, message: Message, now: float) -> tuple[float, float]:
        """Two independent uniform numbers from 0 to 1, for each message others, also if two leave for one receiver at
        the same time: as fast as drawing them from a generator, and 20 times as fast as making one."""
        if sender.moment != now:
            sender.moment, sender.at_once = now, {}
        number = sender.at_once.get(message.receiver, 0)
        sender.at_once[message.receiver] = number + 1
        name = f"{message.sender} {message.receiver} {float(now).hex()} {number}"
        digest = blake2b(name.encode(), digest_size=16, key=self._key).digest()
        numbers = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
        return (numbers[0] >> 11) * 2.0**-53, (numbers[1] >> 11) * 2.0**-53

    def has_queue(self, peer_id: PeerId) -> bool:
        """True if messages to this participant may have to wait for its downlink."""
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
        """The traffic since the start."""
        return Traffic(
            sum(wires.sent for wires in self.wires.values()),
            self._num_messages,
            max(wires.sent + wires.received for wires in self.wires.values()),
        )

    def snapshot(self) -> Mapping[str, Any]:
        """Queues and counts, JSON-ready."""
        return {
            "num_messages": self._num_messages,
            "pairs": None if self.pairs is None else [[*pair, *counts] for pair, counts in self.pairs.items()],
            "wires": [
                [w.uplink_free, w.downlink_free, w.sent, w.received, w.moment, w.at_once] for w in self.wires.values()
            ],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take the state of a `snapshot` of a network with the same participants."""
        for w, state in zip(self.wires.values(), snapshot["wires"], strict=True):
            w.uplink_free, w.downlink_free, w.sent, w.received, w.moment, at_once = state
            w.at_once = dict(at_once)
        self._num_messages = snapshot["num_messages"]
        pairs = snapshot["pairs"]
        self.pairs = None if pairs is None else {(sender, receiver): (m, b) for sender, receiver, m, b in pairs}
