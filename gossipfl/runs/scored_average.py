"""The average model of a gathered run, measured by whoever gathers it: what is deployed then has a number.

No peer can measure it while it runs, for none has the models of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError, SchemaMismatchError
from gossipfl.experiments.experiment import Experiment
from gossipfl.history import Evaluation
from gossipfl.measured import Measured
from gossipfl.runs.constant_files import read_constants
from gossipfl.runs.peer_records import PeerRecord
from gossipfl.scenario import Scenario
from gossipfl.scores import LOSS
from gossipfl.weights import ModelVectors, PeerId


@dataclass(frozen=True, slots=True)
class AverageScoring:
    """Measures by the user's own `scenario` and its `dataset`: code or data that a run directory names are not used."""

    scenario: Scenario
    dataset: Dataset

    def scored(self, last: Evaluation, average: ModelVectors, records: Sequence[PeerRecord]) -> Evaluation:
        """The last evaluation of a run with the loss and metrics of its average model, where nobody had them.

        Raises ConfigurationError when the model is not the scenario's, or the scenario has none of the run's metrics.
        """
        manifest = records[0].manifest
        seed = manifest.seeds[0]
        constants = read_constants(records[0].directory / "weights", seed, manifest.constants.get(str(seed)))
        experiment = Experiment(self.scenario.with_seed(seed), self.dataset)
        trainer = experiment.trainer
        try:
            if constants:
                trainer.set_constants(constants)
            values = _values(experiment, average, [record.peer for record in records if not record.is_hub])
        except SchemaMismatchError as error:
            raise ConfigurationError(f"the average model of the run is not that of the scenario: {error}") from error
        if missing := [name for name in last.metrics if name not in values]:
            raise ConfigurationError(
                f"the run measures {', '.join(missing)}, and the scenario does not; give the one that the peers ran"
            )

        def filled(measured: Measured) -> Measured:
            value = values[measured.metric.name]
            return replace(measured, average=value) if measured.average is None else measured

        return replace(last, loss=filled(last.loss), metrics={name: filled(one) for name, one in last.metrics.items()})

    def note(self, records: Sequence[PeerRecord]) -> str:
        """A sentence on the numbers of the average model."""
        known = {data.digest for record in records if (data := record.manifest.data) is not None}
        alike = "the same data as the peers'" if known == {self.dataset.digest} else "other data than the peers'"
        where = f"on what is held out of {self.dataset.name}, {alike}"
        return f"The average model was measured when the run was gathered, {where}."


def _values(experiment: Experiment, average: ModelVectors, peers: Sequence[PeerId]) -> dict[str, float | None]:
    """The loss and the metrics of a model in all places of an experiment, by name."""
    values: dict[str, float | None] = {}
    for place in experiment.places:
        (score,) = place.scores(experiment.trainer, [(None, average)], peers)
        for metric in (LOSS, *experiment.trainer.metrics):
            values[place.metric(metric).name] = None if score is None else score.value(metric)
    return values
