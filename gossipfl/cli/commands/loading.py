"""Commands load the scenario, its data, and TensorFlow without its notes before they begin."""

import gc
import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence

from gossipfl.data.dataset import Dataset
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
    """Import TensorFlow without the notes on processors and drivers that it writes at start-up, which none of its
    settings silences; they show when the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
            gc.freeze()  # a million objects that stay: to look at them again took 0.4 s now and then
        except Exception:
            notes.seek(0)
            os.write(standard_error, notes.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
