from hypothesis import given
from hypothesis import strategies as st

from gossipfl.engines.http.delivering.neighbor import Neighbor, Parcel
from gossipfl.engines.http.wire.envelope import Purpose
from gossipfl.messages import Kind, Message

SESSIONS = ("1" * 32, "2" * 32, "3" * 32)


class Observed:
    """A neighbor and the events that it told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.neighbor = Neighbor("b", "http://b", lambda neighbor, event: self.events.append(event))
        self.life = 0

    def heard(self) -> None:
        self.neighbor.heard(SESSIONS[self.life % 3], 1.0)

    def lost(self) -> None:
        self.neighbor.lost(2.0)

    def finishes(self) -> None:
        self.heard()
        self.neighbor.goodbye(Purpose.FINISHED)

    def leaves(self) -> None:
        self.heard()
        self.neighbor.goodbye(Purpose.LEAVING)

    def is_resumed(self) -> None:
        self.life += 1
        self.heard()

    def after(self, *steps: str) -> "Observed":
        for step in steps:
            getattr(self, step)()
        return self


def test_it_is_reachable_once_it_was_heard():
    assert Observed().neighbor.contact == "unknown"
    assert Observed().after("heard").neighbor.contact == "reachable"
    assert Observed().after("lost").neighbor.contact == "unknown"
    assert Observed().after("lost", "heard").events == []


def test_it_is_lost_and_found():
    observed = Observed().after("heard", "lost", "lost")
    assert observed.neighbor.contact == "unreachable"
    assert observed.events == ["unreachable"]
    assert observed.neighbor.num_failures == 2
    observed.after("heard")
    assert observed.events == ["unreachable", "reachable"]
    assert (observed.neighbor.num_failures, observed.neighbor.not_before) == (0, 0.0)


def test_one_that_has_finished_is_not_missed():
    observed = Observed().after("finishes", "lost", "heard", "is_resumed", "lost")
    assert observed.neighbor.contact == "finished"
    assert observed.events == []


def test_one_that_has_left_is_back_in_its_next_life_only():
    observed = Observed().after("leaves", "heard", "lost")
    assert observed.neighbor.contact == "left"
    assert observed.neighbor.is_settled
    observed.neighbor.was_told = True
    observed.after("is_resumed")
    assert observed.neighbor.contact == "reachable"
    assert not observed.neighbor.is_settled
    assert not observed.neighbor.was_told
    assert observed.events == ["left", "reachable"]


def test_it_is_settled_when_both_have_said_goodbye():
    observed = Observed().after("finishes")
    assert not observed.neighbor.is_settled
    observed.neighbor.was_told = True
    assert observed.neighbor.is_settled
    told = Observed().after("heard")
    told.neighbor.was_told = True
    assert not told.neighbor.is_settled


steps = st.lists(st.sampled_from(["heard", "lost", "finishes", "leaves", "is_resumed"]), max_size=30)


@given(steps)
def test_events_take_turns(steps):
    """Found after lost or left, lost after found or the beginning; and the last one agrees with the contact."""
    observed = Observed().after(*steps)
    for before, event in zip([None, *observed.events], observed.events, strict=False):
        if event == "reachable":
            assert before in ("unreachable", "left")
        else:
            assert before != event
    contact, last = observed.neighbor.contact, (observed.events or ["reachable"])[-1]
    assert contact in (last, "unknown", "finished")
    assert observed.neighbor.said_goodbye == (contact in ("finished", "left"))


@given(steps)
def test_a_pause_ends_when_it_is_heard(steps):
    observed = Observed()
    for step in steps:
        observed.neighbor.waiting.clear()
        had_pause = observed.neighbor.not_before > 0
        observed.after(step)
        if step != "lost":
            assert observed.neighbor.not_before == observed.neighbor.num_failures == 0
            assert observed.neighbor.waiting.is_set() == had_pause


def test_a_new_life_counts_anew_what_came_in_answers():
    observed = Observed().after("heard")
    observed.neighbor.received = 7
    assert observed.after("heard").neighbor.received == 7
    assert observed.after("is_resumed").neighbor.received == 0


def test_parcels_are_taken_by_purpose_and_discarded_once():
    neighbor = Observed().neighbor
    parcels = [Parcel(Purpose.MESSAGE, Message("a", "b", Kind.MODEL)), Parcel(Purpose.FINISHED)]
    for parcel in parcels:
        neighbor.add(parcel)
    assert neighbor.taken((Purpose.MESSAGE,)) == parcels[:1]
    neighbor.discard(parcels[0])
    assert list(neighbor.parcels) == parcels[1:]
    neighbor.discard(parcels[1])
    assert not neighbor.parcels
    assert [neighbor.next_counter() for _ in range(3)] == [1, 2, 3]
