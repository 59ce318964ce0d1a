"""Parts of data sets: what is held out for tests, and limits to the number of examples."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.dataset import Dataset, classes_of
from gossipfl.data.examples import Examples
from gossipfl.data.parts import Parts
from gossipfl.errors import ConfigurationError, DataError


def subset(dataset: Dataset, max_train: int | None, max_test: int | None, generator: np.random.Generator) -> Dataset:
    """At most `max_train` and `max_test` examples of a data set, drawn without replacement, in their old order.

    None keeps a part whole. Raises ConfigurationError for a limit below 1.
    """
    for field, limit in (("max_train", max_train), ("max_test", max_test)):
        if limit is not None and limit < 1:
            raise ConfigurationError(f"{field} must be at least 1, or None for all examples; got {limit}")
    train = _drawn(dataset.train, max_train, generator)
    test = _drawn(dataset.test, max_test, generator)
    return replace(dataset, train=train, test=test)


def stratified_split(
    labels: NDArray[Any], test_fraction: float, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted (train, test) indices; the test part has round(test_fraction * N) examples, at least one.

    Each class gives its share c * num_test / N, rounded down or up so that the sum is exact (largest remainders, ties
    at random), from its examples in random order.

    Raises ConfigurationError unless 0 < test_fraction < 1, DataError when one of the parts would be empty.
    """
    if not 0 < test_fraction < 1:
        raise ConfigurationError(f"test_fraction must be between 0 and 1 (exclusive), got {test_fraction}")
    num_examples = len(labels)
    num_test = max(1, round(test_fraction * num_examples))
    if num_test >= num_examples:
        raise DataError(f"cannot hold out {num_test} of {num_examples} examples: give more examples, or a test set")
    _, counts = np.unique(labels, return_counts=True)
    shares, remainders = np.divmod(counts * num_test, num_examples)
    largest_first = np.lexsort((generator.random(len(counts)), -remainders))
    shares[largest_first[: num_test - shares.sum()]] += 1
    order = generator.permutation(num_examples)
    by_class = order[np.argsort(labels[order], kind="stable")]
    place = np.concatenate([np.arange(count) for count in counts])
    is_test = place < np.repeat(shares, counts)
    return np.sort(by_class[~is_test]).astype(np.int64), np.sort(by_class[is_test]).astype(np.int64)


def dataset_of(parts: Parts, name: str, test_fraction: float, generator: np.random.Generator) -> Dataset:
    """The data set of a source; where it has no test part, a `test_fraction` of the examples is held out, stratified by
    class where the targets are classes.

    Raises ConfigurationError unless 0 < test_fraction < 1, DataError when the arrays cannot be used.
    """
    train, test, validation = (parts.examples.get(part) for part in ("train", "test", "validation"))
    assert train is not None
    if test is None:
        kept, held_out = stratified_split(_strata(classes_of(train.y), train), test_fraction, generator)
        train, test = train.take(kept), train.take(held_out)
    dataset = Dataset.from_arrays(name, train, test, parts.num_classes, validation)
    dataset = replace(dataset, class_names=parts.class_names or dataset.class_names, columns=parts.columns)
    return replace(dataset, notes=(*parts.notes, *dataset.notes, *_untrained_classes(dataset)))


def _untrained_classes(dataset: Dataset) -> Iterator[str]:
    """What no model can learn: the classes that only another part has, often those of another spelling."""
    for part, examples in dataset.parts[1:]:
        labels = classes_of(examples.y)
        if dataset.labels is not None and labels is not None:
            classes, counts = np.unique(labels[~np.isin(labels, dataset.labels)], return_counts=True)
            shown = ", ".join(repr(dataset.class_names[k]) if dataset.class_names else str(k) for k in classes[:10])
            if len(classes):
                yield (
                    f"No training example has the class {shown}{', ...' * (len(classes) > 10)}, as {counts.sum()} of "
                    f"{len(labels)} {part} examples have."
                )


def with_validation(
    dataset: Dataset, validation: float | Literal["source"] | None, generator: np.random.Generator
) -> Dataset:
    """The data set with this share of its training examples, of each class alike, as validation part; with the one that
    its "source" has; or (None) without.

    Raises DataError when there is no such part, or another one than was asked for.
    """
    own = dataset.validation
    if validation == "source":
        if own is None:
            raise DataError(
                f"{dataset.name} has no validation part of its own; data.validation = 0.1 holds out a tenth of its "
                "training examples"
            )
        return dataset
    if validation is None:
        if own is None:
            return dataset
        unused = f"The {len(own)} validation examples of {dataset.name} are not used; data.validation = 'source' does."
        return replace(dataset, validation=None, notes=(*dataset.notes, unused))
    if own is not None:
        raise DataError(
            f"{dataset.name} has a validation part of its own, of {len(own)} examples: choose by it with "
            "data.validation = 'source', rather than by a share of the training examples"
        )
    train, held_out = stratified_split(_strata(dataset.labels, dataset.train), validation, generator)
    return replace(dataset, train=dataset.train.take(train), validation=dataset.train.take(held_out))


def _strata(labels: NDArray[Any] | None, examples: Examples) -> NDArray[Any]:
    return np.zeros(len(examples), np.int32) if labels is None else labels


def _drawn(examples: Examples, limit: int | None, generator: np.random.Generator) -> Examples:
    num_examples = len(examples)
    if limit is None or limit >= num_examples:
        return examples
    return examples.take(np.sort(generator.choice(num_examples, size=limit, replace=False)))
