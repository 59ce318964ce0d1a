"""An attack begins with what a place has observed of one peer, and with what everybody knows anyway."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gossipfl.data.task import Task
from gossipfl.weights import Constants, ModelVectors, PeerId, Vector, WeightsSchema

if TYPE_CHECKING:
    from gossipfl.training.keras.models import ModelRecipe


@dataclass(frozen=True, eq=False, slots=True)
class Observation:
    """The training of `target`, as the peer at `place` can tell it from its messages: from the weights `before` it went
    to `after` in `num_steps` optimizer steps.

    With a sum in place of single models, `after` is the mean of `num_models` of them, all that the place has.
    """

    place: PeerId
    target: PeerId
    before: Vector
    after: Vector
    num_steps: int
    num_models: int = 1


@dataclass(frozen=True, eq=False, slots=True)
class Facts:
    """The facts that everybody knows who takes part: the model, its first weights, and how peers train it.

    `value_range` are the smallest and the largest value of inputs, which everybody knows of data of its own;
    `learning_rate` is None where it is no constant that the scenario names.
    """

    models: "ModelRecipe"
    schema: WeightsSchema
    initial: ModelVectors
    constants: Constants
    task: Task
    value_range: tuple[float, float]
    batch_size: int
    learning_rate: float | None
    seed: int
