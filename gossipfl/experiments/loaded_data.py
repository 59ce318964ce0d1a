"""The data of a scenario, read and cut to its limits."""

from dataclasses import replace

from gossipfl.data.classes import with_classes
from gossipfl.data.dataset import Dataset
from gossipfl.data.held_out import subset, with_validation
from gossipfl.data.reading import Reading
from gossipfl.data.sources import fields_of, load
from gossipfl.errors import DataError
from gossipfl.randomness import generator
from gossipfl.scenario.scenario import Scenario
from gossipfl.scenario.sections import DataSection


def load_data(scenario: Scenario, *, download: bool = False, asked: tuple[str, ...] = ()) -> Dataset:
    """The data set of a scenario, cut to its limits, with the columns that are `asked` about, where it has columns.

    Raises DataError, also when it is not the one of its digest."""
    section = scenario.data
    dataset = load(
        section.source,
        reading=_reading(section, asked),
        download=download,
        test_fraction=section.test_fraction,
        seed=scenario.data_seed,
    )
    dataset = with_classes(dataset, section.classes)
    if section.max_train is not None or section.max_test is not None:
        dataset = subset(dataset, section.max_train, section.max_test, generator(scenario.data_seed, "data", "subset"))
    dataset = with_validation(dataset, section.validation, generator(scenario.data_seed, "data", "validation"))
    if section.digest not in (None, dataset.digest):
        raise DataError(
            f"the data {dataset.name!r} have the digest {dataset.digest}, and data.digest is {section.digest}: they "
            "are other data, or held out and cut by another seed"
        )
    return dataset


def _reading(section: DataSection, asked: tuple[str, ...]) -> Reading:
    """The reading of the source, with the column by which its examples are dealt, and those that are asked about."""
    reading, by = section.reading(), section.partition.by
    if "features" in fields_of(section.source):
        reading = replace(reading, asked=asked)
    if by is None or by in reading.peer or "peer" not in fields_of(section.source):
        return reading
    return replace(reading, peer=(*reading.peer, by))
