"""A client of federated averaging that encrypts what it sends, and decrypts the sum that comes back."""

from collections.abc import Sequence
from dataclasses import replace

from gossipfl.actions import Action, Send
from gossipfl.compression import decompress, encoded
from gossipfl.encryption.cryptosystem import KeyHolder
from gossipfl.encryption.packing import Packing
from gossipfl.encryption.peer_around import PeerAround
from gossipfl.errors import ConfigurationError, RemoteProtocolError, TrainingError
from gossipfl.messages import Encoded, Kind, Message
from gossipfl.peers import FedAvgClient
from gossipfl.snapshot import Snapshot, compose, part

CIPHERTEXT = "ciphertext"
"""The name of the encrypted vectors on board of a message."""

TOTAL = "total"
"""The name of the number by which an encrypted sum has to be divided."""


class EncryptingClient(PeerAround):
    """A `Peer` around a client: what is encrypted is its update times its number of examples, or, if not `by_examples`,
    the update.

    A model without a ciphertext is the first one, which everybody has.
    """

    inner: FedAvgClient

    def __init__(self, inner: FedAvgClient, packing: Packing, key: KeyHolder, *, by_examples: bool) -> None:
        super().__init__(inner)
        self._packing = packing
        self._key = key
        self._weight = inner.local.work.num_examples if by_examples else 1
        self._first = encoded(inner.local.shared())

    def receive(self, message: Message, now: float) -> list[Action]:
        if message.kind in (Kind.MODEL, Kind.FINAL):
            message = message._replace(vectors=self._decrypted(message), numbers={})
        return self._carried(self.inner.receive(message, now))

    def _decrypted(self, message: Message) -> dict[str, Encoded]:
        if not message.vectors:
            return self._first
        if message.vectors.keys() != {CIPHERTEXT}:
            raise RemoteProtocolError(
                f"a {message.kind} from peer {message.sender} carries {', '.join(message.vectors)}, expected a "
                f"{CIPHERTEXT} alone"
            )
        total = int(message.number(TOTAL))
        try:
            self._packing.check_total(total)
        except ConfigurationError as error:
            raise RemoteProtocolError(str(error)) from error
        ciphertexts = self._packing.parted(message.vectors[CIPHERTEXT], message.sender)
        dtype = self.inner.weights.dtype
        return encoded(self._packing.mean([self._key.decrypt(one) for one in ciphertexts], total, dtype))

    def _carried(self, actions: Sequence[Action]) -> list[Action]:
        return [
            replace(action, message=self._encrypted(action.message)) if isinstance(action, Send) else action
            for action in actions
        ]

    def _encrypted(self, message: Message) -> Message:
        if not message.vectors or CIPHERTEXT in message.vectors:  # it is sent again
            return message
        vectors = {name: decompress(one) for name, one in message.vectors.items()}
        try:
            integers = self._packing.integers(vectors, self._weight)
        except ValueError as error:
            why = f"local round {message.round + 1} of peer {self.peer_id!r} gave {error}"
            raise TrainingError(why, peer_id=self.peer_id, round=message.round) from None
        ciphertexts = self._packing.joined([self._key.encrypt(one) for one in integers])
        return message._replace(vectors={CIPHERTEXT: ciphertexts})

    def snapshot(self) -> Snapshot:
        return compose({"key": self._key.name}, {"inner": self.inner.snapshot()})

    def restore(self, snapshot: Snapshot) -> None:
        if snapshot[1]["key"] != self._key.name:
            raise ConfigurationError(
                f"peer {self.peer_id} cannot go on: what is on its way was encrypted with another key. One that was "
                "made for a run alone is gone with it: begin a new run"
            )
        self.inner.restore(part("inner", snapshot))
