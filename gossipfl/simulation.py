"""What the commands do, for Python: run scenarios in virtual time.

history = simulate(Scenario(algorithms=["pairwise"], rounds=10))
comparison = compare(Scenario(algorithms=["pairwise", "fedavg"]), num_seeds=3)

simulation = initialize(Scenario(algorithms=["pairwise"]))
while (evaluation := simulation.next()) is not None:
    print(evaluation.round, evaluation.mean_accuracy, simulation.weights("3"))
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from gossipfl.actions import LocalWork
from gossipfl.algorithms import POOL, Algorithm
from gossipfl.comparison import Comparison
from gossipfl.data.dataset import Dataset, subset
from gossipfl.data.partition import check_partition
from gossipfl.data.sources import load
from gossipfl.engines.evaluation import EvaluationPlan, evaluated_peers
from gossipfl.engines.simulator import Simulator, World
from gossipfl.errors import ConfigurationError, DataError, GossipFLError
from gossipfl.history import Evaluation, History
from gossipfl.peers import Peer
from gossipfl.randomness import generator
from gossipfl.scenario.algorithms import AlgorithmSection, OptimizerConfig
from gossipfl.scenario.scenario import Scenario
from gossipfl.training.batches import Batches
from gossipfl.training.models import BuildModel
from gossipfl.training.settings import TrainingSettings
from gossipfl.weights import ModelVectors, PeerId, StoredModel

if TYPE_CHECKING:
    import keras

    from gossipfl.training.keras_trainer import KerasTrainer
    from gossipfl.training.ray_trainer import RayTrainer

_LOGGER = logging.getLogger(__name__)

MakeTrainer: TypeAlias = Callable[[BuildModel, Dataset, Batches, TrainingSettings, int], "KerasTrainer | RayTrainer"]
"""Makes the trainer of an experiment, from the arguments of a `KerasTrainer`: where training runs."""

BOUNDS = ("local", "centralized")
"""The algorithms that every comparison shows as lower and upper bound."""


def load_data(scenario: Scenario, *, download: bool = False) -> Dataset:
    """The data set of a scenario, cut to its limits. Raises DataError, also when it is not the one of its digest."""
    section = scenario.data
    dataset = section.source
    if isinstance(dataset, str):
        dataset = load(dataset, download=download, test_fraction=section.test_fraction, seed=scenario.data_seed)
    if section.max_train is not None or section.max_test is not None:
        dataset = subset(dataset, section.max_train, section.max_test, generator(scenario.data_seed, "data", "subset"))
    if section.digest not in (None, dataset.digest):
        raise DataError(
            f"the data {dataset.name!r} have the digest {dataset.digest}, and data.digest is {section.digest}: they "
            "are other data, or held out and cut by another seed"
        )
    return dataset  # type: ignore[no-any-return]


class Experiment:
    """What all algorithms of a scenario share: data, shards, trainer and initial weights.

    `slots` is the number of peers trained at the same time (None: one per core); results do not depend on it. `shards`
    are the examples of each peer that trains here; None: those of the scenario's partition. `make_trainer` says where
    training runs; None: in this process.

    Raises ConfigurationError or DataError when the scenario does not fit the data.
    """

    def __init__(
        self,
        scenario: Scenario,
        dataset: Dataset | None = None,
        slots: int | None = None,
        shards: Mapping[PeerId, NDArray[np.int64]] | None = None,
        make_trainer: MakeTrainer | None = None,
    ) -> None:
        self.scenario = scenario
        self.slots = slots
        self._make_trainer = make_trainer
        self._trainers: dict[str, KerasTrainer | RayTrainer] = {}
        self._begin: StoredModel | None = None
        self.seed = scenario.seed
        self.dataset = load_data(scenario) if dataset is None else dataset
        self.shards = self._partition() if shards is None else shards
        training = scenario.training
        pooled = {} if POOL in self.shards else {POOL: np.sort(np.concatenate(list(self.shards.values())))}
        self._batches = Batches({**self.shards, **pooled}, training.batch_size, training.shuffle, self.seed)

    def _partition(self) -> dict[PeerId, NDArray[np.int64]]:
        peers = list(self.scenario.graph())
        partitioner = self.scenario.data.partition.partitioner()
        parts = partitioner(self.dataset.train_y, len(peers), generator(self.scenario.data_seed, "partition"))
        check_partition(parts, len(self.dataset.train_y))
        return dict(zip(peers, parts, strict=True))

    @property
    def trainer(self) -> "KerasTrainer | RayTrainer":
        """The trainer of all algorithms without an optimizer of their own."""
        return self.trainer_for(None)

    def trainer_for(self, section: AlgorithmSection | None) -> "KerasTrainer | RayTrainer":
        """The trainer of an algorithm; built when it is first needed, because TensorFlow takes seconds, and shared with
        all that have the same optimizer."""
        optimizer = self.scenario.optimizer(section)
        key = repr(optimizer)
        if key not in self._trainers:
            self._trainers[key] = self._new_trainer(optimizer)
        return self._trainers[key]

    def _new_trainer(self, optimizer: OptimizerConfig) -> "KerasTrainer | RayTrainer":
        training = self.scenario.training
        settings = TrainingSettings(optimizer, training.loss, training.evaluation_batch_size)
        arguments = (self._build_model, self.dataset, self._batches, settings, self.seed)
        if self._make_trainer is not None:
            trainer = self._make_trainer(*arguments)
        else:
            from gossipfl.training.keras_trainer import KerasTrainer

            trainer = KerasTrainer(*arguments, self.slots)
        if self._begin is not None:
            trainer.set_constants(self._begin.constants)
        return trainer

    def begin_with(self, stored: StoredModel) -> None:
        """Begin with a model from elsewhere, not with the one that the seed gives."""
        self._begin = stored
        for trainer in self._trainers.values():
            trainer.set_constants(stored.constants)

    def initial(self, section: AlgorithmSection | None = None) -> ModelVectors:
        """The model that every peer begins with, whatever the algorithm; its trainer is asked for it."""
        return self.trainer_for(section).initial() if self._begin is None else self._begin.vectors

    @cached_property
    def _build_model(self) -> Any:
        from gossipfl.training.models import resolve

        model = self.scenario.model
        return resolve(model, self.dataset.input_shape, self.dataset.num_classes) if isinstance(model, str) else model

    def simulator(self, section: AlgorithmSection) -> Simulator:
        """A simulator at virtual time 0 for one of the scenario's algorithms."""
        scenario = self.scenario
        cast = self.cast(section)
        peers = {peer_id: cast.make_peer(peer_id) for peer_id in cast.network}
        compute = scenario.compute.model(list(self.shards), generator(self.seed, "compute"))
        world = World(scenario.network.model(), compute, scenario.network.linger)
        return Simulator(
            peers, cast.trainer, world, cast.plan, seed=self.seed, hub=cast.recipe.hub, label=scenario.label_of(section)
        )

    def cast(self, section: AlgorithmSection) -> "Cast":
        """The participants of one of the scenario's algorithms."""
        scenario = self.scenario
        graph = scenario.graph(section)
        recipe = scenario.recipe(section, graph)
        network = recipe.network(graph)
        data_peers = [peer_id for peer_id in network if peer_id != recipe.hub]
        num_evaluated = None if scenario.evaluation.peers == "all" else int(scenario.evaluation.peers)
        plan = EvaluationPlan(
            scenario.evaluation.every,
            evaluated_peers(data_peers, num_evaluated, generator(self.seed, "evaluation")),
            scenario.weighting,
            scenario.training.statistics,
        )
        return Cast(self, section, recipe, network, plan)

    def work(self, peer_id: PeerId, recipe: Algorithm) -> LocalWork:
        scenario = self.scenario
        if peer_id == recipe.hub:
            return LocalWork(0, 0, recipe.num_rounds(scenario.rounds, len(self.shards)))
        steps = scenario.training.steps_per_round(self._batches.steps_per_epoch(peer_id))
        if recipe.pools_data:
            # The same epochs as the peers together; with a fixed number of steps, the sum of theirs.
            steps = steps if scenario.training.steps is None else steps * len(self.shards)
            return LocalWork(len(self.dataset.train_y), steps, scenario.rounds)
        return LocalWork(len(self.shards[peer_id]), steps, scenario.rounds)


@dataclass(frozen=True, eq=False)
class Cast:
    """Who takes part in one algorithm of an experiment, and who talks to whom; peers are made one at a time."""

    experiment: Experiment
    section: AlgorithmSection
    recipe: Algorithm
    network: nx.Graph
    plan: EvaluationPlan

    @property
    def trainer(self) -> "KerasTrainer | RayTrainer":
        """Where its peers train."""
        return self.experiment.trainer_for(self.section)

    def make_peer(self, peer_id: PeerId, revoked: frozenset[PeerId] = frozenset()) -> Peer:
        experiment = self.experiment
        work = experiment.work(peer_id, self.recipe)
        initial = experiment.initial(self.section)
        return self.recipe.make_peer(peer_id, self.network, initial, work, experiment.seed, revoked)


class Simulation:
    """One algorithm of a scenario, to be stepped from evaluation to evaluation.

    Iterating, or `next`, gives an `Evaluation` per equivalent round, the first before any training; in between, the
    weights of every peer may be looked at.
    """

    def __init__(self, experiment: Experiment, section: AlgorithmSection) -> None:
        self.experiment = experiment
        self.simulator = experiment.simulator(section)
        self._section = section

    def next(self) -> Evaluation | None:
        """Go on to the next evaluation; None after the last."""
        return self.simulator.next()

    def __iter__(self) -> Iterator[Evaluation]:
        return iter(self.simulator)

    def run(self) -> History:
        """Run to the end."""
        return self.simulator.run()

    @property
    def history(self) -> History:
        """All evaluations so far."""
        return self.simulator.history

    @property
    def graph(self) -> nx.Graph:
        """Who may talk to whom, a FedAvg server included."""
        scenario = self.experiment.scenario
        graph = scenario.graph(self._section)
        return scenario.recipe(self._section, graph).network(graph)

    @property
    def peers(self) -> Sequence[PeerId]:
        """Names of all participants."""
        return list(self.simulator.peers)

    def weights(self, peer_id: PeerId) -> list[NDArray[np.floating]]:
        """The present trainable weights of a peer, as read-only arrays in Keras order."""
        return self.experiment.trainer.schema.unflatten(self._peer(peer_id).weights)

    def average_weights(self) -> list[NDArray[np.floating]]:
        """The mean of all peers' trainable weights (the server's model, for FedAvg)."""
        return self.experiment.trainer.schema.unflatten(self.simulator.average().weights)

    def model(self, peer_id: PeerId | None = None) -> "keras.Model":
        """A new Keras model with the present weights of a peer, or of the average of all peers."""
        vectors = self.simulator.average() if peer_id is None else self._peer(peer_id).model
        return self.experiment.trainer_for(self._section).keras_model(vectors)

    def _peer(self, peer_id: PeerId) -> Peer:
        if peer_id not in self.simulator.peers:
            raise ConfigurationError(f"there is no peer {peer_id!r}; there are {', '.join(self.peers)}")
        return self.simulator.peers[peer_id]


def initialize(scenario: Scenario, algorithm: str | None = None) -> Simulation:
    """One algorithm of the scenario (its label or name; None when there is only one), ready to be stepped."""
    return Simulation(Experiment(scenario), scenario.section(algorithm))


def simulate(scenario: Scenario, algorithm: str | None = None) -> History:
    """Run one algorithm of the scenario (its label or name; None when there is only one) to the end."""
    return initialize(scenario, algorithm).run()


def compare(scenario: Scenario, num_seeds: int = 1) -> Comparison:
    """Run all algorithms of the scenario and the bounds, with the seeds s, s + 1, ... after the scenario's s: each is
    the run of that seed alone, with a graph and a split of its own where the scenario does not fix them."""
    return run_all(with_bounds(scenario), num_seeds)


def with_bounds(scenario: Scenario) -> Scenario:
    """The scenario with training alone and centralized training among its algorithms."""
    missing = [name for name in BOUNDS if name not in {section.name for section in scenario.algorithms}]
    return scenario.with_changes(algorithms=[*scenario.algorithms, *missing])


class Observer(Protocol):
    """Is told of a run while it goes on: records it, or shows its progress."""

    def begins(self, experiment: Experiment) -> None:
        """All algorithms are about to run with one seed."""
        ...

    def evaluated(self, label: str, evaluation: Evaluation) -> None:
        """An algorithm was evaluated."""
        ...

    def ended(self, history: History) -> None:
        """An algorithm's run has ended, or was interrupted."""
        ...


class Engine(Protocol):
    """What runs one algorithm: iterating gives its evaluations, `history` holds all so far, `close` completes it."""

    history: History

    def __iter__(self) -> Iterator[Evaluation]: ...

    def close(self) -> None: ...


MakeEngine: TypeAlias = Callable[["Experiment", AlgorithmSection], Engine]


def run_all(
    scenario: Scenario,
    num_seeds: int = 1,
    observers: Sequence[Observer] = (),
    dataset: Dataset | None = None,
    make_engine: MakeEngine = Experiment.simulator,
    make_trainer: MakeTrainer | None = None,
    ended: Mapping[tuple[str, int], History] | None = None,
) -> Comparison:
    """Run all algorithms of a scenario; an interruption (Ctrl-C) ends it early and keeps what was measured.

    `dataset` is that of the scenario's own seed.

    An algorithm that fails, in whatever way, ends there with the reason in `History.failure`; the others go on. Those
    that have `ended` already, by label and seed, are not run again.

    Raises ConfigurationError or DataError, before anything runs, for what concerns all algorithms.
    """
    ended = ended or {}
    if num_seeds < 1:
        raise ConfigurationError(f"the number of seeds must be at least 1, got {num_seeds}")
    dataset = load_data(scenario) if dataset is None else dataset
    comparison = Comparison(scenario)
    for seeded in [with_seed(scenario, scenario.seed + k) for k in range(num_seeds)]:
        comparison.histories += [ended[label, seeded.seed] for label in seeded.labels if (label, seeded.seed) in ended]
        left = [section for section in seeded.algorithms if (seeded.label_of(section), seeded.seed) not in ended]
        if not left:
            continue
        try:
            has_its_data = seeded.data_seed == scenario.data_seed
            experiment = Experiment(seeded, dataset if has_its_data else load_data(seeded), make_trainer=make_trainer)
            for observer in observers:
                observer.begins(experiment)
            for section in left:
                run_section(experiment, section, comparison.histories, observers, make_engine)
        except (ConfigurationError, DataError) as error:
            if not comparison.histories:
                raise
            for label in map(seeded.label_of, left):  # data that cannot be dealt with this seed
                history = History(label, seeded.seed, failure=f"{label}, seed {seeded.seed}: {error}")
                comparison.histories.append(history)
                for observer in observers:
                    observer.ended(history)
        except KeyboardInterrupt:
            comparison.interrupted = True
            break
    return comparison


def with_seed(scenario: Scenario, seed: int) -> Scenario:
    """The scenario with another seed. Raises ConfigurationError, naming the seed, where it is not possible with it."""
    if seed == scenario.seed:
        return scenario
    try:
        return scenario.with_changes(seed=seed)
    except ConfigurationError as error:
        raise ConfigurationError(f"with seed {seed}: {error}") from error


def run_section(
    experiment: Experiment,
    section: AlgorithmSection,
    histories: list[History],
    observers: Sequence[Observer] = (),
    make_engine: MakeEngine = Experiment.simulator,
) -> None:
    """Run one algorithm of an experiment and append its history, which is complete as far as the run got: also where it
    fails, or is interrupted."""
    history = History(experiment.scenario.label_of(section), experiment.seed)
    engine: Engine | None = None
    with _failure_noted(history):
        engine = make_engine(experiment, section)
        history = engine.history
    histories.append(history)
    try:
        for evaluation in () if engine is None else _until_failure(engine):
            for observer in observers:
                observer.evaluated(history.algorithm, evaluation)
    except BaseException:
        history.interrupted = True
        if engine is not None:
            engine.close()
        raise
    finally:
        for observer in observers:
            observer.ended(history)


def _until_failure(engine: Engine) -> Iterator[Evaluation]:
    """The evaluations of an engine that may fail; what fails in an observer is not its failure."""
    with _failure_noted(engine.history):
        yield from engine
    if engine.history.failure is not None:
        engine.close()


@contextmanager
def _failure_noted(history: History) -> Iterator[None]:
    """The outermost edge of the engines: whatever goes wrong in one algorithm's run is the end of this run only; but a
    full disk or a taken port is no algorithm's fault, and ends all."""
    try:
        yield
    except OSError:
        raise
    except GossipFLError as error:
        history.failure = f"{history.algorithm}: {error}"
    except Exception as error:
        _LOGGER.debug("%s failed", history.algorithm, exc_info=True)
        history.failure = f"{history.algorithm}: unexpected {type(error).__name__}: {error}"
