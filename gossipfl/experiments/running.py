"""Runs all algorithms of a scenario, with one seed after another; observers are told."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol, TypeAlias, runtime_checkable

from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError, DataError, GossipFLError, TrainingError, TransportError
from gossipfl.experiments.comparison import Comparison
from gossipfl.experiments.experiment import Experiment, MakeTrainer
from gossipfl.experiments.loaded_data import load_data
from gossipfl.history import Evaluation, History
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.scenario import Scenario

_LOGGER = logging.getLogger(__name__)


@runtime_checkable
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
    """Runs one algorithm: iterating gives its evaluations, `history` holds all so far, `close` completes it."""

    @property
    def history(self) -> History: ...

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
    raises: bool = False,
) -> Comparison:
    """Run all algorithms of a scenario; an interruption (Ctrl-C) ends it early and keeps what was measured.

    `dataset` is that of the scenario's own seed.

    An algorithm that fails, in whatever way, ends there with the reason in `History.failure`; the others go on. Where
    it `raises`, all end with the error. Those that have `ended` already, by label and seed, are not run again.

    Raises ConfigurationError or DataError, before anything runs, for what concerns all algorithms.
    """
    ended = ended or {}
    if num_seeds < 1:
        raise ConfigurationError(f"the number of seeds must be at least 1, got {num_seeds}")
    dataset = load_data(scenario) if dataset is None else dataset
    comparison = Comparison(scenario)
    for seeded in [scenario.with_seed(scenario.seed + k) for k in range(num_seeds)]:
        comparison.histories += [ended[label, seeded.seed] for label in seeded.labels if (label, seeded.seed) in ended]
        left = [section for section in seeded.algorithms if (seeded.label_of(section), seeded.seed) not in ended]
        if not left:
            continue
        try:
            try:
                has_its_data = seeded.data_seed == scenario.data_seed
                own = dataset if has_its_data else load_data(seeded)
                experiment = Experiment(seeded, own, make_trainer=make_trainer)
                for observer in observers:
                    observer.begins(experiment)
            except (ConfigurationError, DataError) as error:
                if raises or not comparison.histories:
                    raise
                for label in map(seeded.label_of, left):  # data that cannot be dealt with this seed
                    history = History(label, seeded.seed, failure=f"{label}, seed {seeded.seed}: {error}")
                    comparison.histories.append(history)
                    for observer in observers:
                        observer.ended(history)
                continue
            for section in left:
                run_section(experiment, section, comparison.histories, observers, make_engine, raises)
        except KeyboardInterrupt:
            comparison.interrupted = True
            break
    return comparison


def run_section(
    experiment: Experiment,
    section: AlgorithmSection,
    histories: list[History],
    observers: Sequence[Observer] = (),
    make_engine: MakeEngine = Experiment.simulator,
    raises: bool = False,
) -> None:
    """Run one algorithm of an experiment and append its history, which is complete as far as the run got: also where it
    fails, or is interrupted. Where it `raises`, what made it fail is raised."""
    history = History(experiment.scenario.label_of(section), experiment.seed)
    engine: Engine | None = None
    with _failure_noted(history, raises):
        engine = make_engine(experiment, section)
        history = engine.history
    histories.append(history)
    try:
        for evaluation in () if engine is None else _until_failure(engine, raises):
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


def _until_failure(engine: Engine, raises: bool) -> Iterator[Evaluation]:
    """The evaluations of an engine that may fail; what fails in an observer is not its failure."""
    with _failure_noted(engine.history, raises):
        yield from engine
    if engine.history.failure is not None:
        with suppress(TrainingError, TransportError):  # of a recalibration, by the trainer that may have failed
            engine.close()


@contextmanager
def _failure_noted(history: History, raises: bool) -> Iterator[None]:
    """The outermost edge of the engines: whatever goes wrong in one algorithm's run is the end of this run only; but a
    full disk or a taken port is no algorithm's fault, and ends all."""
    try:
        yield
    except OSError:
        raise
    except GossipFLError as error:
        if raises:
            raise
        history.failure = f"{history.algorithm}: {error}"
    except Exception as error:
        if raises:
            raise
        _LOGGER.debug("%s failed", history.algorithm, exc_info=True)
        history.failure = f"{history.algorithm}: unexpected {type(error).__name__}: {error}"
