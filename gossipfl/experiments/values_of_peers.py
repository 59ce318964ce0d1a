"""The values that peers have for queries: of what a scenario deals to them, or of a file of their own."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from gossipfl.data.asked_columns import own_columns
from gossipfl.data.column_queries import ColumnQuery, Local, local_of
from gossipfl.data.columns_by_name import Column, column_of
from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.loaded_data import load_data
from gossipfl.queries import Question
from gossipfl.scenario.scenario import Scenario
from gossipfl.weights import PeerId

_NOTHING = np.zeros(0, np.int64)


def columns_of(asked: Sequence[ColumnQuery]) -> tuple[str, ...]:
    """The columns that are asked about, each once."""
    return tuple(dict.fromkeys(name for one in asked for name in (one.column, one.weight) if name is not None))


def questions_of(asked: Sequence[ColumnQuery], local: Sequence[Local]) -> list[Question]:
    """The questions about values such as these."""
    return [Question(one.query, values.num_features) for one, (values, _) in zip(asked, local, strict=True)]


def dealt(
    experiment: Experiment, asked: Sequence[ColumnQuery], peers: Iterable[PeerId]
) -> Mapping[PeerId, list[Local]]:
    """The values of the training examples of each of these peers, as the peer sees them; a server has none."""
    dataset = experiment.holdings.dataset
    what = f"the training part of {dataset.name}"
    found = {}
    for peer in peers:
        part = _with_classes(dataset, dataset.train.take(experiment.shards.get(peer, _NOTHING)))
        found[peer] = [local_of([part], one, what) for one in asked]
    return found


def own(
    scenario: Scenario, source: str, asked: Sequence[ColumnQuery], *, download: bool = False
) -> tuple[list[Local], tuple[str, ...]]:
    """The values of all examples of a source of one's own, held out or not, and notes on what it was taken for."""
    reading = scenario.data.reading()
    target = reading.target if isinstance(reading.target, str) and any(one.counts_classes for one in asked) else None
    table = own_columns(source, (*columns_of(asked), *([] if target is None else [target])), reading)
    if table is not None:
        examples, note = table
        classes = None if target is None else column_of(examples, target, source)
        return [local_of([(examples, classes)], one, source) for one in asked], (f"{source} was {note}",)
    data = scenario.data.model_copy(update={"source": source, "digest": None})
    dataset = load_data(scenario.with_changes(data=data), download=download, asked=columns_of(asked))
    parts = [_with_classes(dataset, examples) for _, examples in dataset.parts]
    return [local_of(parts, one, source) for one in asked], dataset.notes


def _with_classes(dataset: Dataset, examples: Examples) -> tuple[Examples, Column | None]:
    labels = dataset.labels_of(examples)
    if labels is None:
        return examples, None
    return examples, Column(np.array(dataset.class_names)[labels] if dataset.class_names else labels, ())
