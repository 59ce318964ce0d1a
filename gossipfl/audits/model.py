"""The model of a run as whoever attacks it builds it: everybody knows its architecture and its constants."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.audits.observation import Facts
from gossipfl.data.conversion import model_inputs
from gossipfl.data.dataset import classes_of
from gossipfl.data.examples import Examples
from gossipfl.errors import ConfigurationError
from gossipfl.weights import ModelVectors, Vector

if TYPE_CHECKING:
    from gossipfl.training.keras.models import BuiltModel

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Dense:
    """A dense layer by the places of its kernel and its bias among the variables of a model."""

    kernel: int
    bias: int


class ModelUnderAttack:
    """The model of a run, built once, to be filled with whatever weights a place has seen."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    @cached_property
    def _built(self) -> "BuiltModel":
        (built,) = self.facts.models.models(1)
        built.set_constants(self.facts.constants)
        return built

    @cached_property
    def _layers(self) -> list[Any]:
        """The layers of a chain that calculate; none where the model is no chain."""
        from keras import Sequential
        from keras.layers import Dropout, Flatten, InputLayer, Reshape

        model = self._built.model
        layers = model.layers if isinstance(model, Sequential) else []
        return [layer for layer in layers if not isinstance(layer, InputLayer | Flatten | Reshape | Dropout)]

    @cached_property
    def _normalization(self) -> Any:
        """The Normalization that stands first; None: there is none."""
        from keras.layers import Normalization

        return self._layers[0] if self._layers and isinstance(self._layers[0], Normalization) else None

    @cached_property
    def first_dense(self) -> Dense | None:
        """The first layer, if it is a dense one with a bias; a Normalization may stand before it."""
        layers = self._layers[0 if self._normalization is None else 1 :]
        return self._dense(layers[0]) if layers else None

    @cached_property
    def last_dense(self) -> Dense | None:
        """The last layer, if it is a dense one with a bias."""
        return self._dense(self._layers[-1]) if self._layers else None

    def _dense(self, layer: Any) -> Dense | None:
        from keras.layers import Dense as DenseLayer

        if not isinstance(layer, DenseLayer) or layer.bias is None:
            return None
        shared = [id(variable) for variable in self._built.layout.of("weights")]
        places = [shared.index(id(one)) for one in (layer.kernel, layer.bias) if id(one) in shared]
        return Dense(*places) if len(places) == 2 else None

    def examples(self, inputs: NDArray[np.float64]) -> NDArray[np.float32]:
        """The examples [k, ...] of which these [k, n] are the inputs of the first dense layer."""
        shape = self.facts.task.input_shape
        assert shape is not None
        found = inputs.reshape(len(inputs), *shape)
        if (layer := self._normalization) is not None:
            mean, variance = (np.asarray(one, np.float64)[0] for one in (layer.mean, layer.variance))
            found = found * np.sqrt(variance) + mean
        return found.astype(np.float32)

    def probabilities(self, weights: Vector, examples: Examples) -> NDArray[np.float64]:
        """The probability [n] that the model with these weights gives to the class of each example."""
        initial, built = self.facts.initial, self._built
        built.set_vectors(ModelVectors(weights, initial.statistics, initial.local))
        labels, x = classes_of(examples.y), model_inputs(examples.x)
        starts = range(0, len(examples), _AT_ONCE)
        outputs = np.concatenate([np.asarray(built.model(x[k : k + _AT_ONCE], training=False)) for k in starts])
        if labels is None or outputs.ndim != 2:
            raise ConfigurationError("membership is told by one output for each class, which this model has not")
        if not np.allclose(outputs.sum(axis=1), 1, atol=1e-3) or outputs.min() < 0:  # they are logits
            outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            outputs /= outputs.sum(axis=1, keepdims=True)
        probabilities: NDArray[np.float64] = outputs[np.arange(len(labels)), labels].astype(np.float64)
        return probabilities
