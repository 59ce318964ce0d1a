"""A compiled model that `fit` trains as the local work of a peer: its variables are the vectors of the peer's jobs."""

import logging
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from gossipfl.actions import Train, Update
from gossipfl.errors import ConfigurationError, SchemaMismatchError, TrainingError
from gossipfl.training.keras.models import BuiltModel
from gossipfl.training.keras.state import ROLES, VariableLayout, in_dtype_of, parts_of, schema_of, values_of
from gossipfl.weights import ModelVectors, PeerId, Vector, frozen, is_finite

_LOGGER = logging.getLogger(__name__)


class FittedModel:
    """The `model` of peer `peer_id`, in the layout of `built`: another one of the run's, as it was when it was made.

    Raises ConfigurationError when the two do not have the same variables and the same kind of optimizer.
    """

    def __init__(self, model: keras.Model, built: BuiltModel, peer_id: PeerId, seed: int) -> None:
        self._model = model
        self._peer_id = peer_id
        self._seed = seed
        self._layout = _layout_like(built, model)
        self._initial = {role: values_of(built.layout.of(role)) for role in ("local", "optimizer", "loss_scale")}
        for variable, value in zip(self._layout.constants, built.layout.constants, strict=True):
            variable.assign(value)
        for layer, other in zip(_normalizations(model), built.normalizations, strict=True):
            layer.finalize_state()  # what it calculates with is no variable
            assert layer.input_mean is other.input_mean is None

    @property
    def weights(self) -> Vector:
        """The present weights."""
        return values_of(self._layout.weights)

    def begin(self, job: Train) -> None:
        """Take the weights and the state that a job begins with; what is missing of the state begins anew, but for the
        count of steps that a learning-rate schedule follows."""
        state = {**self._initial, **job.state}
        if "seeds" not in state:
            state["seeds"] = self._layout.initial_seeds(self._seed, self._peer_id, job.first_step)
        vectors = {"weights": job.weights, "statistics": job.statistics, **state}
        num_steps = self._model.optimizer.iterations.numpy()
        for role in ROLES:
            self._set(role, vectors[role])
        if "optimizer" not in job.state:
            self._model.optimizer.iterations.assign(num_steps)

    def become(self, model: ModelVectors) -> None:
        """Take a model for one's own, and leave the optimizer as it is."""
        self._set("weights", model.weights)
        self._set("statistics", model.statistics)
        self._set("local", model.local)

    def add(self, difference: Vector) -> None:
        """Move the weights, wherever they are by now."""
        self._set("weights", self.weights + difference)

    def update(self, job: Train, moved: Vector | None, metrics: Mapping[str, float], num_examples: int) -> Update:
        """The result of a job that has ended here, without what it was `moved` by meanwhile.

        Raises TrainingError when it has ended in NaN or infinity.
        """
        vectors: dict[str, Vector] = {role: values_of(self._layout.of(role)) for role in ROLES if role != "seeds"}
        broken = [role for role, vector in vectors.items() if not is_finite(vector)]
        if not np.isfinite(metrics.get("loss", 0.0)):
            broken.append("loss")
        if broken:
            raise TrainingError(
                f"fit of peer {self._peer_id!r} diverged in its local round {job.job + 1}: NaN or infinity in "
                f"{', '.join(broken)}; lower the learning rate or clip gradients (clipnorm)",
                peer_id=self._peer_id,
                round=job.job,
            )
        weights, statistics = vectors.pop("weights"), vectors.pop("statistics")
        seeds = [np.asarray(variable.numpy(), np.int64).ravel() for variable in self._layout.seeds]
        state = {role: vector for role, vector in vectors.items() if vector.size}
        return Update(
            peer_id=job.peer_id,
            job=job.job,
            weights=weights if moved is None else frozen(weights - moved),
            statistics=statistics,
            state=state | ({"seeds": frozen(np.concatenate(seeds))} if seeds else {}),
            num_examples=num_examples,
            num_steps=job.num_steps,
            metrics=metrics,
        )

    def _set(self, role: str, vector: NDArray[Any]) -> None:
        variables = self._layout.of(role)
        for variable, part in zip(variables, parts_of(vector, variables), strict=True):
            variable.assign(in_dtype_of(variable, part))


def _normalizations(model: keras.Model) -> list[keras.layers.Normalization]:
    layers = model._flatten_layers()
    return [one for one in layers if isinstance(one, keras.layers.Normalization) and one.input_mean is None]


def _layout_like(built: BuiltModel, model: keras.Model) -> VariableLayout:
    """The variables of `model` in the roles that those in the same places have in `built`."""
    ours, theirs = built.model, model
    if list(built.optimizers) != [ours.optimizer]:
        raise ConfigurationError(
            f"model {theirs.name!r} has optimizers of its own beside the one that it is compiled with; use "
            "`gossipfl peer` for it, because a callback of fit cannot tell which is which"
        )
    if not getattr(theirs, "compiled", False) or theirs.optimizer is None:
        raise ConfigurationError(f"model {theirs.name!r} is not compiled; compile it with an optimizer before fit")
    if type(theirs.optimizer) is not type(ours.optimizer):
        raise ConfigurationError(
            f"model {theirs.name!r} is compiled with {type(theirs.optimizer).__name__}, the run has "
            f"{type(ours.optimizer).__name__} (the model function's, or training.optimizer): compile with the same"
        )
    if not theirs.built:
        raise ConfigurationError(
            f"model {theirs.name!r} is not built yet: give it an Input, or call it on some examples"
        )
    if not theirs.optimizer.built:
        theirs.optimizer.build(theirs.trainable_variables)
    given, wanted = theirs.optimizer.get_config(), ours.optimizer.get_config()
    if other := [name for name in wanted if name != "name" and given.get(name) != wanted[name]]:
        said = ", ".join(f"{name} {given.get(name)} in place of {wanted[name]}" for name in other)
        _LOGGER.warning("the optimizer of fit has %s of the run: what fit does counts", said)
    place: dict[int, keras.Variable] = {}
    for kind in ("trainable_variables", "non_trainable_variables", "optimizer"):
        mine, its = (one.optimizer.variables if kind == "optimizer" else getattr(one, kind) for one in (ours, theirs))
        if schema_of(mine).digest != schema_of(its).digest:
            raise ConfigurationError(
                f"model {theirs.name!r} differs from the run's (model = ... in the scenario) in its "
                f"{kind.replace('_', ' ')}: {_shapes(its)} in place of {_shapes(mine)}; build it by the same function"
            )
        place |= {id(variable): other for variable, other in zip(mine, its, strict=True)}
    try:
        roles = {role: [place[id(one)] for one in built.layout.of(role)] for role in (*ROLES, "constants")}
    except KeyError as error:
        raise SchemaMismatchError(f"model {theirs.name!r} trains variables that are not its own") from error
    return VariableLayout(**roles)


def _shapes(variables: list[keras.Variable]) -> str:
    shown = [f"{tuple(variable.shape)}" for variable in variables]
    return ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "") if shown else "none"
