"""Every metric says the same of any predictions, however a trainer came by them."""

from dataclasses import replace
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.history import Measured
from gossipfl.scores import LOSS, Metric
from gossipfl.training.metrics import METRICS, Predictions, declared, need_outputs
from gossipfl.training.settings import TrainingSettings

LABELS = np.array([0, 2, 1, 1, 0, 2], np.int32)
OUTPUTS = np.eye(3, dtype=np.float32)[[0, 2, 1, 0, 0, 1]]  # four of six


def seen(outputs: np.ndarray = OUTPUTS, labels: np.ndarray = LABELS, loss: float = 0.5, **given) -> Predictions:
    predictions = Predictions(loss, 0, labels, outputs, **given)
    return replace(predictions, num_correct=int((predictions.classes == labels).sum()))


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_what_it_is(name):
    assert [metric.name for metric in declared([name])] == [name]
    assert name.isidentifier()
    assert name not in ("loss", "peers")
    perfect = METRICS[name].value(seen(np.eye(3, dtype=np.float32)[LABELS], loss=0.125))
    worse = METRICS[name].value(seen())
    assert METRICS[name].metric.best([perfect, worse]) == perfect != worse
    if METRICS[name].metric.unit == "share":
        assert 0 <= worse < perfect <= 1


@pytest.mark.parametrize("values", [[nan, 1.0, 2.0], [1.0, nan, 2.0], [2.0, 1.0, nan]])
def test_not_a_number_is_the_worst_wherever_it_stands(values):
    for metric, best in ((LOSS, 1.0), (Metric("accuracy"), 2.0)):
        assert metric.best(values) == best
        assert isnan(metric.worst(values))
        assert isnan(metric.best([nan, nan]))


def test_accuracy_is_the_share_of_right_classes_and_keeps_no_outputs():
    assert METRICS["accuracy"].value(seen()) == pytest.approx(4 / 6)
    assert not need_outputs(["accuracy"])


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_a_single_output_is_class_1_above_the_threshold(threshold):
    outputs = np.array([[-1.0], [0.25], [0.75]], np.float32)
    classes = seen(outputs, np.zeros(3, np.int32), threshold=threshold).classes
    assert classes.tolist() == [0, int(threshold == 0.0), 1]


def test_a_metric_that_there_is_not_is_refused_with_the_nearest_spelling():
    with pytest.raises(ConfigurationError, match=r"no metric 'acuracy'. Did you mean 'accuracy'\? There are: accuracy"):
        TrainingSettings(metrics=("acuracy",))
    with pytest.raises(ConfigurationError, match="'accuracy' is named twice"):
        TrainingSettings(metrics=("accuracy", "accuracy"))


@given(st.floats(0, 1), st.integers(1, 30))
def test_the_mean_of_equal_peers_is_their_value(value, num_peers):
    measured = Measured(Metric("accuracy"), None, None, {str(peer): value for peer in range(num_peers)})
    assert measured.mean == measured.worst == measured.best == value
