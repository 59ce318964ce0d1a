"""The scores that a peer knows, and those that go on board of its messages."""

from gossipfl.compression import dense
from gossipfl.messages import Encoded, Message
from gossipfl.snapshot import Snapshot, read_only
from gossipfl.stopping.plan import AgreementPlan
from gossipfl.stopping.table import End, Layout
from gossipfl.weights import PeerId, Vector


class Board:
    """The `table` of one peer at a `position`, or (None) of a hub.

    Where peers wait for each other, what comes on board of a message of step t is read when step t is over, up to the
    scores of the round of that step: so what a peer knows in a step, and says in it, depends on the schedule alone.
    Elsewhere it is read at once.
    """

    def __init__(self, plan: AgreementPlan, position: int | None) -> None:
        self.table = plan.layout.empty()
        self._layout: Layout = plan.layout
        self._position = position
        self._waits = plan.known_in is not None
        self._gossip_steps = plan.gossip_steps
        self._waiting: dict[tuple[int, PeerId], Vector] = {}  # tables of others, by the step that has to be over
        self._num_read = 0  # steps whose messages are read
        self._earlier: dict[int, Vector] = {}  # the tables of steps that are over, whose messages have not left yet
        self._encoded = dense(self.table)

    @property
    def end(self) -> End | None:
        """The end of the run, where one is known."""
        return self._layout.end(self.table)

    def take(self, message: Message, theirs: Vector) -> tuple[Vector, Vector | None]:
        """Take in what came on board of a message; gives what `put_back` needs."""
        before = self.table, self._waiting.get((message.round, message.sender))
        if self._waits:
            self._waiting[message.round, message.sender] = theirs
        else:
            self.table = self._layout.merged(self.table, theirs, self._position)
        return before

    def put_back(self, message: Message, before: tuple[Vector, Vector | None]) -> None:
        """A message was refused: what came on board of it does not count."""
        self.table, waiting = before
        self._waiting.pop((message.round, message.sender), None)
        if waiting is not None:
            self._waiting[message.round, message.sender] = waiting

    def read_before(self, step: int) -> None:
        """Read what came on board of messages of earlier steps."""
        for over in range(self._num_read, step):
            self._earlier[over] = self.table
            for key in sorted(key for key in self._waiting if key[0] <= over):
                last = key[0] // self._gossip_steps
                self.table = self._layout.merged(self.table, self._waiting.pop(key), self._position, last)
        self._num_read = max(self._num_read, step)

    def of_message(self, message: Message) -> Encoded:
        """The table that goes on board of a message."""
        table = self.table
        if self._waits:
            self.read_before(message.round)
            table = self._earlier.get(message.round, self.table)
        if self._encoded.arrays["values"] is not table:
            self._encoded = dense(table)
        return self._encoded

    def all_left(self) -> None:
        """All messages of the steps that are over have left."""
        self._earlier.clear()

    def snapshot(self) -> Snapshot:
        waiting = {f"{step}/{sender}": table for (step, sender), table in self._waiting.items()}
        return {"own": self.table, **waiting}, {"num_read": self._num_read}

    def restore(self, snapshot: Snapshot) -> None:
        tables = read_only(snapshot[0])
        self.table, self._num_read = tables.pop("own"), snapshot[1]["num_read"]
        self._waiting = {}
        for name, table in tables.items():
            step, _, sender = name.partition("/")
            self._waiting[int(step), sender] = table
