"""Synchronous gossip in rounds (D-PSGD; Lian et al., 2017; adapt-then-combine): train, swap with all neighbors, mix.

    x_i <- sum_j W_ij y_j,   y_j = x_j after the local work of the round

A peer mixes when the weights of the round have come from every neighbor; the order and repetition of messages do not
matter. With `patience`, it mixes at the latest that many seconds after its own training with whoever answered: the
share of a silent neighbor goes to itself, the mean over peers is then not kept, and a peer that was overtaken skips
ahead to the round of the others. Higher patience: fewer broken means, at the expense of waiting for the dead.
"""

from collections.abc import Mapping

from gossipfl.actions import Action, Send, Update
from gossipfl.aggregators import Aggregator, Contribution
from gossipfl.compression import decompress
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.peers.local_model import LocalModel, encoded
from gossipfl.peers.peer import Peer
from gossipfl.peers.retries import Retries, wake_at_first
from gossipfl.peers.snapshot import Snapshot, compose, messages_of_snapshot, part, snapshot_of_messages
from gossipfl.weights import PeerId, Vector, frozen

_MAX_AHEAD = 2  # rounds that are kept of neighbors that are ahead; without patience they are ahead by one at most


class SynchronousGossipPeer(Peer):
    """A peer of synchronous gossip; `mixing_row` maps itself and each neighbor, in node order, to its share."""

    def __init__(
        self,
        local: LocalModel,
        mixing_row: Mapping[PeerId, float],
        aggregator: Aggregator,
        patience: float | None = None,
    ) -> None:
        super().__init__(local)
        self._mixing_row = mixing_row
        self._neighbors = [peer_id for peer_id in mixing_row if peer_id != local.peer_id]
        self._aggregator = aggregator
        self._patience = patience
        self._trained: dict[str, Vector] | None = None  # what to mix; one's own weights stay the last mixed ones
        self._received: dict[int, dict[PeerId, Message]] = {}  # by round, none older than one's own
        self._deadline: float | None = None
        self._retries = Retries()

    def start(self, now: float) -> list[Action]:
        return [*self._go_on(now), *wake_at_first(self._deadline, self._retries.time)]

    def _go_on(self, now: float) -> list[Action]:
        if self.local.outstanding is not None:
            return [self.local.outstanding]
        if self._trained is not None:
            return [*self._swap(self._trained, now), *self._mix_if_complete()]
        return self._train_on()

    def training_finished(self, update: Update, now: float) -> list[Action]:
        self.local.finish(update)
        self._trained = self.local.trained(update)
        if self._patience is not None:
            self._skip_ahead()
        return [*self._swap(self._trained, now), *self._mix_if_complete()]

    def receive(self, message: Message, now: float) -> list[Action]:
        if message.kind is not Kind.MODEL or message.sender not in self._mixing_row or message.sender == self.peer_id:
            raise RemoteProtocolError(
                f"peer {self.peer_id} expects models of its neighbors, got a {message.kind} from peer {message.sender}"
            )
        last = self.local.work.num_rounds - 1
        if self._patience is None:  # then nobody goes on without this peer's weights
            last = min(last, self.round + 1)
        if message.round > last:
            raise RemoteProtocolError(
                f"peer {message.sender} cannot be in round {message.round}: round {last} is the last possible one"
            )
        self.local.received(message)
        if message.round < self.round:
            return []
        self._received.setdefault(message.round, {}).setdefault(message.sender, message)
        if len(self._received) > 1 + _MAX_AHEAD:
            self._forget_rounds()
        return self._mix_if_complete()

    def wake(self, now: float) -> list[Action]:
        # A neighbor may still need a round that we have mixed; two rounds later it cannot, or has skipped it.
        actions = self._retries.due(now, lambda message: message.round >= self.round - 1)
        if self._deadline is not None and now >= self._deadline:
            actions += self._mix()
        return [*actions, *wake_at_first(self._deadline, self._retries.time)]

    def send_failed(self, message: Message, now: float) -> list[Action]:
        self._retries.add(message, now)
        return wake_at_first(self._deadline, self._retries.time)

    def _train_on(self) -> list[Action]:
        self.finished = self.round >= self.local.work.num_rounds
        return [] if self.finished else [self.local.train()]

    def _skip_ahead(self) -> None:
        self.round = max([self.round, *self._received])
        self._forget_rounds()

    def _forget_rounds(self) -> None:
        """Keep this round and the newest ones."""
        ahead = sorted(round for round in self._received if round > self.round)[-_MAX_AHEAD:]
        self._received = {round: self._received[round] for round in (self.round, *ahead) if round in self._received}

    def _swap(self, trained: Mapping[str, Vector], now: float) -> list[Action]:
        vectors = encoded(trained)
        if self._patience is not None:
            self._deadline = now + self._patience
        num_examples, degree = self.local.work.num_examples, len(self._neighbors)
        sends = [
            # By position: reading keywords takes as long as making the message.
            Send(Message(self.peer_id, neighbor, Kind.MODEL, self.round, None, vectors, num_examples, 1.0, degree))
            for neighbor in self._neighbors
        ]
        return [*sends, *wake_at_first(self._deadline, self._retries.time)]

    def _mix_if_complete(self) -> list[Action]:
        """Mix as soon as one's own training and the messages of all neighbors are there."""
        if self._trained is None:
            return []
        return self._mix() if len(self._received.get(self.round, ())) == len(self._neighbors) else []

    def _mix(self) -> list[Action]:
        answers = self._received.pop(self.round, {})
        trained = self._trained or {}
        self.local.replace({name: self._mixed(name, own, answers) for name, own in trained.items()})
        self._trained, self._deadline = None, None
        self.round += 1
        return self._train_on()

    def _mixed(self, name: str, own: Vector, answers: Mapping[PeerId, Message]) -> Vector:
        contributions: list[Contribution] = []
        mine, silent = 0, 0.0
        for peer_id, share in self._mixing_row.items():  # node order, never the order of arrival
            if peer_id == self.peer_id:
                mine = len(contributions)
                contributions.append(Contribution(peer_id, own, share, self.local.work.num_examples))
                continue
            answer = answers.get(peer_id)
            theirs = None if answer is None else answer.vectors.get(name)
            if answer is None or theirs is None or theirs.size != own.size:
                silent += share
            else:
                contributions.append(Contribution(peer_id, decompress(theirs), share, answer.num_examples))
        if silent:
            contributions[mine] = contributions[mine]._replace(mixing_weight=self._mixing_row[self.peer_id] + silent)
        return self._aggregator(contributions)

    def snapshot(self) -> Snapshot:
        values = {"round": self.round, "finished": self.finished, "deadline": self._deadline}
        received = {str(round): snapshot_of_messages(answers) for round, answers in self._received.items()}
        parts = {
            "local": self.local.snapshot(),
            "trained": (self._trained or {}, {"is_there": self._trained is not None}),
            "received": compose({}, received),
            "retries": self._retries.snapshot(),
        }
        return compose(values, parts)

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        self.local.restore(part("local", snapshot))
        self._retries.restore(part("retries", snapshot))
        self.round, self.finished, self._deadline = values["round"], values["finished"], values["deadline"]
        trained, state = part("trained", snapshot)
        self._trained = {name: frozen(vector) for name, vector in trained.items()} if state["is_there"] else None
        received = part("received", snapshot)
        self._received = {int(round): messages_of_snapshot(part(round, received)) for round in received[1]}
