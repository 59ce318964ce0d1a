"""Training on a Ray cluster: worker processes hold data and models; the clock and the peers stay in this process.

Jobs are pure functions, so the results are those of `KerasTrainer` in this process, bit for bit, whatever the number of
workers, on machines of one kind with one version of TensorFlow. A worker that dies is replaced, and its jobs run again.
Weights and states travel through Ray's object store; the data go there once, and are shared by the workers of a node.

with ray_cluster("127.0.0.1:6379"):
    run_all(scenario, make_trainer=partial(RayTrainer, RayWorkers()))
"""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.actions import Evaluate, Job, Scores, Train, Update
from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError, TrainingError, TransportError
from gossipfl.scores import Metric, Part, Score
from gossipfl.training.batches import Batches
from gossipfl.training.cores import available_cores
from gossipfl.training.groups import balanced_groups
from gossipfl.training.models import BuildModel
from gossipfl.training.ray.workers import Description, RayWorkers, Recipe, WorkersDied, installed_ray
from gossipfl.training.settings import TrainingSettings
from gossipfl.training.trainer import Flags, all_failures
from gossipfl.weights import NOTHING, Constants, ModelVectors, PeerId, WeightsSchema

MAX_MESSAGE_BYTES = 128 * 2**20
"""Bound on the vectors that go to a worker at once; more jobs make more groups, each sent when a worker is free."""

CONNECT_SECONDS = 5.0
"""Patience with the head of a cluster."""


@contextmanager
def ray_cluster(address: str | None = None) -> Iterator[None]:
    """Be connected to the cluster whose head is at `address` (HOST:PORT), or to a new one on this machine's cores.

    The end disconnects, which frees whatever this process has at the cluster, and stops one that was started here.
    Without an address, a connection that this process has already is used and kept.

    Raises ConfigurationError without Ray or with a malformed address, TransportError when there is no cluster to use.
    """
    ray = installed_ray()
    if address is None and ray.is_initialized():
        yield
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    given: dict[str, Any] = {}
    if address is not None:
        _check_reachable(address)
    else:
        given |= {"include_dashboard": False, "num_cpus": available_cores()}  # Ray counts those of the machine
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **given)
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
        if address is None:
            raise TransportError(f"Ray does not start on this machine: {error}") from error
        raise TransportError(
            f"cannot use the Ray cluster at {address}: {error}; this machine must be one of its nodes, have the same "
            f"versions of Python and Ray, and RAY_AUTH_MODE=token in its environment if the cluster wants a token"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray would try for two minutes, and then end this process."""
    host, _, port = address.rpartition(":")
    if not (host and port.isascii() and port.isdecimal() and 0 < int(port) < 2**16):
        raise ConfigurationError(f"a Ray address is HOST:PORT, for example 127.0.0.1:6379; got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise TransportError(
            f"no Ray cluster answers at {address} ({error}); start one: ray start --head --port {port}"
        ) from error


class RayTrainer:
    """A `ModelTrainer` on the workers of a cluster, in place of a `KerasTrainer`, whose arguments it takes.

    Raises ConfigurationError as `KerasTrainer` does, and when the model's function cannot be sent to workers.
    """

    def __init__(
        self,
        workers: RayWorkers,
        build_model: BuildModel,
        dataset: Dataset,
        batches: Batches,
        settings: TrainingSettings,
        seed: int,
    ) -> None:
        self._workers = workers
        self._recipe = Recipe(build_model, dataset, batches, settings, seed)
        self._shared = workers.share(self._recipe)
        description: Description
        (description,) = workers.run(self._shared, "describe", [()])
        self.schema: WeightsSchema = description.schema
        self.statistics_schema: WeightsSchema = description.statistics_schema
        self.local_schema: WeightsSchema = description.local_schema
        self.optimizer_size: int = description.optimizer_size
        self.metrics: tuple[Metric, ...] = description.metrics
        self._initial = description.initial
        self.constants: Constants = description.constants
        if self.constants:  # those of one worker are everybody's, whatever the model function gives elsewhere
            self.set_constants(self.constants)
        self._flags = description.flags

    @property
    def num_slots(self) -> int:
        """One: the workers are all there for one call."""
        return 1

    @property
    def flags(self) -> Flags:
        """Versions, thread counts and determinism flags in force at the workers, for the run's manifest."""
        return {**self._flags, "workers": self._workers.num_workers}

    def prepare(self) -> None:
        """Nothing: workers build their graphs when they start."""

    def initial(self) -> ModelVectors:
        """The model's initial weights and statistics: the same bits for the same seed."""
        return self._initial

    def forget_initial(self) -> None:
        """Keep the initial vectors no longer."""
        self._initial = ModelVectors(NOTHING, NOTHING)

    def set_constants(self, constants: Constants) -> None:
        """Train and evaluate with other constants than the model function gives; while nothing is running.

        Raises SchemaMismatchError, at the next call, for constants that do not belong to this model.
        """
        self.constants = constants
        self._shared = self._workers.with_constants(self._shared, constants)

    def num_examples(self, peer_id: PeerId, first_step: int, num_steps: int) -> int:
        """Number of examples (with repetition) in the steps [first_step, first_step + num_steps) of a peer."""
        return self._recipe.batches.num_examples(peer_id, first_step, num_steps)

    def train(self, jobs: Sequence[Train]) -> list[Update]:
        """Run independent jobs; updates come in the order of the jobs.

        Raises as `KerasTrainer.train` does, and TrainingError, naming the peers, when workers die of their jobs.
        """
        groups = self._groups([job.num_steps for job in jobs], [1] * len(jobs))
        return self._run_jobs("train", "training", jobs, groups)

    def score(self, jobs: Sequence[Evaluate]) -> list[Scores]:
        """Score the models of independent jobs, each on batches of its peer. Raises as `train` does."""
        nums_models = [len(job.models) for job in jobs]
        work = [job.num_steps * num_models for job, num_models in zip(jobs, nums_models, strict=True)]
        return self._run_jobs("score", "evaluating for", jobs, self._groups(work, nums_models))

    def evaluate(
        self, models: Sequence[ModelVectors], part: Part = "test", examples: Sequence[NDArray[np.int64]] | None = None
    ) -> list[Score]:
        """Scores of several models on a part of the data, in order; or of each on its own `examples` of that part."""
        own: Sequence[NDArray[np.int64] | None] = [None] * len(models) if examples is None else examples
        work = [1 if rows is None else rows.size for rows in own]
        groups = self._groups(work, [1] * len(models))
        return self._run("evaluate", list(zip(models, own, strict=True)), groups, part)

    def batch_statistics(
        self, model: ModelVectors, peers: Sequence[PeerId], num_steps: int
    ) -> list[NDArray[np.float32]]:
        """For each peer the statistics of a model after each of the batches of its first steps; as `KerasTrainer`."""
        groups = self._groups([1] * len(peers), [1] * len(peers))
        return self._run("batch_statistics", peers, groups, model, num_steps)

    def _groups(self, work: Sequence[int], nums_models: Sequence[int]) -> list[list[int]]:
        schemas = (self.schema, self.statistics_schema, self.local_schema)
        num_bytes = 4 * (sum(schema.size for schema in schemas) + self.optimizer_size)
        nums_bytes = [num_bytes * num_models for num_models in nums_models]
        return balanced_groups(work, nums_bytes, self._workers.num_workers, MAX_MESSAGE_BYTES)

    def _run_jobs(self, method: str, doing: str, jobs: Sequence[Job], groups: Sequence[Sequence[int]]) -> list[Any]:
        try:
            outcomes = self._run(method, jobs, groups)
        except WorkersDied as died:
            group = [jobs[position] for position in groups[died.position]]
            names = ", ".join(repr(job.peer_id) for job in group)
            raise TrainingError(f"{died}: {doing} {names}", peer_id=group[0].peer_id, round=group[0].job) from died
        if any(isinstance(outcome, TrainingError) for outcome in outcomes):
            raise all_failures(outcomes)
        return outcomes

    def _run(self, method: str, items: Sequence[Any], groups: Sequence[Sequence[int]], *others: Any) -> list[Any]:
        """The results of a method that takes several items and gives as many results, in the order of the items."""
        calls = [([items[position] for position in group], *others) for group in groups]
        results: dict[int, Any] = {}
        for group, answers in zip(groups, self._workers.run(self._shared, method, calls), strict=True):
            results.update(zip(group, answers, strict=True))
        return [results[position] for position in range(len(items))]
