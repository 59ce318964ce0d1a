"""Members that are told at a low rate of false alarms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.attacks.membership import calibrated, confidence, true_positive_rate


def test_no_more_false_alarms_than_the_rate() -> None:
    strangers = np.arange(1000.0)
    assert true_positive_rate(np.array([998.5, 999.5]), strangers, 0.001) == 1.0
    assert true_positive_rate(np.array([998.0, 999.5]), strangers, 0.001) == 0.5
    assert true_positive_rate(strangers, strangers, 0.01) == pytest.approx(0.01)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.001, 0.01, 0.1]))
def test_by_chance_it_is_the_rate(seed, rate) -> None:
    rng = np.random.default_rng(seed)
    told = true_positive_rate(rng.random(4000), rng.random(4000), rate)
    assert told == pytest.approx(rate, abs=6 * np.sqrt(rate / 4000))


def test_equal_scores_tell_nobody() -> None:
    assert true_positive_rate(np.ones(5), np.ones(100), 0.01) == 0


def test_an_example_that_all_find_easy_tells_nothing() -> None:
    sure = confidence(np.array([0.99, 0.99, 1.0]))
    assert np.isfinite(sure).all()
    assert calibrated(sure, [sure]).tolist() == [0, 0, 0]
    assert calibrated(sure, []) is sure
