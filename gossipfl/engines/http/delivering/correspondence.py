"""All that passes between a peer and one neighbor, as a state machine: no socket, no task and no clock.

What happens is told by calling a method, the time being an argument; what is to be done about it is fetched with
`drain`. Whoever hosts it does that, tells what came of it, and wakes it at `wake_at`. These are its laws:

* **What was said is kept.** A message is `undelivered` from `note` until it has arrived and its answer is on disk, or
  until the peer has taken back that it failed (`forget`). A checkpoint holds what is undelivered. Nothing of it leaves
  before `send`, which is for when it is on disk.
* **One after the other.** Of parcels one is on its way at a time, and the next leaves when the answer to the one before
  is on disk: what does not fail arrives in the order in which it was sent.
* **Every delivery has a counter of its own,** retries included, and is addressed to one life of the neighbor: it is
  taken in once at most, however often the network repeats it.
* **What is fetched is kept until it is confirmed:** every poll is answered with the oldest parcel, until an envelope of
  the neighbor says that a delivery of that parcel was taken in.
* **One that cannot be reached is left alone,** for pauses that double, and is tried again for ever. Meanwhile messages
  fail at once, so that the peer may turn to others, and goodbyes wait. Whatever is heard of it ends the pause.
* **A goodbye is said until it has arrived,** to every life of a neighbor that left; but one that has said its own is
  gone after `GONE_AFTER` tries, until something is heard of it.
* **To one that is revoked nothing is said.**
"""

from collections import Counter, deque
from collections.abc import Callable, Hashable
from itertools import islice
from math import inf
from typing import Literal, TypeAlias

from gossipfl.engines.http.delivering.asks import Ask, Fail, Meet, Post, TakeIn, Tell
from gossipfl.engines.http.delivering.hatch import Hatch
from gossipfl.engines.http.delivering.letters import GOODBYES, Answer, Letter, NotTaken, Parcel, Traffic
from gossipfl.engines.http.delivering.line import Line, Pause
from gossipfl.engines.http.wire.envelope import Envelope, Purpose
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.engines.http.wire.refusals import REASONS
from gossipfl.messages import Message
from gossipfl.weights import PeerId

Contact: TypeAlias = Literal["unknown", "reachable", "unreachable", "finished", "left", "revoked"]

MAX_TRIES = 4
"""Tries of one delivery, for reasons that a further one can mend: a new session, a busy neighbor. Goodbyes have no
limit."""

FIRST_PAUSE = 0.1
"""Seconds for which a neighbor that cannot be reached is left alone; each further pause is twice as long, up to
`Limits.max_backoff`."""

GONE_AFTER = 8
"""Failures in a row (some 15 s) after which a neighbor that has said goodbye is taken to be gone. Higher: one that was
killed has more time to be resumed and hear our goodbye, at the expense of ending later when it has heard it and only
its answer was lost."""

POLLS_PER_SECOND = 10
"""Polls at most, of a neighbor that has nothing and does not wait until it has."""

_MENDED = {"other_session", "too_many_requests", "not_ready"}
"""Reasons for which a further try is worth while."""


class Correspondence:
    """The correspondence with the neighbor `name` at `url`, which is None when it cannot be reached and polls.

    `polls` is True when this peer cannot be reached, and asks for what waits for it. `jitter` gives numbers from 0.5 to
    1, by which pauses are multiplied.
    """

    def __init__(self, name: PeerId, limits: Limits, jitter: Callable[[], float], *, polls: bool = False) -> None:
        self.name = name
        self.url: str | None = None
        self.contact: Contact = "unknown"
        self.session = ""
        """The neighbor's present life, as far as known."""
        self.last_contact: float | None = None
        """When it was last heard."""
        self.is_of_this_run: bool | None = None
        """False when it has refused us as of another run, until it takes or says anything; None before it has said."""
        self.traffic = Traffic()
        self.refusals: Counter[str] = Counter()
        """What it refused of ours, by reason."""
        self.parcels: deque[Parcel] = deque()
        """The outbox: what may leave, oldest first; it stays here while it is on its way."""
        self.undelivered: dict[Parcel, None] = {}
        """Messages, in the order in which they were said."""
        self.was_told = False
        """True if our goodbye has arrived."""
        self._limits = limits
        self._jitter = jitter
        self._polls = polls
        self._received = 0  # highest counter of what came in its answers in this life of it, and was taken in
        self._to_confirm = 0  # counter of its goodbye, where that came in an answer
        self._counter = 0  # of our last letter
        self._pause: Pause | None = None
        self._outgoing = Line()
        self._polling = Line()
        self._hatch = Hatch()
        self._asks: list[Ask] = []

    # What is to be done

    def drain(self, now: float) -> list[Ask]:
        """The things to be done by now, in this order; everything is asked for once."""
        if self._hatch.poll is not None and (self.parcels or self._hatch.until <= now):
            self._asks.append(self._hatch.hand(self.letter(self.parcels[0]) if self.parcels else None))
        if self._polling.open_at <= now:
            self._set_out(self._polling, self._polling.parcel or Parcel(Purpose.POLL), now)
        if self._outgoing.open_at <= now:
            if self._outgoing.parcel is None and self._pause is not None and now < self._pause.until:
                self._fail_messages()
            elif (parcel := self._outgoing.parcel or next(iter(self.parcels), None)) is not None:
                self._set_out(self._outgoing, parcel, now)
        asks, self._asks = self._asks, []
        return asks

    @property
    def wake_at(self) -> float:
        """The time to `drain` again if nothing happens before; infinite for never."""
        outgoing = self._outgoing.open_at
        if self._outgoing.parcel is None:
            outgoing = inf if self._pause is None or not self.parcels else max(outgoing, self._pause.until)
        return min(outgoing, self._polling.open_at, self._hatch.until)

    # What the peer does

    def begin(self, now: float) -> None:
        """Let parcels leave from now on; before, they are only fetched."""
        if self.url is not None:
            self._outgoing.open_at = now
            if self._polls:
                self._polling.open_at = now

    def note(self, message: Message) -> Parcel:
        """A parcel for a message that the peer has said; `send` it when it is on disk."""
        parcel = Parcel(Purpose.MESSAGE, message)
        self.undelivered[parcel] = None
        return parcel

    def send(self, parcel: Parcel) -> None:
        """Let a message leave. A neighbor that takes them more slowly than they are said gets the newest ones."""
        if self.contact == "revoked":  # since the checkpoint in which it was said
            self._asks.append(Fail(parcel))
            return
        self.parcels.append(parcel)
        if len(self.parcels) > self._limits.outbox_messages:
            # The first one may be on its way.
            oldest = next(waiting for waiting in islice(self.parcels, 1, None) if waiting.message is not None)
            self.parcels.remove(oldest)
            self._asks.append(Fail(oldest))

    def forget(self, parcel: Parcel) -> None:
        """The peer has taken back a message that has failed."""
        self.undelivered.pop(parcel, None)

    def say_finished(self) -> None:
        """Say goodbye, if that is still to be said; one that has come is taken in before, so that ours confirms it."""
        if self.was_told or self.is_gone or self._received < self._to_confirm:
            return
        if all(parcel.purpose not in GOODBYES for parcel in self.parcels):
            self.parcels.append(Parcel(Purpose.FINISHED))

    def leave(self, now: float) -> None:
        """Stop all that is under way; the last word in this life is that this peer leaves."""
        self.end()
        if self.url is None:
            self.parcels.appendleft(Parcel(Purpose.LEAVING))  # for a poll that waits
        elif self.session:
            self._outgoing = Line(now, Parcel(Purpose.LEAVING))

    def end(self) -> None:
        """Let nothing leave from now on."""
        self._outgoing, self._polling = Line(), Line()

    @property
    def is_leaving(self) -> bool:
        """True if the last word is on its way."""
        return self._outgoing.parcel is not None and self._outgoing.parcel.purpose is Purpose.LEAVING

    def revoke(self) -> None:
        """It is shut out of the run: there is nothing to say to it, and nothing to hear."""
        self.contact, self.was_told = "revoked", True

    # What comes of letters

    def met(self, session: str, now: float, parcel: Parcel | None = None) -> None:
        """The neighbor has told its session: the parcel that waits for it can be addressed."""
        self._heard(session, now)
        self.is_of_this_run = self.is_of_this_run or None  # it was of another before, such as one that only measured
        if parcel is not None:
            self._line_of(parcel).reopen(parcel, now)

    def not_met(self, said: NotTaken) -> None:
        """The neighbor does not tell its session."""
        if said.reason == "other_run" and self.is_of_this_run is None:
            self.is_of_this_run = False  # one that was of this run has begun another, which does not count

    def responded(self, letter: Letter, session: str, size: int, now: float) -> None:
        """An answer to a letter with a body of `size` bytes begins; `session` is "" when it does not tell one."""
        if session:
            self._heard(session, now)
        if letter.parcel.message is not None:
            self.traffic = self.traffic.and_sent(size)

    def arrived(self, parcel: Parcel, answer: Answer | None, now: float) -> None:
        """A parcel was taken; that came back."""
        self.is_of_this_run = True
        self._was_heard(parcel)
        self._discard(parcel)
        if answer is None:
            self._settle(parcel, now, self._line_of(parcel).began + 1 / POLLS_PER_SECOND)
            return
        if answer.message is not None:
            self.traffic = self.traffic.and_received(answer.envelope.size)
        elif answer.envelope.purpose in GOODBYES:
            self.was_told = False  # it waits to hear that its goodbye has arrived, and our next one will tell it
            if answer.envelope.session == self.session:
                self._to_confirm = answer.envelope.counter
            self._take_goodbye(answer.envelope.purpose)
        self._asks.append(TakeIn(parcel, answer))

    def taken_in(self, parcel: Parcel, answer: Answer, now: float) -> None:
        """Note that what came back is on disk; the next letter tells that it has arrived."""
        if answer.envelope.session == self.session:
            self._received = max(self._received, answer.envelope.counter)
        self._settle(parcel, now, now)

    def not_taken(self, parcel: Parcel, said: NotTaken, now: float) -> bool:
        """The neighbor did not take a parcel; False when it will be tried again, since that may mend it."""
        self.not_met(said)
        line = self._line_of(parcel)
        is_early = line.num_tries < MAX_TRIES
        may_be_mended = said.reason in _MENDED and (is_early or parcel.purpose in GOODBYES)
        if line.parcel is parcel and self.session and may_be_mended:
            line.reopen(parcel, now if is_early and said.reason == "other_session" else now + said.delay)
            return False
        if parcel.purpose is not Purpose.POLL:
            # The neighbor gives the reason; it could make up any number of them.
            self.refusals[said.reason if said.reason in REASONS else "other"] += 1
            self._was_heard(parcel)
            if self._discard(parcel) and parcel.message is not None:
                self._asks.append(Fail(parcel))
        self._free(parcel, now, now + self._jitter())
        return True

    def unreachable(self, parcel: Parcel, now: float) -> None:
        """A parcel may not have arrived. The neighbor is left alone for a while; what waits for it has failed, but a
        goodbye is said when it is back."""
        if parcel.purpose is not Purpose.LEAVING:
            longest = min(FIRST_PAUSE * 2.0 ** min(self.num_failures, 30), self._limits.max_backoff)
            self._pause = Pause(self.num_failures + 1, now + longest * self._jitter())
            if self.contact == "reachable":  # what was never reached before was not lost
                self._become("unreachable")
            if self.is_gone:
                self.parcels = deque(waiting for waiting in self.parcels if waiting.purpose not in GOODBYES)
            self._fail_messages()
        self._free(parcel, now, now if self._pause is None else self._pause.until)

    # What the neighbor does

    def came(self, envelope: Envelope, now: float) -> None:
        """A request that is in order has come."""
        self._heard(envelope.session, now)
        self.is_of_this_run = True
        self._confirmed(envelope.received)
        if envelope.purpose is Purpose.MESSAGE:
            self.traffic = self.traffic.and_received(envelope.size)
        elif envelope.purpose in GOODBYES:
            self._take_goodbye(envelope.purpose)

    def polled(self, poll: Hashable, now: float) -> None:
        """It asks for what waits for it, and waits for the answer to `poll`."""
        self._asks += self._hatch.open(poll, now + self._limits.poll_seconds)

    def letter(self, parcel: Parcel) -> Letter:
        """A new delivery of a parcel."""
        self._counter += 1
        return Letter(parcel, self.name, self.session, self._counter, self._received)

    def rode(self, parcel: Parcel, size: int, is_written: bool) -> None:
        """Note that what rode in an answer, with a body of `size` bytes, has left or has to go another way."""
        if parcel.message is not None:
            self.traffic = self.traffic.and_sent(size)
        if self.url is None:
            return  # its next envelope confirms the arrival
        if is_written or len(self.parcels) >= self._limits.outbox_messages:
            self.undelivered.pop(parcel, None)  # if it got lost, the neighbor asks again
        else:
            self.parcels.append(parcel)

    # How it stands

    @property
    def num_failures(self) -> int:
        """Failed deliveries in a row."""
        return 0 if self._pause is None else self._pause.num_failures

    @property
    def said_goodbye(self) -> bool:
        return self.contact in ("finished", "left", "revoked")

    @property
    def is_gone(self) -> bool:
        """True if it has said goodbye and cannot be reached, so that ours will not arrive any more."""
        return self.said_goodbye and self.num_failures >= GONE_AFTER

    @property
    def is_settled(self) -> bool:
        """True if there is nothing more to say: it is revoked, has left, or has finished and knows that we have."""
        return self.contact in ("left", "revoked") or (self.contact == "finished" and (self.was_told or self.is_gone))

    def restore(self, traffic: Traffic, *, has_finished: bool, was_told: bool) -> None:
        """Go on from what an earlier life of this peer knew of the neighbor."""
        self.traffic = traffic
        self.was_told |= was_told
        if traffic.received:
            self.is_of_this_run = True
        if has_finished:
            self._take_goodbye(Purpose.FINISHED)

    def _heard(self, session: str, now: float) -> None:
        """It is alive, in the life `session`. One that had left and was resumed is back; one that has finished stays
        so in all its lives, because that was on its disk before it said so."""
        is_back = self.contact == "left" and session != self.session
        if session != self.session:
            self.session, self._received, self._to_confirm = session, 0, 0
        self.last_contact = now
        self._pause = None
        if self.contact == "unreachable" or is_back:
            self._become("reachable")
        elif self.contact == "unknown":
            self.contact = "reachable"
        if is_back:
            self.was_told = False

    def _confirmed(self, received: int) -> None:
        """One that polls says which was the last letter that it has taken in."""
        parcel = self._hatch.confirmed(received)
        if parcel is not None:
            self._discard(parcel)
            self.undelivered.pop(parcel, None)
            self.was_told |= parcel.purpose in GOODBYES

    def _was_heard(self, parcel: Parcel) -> None:
        """Where a goodbye has to confirm another, one that left before does not count."""
        self.was_told |= parcel.purpose in GOODBYES and self._outgoing.received >= self._to_confirm

    def _take_goodbye(self, purpose: Purpose) -> None:
        """It has finished, or leaves, which is its last word in a life."""
        if self.contact in ("left", "revoked"):
            return
        if purpose is Purpose.FINISHED:
            self.contact = "finished"
        else:
            self._become("left")

    def _become(self, contact: Literal["reachable", "unreachable", "left"]) -> None:
        self.contact = contact
        self._asks.append(Tell(contact))

    # Lines

    def _line_of(self, parcel: Parcel) -> Line:
        return self._polling if parcel.purpose is Purpose.POLL else self._outgoing

    def _set_out(self, line: Line, parcel: Parcel, now: float) -> None:
        line.set_out(parcel, now)
        if self.session:
            line.num_tries += 1
            line.received = self._received
            self._asks.append(Post(self.letter(parcel)))
        else:
            self._asks.append(Meet(parcel))

    def _settle(self, parcel: Parcel, now: float, polls_again_at: float) -> None:
        self.undelivered.pop(parcel, None)
        self._free(parcel, now, polls_again_at)

    def _free(self, parcel: Parcel, now: float, polls_again_at: float) -> None:
        """The line of a parcel is free for the next one."""
        self._outgoing.free(parcel, now)
        self._polling.free(parcel, polls_again_at)
        if parcel.purpose is Purpose.LEAVING:
            self.end()

    def _discard(self, parcel: Parcel) -> bool:
        """Let a parcel no longer wait; False when it was given up while it was on its way."""
        if parcel not in self.parcels:
            return False
        self.parcels.remove(parcel)
        return True

    def _fail_messages(self) -> None:
        self._asks += [Fail(parcel) for parcel in self.parcels if parcel.message is not None]
        self.parcels = deque(parcel for parcel in self.parcels if parcel.message is None)
