"""The demands of a data set on a model: the structure, shapes and dtypes of an example, and what its targets are.

A shape and a dtype are written as one word, "float32[28,28,1]" for an example of one image; so structures of them are
plain values, which a manifest holds as they are.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from gossipfl.data.conversion import model_inputs
from gossipfl.data.examples import Examples, Tree, mapped
from gossipfl.errors import ConfigurationError

Spec: TypeAlias = str | tuple["Spec", ...] | dict[str, "Spec"]
"""Shape and dtype of one example of an array, or a structure of them."""

Kind: TypeAlias = Literal["classes", "labels", "quantities"]
"""A single target is one of several classes (their numbers or one-hot), yes or no for each of several labels, or
one or more quantities."""

MAX_ELEMENTS = 2**27
"""Largest number of elements of one example: bounds what a forged manifest can allocate."""


@dataclass(frozen=True)
class Task:
    """The inputs `x` as a model gets them, the targets `y` and the sample weights `weight`; None: there are none.

    `kind` is None for several targets, for sequences, and for what nobody knows.

    >>> Task({"image": "float32[8,8,1]", "age": "int64[]"}, "int32[]", None, 10, "classes").examples(2).x["image"].shape
    (2, 8, 8, 1)
    """

    x: Spec
    y: Spec | None = None
    weight: Spec | None = None
    num_classes: int | None = None
    kind: Kind | None = None

    def examples(self, num_examples: int) -> Examples:
        """So many examples of zeros, each of weight 1. Raises ConfigurationError for a shape or dtype that is none."""
        return Examples(
            _filled(self.x, num_examples),
            None if self.y is None else _filled(self.y, num_examples),
            None if self.weight is None else mapped(np.ones_like, _filled(self.weight, num_examples)),
        )

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of one example of a single input; None for several."""
        return _parsed(self.x)[0] if isinstance(self.x, str) else None

    @property
    def num_targets(self) -> int:
        """The number of labels or quantities of an example."""
        return math.prod(_parsed(self.y)[0]) if isinstance(self.y, str) else 0


def task_of(examples: Examples, weight: Tree | None, num_classes: int | None) -> Task:
    """The task of examples; `weight` are some sample weights, if any part of the data has them."""
    y = examples.y
    return Task(
        _spec(model_inputs(examples.take(slice(0, 1)).x)),
        None if y is None else _spec(y),
        None if weight is None else _spec(weight),
        num_classes,
        "classes" if num_classes is not None else _kind(y),
    )


def _kind(y: Tree | None) -> Kind | None:
    if not isinstance(y, np.ndarray) or y.ndim > 2:
        return None
    if y.ndim == 2 and y.shape[1] > 1 and ((y == 0) | (y == 1)).all():
        return "labels"
    return "quantities" if y.dtype.kind == "f" else None


def _spec(tree: Tree) -> Any:
    return mapped(lambda array: f"{array.dtype}[{','.join(map(str, array.shape[1:]))}]", tree)


def _filled(spec: Spec, num_examples: int) -> Any:
    if isinstance(spec, dict):
        return {name: _filled(part, num_examples) for name, part in spec.items()}
    if isinstance(spec, tuple | list):
        return tuple(_filled(part, num_examples) for part in spec)
    shape, dtype = _parsed(spec)
    return np.zeros((num_examples, *shape), dtype)


def _parsed(spec: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    found = re.fullmatch(
        r"(bool|u?int(?:8|16|32|64)|float(?:16|32|64))\[((?:[1-9]\d{0,8}(?:,[1-9]\d{0,8})*)?)\]", str(spec), re.ASCII
    )
    shape = tuple(map(int, found[2].split(","))) if found and found[2] else ()
    if not found or math.prod(shape) > MAX_ELEMENTS:
        raise ConfigurationError(f"{spec!r} is no shape of an example, expected for instance float32[28,28,1]")
    return shape, np.dtype(found[1])
