"""Worker processes at a Ray cluster, and calls that survive their deaths.

A worker holds one model, and the data of the trainer that it was last asked for. What it is asked is a pure function of
the arguments, so a call whose worker has died is made again, to another.
"""

import pickle
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import fields
from textwrap import shorten
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gossipfl.actions import Evaluate, Scores, Train, Update
from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError, GossipFLError, TrainingError, TransportError
from gossipfl.scores import Metric, Part, Score
from gossipfl.training.batches import Batches
from gossipfl.training.models import BuildModel
from gossipfl.training.settings import TrainingSettings
from gossipfl.training.trainer import Flags
from gossipfl.weights import Constants, ModelVectors, PeerId, WeightsSchema, frozen

if TYPE_CHECKING:
    from gossipfl.training.keras.trainer import KerasTrainer

MAX_DEATHS = 3
"""So many workers may die in a row of the same call; then the call is at fault, not the machines."""

START_SECONDS = 300.0
"""Patience with the first worker, which waits for a free core and imports TensorFlow."""

AnyJob = TypeVar("AnyJob", Train, Evaluate)
Result = TypeVar("Result")

Shared: TypeAlias = tuple[Any, ...]
"""References into the object store: a recipe, and the constants of its model where they are not the recipe's own;
within a tuple, Ray leaves it to the receiver to fetch what they refer to."""


def installed_ray() -> Any:
    """The package `ray`. Raises ConfigurationError, naming the extra, where it is not installed."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"training on Ray needs its package: pip install 'gossipfl[ray]' ({error})") from error
    return ray


class Recipe(NamedTuple):
    """The arguments of a trainer, as `KerasTrainer` takes them."""

    build_model: BuildModel
    dataset: Dataset
    batches: Batches
    settings: TrainingSettings
    seed: int

    def trainer(self) -> "KerasTrainer":
        from gossipfl.training.keras.trainer import KerasTrainer

        return KerasTrainer(self.build_model, self.dataset, self.batches, self.settings, self.seed, slots=1)


class Description(NamedTuple):
    """A trainer's facts of its model."""

    schema: WeightsSchema
    statistics_schema: WeightsSchema
    local_schema: WeightsSchema
    optimizer_size: int
    metrics: tuple[Metric, ...]
    initial: ModelVectors
    constants: Constants
    flags: Flags


class Worker:
    """The inside of an actor: one `KerasTrainer` with one slot, for the recipe that was last asked for."""

    def __init__(self) -> None:
        self._recipe: Any = (None,)
        self._trainer: KerasTrainer | None = None

    def flags(self, recipe: Shared) -> Flags:
        return self._trainer_of(recipe).flags

    def describe(self, recipe: Shared) -> Description:
        trainer = self._trainer_of(recipe)
        return Description(
            trainer.schema,
            trainer.statistics_schema,
            trainer.local_schema,
            trainer.optimizer_size,
            trainer.metrics,
            trainer.initial(),
            trainer.constants,
            trainer.flags,
        )

    def train(self, recipe: Shared, jobs: Sequence[Train]) -> list[Update | TrainingError]:
        return _each_alone(self._trainer_of(recipe).train, jobs)

    def score(self, recipe: Shared, jobs: Sequence[Evaluate]) -> list[Scores | TrainingError]:
        return _each_alone(self._trainer_of(recipe).score, jobs)

    def evaluate(
        self, recipe: Shared, items: Sequence[tuple[ModelVectors, NDArray[np.int64] | None]], part: Part
    ) -> list[Score]:
        models = [model for model, _ in items]
        examples = [rows for _, rows in items if rows is not None]
        return self._trainer_of(recipe).evaluate(models, part, examples or None)

    def batch_statistics(
        self, recipe: Shared, peers: Sequence[PeerId], model: ModelVectors, num_steps: int
    ) -> list[NDArray[np.float32]]:
        return self._trainer_of(recipe).batch_statistics(model, peers, num_steps)

    def _trainer_of(self, recipe: Shared) -> "KerasTrainer":
        if self._trainer is None or recipe[0] != self._recipe[0]:
            self._trainer = None  # its memory goes first
            self._trainer = _fetched(recipe).trainer()
            self._trainer.prepare()
            self._recipe = recipe[:1]
        if recipe != self._recipe:
            self._trainer.set_constants(installed_ray().get(recipe[1]))
            self._recipe = recipe
        return self._trainer


class WorkersDied(TransportError):
    """Workers died of the same call, the one at `position`, until nobody believes that the machines are at fault."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class RayWorkers:
    """The workers of this process at the connected cluster; they start with the first trainer, and serve one at a time.

    `num_workers` is a bound; None: one for each core that is free. More than there are peers are never started.
    """

    def __init__(self, num_workers: int | None = None) -> None:
        self._ray = ray = installed_ray()
        self._deaths = (  # what Ray says when a worker, or the machine with its results, is no more
            ray.exceptions.RayActorError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.OutOfMemoryError,
        )
        self._bound = num_workers
        self.num_workers = 0
        self._idle: list[Any] = []
        self._unproven: dict[Any, tuple[Any, int]] = {}
        """By the sign of life that is awaited: a worker, and how many have died while they started in its place."""
        self._flags: Flags | None = None

    def share(self, recipe: Recipe) -> Shared:
        """Send out what makes a trainer, once; `run` takes the reference.

        Raises ConfigurationError when the model's function cannot be sent, or no core of the cluster is free, and
        TransportError when the cluster cannot hold the data.
        """
        try:
            shared = (self._ray.put(recipe),)
        except (TypeError, pickle.PicklingError) as error:
            raise ConfigurationError(
                f"the function that builds the model cannot be sent to workers; put it in a module: {error}"
            ) from error
        except self._ray.exceptions.RayError as error:
            raise TransportError(f"the Ray cluster failed: {_last_line(error)}") from error
        if not self.num_workers:
            num_free = int(self._ray.available_resources().get("CPU", 0))
            if num_free < 1:
                raise ConfigurationError("no core of the Ray cluster is free: end what runs there, or add a node")
            self.num_workers = min(num_free, self._bound or num_free, len(recipe.batches.shards))
            for _ in range(self.num_workers):
                self._start(shared)
        return shared

    def with_constants(self, shared: Shared, constants: Constants) -> Shared:
        """Send out the constants of a shared recipe's model."""
        return shared[0], self._ray.put(constants)

    def run(self, recipe: Shared, method: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call `method` of some free worker with each tuple of arguments, and give the results in the same order.

        Raises what a worker raises, WorkersDied when they die of a call, and TransportError when the cluster fails.
        """
        results: dict[int, Any] = {}
        deaths = [0] * len(calls)
        waiting = deque(range(len(calls)))
        running: dict[Any, tuple[Any, int]] = {}
        try:
            while waiting or running:
                while waiting and self._idle:
                    worker, position = self._idle.pop(), waiting.popleft()
                    running[getattr(worker, method).remote(recipe, *calls[position])] = worker, position
                done, _ = self._ray.wait([*self._unproven, *running], timeout=None if running else START_SECONDS)
                if not done:
                    raise TransportError(f"no Ray worker has started in {START_SECONDS:.0f} s: are cores free?")
                if done[0] in self._unproven:
                    self._welcome(recipe, done[0])
                    continue
                worker, position = running.pop(done[0])
                self._idle.append(worker)
                try:
                    results[position] = _copied(self._ray.get(done[0]))
                except self._deaths as error:
                    self._idle.remove(worker)
                    self._replace(recipe)
                    deaths[position] += 1
                    if deaths[position] == MAX_DEATHS:
                        message = f"{MAX_DEATHS} Ray workers died in a row: {_last_line(error)}"
                        raise WorkersDied(message, position) from error
                    waiting.appendleft(position)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, GossipFLError):
                raise error.cause from error
            raise
        except self._ray.exceptions.RayError as error:
            raise TransportError(f"the Ray cluster failed: {_last_line(error)}") from error
        finally:
            self._idle += [worker for worker, _ in running.values()]  # on Ctrl-C; they end what they do, for nobody
        return [results[position] for position in range(len(calls))]

    def _start(self, recipe: Shared, deaths: int = 0) -> None:
        worker = self._ray.remote(num_cpus=1, max_restarts=0)(Worker).remote()
        self._unproven[worker.flags.remote(recipe)] = worker, deaths

    def _replace(self, recipe: Shared) -> None:
        """Start a worker in the place of a dead one; idle ones, which may have died with its machine, are asked."""
        self._start(recipe)
        for worker in self._idle:
            self._unproven[worker.flags.remote(recipe)] = worker, 0
        self._idle.clear()

    def _welcome(self, recipe: Shared, sign_of_life: Any) -> None:
        worker, deaths = self._unproven.pop(sign_of_life)
        self._idle.append(worker)
        try:
            flags = self._ray.get(sign_of_life)
        except self._ray.exceptions.RayTaskError:
            return  # alive; what it has against the recipe is said when it gets work
        except self._deaths as error:
            self._idle.remove(worker)
            self._start(recipe, deaths + 1)
            if deaths + 1 >= MAX_DEATHS:
                raise TransportError(f"{deaths + 1} Ray workers died as they started: {_last_line(error)}") from error
            return
        self._flags = self._flags or flags
        differing = [
            f"{name} ({self._flags[name]}, {flags[name]})" for name in flags if flags[name] != self._flags[name]
        ]
        if differing:
            raise ConfigurationError(f"the workers would differ in their results, because of {', '.join(differing)}")


def _each_alone(
    work: Callable[[Sequence[AnyJob]], list[Result]], jobs: Sequence[AnyJob]
) -> list[Result | TrainingError]:
    """What comes of each job, also where the call fails because of one of them."""
    try:
        return [*work(jobs)]
    except TrainingError as error:
        if len(jobs) == 1:
            return [error]
    return [outcome for job in jobs for outcome in _each_alone(work, [job])]  # find whose jobs they were


def _fetched(recipe: Shared) -> Recipe:
    ray = installed_ray()
    try:
        return ray.get(recipe[0])  # type: ignore[no-any-return]
    except ray.exceptions.RaySystemError as error:
        raise ConfigurationError(
            f"a Ray worker cannot load the function that builds the model: {_last_line(error)}; its module must be "
            f"installed on every node, or lie in a directory that all of them have, from which gossipfl is started"
        ) from error


def _last_line(error: Exception) -> str:
    """The reason, in what Ray says over several lines."""
    return shorten(str(error).strip().rpartition("\n")[2], 200)


def _copied(value: Any) -> Any:
    """The value with arrays of its own: those that Ray gives are views, each of which keeps a whole message stored."""
    if isinstance(value, np.ndarray):
        return frozen(value.copy())
    if isinstance(value, list):
        return [_copied(item) for item in value]
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(map(_copied, value))
    if isinstance(value, Update | ModelVectors | Constants):
        return type(value)(*[_copied(getattr(value, field.name)) for field in fields(value)])
    if isinstance(value, Description):
        return Description(*map(_copied, value))
    return value
