"""Training alone: the lower bound of a comparison (each peer its own shard) and the upper one (one peer, all data)."""

from gossipfl.actions import Action, Update
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Message
from gossipfl.peers.model_peer import ModelPeer
from gossipfl.snapshot import Snapshot
from gossipfl.topology import Neighbors


class LocalOnlyPeer(ModelPeer):
    """A peer that trains its rounds and never talks."""

    def start(self, now: float) -> list[Action]:
        return [self.local.outstanding] if self.local.outstanding is not None else self._train_on()

    def _go_on_from(self, update: Update, now: float) -> list[Action]:
        self.local.finish(update)
        self.local.replace({"weights": update.weights, "statistics": update.statistics})
        return self._train_on()

    def _train_on(self) -> list[Action]:
        self.round = self.local.num_jobs
        return [self.local.train()] if self._goes_on() else []

    def receive(self, message: Message, now: float) -> list[Action]:
        raise RemoteProtocolError(f"peer {self.peer_id} trains alone; peer {message.sender} sent it a {message.kind}")

    def wake(self, now: float) -> list[Action]:
        return []

    def send_failed(self, message: Message, now: float) -> list[Action]:
        return []

    def _meet(self, neighbors: Neighbors) -> None:
        """It talks to nobody."""

    def _go_on_without(self, now: float) -> list[Action]:
        return []

    def snapshot(self) -> Snapshot:
        return self._snapshot_with({}, {})
