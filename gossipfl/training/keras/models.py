"""The models of a run: built from its seed, filled with what a peer has learned, and read from files."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from tensorflow.python.framework.ops import uid

from gossipfl.data.task import Task
from gossipfl.errors import ConfigurationError
from gossipfl.randomness import derived_seed
from gossipfl.training.keras.batch import tensors_of
from gossipfl.training.keras.custom import Counting, OwnStep
from gossipfl.training.keras.files import load_variables
from gossipfl.training.keras.model import compiled_model, forward
from gossipfl.training.keras.runtime import global_seed
from gossipfl.training.keras.sharing import local_and_frozen
from gossipfl.training.keras.state import (
    MODEL_ROLES,
    ROLES,
    VariableLayout,
    changes,
    draws,
    in_dtype_of,
    parts_of,
    schema_of,
    values_of,
    variable_layout,
)
from gossipfl.training.models import BuildModel
from gossipfl.training.settings import TrainingSettings
from gossipfl.weights import Constants, ModelVectors, StoredModel


class BuiltModel(NamedTuple):
    """A compiled model, which role each of its variables has, and what counts in training and in an evaluation."""

    model: keras.Model
    layout: VariableLayout
    training: Counting
    scoring: Counting
    draws: bool
    """True if the model draws random numbers in an evaluation, too."""

    @property
    def may_be_cut(self) -> bool:
        """True if an evaluation may be made in parts: what is counted is a sum, and nothing is drawn on the way."""
        return self.scoring.is_additive and not self.draws

    @property
    def optimizers(self) -> Sequence[keras.optimizers.Optimizer]:
        """The optimizers that train it."""
        return self.training.optimizers if isinstance(self.training, OwnStep) else [self.model.optimizer]

    @property
    def normalizations(self) -> Sequence[keras.layers.Normalization]:
        """The Normalization layers whose means and variances are variables."""
        layers = self.model._flatten_layers()
        return [one for one in layers if isinstance(one, keras.layers.Normalization) and one.input_mean is None]

    @property
    def stored(self) -> StoredModel:
        """The present values of the variables."""
        layout = self.layout
        return StoredModel(ModelVectors(*[values_of(layout.of(role)) for role in MODEL_ROLES]), self.constants)

    @property
    def constants(self) -> Constants:
        """The constants as they are now."""
        variables = self.layout.constants
        return Constants(schema_of(variables).names, tuple(_portable(variable.numpy()) for variable in variables))

    def set_constants(self, constants: Constants) -> None:
        """Take the constants of the run. Raises SchemaMismatchError when they are another model's.

        A graph that was made before has the numbers that a Normalization layer had then.
        """
        variables = self.layout.constants
        constants.check_shapes([tuple(variable.shape) for variable in variables])
        for variable, array in zip(variables, constants.arrays, strict=True):
            variable.assign(array.astype(variable.dtype))
        for layer in self.normalizations:
            layer.finalize_state()  # what it calculates with is no variable

    def set_vectors(self, vectors: ModelVectors) -> None:
        """Take what training has made of them. Raises SchemaMismatchError when the vectors are another model's."""
        for role in MODEL_ROLES:
            variables, vector = self.layout.of(role), getattr(vectors, role)
            for variable, array in zip(variables, schema_of(variables).unflatten(vector), strict=True):
                variable.assign(in_dtype_of(variable, array))


class ModelRecipe:
    """Makes the models of a run, all with the same initial values."""

    def __init__(self, build_model: BuildModel, task: Task, settings: TrainingSettings, seed: int) -> None:
        self._build = partial(compiled_model, build_model, task, settings)
        self._task = task
        self._seed = seed
        self._sharing = settings.sharing
        self._changes: list[bool] | None = None  # of the first model that was built, and so of all
        self._draws: bool | None = None

    def models(self, num_models: int, room: Callable[[int], int] | None = None) -> list[BuiltModel]:
        """Equal models, one per slot, all built in this thread (Keras state is thread-local); at most as many as there
        is `room` for, given the number of floats of one.

        Raises ConfigurationError when two calls share a model or an optimizer, or give models that differ in shapes,
        dtypes or constants.
        """
        making = self._models(num_models)
        built = [next(making)]
        num_models = num_models if room is None else min(num_models, room(built[0].layout.num_floats))
        built += islice(making, num_models - 1)
        if len({id(one.model.optimizer) for one in built}) < num_models:
            raise ConfigurationError("the model function must make a new model and a new optimizer at each call")
        first, *others = [one.layout for one in built]
        for other in others:
            for role in (*ROLES, "constants"):
                if schema_of(other.of(role)).digest != schema_of(first.of(role)).digest:
                    raise ConfigurationError(f"two calls of the model function gave models with different {role}")
            for mine, theirs in zip(first.constants, other.constants, strict=True):
                if not np.array_equal(mine.numpy(), theirs.numpy()):
                    raise ConfigurationError(
                        f"two calls of the model function gave different values to the frozen variable "
                        f"{mine.path!r}; load it from a file, or seed its initializer"
                    )
        return built

    def filled(self, stored: StoredModel) -> keras.Model:
        """A new model that scores what a trainer measures of these vectors: its seed generators, too, are those of
        evaluation. Raises SchemaMismatchError when the vectors do not belong to it."""
        (built,) = self.models(1)
        built.set_vectors(stored.vectors)
        built.set_constants(stored.constants)
        seeds = built.layout.initial_seeds(self._seed, "evaluation")
        for variable, part in zip(built.layout.seeds, parts_of(seeds, built.layout.seeds), strict=True):
            variable.assign(part)
        return built.model

    def read(self, path: Path) -> StoredModel:
        """The content of a `.keras` or `.weights.h5` file of the same architecture.

        Raises ValueError or OSError when the file is not there or does not fit the model.
        """
        (built,) = self.models(1)
        load_variables(built.model, path)
        return built.stored

    def _models(self, num_models: int) -> Iterator[BuiltModel]:
        for _ in range(num_models):
            newest = uid()
            with global_seed(derived_seed(self._seed, "model")):
                model, training, scoring = self._build()
            if self._changes is None:
                own = [one for one in (training, scoring) if isinstance(one, OwnStep)]
                calls = partial(_outputs, model, self._task) if len(own) < 2 else lambda _: None
                self._changes = changes(model, calls, frozenset().union(*(one.written for one in own)))
            if len(model.non_trainable_variables) != len(self._changes):
                raise ConfigurationError("two calls of the model function gave models with different variables")
            local, frozen = local_and_frozen(model, self._sharing)
            optimizers = training.optimizers if isinstance(training, OwnStep) else [model.optimizer]
            layout = variable_layout(model, self._changes, optimizers, local, frozen)
            if self._draws is None:
                outputs = partial(_outputs, model, self._task, training=False)
                self._draws = not isinstance(scoring, OwnStep) and draws(layout, outputs)  # which is never cut anyway
            built = BuiltModel(model, layout, training, scoring, self._draws)
            further = [] if optimizers == [model.optimizer] else layout.optimizer
            _refuse_older_variables(
                [*layout.weights, *layout.statistics, *layout.local, *layout.seeds, *further], newest
            )
            yield built


def _refuse_older_variables(variables: Sequence[keras.Variable], newest: int) -> None:
    """TensorFlow numbers its variables; what had a number before the call would be trained by all models at once."""
    for variable in variables:
        if int(variable.value._unique_id.rpartition("_")[2]) <= newest:
            raise ConfigurationError(
                f"the variable {variable.path!r} was there before the model function was called, and would be shared "
                "by all models that it makes: make its layer or optimizer anew at each call (a frozen layer may be "
                "made outside)"
            )


def _outputs(model: keras.Model, task: Task, training: bool) -> None:
    forward(model, *tensors_of(task, 2), training=training)


def _portable(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Floats of a dtype that NumPy does not have become float32, which has all of theirs."""
    return array if array.dtype.kind in "biuf" else array.astype(np.float32)
