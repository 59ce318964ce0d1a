"""Two correspondences over a network that loses, doubles and reorders, in simulated time, with the real gate.

Each end has a peer that says some messages, repeats those that have failed, and says goodbye when all have arrived; and
a disk, from which it is resumed after it was killed. What it confirms is on that disk, and what it says was, before.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gossipfl.engines.http.delivering.asks import Ask, Fail, Hand, Meet, Post, TakeIn
from gossipfl.engines.http.delivering.correspondence import Correspondence
from gossipfl.engines.http.delivering.letters import Answer, Letter, NotTaken, Parcel, Traffic
from gossipfl.engines.http.delivering.sealing import Sealer
from gossipfl.engines.http.trust.gate import Gate
from gossipfl.engines.http.wire.envelope import Envelope, Purpose, Sealed
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.engines.http.wire.offloading import Offloading
from gossipfl.engines.http.wire.refusals import Refusal
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.messages import Kind, Message, VectorSchema

FACTS = RunFacts({"run": 1}, {"weights": VectorSchema(10)}, 10)
TIMEOUT, POLL_TIMEOUT = 2.0, 7.0
REPEAT_SECONDS = 0.5
LINGER = 60.0
"""How long an end that is done waits for the other's goodbye: one that polls and has just gone may not know that the
end which it leaves was resumed, and has to hear it in this life."""
SIZE = 40


@dataclass
class Network:
    """Until `calm_at` it loses a message (and then an answer) with probability `loss`, delays it by up to `delay`
    seconds, and brings a request twice with probability `doubles`; later it is perfect."""

    seed: int
    loss: float = 0.0
    delay: float = 0.0
    doubles: float = 0.0
    calm_at: float = 20.0
    limits: Limits = field(default_factory=lambda: Limits(poll_seconds=5.0, max_backoff=2.0))
    now: float = 0.0
    ends: "dict[str, End]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._generator = np.random.default_rng(self.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._num_events = 0

    def at(self, time: float, happens: Callable[[], None]) -> None:
        self._num_events += 1
        heapq.heappush(self._events, (time, self._num_events, happens))

    def bring(self, what: Callable[[], None], *, twice: bool = False) -> None:
        """Let a message arrive some time, or never."""
        calm = self.now >= self.calm_at
        times = 2 if twice and not calm and self._generator.random() < self.doubles else 1
        for _ in range(times):
            delay = 0.001 if calm else 0.001 + self._generator.uniform(0, self.delay)
            if calm or self._generator.random() >= self.loss:
                self.at(self.now + delay, what)

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, happens = heapq.heappop(self._events)
            happens()


@dataclass
class Disk:
    """What a checkpoint holds: of the peer, and of its correspondence."""

    num_said: int = 0
    received: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    undelivered: list[int] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)
    has_finished: bool = False
    was_told: bool = False


class End:
    """The peer `name`, whose neighbor is `other`; it says `num_messages`, one every `pace` seconds."""

    def __init__(
        self, network: Network, name: str, other: str, num_messages: int, pace: float, *, polls: bool, is_polled: bool
    ) -> None:
        self.network, self.name, self.other = network, name, other
        self.num_messages, self.pace = num_messages, pace
        self.polls, self.is_polled = polls, is_polled
        self.disk = Disk()
        self.life = 0
        self.is_over = False
        self.has_lingered = False
        self.may_linger = False
        self.busy_until = 0.0
        """When it has no other neighbors to wait for."""
        self.done_at: float | None = None
        self.taken: list[tuple[int, int]] = []
        """Incarnation and counter of each letter of the other end that was taken in, in a request or an answer."""
        network.ends[name] = self
        self.live()

    def live(self) -> None:
        """Begin the next life, from what is on the disk."""
        self.life += 1
        self.done_at = None
        session = f"{self.name}{self.life}".encode().hex().ljust(32, "0")
        self.gate = Gate(FACTS, self.name, session, [self.other])
        self.sealer = Sealer(self.gate, self.life, None, Offloading())
        self.correspondence = Correspondence(self.other, self.network.limits, lambda: 1.0, polls=self.polls)
        self.correspondence.url = None if self.is_polled else self.other
        disk = self.disk
        self.num_said, self.received, self.failed = disk.num_said, list(disk.received), list(disk.failed)
        self.correspondence.restore(disk.traffic, has_finished=disk.has_finished, was_told=disk.was_told)
        for round in disk.undelivered:
            self.correspondence.send(self.correspondence.note(self.message(round)))
        self.correspondence.begin(self.network.now)
        self.later(max(0.0, self.busy_until - self.network.now), lambda: None)
        self.later(self.pace, self.say)
        self.later(REPEAT_SECONDS, self.repeat)
        self.carry_on()

    def is_killed(self) -> None:
        """What one that polls has heard of goodbyes, and confirms when it ends, is forgotten when either is killed."""
        if not self.is_over:
            for end in self.network.ends.values():
                end.may_linger |= end.is_polled and not self.network.ends[end.other].is_over
            self.live()

    def later(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let something happen in this life."""
        life = self.life

        def unless_killed() -> None:
            if self.life == life and not self.is_over:
                happens()
                self.carry_on()

        self.network.at(self.network.now + seconds, unless_killed)

    def commit(self) -> None:
        b = self.correspondence
        undelivered = [parcel.message.round for parcel in b.undelivered if parcel.message is not None]
        self.disk = Disk(
            self.num_said,
            list(self.received),
            list(self.failed),
            undelivered,
            b.traffic,
            b.contact == "finished",
            b.was_told,
        )

    # The peer

    def message(self, round: int) -> Message:
        return Message(self.name, self.other, Kind.MODEL, round)

    def send(self, rounds: list[int]) -> None:
        parcels = [self.correspondence.note(self.message(round)) for round in rounds]
        self.commit()
        for parcel in parcels:
            self.correspondence.send(parcel)

    def say(self) -> None:
        if self.num_said < self.num_messages:
            self.num_said += 1
            self.send([self.num_said])
            self.later(self.pace, self.say)

    def repeat(self) -> None:
        failed, self.failed = self.failed, []
        self.send(failed)
        self.later(REPEAT_SECONDS, self.repeat)

    def take(self, envelope: Envelope, message: Message) -> None:
        self.taken.append((envelope.incarnation, envelope.counter))
        if message.round not in self.received:
            self.received.append(message.round)
        self.commit()

    # Its host

    def carry_on(self) -> None:
        network, b = self.network, self.correspondence
        while asks := b.drain(network.now) or self.say_goodbye():
            for ask in asks:
                match ask:
                    case Meet():
                        self.ask(ask.parcel, lambda end, answer: answer(end.gate.session), TIMEOUT)
                    case Post():
                        self.post(ask.letter)
                    case TakeIn():
                        if ask.answer.message is not None:
                            self.take(ask.answer.envelope, ask.answer.message)
                        self.commit()
                        b.taken_in(ask.parcel, ask.answer, network.now)
                    case Fail():
                        assert ask.parcel in b.undelivered
                        b.forget(ask.parcel)
                        assert ask.parcel.message is not None
                        self.failed.append(ask.parcel.message.round)
                    case Hand():
                        ask.poll(ask.letter and self.answer_with(ask.letter))
        if b.wake_at < float("inf") and not self.is_over:
            self.later(max(0.0, b.wake_at - network.now), lambda: None)

    def say_goodbye(self) -> list[Ask]:
        """What is to be done when all is done."""
        b = self.correspondence
        if self.num_said == self.num_messages and not self.failed and not b.undelivered:
            self.commit()
            b.say_finished()
            if self.done_at is None:
                self.done_at = self.network.now
                self.later(LINGER, lambda: None)
            self.has_lingered |= not b.is_settled and self.network.now >= self.done_at + LINGER
            self.is_over = (b.is_settled or self.has_lingered) and self.network.now >= self.busy_until
        return b.drain(self.network.now)

    def ask(self, parcel: Parcel, request: "Callable[[End, Callable[[object], None]], None]", seconds: float) -> None:
        """Send a request, and tell the correspondence what comes of it: once, and in this life only."""
        network, life, told = self.network, self.life, []

        def once(happens: Callable[[], None]) -> None:
            if not told and self.life == life and not self.is_over:
                told.append(True)
                happens()
                self.carry_on()

        def answer(what: object) -> None:
            network.bring(lambda: once(lambda: self.answered(parcel, what)))

        def arrive() -> None:
            other = network.ends[self.other]
            if not other.is_over:
                request(other, answer)
                other.carry_on()

        network.bring(arrive, twice=True)
        network.at(network.now + seconds, lambda: once(lambda: self.correspondence.unreachable(parcel, network.now)))

    def post(self, letter: Letter) -> None:
        envelope = self.sealer.envelope(letter, 0 if letter.parcel.message is None else SIZE)
        waiting = POLL_TIMEOUT if letter.parcel.purpose is Purpose.POLL else TIMEOUT

        def request(other: "End", answer: Callable[[object], None]) -> None:
            session = other.gate.session
            other.serve(envelope, letter.parcel.message, lambda what: answer((letter, session, what)))

        self.ask(letter.parcel, request, waiting)

    def answered(self, parcel: Parcel, what: object) -> None:
        b, now = self.correspondence, self.network.now
        if isinstance(what, str):
            b.met(what, now, parcel)
            return
        letter, session, told = what
        b.responded(letter, session, SIZE, now)
        if isinstance(told, NotTaken):
            b.not_taken(parcel, told, now)
        elif told is None:
            b.arrived(parcel, None, now)
        else:
            try:
                envelope = self.gate.admit(Sealed(told[0].line()), told[0].size, self.other)
                b.arrived(parcel, Answer(envelope, told[1]), now)
            except Refusal:
                b.arrived(parcel, None, now)

    def serve(self, sent: Envelope, message: Message | None, answer: Callable[[object], None]) -> None:
        try:
            envelope = self.gate.admit(Sealed(sent.line()), sent.size, self.other)
        except Refusal as refusal:
            answer(NotTaken(refusal.reason, delay=1.0))
            return
        self.correspondence.came(envelope, self.network.now)
        if message is not None:
            self.take(envelope, message)
        self.commit()
        if self.is_polled and envelope.purpose is Purpose.POLL:
            self.correspondence.polled(answer, self.network.now)
            return
        answer(None)

    def answer_with(self, letter: Letter) -> tuple[Envelope, Message | None]:
        return self.sealer.envelope(letter, 0 if letter.parcel.message is None else SIZE), letter.parcel.message
