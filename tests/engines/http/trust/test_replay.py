import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.engines.http.trust.replay import WINDOW, ReplayWindow
from gossipfl.engines.http.wire.refusals import Refusal


def verdict(window: ReplayWindow, incarnation: int, counter: int) -> str:
    try:
        window.check(incarnation, counter)
    except Refusal as refusal:
        return refusal.reason
    return "fine"


class NaiveWindow:
    """Remembers every counter of the newest incarnation."""

    def __init__(self) -> None:
        self.incarnation = 0
        self.seen: set[int] = set()

    def verdict(self, incarnation: int, counter: int) -> str:
        if incarnation < self.incarnation:
            return "old_incarnation"
        if incarnation > self.incarnation:
            self.incarnation, self.seen = incarnation, set()
        if counter in self.seen or counter <= max(self.seen, default=0) - WINDOW:
            return "replayed"
        self.seen.add(counter)
        return "fine"


near = st.integers(1, 40)
around_the_window = st.integers(WINDOW - 5, WINDOW + 5)
far = st.integers(1, 10 * WINDOW) | st.just(10**15)


@given(st.lists(st.tuples(st.integers(1, 3), near | around_the_window | far), max_size=60))
def test_it_says_what_a_set_of_all_counters_would_say(posts):
    window, naive = ReplayWindow(), NaiveWindow()
    for incarnation, counter in posts:
        assert verdict(window, incarnation, counter) == naive.verdict(incarnation, counter)


@given(st.permutations(range(1, 30)))
def test_any_order_is_fine_once(counters):
    window = ReplayWindow()
    assert {verdict(window, 1, counter) for counter in counters} == {"fine"}
    assert {verdict(window, 1, counter) for counter in counters} == {"replayed"}


@given(st.lists(far, min_size=1, max_size=50))
def test_it_does_not_grow(counters):
    window = ReplayWindow()
    for counter in counters:
        verdict(window, 1, counter)
    assert window.seen < 1 << WINDOW


@pytest.mark.parametrize("counter", [0, -1])
def test_counters_begin_at_one(counter):
    assert verdict(ReplayWindow(), 1, counter) == "replayed"


def test_what_an_earlier_life_said_is_worthless():
    window = ReplayWindow()
    assert verdict(window, 2, 1) == "fine"
    assert verdict(window, 1, 7) == "old_incarnation"
    assert verdict(window, 3, 1) == "fine"
    assert verdict(window, 2, 2) == "old_incarnation"
