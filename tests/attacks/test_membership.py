"""Members by the confidence of a model, at false positive rates that can be told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.attacks.membership import likelihood_scores, logit_confidences, true_positive_rate
from gossipfl.errors import ConfigurationError

SCORES = st.lists(st.integers(-5, 5), min_size=20, max_size=60).map(np.array)


def test_confidences_are_told_apart_where_float32_rounds_the_probability_to_one() -> None:
    probabilities = np.array([[1.0, 1e-12], [1.0, 1e-20], [0.25, 0.75]], np.float32)
    confidences = logit_confidences(probabilities, np.zeros(3, np.int64))
    assert confidences == pytest.approx([27.631, 46.0517, -1.0986], abs=1e-3)


@given(SCORES, SCORES, st.sampled_from([0.05, 0.1, 0.5, 1.0]))
def test_no_more_non_members_than_said_are_taken_for_members(
    members: np.ndarray, others: np.ndarray, rate: float
) -> None:
    found = true_positive_rate(members, others, rate)
    best = max(
        np.mean(members > threshold)
        for threshold in [-10, *others, *members]
        if np.mean(others > threshold) <= rate + 1e-12
    )
    assert found == best


def test_a_rate_that_cannot_be_told_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1000 non-members"):
        true_positive_rate(np.ones(10), np.zeros(999), 0.001)


def test_models_of_others_say_how_hard_an_example_is() -> None:
    """Loss alone takes easy examples for members; beside other models, only what this one knows better counts."""
    rng = np.random.default_rng(3)
    difficulty = rng.normal(0, 5, 2000)
    is_member = np.arange(2000) < 500
    target = difficulty + 2.0 * is_member + rng.normal(0, 0.5, 2000)
    references = [difficulty + rng.normal(0, 0.5, 2000) for _ in range(4)]
    rates = [
        true_positive_rate(scores[is_member], scores[~is_member], 0.01)
        for scores in (likelihood_scores(target, []), likelihood_scores(target, references))
    ]
    assert rates[0] < 0.1
    assert rates[1] > 0.8
