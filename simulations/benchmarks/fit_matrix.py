"""Does a peer do what `model.fit` does, whatever the model and the task, and with the same bits over HTTP and on Ray?

    python simulations/benchmarks/fit_matrix.py [CASE ...]

Every case of `fit_cases.py` is trained twice from the same first weights, with the same batches in the same order: by
`fit`, in two calls, and by one peer, in two jobs. Differences are relative to 1 + the value: the largest of loss and
metrics while training, the largest of those of `evaluate` on held-out examples, and the largest of all variables of the
model at the end. Then three peers train the case in rounds of synchronous gossip: in virtual time, over HTTP on this
machine, and six of the cases on a Ray cluster of this machine. `same` says that all weights, statistics and states have
the same bits.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
from fit_cases import CASES, NUM_TRAIN, Case
from measuring import print_table
from numpy.typing import NDArray

from gossipfl import Dataset, Scenario
from gossipfl.actions import Train
from gossipfl.deploy.loopback import loopback_federation
from gossipfl.errors import GossipFLError
from gossipfl.experiments.experiment import Experiment
from gossipfl.randomness import derived_seed, generator
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.training.batches import Batches
from gossipfl.weights import ModelVectors, StoredModel

SEED = 3
BATCH_SIZE = 8
EVALUATION_BATCH_SIZE = 16
JOBS = ((0, 2), (2, 5))
"""First step and number of steps of each job: the second begins within an epoch, and ends within another."""

ON_RAY = (
    "photos",
    "named_inputs_with_large_ids",
    "sample_weights_of_each_output",
    "attention",
    "float16_with_loss_scale",
    "own_train_step",
)
TOLERANCE = 2e-5
COARSE = {"bfloat16": 2e-2, "float16_with_loss_scale": 2e-3}
"""The tolerance where rounding is coarser than that of float32."""

Run: TypeAlias = Callable[[Experiment, AlgorithmSection], Mapping[str, Any]]
"""Runs an algorithm in another way; gives its peers at the end."""


@dataclass(frozen=True)
class Trained:
    """What came of the jobs: values while training, of each; values on held-out examples; all variables at the end."""

    training: Sequence[Mapping[str, Any]]
    evaluation: Mapping[str, Any]
    variables: Sequence[NDArray[Any]]


@dataclass(frozen=True)
class Differences:
    """The largest differences between two of them, and the names of values that only `fit` gives."""

    training: float
    evaluation: float
    variables: float
    missing: tuple[str, ...]

    def is_rounding(self, name: str) -> bool:
        largest = max(self.training, self.evaluation, self.variables)
        return not self.missing and largest <= COARSE.get(name, TOLERANCE)


def scenario_of(name: str) -> Scenario:
    """Three peers that train a case."""
    case = CASES[name]
    parts = [_rows(case, slice(NUM_TRAIN)), _rows(case, slice(NUM_TRAIN, None))]
    training: dict[str, Any] = {"batch_size": BATCH_SIZE, "evaluation_batch_size": EVALUATION_BATCH_SIZE}
    if case.class_weight is not None:
        training["class_weight"] = case.class_weight
    return Scenario(
        name=name,
        seed=SEED,
        rounds=2,
        model=case.build,
        data={"source": Dataset.from_arrays(name, *parts), "partition": "iid"},
        training=training,
        topology={"generator": "complete_graph", "arguments": {"n": 3}},
        algorithms=["synchronous"],
    )


def differences(experiment: Experiment) -> Differences:
    """How far a peer alone is from `fit`."""
    theirs, ours = by_fit(experiment), by_peer(experiment)
    missing: set[str] = set()

    def largest(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> float:
        missing.update(wanted.keys() - found.keys())
        return max(_difference(found[key], value) for key, value in wanted.items() if key in found)

    training = max(map(largest, theirs.training, ours.training))
    evaluation = largest(theirs.evaluation, ours.evaluation)
    variables = max(_difference(mine, other) for mine, other in zip(ours.variables, theirs.variables, strict=True))
    return Differences(training, evaluation, variables, tuple(sorted(missing)))


def by_peer(experiment: Experiment) -> Trained:
    """The jobs done by peer 0, alone."""
    trainer = experiment.trainer
    vectors = trainer.initial()
    training = []
    state: Mapping[str, Any] = {}
    for number, (first_step, num_steps) in enumerate(JOBS):
        job = Train("0", number, first_step, num_steps, vectors.weights, vectors.statistics, state)
        (update,) = trainer.train([job])
        vectors, state = ModelVectors(update.weights, update.statistics), update.state
        training.append(_flat(update.metrics))
    (score,) = trainer.evaluate([vectors])
    model = experiment.models().filled(StoredModel(vectors, trainer.constants))
    return Trained(training, _flat({"loss": score.loss, **score.metrics}), _variables(model))


def by_fit(experiment: Experiment) -> Trained:
    """The same by `fit`."""
    case = CASES[experiment.scenario.name]
    keras.utils.set_random_seed(derived_seed(SEED, "model") % 2**32)
    model = case.build()
    seeds = [one for one in model.non_trainable_variables if one.name == "seed_generator_state"]
    batches = Batches({"0": experiment.shards["0"]}, BATCH_SIZE, True, SEED)
    training = []
    _seed(seeds, "0", 0)
    for first_step, num_steps in JOBS:
        chosen = GivenBatches(case, batches, first_step, num_steps)
        history = model.fit(chosen, shuffle=False, class_weight=case.class_weight, verbose=0).history
        training.append(_flat({name: values[-1] for name, values in history.items()}))
    _seed(seeds, "evaluation")
    x, y, weight = _rows(case, slice(NUM_TRAIN, None), as_model_inputs)
    measured = model.evaluate(x, y, EVALUATION_BATCH_SIZE, sample_weight=weight, verbose=0, return_dict=True)
    return Trained(training, _flat(measured), _variables(model))


class GivenBatches(keras.utils.PyDataset):
    """The batches of a job, as `fit` takes them."""

    def __init__(self, case: Case, batches: Batches, first_step: int, num_steps: int) -> None:
        super().__init__()
        indices, sizes = batches.indices("0", first_step, num_steps)
        given = [_rows(case, rows, as_model_inputs) for rows in np.split(indices, np.cumsum(sizes)[:-1])]
        self.batches = [tuple(part for part in parts if part is not None) for parts in given]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> Any:
        return self.batches[step]


def as_model_inputs(array: NDArray[Any]) -> NDArray[Any]:
    """What a model gets: of bytes in the shape of images, shares of 255 with channels."""
    if array.dtype != np.uint8:
        return array
    shares = array.astype(np.float32) / np.float32(255)
    return shares[..., None] if shares.ndim == 3 else shares


def _rows(case: Case, rows: Any, then: Callable[[NDArray[Any]], NDArray[Any]] = lambda array: array) -> Any:
    """Some of the examples of a case: x, y and weights."""
    return tuple(
        None if tree is None else keras.tree.map_structure(lambda array: then(array[rows]), tree)
        for tree in (case.x, case.y, case.weight)
    )


def _seed(variables: Sequence[keras.Variable], *name: str | int) -> None:
    """Seed generators as a peer has them: from the run's seed, and from who uses them for what."""
    drawn = generator(SEED, "seed-generators", *name).integers(2**31 - 2, size=len(variables))
    for variable, seed in zip(variables, drawn, strict=True):
        variable.assign([seed, 0])


def _variables(model: keras.Model) -> list[NDArray[Any]]:
    return [np.asarray(one, np.float32) for one in model.variables if one.name != "seed_generator_state"]


def _difference(found: Any, wanted: Any) -> float:
    wanted = np.asarray(wanted, np.float64)
    return float(np.max(np.abs(np.asarray(found, np.float64) - wanted) / (1 + np.abs(wanted)), initial=0))


def _flat(values: Mapping[str, Any]) -> dict[str, float]:
    """A value for each name: of a metric with a value for each class, `f1_0`, `f1_1`, ..."""
    flat = {}
    for name, value in values.items():
        if np.ndim(value):
            flat |= {f"{name}_{position}": float(part) for position, part in enumerate(value)}
        else:
            flat[name] = float(value)
    return flat


def has_the_same_bits(experiment: Experiment, other: Run) -> bool:
    """True if three peers end with the bits that they have in virtual time."""
    (section,) = experiment.scenario.algorithms
    simulator = experiment.simulator(section)
    simulator.run()
    return _bits(simulator.peers) == _bits(other(experiment, section))


def over_http(experiment: Experiment, section: AlgorithmSection) -> Mapping[str, Any]:
    """Peers that have trained over HTTP on this machine."""
    federation = loopback_federation(experiment, section)
    federation.run()
    return federation.peers


def on_ray(workers: Any, experiment: Experiment, section: AlgorithmSection) -> Mapping[str, Any]:
    """Peers that were trained by workers of a Ray cluster."""
    from gossipfl.training.ray.trainer import RayTrainer

    simulator = Experiment(experiment.scenario, make_trainer=partial(RayTrainer, workers)).simulator(section)
    simulator.run()
    return simulator.peers


def _bits(peers: Mapping[str, Any]) -> dict[str, dict[str, bytes]]:
    """Everything that training and averaging have made of the models of all peers."""
    found = {}
    for peer_id, peer in peers.items():
        vectors = {"weights": peer.local.weights, "statistics": peer.local.statistics, **peer.local.state}
        found[peer_id] = {name: vector.tobytes() for name, vector in vectors.items()}
    return found


@contextmanager
def ray_workers(names: Sequence[str]) -> Iterator[Any]:
    """Two workers of a Ray cluster of its own, if one of the cases is for them and Ray is installed."""
    if not set(names) & set(ON_RAY) or find_spec("ray") is None:
        yield None
        return
    from gossipfl.training.ray.trainer import ray_cluster
    from gossipfl.training.ray.workers import RayWorkers

    here = str(Path(__file__).parent)  # where workers find the models
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    with ray_cluster():
        yield RayWorkers(2)


def row_of(name: str, workers: Any) -> tuple[list[str], bool]:
    """The line of a case in the table, and True if all is as it should be."""
    try:
        experiment = Experiment(scenario_of(name))
        found = differences(experiment)
        same = {"HTTP": has_the_same_bits(experiment, over_http)}
        if workers is not None and name in ON_RAY:
            same["Ray"] = has_the_same_bits(experiment, partial(on_ray, workers))
    except GossipFLError as error:
        return [name, str(error)[:80]], False
    figures = [f"{figure:.0e}" for figure in (found.training, found.evaluation, found.variables)]
    words = ["same" if is_same else "OTHER" for is_same in same.values()]
    if found.missing:
        words.append(f"without {', '.join(found.missing)}")
    return [name, *figures, *words], found.is_rounding(name) and all(same.values())


def main(names: Sequence[str]) -> int:
    with ray_workers(names) as workers:
        rows = [row_of(name, workers) for name in names]
    print_table(["case", "training", "evaluation", "variables", "HTTP", "Ray"], [row for row, _ in rows])
    return sum(not is_right for _, is_right in rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(CASES)))
