"""The classes that the final models of a run tell apart: confusion matrices of the worst, median and average model.

They are measured when somebody asks, by the user's own scenario, and kept in `classes.json` beside the run.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError, SchemaMismatchError
from gossipfl.files.strict_json import strict_json
from gossipfl.files.whole_files import write_whole
from gossipfl.runs.classes_file import NAME, Classes, ModelClasses, Which
from gossipfl.runs.constant_files import read_constants
from gossipfl.runs.export import final_vectors, keras_model
from gossipfl.runs.files import HistoryRow, manifest_and_history
from gossipfl.runs.manifest import Manifest
from gossipfl.scenario import Scenario
from gossipfl.scores import Metric
from gossipfl.weights import StoredModel


def measure_classes(run: Path, own: Scenario, dataset: Dataset) -> Path:
    """Measure the final models of a run's first seed, and write `classes.json` into it.

    The worst and the median peer are those by the run's first metric in its last evaluation. Model and data are those
    of the user's `own` scenario. Raises ConfigurationError when they are not the run's, when there are no final
    weights, or when the task is not one of classes.
    """
    manifest, history, _ = manifest_and_history(run)
    labels = dataset.labels_of(dataset.test)
    if labels is None or labels.ndim != 1 or dataset.num_classes is None:
        raise ConfigurationError("accuracy per class is of tasks whose target is one of several classes; these are not")
    if manifest.data is None or manifest.data.digest != dataset.digest:
        raise ConfigurationError(
            f"{run} was measured on other data than the scenario's {dataset.name}; give the scenario that it ran"
        )
    if manifest.partition.views:
        raise ConfigurationError(f"the peers of {run} see features skewed, each in its own way; there is no one matrix")
    seed = manifest.seeds[0]
    measured = [
        ModelClasses(algorithm=label, which=which, peer=peer, counts=counts.tolist())
        for label, which, peer in _models(run, manifest, history, seed)
        for counts in [_confusion(_predicted(run, manifest, own, dataset, label, peer, seed), labels, dataset)]
    ]
    names = [*dataset.class_names] or [str(number) for number in range(dataset.num_classes)]
    found = Classes(seed=seed, num_examples=len(labels), class_names=names, models=measured)
    write_whole(run / NAME, strict_json(found.model_dump(mode="json")))
    return run / NAME


def _models(
    run: Path, manifest: Manifest, history: Sequence[HistoryRow], seed: int
) -> Iterator[tuple[str, Which, str | None]]:
    """The models that are measured: label, which, and whose."""
    metric = (manifest.metrics or [Metric("loss", False, "number")])[0]
    hides_peers = bool((manifest.scenario.get("privacy") or {}).get("secure_aggregation"))
    for algorithm in manifest.algorithms:
        own = [row for row in history if (row.algorithm, row.seed) == (algorithm.label, seed)]
        if not own:
            continue
        last = own[-1]
        known = {peer: value for peer, value in last.of_peers(metric.name).items() if value is not None}
        if len(known) > 1 and not (last.deploys_average or hides_peers):
            best_last = sorted(known, key=lambda peer: known[peer], reverse=metric.higher_is_better is False)
            yield algorithm.label, "worst", best_last[0]
            yield algorithm.label, "median", best_last[(len(best_last) - 1) // 2]
        yield algorithm.label, "average", None


def _predicted(
    run: Path, manifest: Manifest, own: Scenario, dataset: Dataset, label: str, peer: str | None, seed: int
) -> NDArray[np.int64]:
    described = manifest.model
    if described is None:
        raise ConfigurationError(f"{run} describes no model in its manifest.json; restore that file")
    try:
        vectors = final_vectors(run, manifest, described, peer, label, seed, best=False)
        constants = read_constants(run / "weights", seed, manifest.constants.get(str(seed)))
        model = keras_model(described, own, seed, StoredModel(vectors, constants))
    except SchemaMismatchError as error:
        raise ConfigurationError(f"the weights in {run} are not of the scenario's model: {error}") from error
    output: Any = model.predict(dataset.test.x, batch_size=own.training.evaluation_batch_size, verbose=0)
    if not isinstance(output, np.ndarray) or output.ndim != 2 or output.shape[1] < 2:
        raise ConfigurationError(
            "accuracy per class is of models with one output of a number for each class; the scenario's has another"
        )
    return np.asarray(output.argmax(axis=1), np.int64)


def _confusion(predicted: NDArray[np.int64], labels: NDArray[Any], dataset: Dataset) -> NDArray[np.int64]:
    num_classes = dataset.num_classes or 0
    counts = np.zeros((num_classes, max(num_classes, int(predicted.max(initial=0)) + 1)), np.int64)
    np.add.at(counts, (labels.astype(np.int64), predicted), 1)
    return counts
