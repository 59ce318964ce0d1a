"""Commands load the scenario, its data, and TensorFlow without its notes before they begin."""

import gc
import json
import logging
from collections.abc import Sequence

from gossipfl.data.dataset import Dataset
from gossipfl.data.quiet_tensorflow import tensorflow_quietly
from gossipfl.experiments.loaded_data import load_data
from gossipfl.scenario import Scenario, load_scenario


def load_with_data(name: str, overrides: Sequence[str], data: str | None) -> Scenario:
    """The scenario of that name with what is overridden; `data` is in the place of its source."""
    source = [] if data is None else [f"data.source={json.dumps(data, ensure_ascii=False)}"]
    return load_scenario(name, [*overrides, *source])


def load_dataset(scenario: Scenario, download: bool, asked: tuple[str, ...] = ()) -> Dataset:
    """The data set of a scenario, with the columns `asked` about; what reading one of tensorflow-datasets writes on the
    terminal is left out."""
    if str(scenario.data.source).startswith("tfds:"):
        import_tensorflow()  # reading the set would import it, with its notes
        logging.getLogger("absl").setLevel(logging.ERROR)  # tensorflow-datasets warns of its own calls
    return load_data(scenario, download=download, asked=asked)


def import_tensorflow() -> None:
    """Import TensorFlow without its notes, for a process that uses it to its end."""
    tensorflow_quietly()
    gc.freeze()  # a million objects that stay: to look at them again took 0.4 s now and then
