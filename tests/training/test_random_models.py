"""The model that is measured, saved and gone on from is one and the same: any variables, any algorithm.

A run of the profile `thorough` (pytest --hypothesis-profile=thorough) looks at ten times as many models.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

keras = pytest.importorskip("keras")

import random_models  # noqa: E402

from gossipfl import Scenario  # noqa: E402
from gossipfl.algorithms import ALGORITHMS  # noqa: E402
from gossipfl.experiments.experiment import Experiment  # noqa: E402
from gossipfl.experiments.mode import Command, Mode  # noqa: E402
from gossipfl.results.simulation import Simulation  # noqa: E402
from gossipfl.runs.directory import RunDirectory  # noqa: E402
from gossipfl.runs.export import export  # noqa: E402

pytestmark = pytest.mark.slow

PARTS = st.lists(st.tuples(st.sampled_from(sorted(random_models.PART_KINDS)), st.booleans()), min_size=1, max_size=4)

OF_EVERY_KIND = ["fedavg", "pairwise", "synchronous", "relay_sum", "sgp", "diloco", "scaffold"]


def scenario_of(names, seed):
    path = {"generator": "path_graph", "arguments": {"n": 3}}
    momentum = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.5}
    special = {
        "relay_sum": {"name": "relay_sum", "topology": path},
        "dfedavgm": {"name": "dfedavgm", "optimizer": momentum},
    }
    return Scenario(
        rounds=2,
        seed=seed,
        model="random_models:build",
        data={"source": "digits", "max_train": 90, "max_test": 60, "partition": "iid"},
        training={"batch_size": 10, "optimizer": {"name": "sgd", "learning_rate": 0.05}},
        topology={"generator": "complete_graph", "arguments": {"n": 3}},
        network={"preset": "IDEAL"},
        algorithms=[special.get(name, name) for name in names],
    )


def loss_of(model, dataset):
    output = model(dataset.test.x, training=False)
    return float(np.mean(keras.losses.sparse_categorical_crossentropy(dataset.test.y, output)))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
@settings(
    max_examples=max(1, settings().max_examples // 100),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(PARTS, st.integers(1, 99), st.lists(st.sampled_from(sorted(ALGORITHMS)), min_size=3, max_size=3, unique=True))
@example([("dense", False), ("nested", False), ("meter", True), ("dropout", True)], 7, OF_EVERY_KIND)
def test_what_was_measured_is_what_is_exported(parts, seed, names):
    """Each algorithm gives the model that it was measured with; that of the first is exported, too."""
    random_models.PARTS[:] = parts
    scenario = scenario_of(names, seed)
    experiment = Experiment(scenario, slots=2)
    with TemporaryDirectory() as directory:
        run = Path(directory) / "run"
        with RunDirectory.create(run, scenario, 1, Mode(Command.COMPARE), "gossipfl compare") as recorder:
            recorder.begins(experiment)
            for section in scenario.algorithms:
                simulation = Simulation(experiment, section)
                history = simulation.run()
                assert history.failure is None
                measured = history.last.average_loss
                assert loss_of(simulation.model(), experiment.dataset) == pytest.approx(measured, rel=1e-4)
                recorder.ended(history)
                if section is scenario.algorithms[0]:
                    check_files(experiment, recorder, history)


def check_files(experiment, recorder, history):
    peer = list(history.last.peer_loss)[-1]
    for name, measured in ((None, history.last.average_loss), (peer, history.last.peer_loss[peer])):
        path = recorder.path / f"{name}.keras"
        export(recorder.path, name, history.algorithm, None, path, experiment.scenario)
        assert loss_of(keras.models.load_model(path), experiment.dataset) == pytest.approx(measured, rel=1e-4)
        # A run of another seed begins with what was exported.
        stored = experiment.read_model(path)
        other = Experiment(experiment.scenario.with_seed(100), experiment.dataset, slots=1)
        other.begin_with(stored)
        assert other.trainer.constants.digest == experiment.trainer.constants.digest
        (score,) = other.trainer.evaluate([other.initial()])
        assert score.loss == pytest.approx(measured, rel=1e-4)
