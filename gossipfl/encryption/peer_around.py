"""A peer around another one whose messages it changes on their way, and whose protocol it leaves as it is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from gossipfl.actions import Action, Job, Outcome
from gossipfl.messages import Message
from gossipfl.peers import ModelPeer, Standing
from gossipfl.snapshot import Snapshot
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId, Vector


class PeerAround(ABC):
    """A `Peer` that is what its `inner` one is, but for the messages."""

    def __init__(self, inner: ModelPeer) -> None:
        self.inner = inner

    @property
    def peer_id(self) -> PeerId:
        return self.inner.peer_id

    @property
    def value(self) -> Vector:
        return self.inner.value

    @property
    def standing(self) -> Standing | None:
        return self.inner.standing

    @property
    def num_rounds(self) -> int:
        return self.inner.num_rounds

    @property
    def round(self) -> int:
        return self.inner.round

    @property
    def rounds_done(self) -> int:
        return self.inner.rounds_done

    @property
    def finished(self) -> bool:
        return self.inner.finished

    @property
    def is_drained(self) -> bool:
        return self.inner.is_drained

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        return self.inner.awaits

    @property
    def num_open(self) -> int:
        return self.inner.num_open

    @property
    def outstanding(self) -> Job | None:
        return self.inner.outstanding

    def start(self, now: float) -> list[Action]:
        return self._carried(self.inner.start(now))

    @abstractmethod
    def receive(self, message: Message, now: float) -> list[Action]: ...

    def completed(self, outcome: Outcome, now: float) -> list[Action]:
        return self._carried(self.inner.completed(outcome, now))

    def wake(self, now: float) -> list[Action]:
        return self._carried(self.inner.wake(now))

    def send_failed(self, message: Message, now: float) -> list[Action]:
        return self._carried(self.inner.send_failed(message, now))

    def neighbors_changed(self, neighbors: Neighbors, now: float) -> list[Action]:
        return self._carried(self.inner.neighbors_changed(neighbors, now))

    @abstractmethod
    def _carried(self, actions: Sequence[Action]) -> list[Action]:
        """The actions for what the inner peer wants, with other vectors in what it sends."""

    @abstractmethod
    def snapshot(self) -> Snapshot: ...

    @abstractmethod
    def restore(self, snapshot: Snapshot) -> None: ...
