"""A data set in memory, as every trainer and partitioner takes it: examples to train on, and others held out.

Whatever the source, they end as finite numbers, all parts alike. The arrays are read-only: peers hold index arrays into
them, never copies.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.checks import check_alike, check_part, pieces
from gossipfl.data.conversion import as_inputs, as_numbers, as_targets, model_inputs
from gossipfl.data.examples import Examples, Tree, has_one_number, leaves, mapped, named
from gossipfl.data.task import Task, task_of
from gossipfl.errors import ConfigurationError, DataError
from gossipfl.names.spelling import did_you_mean

Given: TypeAlias = Examples | tuple[Any, Any] | tuple[Any, Any, Any]
"""A part of a data set as somebody has it: examples, or (x, y) or (x, y, weight) as `fit` takes them."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and held-out examples of one task; `from_arrays` makes one of arrays as they are.

    Floats are float32, integers and booleans have any dtype. Inputs that are bytes [N, H, W, C] are images, and a model
    gets them as float32(x) / 255. A single array of integers [N] as target are classes: int32 in [0, `num_classes`).
    `num_classes` is None for tasks without classes, and `class_names` are what the numbers stand for. `validation` are
    examples to choose by, and `notes` say what a reader of results should know of the source. Of tables, `columns`
    names those of an input and those of a target, in the order in which a model gets them.

    Raises DataError when a part is empty, structures, shapes, dtypes or ranges of the parts differ, labels are out of
    range, or numbers not finite.

    >>> train, test = (np.eye(4), np.array([0, 1, 0, 1])), (np.eye(4)[:2], np.array([0, 1]))
    >>> dataset = Dataset.from_arrays("toy", train, test)  # for a scenario: Scenario(data=dataset)
    >>> dataset.input_shape, dataset.num_classes
    ((4,), 2)
    """

    name: str
    train: Examples
    test: Examples
    validation: Examples | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    columns: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.num_classes is not None and self.num_classes < 1:
            raise DataError(f"{self.name}: a classification task has classes, got num_classes = {self.num_classes}")
        if self.class_names and len(self.class_names) != self.num_classes:
            raise DataError(f"{self.name}: {len(self.class_names)} class names for {self.num_classes} classes")
        for part, examples in self.parts:
            check_part(f"{self.name}: {part}", examples, self.num_classes)
            if examples is not self.train:
                check_alike(self.name, self.train, part, examples)

    @classmethod
    def from_arrays(
        cls,
        name: str,
        train: Given,
        test: Given,
        num_classes: int | None = None,
        validation: Given | None = None,
    ) -> "Dataset":
        """A data set from examples of any numeric dtypes, each part as `Examples` or as (x, y) or (x, y, weight).

        A target of strings is numbered in their order. Without `num_classes`, it is 1 + the largest of integer labels,
        or the width of one-hot targets. Raises DataError when the arrays cannot be used.
        """
        given = {"train": train, "test": test} | ({} if validation is None else {"validation": validation})
        as_given = {part: as_examples(examples, f"{name}: {part}") for part, examples in given.items()}
        with_numbers, class_names = _numbered(as_given, name)
        parts = {part: _converted(examples, f"{name}: {part}") for part, examples in with_numbers.items()}
        if num_classes is None and class_names:
            num_classes = len(class_names)
        if num_classes is None:
            num_classes = _number_of_classes(list(parts.values()))
        return cls(
            name,
            parts["train"],
            parts["test"],
            parts.get("validation"),
            num_classes,
            class_names,
            (*_notes_on_shapes(as_given["train"]), *_notes_on(parts["train"], num_classes)),
        )

    @property
    def parts(self) -> Sequence[tuple[str, Examples]]:
        """The parts that there are, with their names."""
        named_parts = [("train", self.train), ("test", self.test)]
        return named_parts if self.validation is None else [*named_parts, ("validation", self.validation)]

    @property
    def input_shape(self) -> Any:
        """Shape of one example, as `keras.Input` takes it; of several inputs, a structure of shapes."""
        return mapped(lambda array: array.shape[1:], self.train.x)

    @cached_property
    def task(self) -> Task:
        """The demands on a model: structure, shapes and dtypes of an example, and what its target is."""
        return task_of(self.train, self.some_weights, self.num_classes)

    @property
    def some_weights(self) -> Tree | None:
        """The sample weights of the first part that has any, whose structure those of all have; else None."""
        return next((examples.weight for _, examples in self.parts if examples.weight is not None), None)

    @cached_property
    def labels(self) -> NDArray[np.integer[Any]] | None:
        """The class of each training example: its label, or the place of the one in a one-hot target; else None."""
        return self.labels_of(self.train)

    def labels_of(self, examples: Examples) -> NDArray[np.integer[Any]] | None:
        """The class of each of these examples of the task."""
        return None if self.num_classes is None else classes_of(examples.y)

    def class_number(self, name: str | int) -> int:
        """The number of a class by its name, or by its number, also as a word. Raises ConfigurationError for none."""
        if name in self.class_names:
            return self.class_names.index(str(name))
        number = int(name) if str(name).isdecimal() else -1
        if 0 <= number < (self.num_classes or 0):
            return number
        if self.num_classes is None:
            raise ConfigurationError(
                f"{self.name} has no class {name!r}, because its target is not one of several classes: give integers "
                "from 0, or strings, as y"
            )
        known = ", ".join(self.class_names) or f"0 to {self.num_classes - 1}"
        hint = did_you_mean(str(name), self.class_names)
        raise ConfigurationError(f"{self.name} has no class {name!r}.{hint} Its classes are {known[:300]}")

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, over names, dtypes, shapes and little-endian bytes of all arrays."""
        digest = hashlib.sha256()
        for part, examples in self.parts:
            for place, array in examples.leaves():
                label = "" if place in ("x", "y") and part != "validation" else f"{part} {place} "
                portable = array.dtype.newbyteorder("<")
                digest.update(f"{label}{portable.str} {array.shape}\n".encode())
                for rows in pieces(array):
                    digest.update(np.ascontiguousarray(rows, portable).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


def as_examples(part: Given, what: str) -> Examples:
    """A part of a data set, as its arrays are. Raises DataError, naming the array, for what are no examples."""
    try:
        if isinstance(part, Examples):
            return part
        if isinstance(part, tuple) and len(part) in (2, 3):
            return Examples(*part)
    except DataError as error:
        raise DataError(f"{what}: {error}") from error
    kind = f"a tuple of {len(part)}" if isinstance(part, tuple) else type(part).__name__
    raise DataError(f"{what} must be Examples, (x, y) or (x, y, weight), got {kind}")


def classes_of(y: Tree | None) -> NDArray[Any] | None:
    """The class of each example by its target: integers or strings [N] or [N, 1], or the argmax of one-hot; else
    None."""
    if not isinstance(y, np.ndarray):
        return None
    if has_one_number(y):
        return y.reshape(-1) if y.dtype.kind in "biuUS" else None
    if y.ndim != 2 or y.dtype.kind not in "biuf" or not y.size:
        return None
    is_one_hot = ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()
    return y.argmax(axis=1).astype(np.int32) if is_one_hot else None


def _converted(examples: Examples, what: str) -> Examples:
    x, y, weight = examples.x, examples.y, examples.weight
    if y is not None and _is_reconstruction(x, y):
        targets = model_inputs(as_inputs(y, f"{what} y"))
    else:
        targets = None if y is None else as_targets(y, f"{what} y")
    weights = None if weight is None else named(_as_weight, weight, f"{what} weight")
    return Examples(as_inputs(x, f"{what} x"), targets, weights, examples.columns, examples.asked)


def _is_reconstruction(x: Tree, y: Tree) -> bool:
    """True for images of bytes that are inputs and targets: both are divided by 255."""
    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray):
        return False
    return x.dtype == y.dtype == np.uint8 and x.ndim in (3, 4) and np.array_equal(x, y)


def _as_weight(place: str, array: NDArray[Any]) -> NDArray[Any]:
    return as_numbers(array, place).astype(np.float32, copy=False)


def _numbered(parts: Mapping[str, Examples], name: str) -> tuple[Mapping[str, Examples], tuple[str, ...]]:
    """The parts with numbers for targets that are strings, and what the numbers stand for."""
    classes = {part: classes_of(examples.y) for part, examples in parts.items()}
    strings = {part: array for part, array in classes.items() if array is not None and array.dtype.kind in "US"}
    if not strings:
        return parts, ()
    for part in parts.keys() - strings.keys():
        raise DataError(f"{name}: y holds strings in the {next(iter(strings))} set, but not in the {part} set")
    try:
        texts = {part: array if array.dtype.kind == "U" else np.char.decode(array) for part, array in strings.items()}
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: y has bytes that are no text in UTF-8: {error}") from error
    names = np.unique(np.concatenate(list(texts.values())))
    numbers = {part: np.searchsorted(names, array).astype(np.int32) for part, array in texts.items()}
    return {part: replace(parts[part], y=numbers[part]) for part in parts}, tuple(names.tolist())


def _number_of_classes(parts: Sequence[Examples]) -> int | None:
    """1 + the largest label, or the width of one-hot targets; None for other tasks."""
    classes = [classes_of(examples.y) for examples in parts]
    known = [array for array in classes if array is not None]
    if len(known) < len(parts):
        return None
    y = parts[0].y
    if isinstance(y, np.ndarray) and not has_one_number(y):
        return int(y.shape[1])
    return 1 + max(int(array.max(initial=0)) for array in known)


def _notes_on_shapes(examples: Examples) -> Iterator[str]:
    """What a model gets in another form than it is given, and seems to be meant otherwise: bytes that are no images
    with 255 as white, and labels [N, 1]."""
    for place, array in leaves(examples.x, "x"):
        if array.dtype == np.uint8 and array.ndim in (3, 4) and 0 < (largest := int(array.max(initial=0))) < 64:
            yield (
                f"{place} has bytes up to {largest}, not 255, and a model gets them divided by 255, as images of bytes "
                "are: give floats, or integers of another type, if they are no such images."
            )
    y = examples.y
    if isinstance(y, np.ndarray) and y.shape[1:] == (1,) and y.dtype.kind in "biu":
        yield (
            "The targets are class numbers of shape [N, 1], and a model gets them as [N]: a loss, metric or training "
            "step of its own is to expect that."
        )


def _notes_on(examples: Examples, num_classes: int | None) -> Iterator[str]:
    y = examples.y
    if num_classes is not None or not isinstance(y, np.ndarray) or y.dtype != np.float32 or not has_one_number(y):
        return
    if y.size and (y == np.rint(y)).all() and y.min() >= 0 and y.max() < len(y):
        yield (
            f"The targets are whole numbers from {y.min():g} to {y.max():g} given as floats, and so taken for "
            "quantities; classes are to be integers."
        )
