"""Real tables, a part of each at every peer, against NumPy over the whole."""

from collections import Counter

import numpy as np
import pytest
from asking import answered
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris

from gossipfl.queries import (
    Classes,
    Distinct,
    Histogram,
    Maximum,
    Mean,
    Minimum,
    Quantiles,
    Skew,
    StandardDeviation,
    Sum,
    Values,
    Variance,
)

TABLES = {"iris": load_iris, "diabetes": load_diabetes, "breast cancer": load_breast_cancer, "digits": load_digits}
NUM_PEERS = 8


def shards(array):
    """Shares of very different sizes; one peer has none."""
    ends = np.array([0.5, 0.5, 0.6, 0.61, 0.8, 0.9, 0.95]) * len(array)
    return [Values(part) for part in np.split(array, ends.astype(int))]


@pytest.fixture(params=TABLES)
def data(request):
    x, y = TABLES[request.param](return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return np.asarray(x, np.float64)[order], y[order]


def test_all_features_at_once(data) -> None:
    table, _ = data
    parts, num_features = shards(table), table.shape[1]
    for query, truth in (
        (Mean(), table.mean(axis=0)),
        (Sum(), table.sum(axis=0)),
        (Variance(), table.var(axis=0)),
        (StandardDeviation(1), table.std(axis=0, ddof=1)),
    ):
        answer = answered(query, parts, num_features)
        assert answer.value == pytest.approx(truth, rel=1e-11, abs=1e-11)
        assert (answer.bound <= 1e-15 * np.maximum(np.abs(answer.value), 1e-3)).all()
    assert np.array_equal(answered(Minimum(), parts, num_features).value, table.min(axis=0))
    assert np.array_equal(answered(Maximum(), parts, num_features).value, table.max(axis=0))
    deciles = np.arange(1, 10) / 10
    answer = answered(Quantiles(tuple(deciles)), parts, num_features)
    assert np.array_equal(answer.value, np.quantile(table, deciles, axis=0).T)
    answer = answered(Histogram(7), parts, num_features)
    pairs = [np.histogram(column, bins=7) for column in table.T]
    assert np.array_equal(answer.value, [counts for counts, _ in pairs])
    assert answer.edges == pytest.approx(np.array([edges for _, edges in pairs]))
    assert (answer.num_peers, answer.num_examples) == (NUM_PEERS, len(table))


def test_a_column_and_the_classes(data) -> None:
    table, target = data
    column = table[:, 0]
    number = len(np.unique(column))
    answer = answered(Distinct(), shards(column))
    assert abs(answer.value - number) <= answer.bound
    if len(np.unique(target)) <= 10:
        assert answered(Classes(), shards(target)).value == {str(k): n for k, n in sorted(Counter(target).items())}
        answer = answered(Skew(), shards(target))
        assert 0 < answer.value["mean"] < answer.value["greatest"] < 1
        assert (answer.value["fewest"], answer.value["most"]) == (0, len(target) // 2)
