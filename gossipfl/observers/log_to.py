"""`LogTo`: an observer that tells TensorBoard, MLflow or Weights & Biases of a run while it goes on."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from importlib.util import find_spec

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.files.weight_files import file_stems
from gossipfl.history import Evaluation, History
from gossipfl.names.spelling import did_you_mean
from gossipfl.names.visible_text import visible
from gossipfl.observers.mlflow import MLflow
from gossipfl.observers.tensorboard import TensorBoard
from gossipfl.observers.tracker import Ending, RunLog, TrackedRun, Tracker, numbers_of, parameters_of
from gossipfl.observers.wandb import WandB

_LOGGER = logging.getLogger(__name__)

TRACKERS: Mapping[str, Callable[[str], Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}
"""The programs that can be told of a run, by the word before the colon, which names package and extra, too."""


class LogTo:
    """Logs every evaluation of a run: to `tensorboard:DIRECTORY`, `mlflow:TRACKING_URI` or `wandb:PROJECT` (offline).

    Each algorithm with each seed is a run there, with the settings of the scenario as its parameters and the numbers of
    the history over all peers, by round: `accuracy/worst` is what the history calls `worst_accuracy`, and what is of no
    metric is of the run, such as `run/num_bytes`. Numbers that are not finite are left out, as they are null in the
    history. A program that fails while the run goes on is not told any more, which a warning says; the run goes on.

    `group` names what runs together; None: the scenario's name with date and time. Of a run that is gone on with,
    `begun` has the evaluations that were made before, by label and seed.

    Raises ConfigurationError for a place that cannot be used, at the latest before the run begins.

    >>> observer = LogTo("tensorboard:logs")  # for compare(..., callbacks=[observer])
    """

    def __init__(
        self,
        place: str,
        *,
        group: str | None = None,
        begun: Mapping[tuple[str, int], Sequence[Evaluation]] | None = None,
    ) -> None:
        kind, colon, where = place.partition(":")
        if not colon or kind not in TRACKERS:
            known = [f"{one}:..." for one in TRACKERS]
            hint = did_you_mean(kind, TRACKERS, after=":")
            raise ConfigurationError(f"a run is logged to {', '.join(known[:-1])} or {known[-1]}, got {place!r}.{hint}")
        spec = find_spec(kind)
        if spec is None or spec.origin is None:  # a folder of that name, such as W&B makes
            raise ConfigurationError(f"to log to {kind}:... takes the package {kind}: pip install 'gossipfl[{kind}]'")
        self._tracker = TRACKERS[kind](where)
        self._kind = kind  # the rest may be an address with a password in it
        self._group = group
        self._begun = begun
        self._runs: dict[tuple[str, int], TrackedRun] = {}  # those of the seed that is running
        self._log: RunLog | None = None
        self._seed = 0
        self._has_failed = False

    def begins(self, experiment: Experiment) -> None:
        is_first, self._seed = not self._runs, experiment.seed
        self._runs = {(run.label, self._seed): run for run in self._tracked(experiment)}
        check = partial(self._tracker.check, list(self._runs.values()), is_new=self._begun is None)
        if is_first:
            check()
        else:
            self._tell(check)

    def evaluated(self, label: str, evaluation: Evaluation) -> None:
        self._tell(partial(self._numbers, (label, self._seed), evaluation))

    def ended(self, history: History) -> None:
        if (run := self._runs.get((history.algorithm, history.seed))) is not None:
            self._tell(partial(self._end, run, history))
        self._log = None

    def _tell(self, tell: Callable[[], None]) -> None:
        """Whoever only looks at a run does not end it."""
        if self._has_failed:
            return
        refusals: tuple[type[Exception], ...] = (ConfigurationError, *self._tracker.errors())
        try:
            tell()
        except refusals as error:
            self._has_failed = True
            _LOGGER.warning("%s is not told of the run any more: %s", self._kind, visible(str(error)))

    def _numbers(self, name: tuple[str, int], evaluation: Evaluation) -> None:
        if self._log is None:
            self._log = self._tracker.begin(self._runs[name])
            for before in (self._begun or {}).get(name, ()):
                self._log.numbers(before.round, numbers_of(before))
        self._log.numbers(evaluation.round, numbers_of(evaluation))

    def _end(self, run: TrackedRun, history: History) -> None:
        log = self._tracker.begin(run) if self._log is None else self._log
        ending: Ending = "interrupted" if history.interrupted else "finished"
        notes = [*history.notes(), *filter(None, [history.failure])]
        log.end("failed" if history.failure is not None else ending, notes)

    def _tracked(self, experiment: Experiment) -> Iterator[TrackedRun]:
        scenario = experiment.scenario
        if self._group is None:
            self._group = f"{scenario.name}-{datetime.now():%Y%m%d-%H%M%S}"
        names = {label: f"{label}, seed {experiment.seed}" for label in scenario.labels}
        folders = file_stems(list(names.values()))
        of_all = parameters_of(scenario.model_dump(mode="json", exclude={"algorithms", "name", "description"}))
        of_all["data.digest"] = experiment.dataset.digest
        for section, (label, name) in zip(scenario.algorithms, names.items(), strict=True):
            own = parameters_of(section.model_dump(mode="json"), "algorithm.")
            yield TrackedRun(scenario.name, self._group, label, name, folders[name], {**of_all, **own})
