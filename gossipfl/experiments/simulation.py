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
from typing import TYPE_CHECKING, Protocol, TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from gossipfl.algorithms import BOUNDS
from gossipfl.data.dataset import Dataset
from gossipfl.engines.evaluation import standings_of
from gossipfl.errors import ConfigurationError, DataError, GossipFLError
from gossipfl.experiments.comparison import Comparison
from gossipfl.experiments.experiment import Experiment, MakeTrainer, load_data
from gossipfl.history import Evaluation, History
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.scenario import Scenario
from gossipfl.weights import ModelVectors, PeerId, StoredModel

if TYPE_CHECKING:
    import keras

_LOGGER = logging.getLogger(__name__)


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
        return self.experiment.trainer.schema.unflatten(self._model(peer_id).weights)

    def average_weights(self) -> list[NDArray[np.floating]]:
        """The mean of all peers' trainable weights (the server's model, for FedAvg)."""
        return self.experiment.trainer.schema.unflatten(self.simulator.average().weights)

    def model(self, peer_id: PeerId | None = None) -> "keras.Model":
        """A new Keras model with the present weights of a peer, or of the average of all peers."""
        vectors = self.simulator.average() if peer_id is None else self._model(peer_id)
        constants = self.experiment.trainer_for(self._section).constants
        return self.experiment.models(self._section).filled(StoredModel(vectors, constants))

    def _model(self, peer_id: PeerId) -> ModelVectors:
        if peer_id not in self.simulator.peers:
            raise ConfigurationError(f"there is no peer {peer_id!r}; there are {', '.join(self.peers)}")
        (standing,) = standings_of([self.simulator.peers[peer_id]])
        return standing.model


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
