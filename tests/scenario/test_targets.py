"""Targets are values of metrics that a run has, and that can be reached."""

import pytest

from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario
from gossipfl.scenario.targets import targets_by_metric
from gossipfl.scores import LOSS, Metric

ACCURACY = Metric("accuracy")
ERROR = Metric("mae", higher_is_better=False, unit="number")
UNKNOWN = Metric("own", higher_is_better=None, unit="number")


@pytest.mark.parametrize(
    ("given", "metrics", "expected"),
    [
        (None, [ACCURACY, ERROR], {"accuracy": (0.8, 0.9)}),
        (None, [ERROR, ACCURACY], {}),
        (None, [UNKNOWN], {}),
        (None, [], {}),
        ([0.5], [ACCURACY, ERROR], {"accuracy": [0.5]}),
        ([3.0, -1.0], [ERROR], {"mae": [3.0, -1.0]}),
        ([0.25], [], {"loss": [0.25]}),
        (
            {"mae": [3.0], "accuracy": [0.9], "loss": [0.1]},
            [ACCURACY, ERROR],
            {"mae": [3.0], "accuracy": [0.9], "loss": [0.1]},
        ),
        ({"mae": [], "accuracy": [1]}, [ACCURACY], {"accuracy": [1]}),
        ([], [UNKNOWN], {}),
    ],
)
def test_targets_are_by_metric_and_shares_have_some_by_default(given, metrics, expected):
    assert targets_by_metric(given, metrics) == expected


@pytest.mark.parametrize(
    ("given", "metrics", "message"),
    [
        ({"acuracy": [0.9]}, [ACCURACY], r"targets.acuracy: there is no metric 'acuracy'. Did you mean 'accuracy'\?"),
        ([1.0], [UNKNOWN], r"targets: nothing says whether a higher own is better; .*higher_is_better = true"),
        ({"own": [1.0]}, [ACCURACY, UNKNOWN], r"targets.own: nothing says whether"),
        ([0.9, 80], [ACCURACY], r"targets.1 is 80: it should be at most 1, as accuracy is"),
        ({"accuracy": [0]}, [ERROR, ACCURACY], r"targets.accuracy.0 is 0: it should be above 0"),
    ],
)
def test_a_target_that_cannot_be_reached_is_refused_with_its_field(given, metrics, message):
    with pytest.raises(ConfigurationError, match=message):
        targets_by_metric(given, metrics)


def test_a_scenario_refuses_at_once_what_it_can_know():
    with pytest.raises(ConfigurationError, match=r"targets\.0 is 2"):
        Scenario(targets=[2], evaluation={"metrics": ["accuracy"]})
    assert Scenario(targets=[2]).targets == [2]  # of whatever the model is compiled with
    assert Scenario(targets={"loss": [0.5]}, evaluation={"metrics": ["mae"]}).targets == {"loss": [0.5]}
    assert LOSS.reaches(0.4, 0.5)
