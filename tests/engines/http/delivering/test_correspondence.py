"""What always holds of a correspondence, whatever happens in whatever order; conversations are in transcripts."""

from hypothesis import given
from hypothesis import strategies as st

from gossipfl.engines.http.delivering.asks import Ask, Fail, Meet, Post, TakeIn, Tell
from gossipfl.engines.http.delivering.correspondence import Correspondence
from gossipfl.engines.http.delivering.letters import Answer, NotTaken, Parcel
from gossipfl.engines.http.wire.envelope import Envelope, Purpose
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.messages import Kind, Message

HAPPENINGS = ("say", "arrive", "answer", "refuse", "busy", "lose", "hear", "finish", "leave", "resume", "poll", "told")
happenings = st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.floats(0.0, 3.0)), max_size=60)
kinds = st.sampled_from(["both can be reached", "a polls", "b polls"])


class Life:
    """A correspondence to which anything happens; all that is under way, and all that it has asked for."""

    def __init__(self, kind: str) -> None:
        self.b = Correspondence("b", Limits(outbox_messages=3, poll_seconds=2.0), lambda: 1.0, polls=kind == "a polls")
        self.b.url = None if kind == "b polls" else "http://b"
        self.now, self.life, self.num_said = 0.0, 1, 0
        self.under_way: list[Ask] = []
        self.asked: list[Ask] = []
        self.b.begin(self.now)
        self.drain()

    def happens(self, what: str, pause: float) -> None:
        while self.b.wake_at <= self.now + pause:
            self.now = max(self.now, self.b.wake_at)
            self.drain()
            assert self.b.wake_at > self.now  # else its host would never rest
        self.now += pause
        getattr(self, what)()
        self.drain()

    def drain(self) -> None:
        for ask in self.b.drain(self.now):
            self.asked.append(ask)
            if isinstance(ask, Meet | Post | TakeIn | Fail):
                self.under_way.append(ask)

    def envelope(self, purpose: Purpose) -> Envelope:
        size = 10 if purpose is Purpose.MESSAGE else 0
        return Envelope(purpose, "", "", "b", self.life, f"B{self.life}", "a", "", 1, self.b._counter, size, "-")

    def first(self, *kinds: type) -> Parcel | None:
        """What has been under way longest, and is now no longer."""
        for ask in self.under_way:
            if isinstance(ask, kinds):
                self.under_way.remove(ask)
                if isinstance(ask, Post):
                    self.b.responded(ask.letter, f"B{self.life}", 10, self.now)
                return ask.letter.parcel if isinstance(ask, Post) else ask.parcel
        return None

    # What may happen

    def say(self) -> None:
        self.num_said += 1
        self.b.send(self.b.note(Message("a", "b", Kind.MODEL, self.num_said)))

    def arrive(self, answer: Answer | None = None) -> None:
        if (parcel := self.first(Post)) is not None:
            self.b.arrived(parcel, answer, self.now)

    def answer(self) -> None:
        self.arrive(Answer(self.envelope(Purpose.MESSAGE), Message("b", "a", Kind.REPLY)))

    def refuse(self, reason: str = "against_protocol") -> None:
        if (parcel := self.first(Meet, Post)) is not None:
            self.b.not_taken(parcel, NotTaken(reason), self.now)

    def busy(self) -> None:
        self.refuse("too_many_requests")

    def lose(self) -> None:
        for ask in self.under_way:
            if isinstance(ask, Meet | Post):
                self.under_way.remove(ask)
                self.b.unreachable(ask.parcel if isinstance(ask, Meet) else ask.letter.parcel, self.now)
                break

    def hear(self, purpose: Purpose = Purpose.MESSAGE) -> None:
        self.b.came(self.envelope(purpose), self.now)
        for ask in [ask for ask in self.under_way if isinstance(ask, Meet)]:
            self.under_way.remove(ask)
            self.b.met(f"B{self.life}", self.now, ask.parcel)

    def finish(self) -> None:
        self.hear(Purpose.FINISHED)
        self.b.say_finished()

    def leave(self) -> None:
        self.hear(Purpose.LEAVING)

    def resume(self) -> None:
        self.life += 1
        self.hear()

    def poll(self) -> None:
        if self.b.url is None:
            self.hear(Purpose.POLL)
            self.b.polled(object(), self.now)

    def told(self) -> None:
        """What the peer was asked to do is done."""
        for ask in [ask for ask in self.under_way if isinstance(ask, Fail | TakeIn)]:
            self.under_way.remove(ask)
            if isinstance(ask, Fail):
                self.b.forget(ask.parcel)
            else:
                self.b.taken_in(ask.parcel, ask.answer, self.now)


def lived(kind: str, steps: list[tuple[str, float]]) -> Life:
    life = Life(kind)
    for what, pause in steps:
        life.happens(what, pause)
    return life


@given(kinds, happenings)
def test_nothing_that_was_said_is_forgotten(kind, steps):
    """It waits, is under way, has failed and the peer is to be told, or has arrived or been told."""
    life = lived(kind, steps)
    undelivered = set(life.b.undelivered)
    assert {parcel for parcel in life.b.parcels if parcel.message is not None} <= undelivered
    failing = {ask.parcel for ask in life.under_way if isinstance(ask, Fail | TakeIn)}
    posted = {ask.letter.parcel for ask in life.under_way if isinstance(ask, Post)}
    assert undelivered <= set(life.b.parcels) | failing | posted


@given(kinds, happenings)
def test_one_parcel_is_on_its_way_at_a_time_and_each_letter_counts_one_more(kind, steps):
    life = lived(kind, steps)
    on_their_way = [ask for ask in life.under_way if isinstance(ask, Meet | Post | TakeIn)]
    assert len(on_their_way) <= 1 + (kind == "a polls")
    counters = [ask.letter.counter for ask in life.asked if isinstance(ask, Post)]
    assert counters == sorted(set(counters))
    assert len(life.b.parcels) <= 3 + 1  # a goodbye is one more


@given(kinds, happenings)
def test_a_failure_is_told_once(kind, steps):
    failed = [ask.parcel for ask in lived(kind, steps).asked if isinstance(ask, Fail)]
    assert len(failed) == len(set(failed))


@given(kinds, happenings)
def test_events_take_turns(kind, steps):
    """Found after lost or left, lost after found or the beginning; and the last one agrees with the contact."""
    life = lived(kind, steps)
    events = [ask.event for ask in life.asked if isinstance(ask, Tell)]
    for before, event in zip([None, *events], events, strict=False):
        if event == "reachable":
            assert before in ("unreachable", "left")
        else:
            assert before != event
    contact, last = life.b.contact, (events or ["reachable"])[-1]
    assert contact in (last, "unknown", "finished")


@given(kinds, happenings)
def test_whatever_is_heard_ends_a_pause(kind, steps):
    life = lived(kind, steps)
    life.happens("hear", 0.0)
    assert life.b.num_failures == 0
    assert life.b.contact in ("reachable", "finished", "left")


def test_one_that_was_in_another_run_and_has_begun_this_one_may_be_of_it():
    b = Correspondence("b", Limits(), lambda: 1.0)
    b.not_met(NotTaken("other_run"))
    assert b.is_of_this_run is False
    b.met("s" * 32, 1.0)
    assert b.is_of_this_run is None
