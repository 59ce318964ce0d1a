"""The model of a run as whoever attacks it builds it: everybody knows its architecture and its constants."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.audits.observation import Facts
from gossipfl.data.conversion import model_inputs
from gossipfl.errors import ConfigurationError
from gossipfl.randomness import generator
from gossipfl.weights import ModelVectors, Vector

if TYPE_CHECKING:
    from gossipfl.training.keras.models import BuiltModel

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Dense:
    """A dense layer by the places of its kernel and its bias, if it has one, among the variables of a model."""

    kernel: int
    bias: int | None


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
        """The first layer, if it is a dense one; a Normalization may stand before it."""
        layers = self._layers[0 if self._normalization is None else 1 :]
        return self._dense(layers[0]) if layers else None

    @cached_property
    def last_dense(self) -> Dense | None:
        """The last layer, if it is a dense one."""
        return self._dense(self._layers[-1]) if self._layers else None

    def _dense(self, layer: Any) -> Dense | None:
        from keras.layers import Dense as DenseLayer

        places = {id(variable): place for place, variable in enumerate(self._built.layout.of("weights"))}
        if not isinstance(layer, DenseLayer) or id(layer.kernel) not in places:
            return None
        return Dense(places[id(layer.kernel)], places.get(id(layer.bias)))

    def examples(self, inputs: NDArray[np.float64]) -> NDArray[np.float32]:
        """The examples [k, ...] of which these [k, n] are the inputs of the first dense layer."""
        shape = self.facts.task.input_shape
        assert shape is not None
        found = inputs.reshape(len(inputs), *shape)
        if (layer := self._normalization) is not None:
            mean, variance = (np.asarray(one, np.float64)[0] for one in (layer.mean, layer.variance))
            found = found * np.sqrt(variance) + mean
        return found.astype(np.float32)

    def guesses(self, num_examples: int) -> NDArray[np.float32]:
        """Inputs [num_examples, ...] at random in the range of values, always the same: where a search begins."""
        shape, (low, high) = self.facts.task.input_shape, self.facts.value_range
        assert shape is not None
        drawn = generator(self.facts.seed, "guesses").uniform(low, high, (num_examples, *shape))
        return drawn.astype(np.float32)

    def fill(self, weights: Vector) -> "BuiltModel":
        """The model with these weights, and with the statistics and local variables of the beginning."""
        initial = self.facts.initial
        self._built.set_vectors(ModelVectors(weights, initial.statistics, initial.local))
        return self._built

    def probabilities(self, weights: Vector, x: Any) -> NDArray[np.float64]:
        """The probabilities [n, classes] that the model with these weights gives to the inputs.

        Raises ConfigurationError for a model that has not one output for each class.
        """
        model, x = self.fill(weights).model, model_inputs(x)
        starts = range(0, len(x), _AT_ONCE)
        outputs = np.concatenate([np.asarray(model(x[k : k + _AT_ONCE], training=False)) for k in starts])
        outputs = outputs.astype(np.float64)
        if outputs.ndim != 2 or outputs.shape[1] != self.facts.task.num_classes:
            raise ConfigurationError(
                f"an audit attacks models with one output for each of the {self.facts.task.num_classes} classes; the "
                f"outputs of this one have shape {outputs.shape[1:]}"
            )
        if not self.gives_probabilities:
            outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            outputs /= outputs.sum(axis=1, keepdims=True)
        return outputs

    @cached_property
    def gives_probabilities(self) -> bool:
        """True if the outputs of the model are probabilities, False for logits: told by those for guesses."""
        outputs = np.asarray(self._built.model(self.guesses(16), training=False))
        return bool(outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3))
