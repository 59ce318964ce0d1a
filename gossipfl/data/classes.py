"""The classes of a task, where the examples of one host need not show them all."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gossipfl.data.dataset import Dataset, classes_of
from gossipfl.data.examples import Examples, has_one_number
from gossipfl.errors import DataError
from gossipfl.names.spelling import did_you_mean


def with_classes(dataset: Dataset, declared: int | Sequence[str] | None) -> Dataset:
    """The data set with the classes that are declared, of which its examples may have some only: their number, or their
    names in the order of their numbers.

    Raises DataError for a label that is not among them, for targets that are no classes, and, where none are declared,
    for examples of a single class and for labels that do not look like class numbers.
    """
    if declared is None:
        _check_own(dataset)
        return dataset
    if dataset.num_classes is None:
        raise DataError(f"{dataset.name}: data.classes is given, but the targets are not one class for each example")
    if not isinstance(declared, int):
        return _named(dataset, tuple(declared))
    if dataset.class_names and len(dataset.class_names) != declared:
        raise DataError(
            f"{dataset.name}: the labels are names, of which there are {len(dataset.class_names)} here, and "
            f"data.classes is {declared}: give all names, so that they have the same numbers on every host"
        )
    return _numbered(dataset, declared)


def _check_own(dataset: Dataset) -> None:
    num_examples = sum(len(examples) for _, examples in dataset.parts)
    if dataset.num_classes == 1:
        raise DataError(
            f"{dataset.name}: all examples are of one class; if other hosts have others, say in data.classes how many "
            "there are, or what they are called"
        )
    if dataset.num_classes is not None and dataset.num_classes > max(2, num_examples):
        raise DataError(
            f"{dataset.name}: the largest label is {dataset.num_classes - 1}, but there are only {num_examples} "
            "examples: number the classes 0, 1, 2, ..., or say in data.classes how many there are; quantities are to "
            "be floats"
        )


def _named(dataset: Dataset, names: tuple[str, ...]) -> Dataset:
    if not dataset.class_names:
        return replace(_numbered(dataset, len(names)), class_names=names)
    for name in dataset.class_names:
        if name not in names:
            raise DataError(
                f"{dataset.name}: the class {name!r} is not among data.classes.{did_you_mean(name, names)} "
                f"These are {', '.join(names[:10])}{', ...' * (len(names) > 10)}"
            )
    numbers = np.array([names.index(name) for name in dataset.class_names], np.int32)

    def renumbered(examples: Examples) -> Examples:
        labels = classes_of(examples.y)
        assert labels is not None, "names are numbered one for each example"
        return replace(examples, y=numbers[labels])

    validation = None if dataset.validation is None else renumbered(dataset.validation)
    return replace(
        dataset,
        train=renumbered(dataset.train),
        test=renumbered(dataset.test),
        validation=validation,
        num_classes=len(names),
        class_names=names,
    )


def _numbered(dataset: Dataset, num_classes: int) -> Dataset:
    found = dataset.num_classes or 0
    y = dataset.train.y
    is_one_hot = isinstance(y, np.ndarray) and not has_one_number(y)
    if found > num_classes or (is_one_hot and found != num_classes):
        has = f"one-hot targets have {found} columns" if is_one_hot else f"labels go up to {found - 1}"
        raise DataError(f"{dataset.name}: the {has}, but data.classes has {num_classes}: numbers begin with 0")
    return replace(dataset, num_classes=num_classes)
