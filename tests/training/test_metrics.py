"""A metric of a run says what it is, which way is better, and how it is made."""

from math import isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.measured import Measured
from gossipfl.scores import LOSS, Metric
from gossipfl.training.metrics import metric_spec, metric_specs, named_metric
from gossipfl.training.settings import TrainingSettings


@pytest.mark.parametrize("values", [[nan, 1.0, 2.0], [1.0, nan, 2.0], [2.0, 1.0, nan]])
def test_not_a_number_is_the_worst_wherever_it_stands(values):
    for metric, best in ((LOSS, 1.0), (Metric("accuracy"), 2.0)):
        assert metric.best(values) == best
        assert isnan(metric.worst(values))
        assert isnan(metric.best([nan, nan]))


@pytest.mark.parametrize(
    ("given", "metric", "keras_name", "arguments", "output"),
    [
        ("acc", Metric("acc"), "accuracy", {}, None),
        ("mae", Metric("mae", False, "number"), "MeanAbsoluteError", {}, None),
        ("F1Score", Metric("f1_score"), "F1Score", {}, None),
        ("mean_iou", Metric("mean_iou"), "MeanIoU", {}, None),
        ("perplexity", Metric("perplexity", False, "number"), "perplexity", {}, None),
        ({"name": "auc", "num_thresholds": 500}, Metric("auc"), "AUC", {"num_thresholds": 500}, None),
        ({"name": "recall", "class_id": 3, "as": "of_3"}, Metric("of_3"), "Recall", {"class_id": 3}, None),
        ({"name": "mse", "output": "price"}, Metric("price_mse", False, "number"), "MeanSquaredError", {}, "price"),
        ("own.metrics:Lift", Metric("lift", None, "number"), "own.metrics:Lift", {}, None),
        (
            {"name": "own.metrics:Lift", "higher_is_better": True, "unit": "share"},
            Metric("lift"),
            "own.metrics:Lift",
            {},
            None,
        ),
        ({"name": "hits", "higher_is_better": False}, Metric("hits", False, "number"), "hits", {}, None),
    ],
)
def test_an_entry_of_a_scenario_says_which_metric_is_made_and_how_it_is_shown(
    given, metric, keras_name, arguments, output
):
    spec = metric_spec(given)
    assert (spec.metric, spec.keras_name, spec.arguments, spec.output) == (metric, keras_name, arguments, output)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["acuracy"], r"no metric 'acuracy' in Keras. Did you mean 'accuracy'"),
        (["acc", "mae", "acc"], r"two metrics are called 'acc'"),
        ([{"num_thresholds": 3}], r"a table with a name"),
        ([{"name": "auc", "as": "a b"}], r"a word of ASCII letters"),
        ([{"name": "auc", "as": 3}], r"as is 3, expected a word"),
        ([{"name": "auc", "as": "loss"}], r"can be shown as .loss."),
        ([{"name": "auc", "unit": "percent"}], r"unit is 'percent', expected share or number"),
        ([{"name": "auc", "higher_is_better": "yes"}], r"higher_is_better is 'yes', expected true or false"),
    ],
)
def test_an_entry_that_is_none_is_refused_with_the_way_out(given, message):
    with pytest.raises(ConfigurationError, match=message):
        metric_specs(given)


def test_a_metric_of_unknown_direction_has_neither_best_nor_worst_nor_targets():
    metric = named_metric("prediction", "Mean")
    assert isnan(metric.best([1.0, 2.0]))
    assert isnan(metric.worst([1.0, 2.0]))
    with pytest.raises(ConfigurationError, match="whether a higher prediction is better"):
        metric.reaches(1.0, 2.0)


@pytest.mark.parametrize("weight", [-1.0, nan])
def test_a_weight_of_a_class_is_a_number_of_at_least_0(weight):
    with pytest.raises(ConfigurationError, match="class_weight of class 1"):
        TrainingSettings(class_weight={0: 1.0, 1: weight})


@given(st.floats(0, 1), st.integers(1, 30))
def test_the_mean_of_equal_peers_is_their_value(value, num_peers):
    measured = Measured(Metric("accuracy"), None, None, {str(peer): value for peer in range(num_peers)})
    assert measured.mean == measured.worst == measured.best == value
