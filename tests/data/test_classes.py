"""Hosts that hold some classes only say how many there are in all."""

import numpy as np
import pytest

from gossipfl.data.classes import with_classes
from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError, DataError
from gossipfl.scenario import Scenario

X = np.zeros((4, 2), np.float32)


def dataset(labels, held_out=None) -> Dataset:
    return Dataset.from_arrays("own", (X, np.array(labels)), (X, np.array(labels if held_out is None else held_out)))


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [3, 4, 3, 4], [9, 9, 9, 9], [[9], [2], [2], [2]]])
def test_a_subset_of_the_classes_is_a_task_of_all(labels):
    assert with_classes(dataset(labels), 10).num_classes == 10
    names = [f"class {number}" for number in range(10)]
    named = with_classes(dataset(labels), names)
    assert (named.num_classes, named.class_names) == (10, tuple(names))
    np.testing.assert_array_equal(named.labels, np.ravel(labels))


def test_names_have_the_same_numbers_on_every_host():
    names = ["cat", "dog", "bird"]
    for own in (["dog", "bird", "dog", "dog"], ["cat", "bird", "bird", "cat"], ["bird"] * 4):
        found = with_classes(dataset(own), names)
        assert [names[number] for number in found.labels] == own
        np.testing.assert_array_equal(found.labels, found.test.y)
        assert found.class_names == tuple(names)


def test_one_hot_targets_have_as_many_columns_as_there_are_classes():
    assert with_classes(dataset(np.eye(3)[[0, 1, 1, 0]]), 3).num_classes == 3
    with pytest.raises(DataError, match=r"one-hot targets have 3 columns, but data.classes has 4"):
        with_classes(dataset(np.eye(3)[[0, 1, 1, 0]]), 4)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 0, 0, 0], None, "all examples are of one class; if other hosts have others, say in data.classes"),
        ([0, 1, 1, 41], None, "largest label is 41, but there are only 8 examples"),
        ([0, 1, 1, 41], 10, "labels go up to 41, but data.classes has 10"),
        ([1, 2, 3, 3], 3, "labels go up to 3, but data.classes has 3: numbers begin with 0"),
        (["dig", "cat", "cat", "cat"], ["cat", "dog"], "'dig' is not among data.classes. Did you mean 'dog'"),
        (["dog", "cat", "cat", "cat"], 3, "there are 2 here, and data.classes is 3: give all names"),
        ([0.5, 0.1, 0.2, 0.3], 3, "the targets are not one class for each example"),
    ],
)
def test_what_does_not_fit_is_refused(labels, classes, message):
    with pytest.raises(DataError, match=message):
        with_classes(dataset(labels), classes)


@pytest.mark.parametrize("classes", [1, ["a"], ["a", "b", "a"], "ab"])
def test_a_scenario_has_two_different_classes_at_least(classes):
    with pytest.raises(ConfigurationError, match=r"data\.classes"):
        Scenario(data={"classes": classes})
