"""The oracle of the Keras trainer: one job with `model.fit`, fed with the same batches, and data to do it on."""

import keras
import numpy as np
from toy_data import toy_batches, toy_dataset, toy_task

from gossipfl.actions import Train, Update
from gossipfl.data.conversion import model_inputs
from gossipfl.data.dataset import Dataset
from gossipfl.training.batches import Batches
from gossipfl.training.keras.models import ModelRecipe
from gossipfl.training.keras.trainer import KerasTrainer
from gossipfl.training.settings import TrainingSettings
from gossipfl.training.sharing import ALL_AVERAGED
from gossipfl.weights import NOTHING, ModelVectors


def toy_trainer(build, *, optimizer=None, slots=1, **given) -> KerasTrainer:
    given = {
        "dataset": toy_dataset(),
        "batches": toy_batches(),
        "seed": 5,
        "loss": None,
        "metrics": None,
        "sharing": ALL_AVERAGED,
        **given,
    }
    settings = TrainingSettings(
        optimizer,
        given["loss"],
        32,
        given["metrics"],
        given.get("class_weight", {}),
        sharing=given["sharing"],
        privacy=given.get("privacy"),
    )
    return KerasTrainer(build, given["dataset"], given["batches"], settings, given["seed"], slots)


def toy_models(build, seed=5) -> ModelRecipe:
    """What makes the models of a `toy_trainer`."""
    return ModelRecipe(build, toy_task(8, 8, 1), TrainingSettings(), seed)


def job_of(trainer: KerasTrainer, peer_id: str, num_steps: int, **fields) -> Train:
    initial = trainer.initial()
    given = {"job": 1, "first_step": 0, "weights": initial.weights, "statistics": initial.statistics, "state": {}}
    return Train(peer_id=peer_id, num_steps=num_steps, **{**given, **fields})


def model_of(update: Update) -> ModelVectors:
    """The model that training has given."""
    return ModelVectors(update.weights, update.statistics, update.state.get("local", NOTHING))


class SameBatches(keras.utils.PyDataset):
    def __init__(self, dataset: Dataset, batches: Batches, job: Train) -> None:
        super().__init__()
        self.dataset = dataset
        indices, sizes = batches.indices(job.peer_id, job.first_step, job.num_steps)
        self.batches = np.split(indices, np.cumsum(sizes)[:-1])

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int):
        taken = self.dataset.train.take(self.batches[step])
        return tuple(part for part in (model_inputs(taken.x), taken.y, taken.weight) if part is not None)


def fit_job(model: keras.Model, trainer: KerasTrainer, job: Train, dataset=None, batches=None, **given):
    """Weights, statistics and training metrics of the job by `model.fit`; the optimizer starts from zeros."""
    seeds = [variable for variable in model.non_trainable_variables if variable.name == "seed_generator_state"]
    statistics = [variable for variable in model.non_trainable_variables if variable.dtype == "float32"]
    assign(model.trainable_variables, trainer.schema.unflatten(job.weights))
    assign(statistics, trainer.statistics_schema.unflatten(job.statistics))
    if "seeds" in job.state:
        assign(seeds, job.state["seeds"].reshape(-1, 2))
    model.optimizer.build(model.trainable_variables)
    for variable in model.optimizer.variables:
        if variable is not model.optimizer.learning_rate:
            variable.assign(np.zeros(variable.shape))
    history = model.fit(
        SameBatches(dataset or toy_dataset(), batches or toy_batches(), job), shuffle=False, verbose=0, **given
    ).history
    return flat(model.trainable_variables), flat(statistics), history


def assign(variables, values) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def flat(variables) -> np.ndarray:
    return np.concatenate([np.asarray(variable).ravel() for variable in variables] or [np.empty(0, np.float32)])
