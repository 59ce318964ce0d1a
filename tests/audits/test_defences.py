"""Defences by name, and what they make of a scenario."""

import pytest

from gossipfl.audits.defences import DEFAULT_DEFENCES, Defence, defences_of
from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario


def test_those_of_a_server_have_encryption_too() -> None:
    assert [one.name for one in defences_of([], has_hub=False)] == [*DEFAULT_DEFENCES]
    assert [one.name for one in defences_of([], has_hub=True)] == [*DEFAULT_DEFENCES, "encryption"]


@pytest.mark.parametrize("text", ["", "dp", "dp=0", "dp=-1", "dp=nan", "steps=0", "steps=x", "masks", "none "])
def test_names_that_mean_nothing_are_refused(text) -> None:
    with pytest.raises(ConfigurationError, match="there are none, steps=N"):
        defences_of([text], has_hub=False)


def test_a_defence_is_named_once() -> None:
    with pytest.raises(ConfigurationError, match="'dp=1' is named twice"):
        defences_of(["dp=1", "none", "dp=1"], has_hub=False)


def test_more_steps_take_the_place_of_epochs() -> None:
    scenario = Scenario(algorithms=["synchronous"], training={"epochs": 2, "batch_size": 5})
    applied = Defence.parsed("steps=4x").applied(scenario, 3)
    assert (applied.training.epochs, applied.training.steps, applied.training.batch_size) == (None, 12, 5)
    assert Defence.parsed("steps=4").applied(scenario, 3).training.steps == 4
    assert applied.algorithms == scenario.algorithms


def test_without_a_defence_there_is_no_privacy() -> None:
    scenario = Scenario(algorithms=["synchronous"])
    assert not Defence.parsed("none").applied(scenario, 1).privacy.is_on
    assert Defence.parsed("scenario").applied(scenario, 1) is scenario
