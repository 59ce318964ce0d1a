from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.engines.http.wire.limits import Limits, TokenBucket
from gossipfl.errors import ConfigurationError


@pytest.mark.parametrize("field", [field.name for field in fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_is_above_zero(field, value):
    with pytest.raises(ConfigurationError, match=f"{field} must be above 0, got {value}"):
        replace(Limits(), **{field: value})


def test_larger_bodies_may_take_longer():
    limits = Limits(request_seconds=10.0, slowest_rate=1000.0)
    assert limits.transfer_seconds(0) == 10.0
    assert limits.transfer_seconds(5000) == 15.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(rate=st.floats(0.1, 1000.0), pauses=st.lists(st.floats(0.0, 5.0), max_size=100))
def test_no_more_than_a_burst_and_the_rate_are_allowed(rate, pauses):
    clock = Clock()
    bucket = TokenBucket(rate, clock)
    num_allowed = 0
    for pause in pauses:
        clock.now += pause
        num_allowed += bucket.take() == 0.0
    assert num_allowed <= max(1.0, 2 * rate) + rate * sum(pauses) + 1e-6


@given(rate=st.floats(0.1, 1000.0), pauses=st.lists(st.floats(0.0, 5.0), max_size=50))
def test_whoever_waits_as_long_as_told_is_allowed(rate, pauses):
    clock = Clock()
    bucket = TokenBucket(rate, clock)
    for pause in pauses:
        clock.now += pause
        if (wait := bucket.take()) > 0.0:
            assert wait <= 1.0 / rate + 1e-9
            clock.now += wait * (1 + 1e-6) + 1e-9
            assert bucket.take() == 0.0


def test_a_burst_is_refilled_and_not_exceeded():
    clock = Clock()
    bucket = TokenBucket(5.0, clock)
    for _ in range(2):
        assert [bucket.take() for _ in range(10)] == [0.0] * 10
        assert bucket.take() == pytest.approx(0.2)
        clock.now += 1000.0
