"""The commands for Python: run scenarios in virtual time, or over HTTP on this machine."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, overload

from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.fairness import with_bounds
from gossipfl.experiments.mode import Command, EngineKind, Mode
from gossipfl.experiments.running import Engine, Observer, run_all
from gossipfl.results.asked import asked, only
from gossipfl.results.callbacks import Asking, Callback, split
from gossipfl.results.comparison import Comparison
from gossipfl.results.history import History
from gossipfl.results.record import Record
from gossipfl.scenario import Scenario
from gossipfl.scenario.algorithms import AlgorithmSection

_VIRTUAL = Mode(Command.SIMULATE)
_OVER_HTTP = Mode(Command.LAUNCH, EngineKind.LOOPBACK)


@overload
def simulate(
    scenario: Scenario | str | Path,
    algorithm: str | None = None,
    *,
    model: Any = None,
    data: Any = None,
    topology: Any = None,
    optimizer: Any = None,
    loss: Any = None,
    num_seeds: Literal[1] = 1,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> History: ...
@overload
def simulate(
    scenario: Scenario | str | Path,
    algorithm: str | None = None,
    *,
    model: Any = None,
    data: Any = None,
    topology: Any = None,
    optimizer: Any = None,
    loss: Any = None,
    num_seeds: int,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> History | Comparison: ...
def simulate(
    scenario: Scenario | str | Path,
    algorithm: str | None = None,
    *,
    model: Any = None,
    data: Any = None,
    topology: Any = None,
    optimizer: Any = None,
    loss: Any = None,
    num_seeds: int = 1,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> History | Comparison:
    """Run one algorithm of a scenario (its label or name; None when there is only one) in virtual time, to the end.

    `scenario` may be a name in `simulations/` or a file, too. What is handed over is in the place of the scenario's
    own: `model` a name, a function that builds one or a built Keras model; `data` arrays, a frame, a
    `tf.data.Dataset`, a `Dataset` or a source by name; `topology` a networkx graph or a name; `optimizer` and `loss`
    those of Keras or their names.

    `num_seeds` above 1 runs the seeds s, s + 1, ... after the scenario's s, and gives a `Comparison` of them.
    `progress` shows bars, in notebooks too. `callbacks` are functions of (label, evaluation), where a text that one
    returns ends the run for this reason (`History.stopped`), or observers with `begins`, `evaluated` and `ended`.

    Ctrl-C ends the run early, and what was measured is returned, marked as `interrupted`. Raises ConfigurationError or
    DataError for what cannot run, and TrainingError where training diverges; of several seeds, one that fails says so
    in `History.failure`.

    >>> history = simulate(Scenario(model="softmax", rounds=1), "pairwise")
    >>> [evaluation.round for evaluation in history], history.last.mean_accuracy > history.evaluations[0].mean_accuracy
    ([0, 1], True)
    """
    whole = asked(scenario, model, data, topology, optimizer, loss)
    return _one_algorithm(whole, algorithm, _VIRTUAL, num_seeds, progress, callbacks)


def compare(
    scenario: Scenario | str | Path,
    num_seeds: int = 1,
    *,
    model: Any = None,
    data: Any = None,
    topology: Any = None,
    optimizer: Any = None,
    loss: Any = None,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Comparison:
    """Run all algorithms of the scenario and the bounds, with the seeds s, s + 1, ... after the scenario's s: each is
    the run of that seed alone, with a graph and a split of its own where the scenario does not fix them.

    The arguments are those of `simulate`. An algorithm that fails, or that a callback ends, ends alone:
    `History.failure` and `History.stopped` say why.

    >>> comparison = compare(Scenario(model="softmax", rounds=1, algorithms=["fedavg"]))
    >>> [row.label for row in comparison.table]
    ['fedavg', 'local', 'centralized']
    """
    whole = with_bounds(asked(scenario, model, data, topology, optimizer, loss))
    return _run(whole, Mode(Command.COMPARE), num_seeds, progress, callbacks)


@overload
def launch(
    scenario: Scenario | str | Path,
    algorithm: str | None = None,
    *,
    model: Any = None,
    data: Any = None,
    topology: Any = None,
    optimizer: Any = None,
    loss: Any = None,
    num_seeds: Literal[1] = 1,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> History: ...
@overload
def launch(
    scenario: Scenario | str | Path,
    algorithm: str | None = None,
    *,
    model: Any = None,
    data: Any = None,
    topology: Any = None,
    optimizer: Any = None,
    loss: Any = None,
    num_seeds: int,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> History | Comparison: ...
def launch(
    scenario: Scenario | str | Path,
    algorithm: str | None = None,
    *,
    model: Any = None,
    data: Any = None,
    topology: Any = None,
    optimizer: Any = None,
    loss: Any = None,
    num_seeds: int = 1,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> History | Comparison:
    """Run one algorithm of a scenario in real time: its peers, all in this process, exchange weights over HTTP.

    The arguments, and what is raised, are those of `simulate`. Where a loop is running already, as in a notebook, the
    peers have a thread and a loop of their own.

    >>> pair = {"peers": ["a", "b"], "links": [("a", "b")]}
    >>> history = launch(Scenario(model="softmax", rounds=1, topology=pair), "pairwise")
    >>> history.last.round, history.last.num_bytes > 0
    (1, True)
    """
    from gossipfl.deploy.loopback import check_descriptors
    from gossipfl.deploy.revocation import refuse_revoked

    whole = asked(scenario, model, data, topology, optimizer, loss)
    refuse_revoked(whole)
    check_descriptors(whole, as_processes=False)
    return _one_algorithm(whole, algorithm, _OVER_HTTP, num_seeds, progress, callbacks)


def _one_algorithm(
    scenario: Scenario,
    algorithm: str | None,
    mode: Mode,
    num_seeds: int,
    progress: bool,
    callbacks: Sequence[Callback],
) -> History | Comparison:
    label = scenario.label_of(scenario.section(algorithm))
    comparison = _run(only(scenario, label), mode, num_seeds, progress, callbacks, raises=num_seeds == 1)
    return comparison.histories[0] if num_seeds == 1 else comparison


def _run(
    scenario: Scenario,
    mode: Mode,
    num_seeds: int,
    progress: bool,
    callbacks: Sequence[Callback],
    *,
    raises: bool = False,
) -> Comparison:
    observers, functions = split(callbacks)
    asking, record = Asking(functions), Record(scenario, mode, f"gossipfl.{mode.command}(...) in Python")

    def simulator(experiment: Experiment, section: AlgorithmSection) -> Engine:
        made = experiment.simulator(section)
        made.stopping.ask = asking.about(experiment.scenario.label_of(section))
        return made

    def federation(experiment: Experiment, section: AlgorithmSection) -> Engine:
        from gossipfl.deploy.loopback import loopback_federation
        from gossipfl.results.own_thread import InOwnThread, loop_is_running

        made = loopback_federation(experiment, section)
        made.stopping.ask = asking.about(experiment.scenario.label_of(section))
        return InOwnThread(made) if loop_is_running() else made

    make_engine = federation if mode.is_over_http else simulator
    with ExitStack() as stack:
        if progress:
            from gossipfl.results.progress import Progress

            observers.append(stack.enter_context(Progress()))
        told: list[Observer] = [record, *observers, asking]
        comparison = run_all(scenario, num_seeds, told, make_engine=make_engine, raises=raises)
    if not comparison.histories:
        raise KeyboardInterrupt  # before there was anything to be kept
    return Comparison.of(comparison, record)
