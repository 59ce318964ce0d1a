"""A batch as `fit` takes it, and the parts of it that belong to each output of a model."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from gossipfl.data.task import Task


def tensors_of(task: Task, num_examples: int) -> tuple[Any, Any, Any]:
    """Inputs, targets and sample weights of so many examples of zeros; None where the task has none."""
    examples = task.examples(num_examples)
    x, y, weight = (
        None if tree is None else tf.nest.map_structure(tf.convert_to_tensor, tree)
        for tree in (examples.x, examples.y, examples.weight)
    )
    return x, y, weight


class Batch(NamedTuple):
    """Inputs, targets and sample weights, each a tensor, a structure of tensors or None, and the model's output."""

    x: Any
    y: Any
    weight: Any
    output: Any

    @property
    def is_single(self) -> bool:
        """True if there is one output, and one target for it."""
        return self.y is not None and not keras.tree.is_nested(self.y) and not keras.tree.is_nested(self.output)


def outputs_by_name(model: keras.Model, output: Any) -> dict[str, Any]:
    """The outputs of a model by the names that Keras gives them."""
    if isinstance(output, dict):
        return dict(output)
    outputs = keras.tree.flatten(output)
    names = getattr(model, "output_names", None) or []
    if len(names) != len(outputs):
        names = [f"output_{position}" for position in range(len(outputs))]
    return dict(zip(names, outputs, strict=True))


def by_output(names: Sequence[str], given: Any) -> dict[str, Any]:
    """Targets or sample weights by the names of the outputs; weights of examples are those of every output."""
    if given is None:
        return {}
    if isinstance(given, dict):
        return {name: given[name] for name in names if name in given}
    parts = keras.tree.flatten(given)
    return dict(zip(names, parts * len(names) if len(parts) == 1 else parts, strict=False))


def shown_shape(tensor: Any) -> str:
    """The shape of some examples in words: `[N, 28, 28, 1]`."""
    return f"[{', '.join(['N', *map(str, tensor.shape[1:])])}]"
