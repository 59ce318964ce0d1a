"""The data set as tensors that all slots share, and what a model gets of them.

A part that is mapped from files may be larger than memory: of it, only the examples of a call become tensors.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.data.conversion import model_inputs
from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import is_mapped, mapped
from gossipfl.errors import ConfigurationError
from gossipfl.training.settings import TrainingSettings

Data: TypeAlias = dict[str, Any]
"""Examples as tensors: `x`, and `y` and `weight` where there are any, each [examples, ...] or a structure of such."""


@dataclass(frozen=True, eq=False)
class DataTensors:
    """The parts of a data set, held once for all slots."""

    parts: Mapping[str, Data]
    """Tensors, or the arrays of a part that is mapped from files."""
    evaluation_batch_size: int
    in_order: bool
    """True if every batch of training is a run of consecutive examples."""
    class_weights: NDArray[np.float32] | None = None
    """An example of each class counts so much in training."""

    @classmethod
    def of(cls, dataset: Dataset, settings: TrainingSettings, in_order: bool) -> "DataTensors":
        """The parts as tensors. Where one of them has sample weights, the examples of the others weigh 1.

        Raises ConfigurationError where the weights of classes cannot be used.

        Images of bytes stay bytes where batches are gathered: it moves a quarter of the memory, and is faster than to
        gather floats, even with the division. Where batches are slices they are made floats here, once: for a softmax
        the division would be a fifth of its evaluation.
        """
        mapped_parts = {name for name, part in dataset.parts if any(is_mapped(array) for _, array in part.leaves())}
        in_order = in_order and "train" not in mapped_parts
        weighted = dataset.some_weights
        parts = {}
        for name, examples in dataset.parts:
            is_sliced = in_order if name == "train" else name not in mapped_parts
            parts[name] = {"x": model_inputs(examples.x) if is_sliced else examples.x}
            if examples.y is not None:
                parts[name]["y"] = examples.y
            if examples.weight is not None:
                parts[name]["weight"] = examples.weight
            elif weighted is not None:
                parts[name]["weight"] = mapped(partial(_ones, len(examples)), weighted)
            if name not in mapped_parts:
                parts[name] = tf.nest.map_structure(tf.convert_to_tensor, parts[name])
        return cls(parts, settings.evaluation_batch_size, in_order, _class_weights(dataset, settings.class_weight))

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """For each part, the first one whose graphs it may use: where dtypes are the same, all parts share them."""
        specs = {part: tf.nest.flatten(self.signature(part)) for part in self.parts}
        return {part: next(other for other in specs if specs[other] == specs[part]) for part in specs}

    def is_mapped(self, part: str) -> bool:
        """True if only examples of a call become tensors."""
        return any(isinstance(rows, np.ndarray) for rows in tf.nest.flatten(self.parts[part]))

    def bytes_per_example(self, part: str) -> int:
        """Memory that an example of a call takes beside the data set: nothing where all are tensors."""
        if not self.is_mapped(part):
            return 0
        return sum(int(rows.dtype.itemsize) * math.prod(rows.shape[1:]) for rows in tf.nest.flatten(self.parts[part]))

    def for_call(self, part: str, arguments: Mapping[str, Any]) -> tuple[Data, Mapping[str, Any]]:
        """The data that a graph gets, and its arguments: their `indices` are positions in these data."""
        data = self.parts[part]
        if not self.is_mapped(part):
            return data, arguments
        examples, positions = np.unique(arguments["indices"], return_inverse=True)
        taken: Data = tf.nest.map_structure(lambda rows: rows[examples], data)
        return taken, {**arguments, "indices": positions.astype(np.int32)}

    def batches(self, part: str, first: int, end: int) -> dict[str, NDArray[np.int32]]:
        """The examples of the evaluation batches [first, end) of a part, as `indices` and `sizes`."""
        size, num_examples = self.evaluation_batch_size, int(num_rows(self.parts[part]))
        indices = np.arange(first * size, min(end * size, num_examples), dtype=np.int32)
        sizes = np.full(end - first, size, np.int32)
        sizes[-1] = len(indices) - size * (end - first - 1)
        return {"indices": indices, "sizes": sizes}

    def num_batches(self, part: str) -> int:
        """Number of batches of an evaluation on all examples of a part."""
        return -(-int(num_rows(self.parts[part])) // self.evaluation_batch_size)

    def signature(self, part: str) -> Data:
        """The arguments of a graph that reads a part, whatever its number of examples."""
        spec = lambda tensor: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)  # noqa: E731
        signature: Data = tf.nest.map_structure(spec, self.parts[part])
        return signature


def _class_weights(dataset: Dataset, given: Mapping[int, float]) -> NDArray[np.float32] | None:
    if not given:
        return None
    if dataset.labels is None or dataset.num_classes is None:
        raise ConfigurationError(
            f"class_weight is for one target that is a class, and {dataset.name} has none: give integers as "
            "classes, or sample weights"
        )
    if dataset.train.weight is not None:
        raise ConfigurationError(
            f"training.class_weight is given, and {dataset.name} has sample weights: multiply these by the weights of "
            "classes instead"
        )
    unknown = [label for label in given if not 0 <= label < dataset.num_classes]
    if unknown:
        raise ConfigurationError(f"class_weight has the class {unknown[0]}, expected 0 to {dataset.num_classes - 1}")
    weights = np.ones(dataset.num_classes, np.float32)
    weights[list(given)] = list(given.values())
    return weights


def _ones(num_examples: int, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ones((num_examples, *weights.shape[1:]), np.float32)


def num_rows(data: Data) -> Any:
    """The number of examples: an integer, or within a graph a tensor."""
    tensor = tf.nest.flatten(data["x"])[0]
    return tensor.shape[0] if tensor.shape[0] is not None else tf.shape(tensor)[0]


def sliced(data: Data, begin: Any, end: Any) -> Data:
    """The examples [begin, end), each a vector of one number, which are not copied, as a model gets them."""
    return as_model_gets(tf.nest.map_structure(lambda rows: tf.strided_slice(rows, begin, end), data))


def gathered(data: Data, examples: tf.Tensor) -> Data:
    """These examples, as a model gets them."""
    return as_model_gets(tf.nest.map_structure(lambda rows: tf.gather(rows, examples), data))


def as_model_gets(batch: Data) -> Data:
    """A batch with its images of bytes as float32(x) / 255, to the bit."""

    # Not a plain division: TensorFlow would make of it a product with 1 / 255, which is another number for 126 of 256.
    def unit(rows: tf.Tensor) -> tf.Tensor:
        is_image = rows.dtype == tf.uint8 and rows.shape.rank == 4
        return tf.math.divide_no_nan(tf.cast(rows, tf.float32), 255.0) if is_image else rows

    return {**batch, "x": tf.nest.map_structure(unit, batch["x"])}
