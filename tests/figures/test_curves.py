"""Curves as numbers: seeds are averaged, gaps stay gaps, smoothing keeps both ends."""

from math import isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.figures.curves import GRAY, curves, looks, smoothed


def row(label: str, seed: int, round: int, value: float | None, **others: Any) -> dict[str, Any]:
    return {"algorithm": label, "seed": seed, "round": round, "mean_loss": value, **others}


def test_a_point_is_the_mean_over_the_seeds_that_have_its_round() -> None:
    rows = [row("a", 0, 1, 1.0), row("a", 0, 2, 3.0), row("a", 1, 1, 2.0), row("b", 0, 1, 9.0)]
    found = curves(rows, "mean_loss")
    assert list(found) == ["a", "b"]
    assert (found["a"].x, found["a"].y, found["a"].low, found["a"].high) == ((1, 2), (1.5, 3), (1, 3), (2, 3))
    assert (found["a"].num_seeds, found["b"].num_seeds) == (2, 1)


def test_nothing_measured_is_a_gap_and_no_zero() -> None:
    found = curves([row("a", 0, 1, None), row("a", 0, 2, nan), row("a", 0, 3, 1.0), row("b", 0, 1, None)], "mean_loss")
    assert list(map(isnan, found["a"].y)) == [True, True, False]
    assert found["a"].is_measured
    assert not found["b"].is_measured


def test_a_point_without_a_place_is_left_out() -> None:
    found = curves([row("a", 0, 1, 1.0, time=None), row("a", 0, 2, 2.0, time=4.0)], "mean_loss", "time")
    assert (found["a"].x, found["a"].y) == ((4.0,), (2.0,))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.sampled_from([1, 3, 5, 9]))
def test_smoothing_keeps_both_ends_and_the_range(values: list[float], window: int) -> None:
    found = smoothed(values, window)
    assert (found[0], found[-1]) == (values[0], values[-1])
    assert all(min(values) - 1e-6 <= value <= max(values) + 1e-6 for value in found)
    assert window > 1 or list(found) == values


@pytest.mark.parametrize("smoothing", [0, -1, 2])
def test_a_window_without_a_middle_is_refused(smoothing: int) -> None:
    with pytest.raises(ConfigurationError, match="odd number of evaluations"):
        curves([], "mean_loss", smoothing=smoothing)


def test_no_two_of_eighteen_algorithms_look_the_same_and_bounds_are_gray() -> None:
    labels = [f"algorithm {number}" for number in range(18)]
    found = looks([*labels, "local"], {"local"})
    assert len({(found[label].color, found[label].dash) for label in labels}) == 18
    assert [label for label, look in found.items() if look.color == GRAY] == ["local"]
