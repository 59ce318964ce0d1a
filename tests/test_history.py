"""A metric of many peers: its mean, its ends, and the deciles between them."""

from math import isnan, nan

import numpy as np
import pytest
from evaluations import evaluation
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.history import history_row
from gossipfl.measured import ASPECTS, DECILES, Measured
from gossipfl.scores import Metric

ACCURACY, MAE = Metric("accuracy"), Metric("mae", higher_is_better=False, unit="number")


def measured(values, metric=ACCURACY):
    return Measured(metric, None, None, {str(peer): value for peer, value in enumerate(values)})


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30))
def test_deciles_are_the_quantiles_from_the_worst_to_the_best(values):
    tenths = np.arange(1, 10) / 10
    assert measured(values).deciles == pytest.approx(tuple(np.quantile(values, tenths)), abs=1e-9)
    assert measured(values, MAE).deciles == pytest.approx(tuple(np.quantile(values, 1 - tenths)), abs=1e-9)


def test_a_peer_without_a_value_does_not_count_and_nan_is_worse_than_any():
    assert measured([0.0, None, 1.0]).deciles == measured([0.0, 1.0]).deciles
    assert measured([None]).deciles == (None,) * 9
    for metric in (ACCURACY, MAE):
        deciles = measured([nan, *[0.5] * 9], metric).deciles
        assert deciles == (None, *[0.5] * 8)
    assert isnan(measured([nan, 0.5]).worst)


def test_without_a_direction_nobody_is_worst():
    assert measured([0.0, 1.0], Metric("own", None)).deciles == (None,) * 9


def test_a_row_has_a_column_for_each_aspect():
    one = evaluation(peer_accuracy={"a": 0.0, "b": 1.0})
    row = history_row("gossip", 0, one)
    assert row["decile9_accuracy"] == one.decile9_accuracy == pytest.approx(0.9)
    assert {f"{aspect}_accuracy" for aspect in ASPECTS} <= row.keys()
    assert set(DECILES) <= set(ASPECTS)
