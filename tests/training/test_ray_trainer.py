"""Training on a Ray cluster is training in this process, whatever the number of workers, and whoever dies."""

import json
import os
import shlex
import socket
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from gossipfl import Scenario
from gossipfl.cli.app import main
from gossipfl.cli.commands.run_options import RunOptions
from gossipfl.errors import ConfigurationError, TrainingError, TransportError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.mode import Command, EngineKind, Mode, TrainerKind
from gossipfl.results.simulation import Simulation
from gossipfl.training.ray.trainer import RayTrainer, ray_cluster
from gossipfl.training.ray.workers import RayWorkers, WorkersDied
from gossipfl.weights import StoredModel

SCENARIO = Scenario(
    rounds=3,
    model="mlp",
    data={"source": "digits", "max_train": 400, "max_test": 100},
    training={"batch_size": 20, "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}},
    topology={"generator": "cycle_graph", "arguments": {"n": 6}},
    algorithms=[{"name": "pairwise", "optimizer_state": "keep"}, "fedavg"],
)


DIVERGING = {"name": "sgd", "learning_rate": 1e38, "momentum": 0.9}


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda process: range(3), raising=False)
        with ray_cluster():
            yield


@pytest.fixture(scope="module")
def workers(cluster):
    return RayWorkers(2)


@pytest.fixture(scope="module")
def inline():
    return Experiment(SCENARIO)


@pytest.fixture(scope="module")
def inline_histories(inline):
    return [Simulation(inline, section).run() for section in SCENARIO.algorithms]


def on_ray(workers: RayWorkers, scenario: Scenario = SCENARIO) -> Experiment:
    return Experiment(scenario, make_trainer=partial(RayTrainer, workers))


def assert_same_bits(history, expected):
    assert history.evaluations == expected.evaluations
    assert history.final.keys() == expected.final.keys()
    for peer_id, model in expected.final.items():
        np.testing.assert_array_equal(history.final[peer_id].weights, model.weights)
        assert history.final[peer_id].weights.base is None  # not a view of Ray's store, which it would keep there


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_bits_are_those_of_training_in_this_process(num_workers, cluster, request, inline_histories):
    workers = request.getfixturevalue("workers") if num_workers == 2 else RayWorkers(1)
    experiment = on_ray(workers)
    assert experiment.trainer.flags["workers"] == num_workers
    for section, expected in zip(SCENARIO.algorithms, inline_histories, strict=True):
        assert_same_bits(Simulation(experiment, section).run(), expected)


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_the_result_is_the_same(workers, inline_histories):
    import ray

    simulation = Simulation(on_ray(workers), SCENARIO.algorithms[0])
    simulation.next()
    simulation.next()
    killed = workers._idle[-1]  # the next one to be called
    ray.kill(killed, no_restart=True)
    assert_same_bits(simulation.run(), inline_histories[0])
    assert killed not in workers._idle


def deadly_model(flag: str):
    """A function that builds a model that kills its process as it trains, unless there is a file `flag`, which it makes
    first. Being local, it is sent by value: the workers do not have this module."""

    def build():
        import os
        from pathlib import Path

        import keras
        import tensorflow as tf

        def die_once(x):
            if not Path(flag).exists():
                Path(flag).touch()
                os._exit(1)
            return x

        class Deadly(keras.layers.Layer):
            def call(self, x, training=False):
                return tf.ensure_shape(tf.numpy_function(die_once, [x], tf.float32), x.shape) if training else x

        return keras.Sequential(
            [keras.Input((8, 8, 1)), Deadly(), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
        )

    return build


@pytest.mark.slow
def test_jobs_whose_worker_dies_of_them_run_again(workers, tmp_path):
    scenario = SCENARIO.with_changes(model=deadly_model(str(tmp_path / "flag")), rounds=1)
    history = Simulation(on_ray(workers, scenario), scenario.algorithms[0]).run()
    assert (tmp_path / "flag").exists()
    assert_same_bits(history, Simulation(Experiment(scenario), scenario.algorithms[0]).run())


@pytest.mark.slow
def test_failures_are_those_of_training_in_this_process(workers):
    scenario = SCENARIO.with_changes(model="softmax", training={"batch_size": 20, "optimizer": DIVERGING})
    errors = []
    for experiment in (on_ray(workers, scenario), Experiment(scenario)):
        with pytest.raises(TrainingError, match=r"diverged in its local round 1 .*; 5 more failed: '") as caught:
            Simulation(experiment, scenario.algorithms[0]).run()
        errors.append((str(caught.value), caught.value.peer_id, caught.value.round))
    assert errors[0] == errors[1]


@pytest.mark.slow
def test_jobs_that_kill_one_worker_after_the_other_are_named(workers, monkeypatch):
    simulation = Simulation(on_ray(workers), SCENARIO.algorithms[0])
    simulation.next()

    def died(recipe, method, calls):
        raise WorkersDied("3 Ray workers died in a row", position=1)

    monkeypatch.setattr(workers, "run", died)
    with pytest.raises(TrainingError, match="3 Ray workers died in a row: training '1', '3', '5'") as caught:
        simulation.next()
    assert (caught.value.peer_id, caught.value.round) == ("1", 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_models_are_built_and_read_in_this_process(workers, inline, tmp_path):
    experiment = on_ray(workers)
    trainer = experiment.trainer
    model = experiment.models().filled(StoredModel(trainer.initial(), trainer.constants))
    model.save(tmp_path / "model.keras")
    for vectors in (trainer.initial(), experiment.read_model(tmp_path / "model.keras").vectors):
        np.testing.assert_array_equal(vectors.weights, inline.initial().weights)
    assert trainer.schema == inline.trainer.schema
    assert trainer.statistics_schema == inline.trainer.statistics_schema
    assert trainer.optimizer_size == inline.trainer.optimizer_size
    trainer.forget_initial()
    assert trainer.initial().weights.size == 0


def a_backbone_of_each_process():
    """A function that is sent by value: the workers do not have this module."""

    def build():
        import os

        import keras

        initializer = keras.initializers.GlorotUniform(os.getpid())
        backbone = keras.layers.Dense(9, trainable=False, kernel_initializer=initializer)
        return keras.Sequential(
            [keras.Input((8, 8, 1)), keras.layers.Flatten(), backbone, keras.layers.Dense(10, "softmax")]
        )

    return build


@pytest.mark.slow
def test_what_no_training_changes_is_the_same_at_all_workers(workers):
    scenario = SCENARIO.with_changes(model=a_backbone_of_each_process())
    here, experiment = Experiment(scenario, slots=1).trainer, on_ray(workers, scenario)
    trainer = experiment.trainer
    initial = trainer.initial()
    of_the_first, *others = trainer.evaluate([initial] * 12)
    assert others == [of_the_first] * 11
    assert trainer.constants.digest != here.constants.digest
    model = experiment.models().filled(StoredModel(initial, trainer.constants))
    np.testing.assert_array_equal(model.layers[1].kernel, trainer.constants.arrays[0])
    trainer.set_constants(here.constants)
    of_here, *others = trainer.evaluate([initial] * 12)
    assert others == [of_here] * 11
    assert of_here == here.evaluate([initial])[0] != of_the_first


@pytest.mark.slow
def test_models_that_workers_cannot_have_are_refused_with_the_reason(workers, tmp_path, monkeypatch):
    def no_model():
        return 1

    with pytest.raises(ConfigurationError, match="returned a int, expected a keras"):
        _ = on_ray(workers, SCENARIO.with_changes(model=no_model)).trainer
    with (tmp_path / "open").open("w") as file, pytest.raises(ConfigurationError, match="cannot be sent to workers"):
        _ = on_ray(workers, SCENARIO.with_changes(model=lambda: file)).trainer
    (tmp_path / "only_here.py").write_text("def build(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=r"No module named 'only_here'; its module must be installed"):
        _ = on_ray(workers, SCENARIO.with_changes(model="only_here:build")).trainer


@pytest.mark.slow
def test_the_command_line_trains_on_ray(workers, tmp_path, monkeypatch):
    run = tmp_path / "run"
    arguments = ["--set", "rounds=1", "--set", "data.max_train=200", "--trainer", "ray", "--output", str(run)]
    monkeypatch.setattr(sys, "argv", ["gossipfl", "simulate", "ring_vs_fedavg", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert json.loads((run / "manifest.json").read_text())["flags"]["workers"] == 1  # on the core that is left


def test_without_ray_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'gossipfl\[ray\]'"), ray_cluster():
        pass


@pytest.mark.parametrize("address", ["auto", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", ":6379"])
def test_addresses_are_checked(address):
    pytest.importorskip("ray")
    with pytest.raises(ConfigurationError, match="a Ray address is HOST:PORT"), ray_cluster(address):
        pass


def test_where_nobody_answers_the_error_says_how_to_start_a_cluster():
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        pytest.raises(TransportError, match=f"no Ray cluster answers at 127.0.0.1:{port} .* ray start --head"),
        ray_cluster(f"127.0.0.1:{port}"),
    ):
        pass


ON_RAY = Mode(Command.SIMULATE, trainer=TrainerKind.RAY)


def options(mode: Mode = ON_RAY, **given) -> RunOptions:
    return RunOptions(mode, "ring_vs_fedavg", [], None, False, 1, None, False, **given)


def test_the_command_of_a_run_says_where_it_trained():
    words = shlex.split(options(ray_address="127.0.0.1:6379").words)
    assert words[-4:] == ["--trainer", "ray", "--ray-address", "127.0.0.1:6379"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"mode": Mode(Command.SIMULATE), "ray_address": "127.0.0.1:6379"}, "add --trainer ray"),
        ({"mode": replace(ON_RAY, engine=EngineKind.LOOPBACK)}, "virtual time"),
    ],
)
def test_options_that_exclude_each_other_are_refused(given, reason):
    with pytest.raises(ConfigurationError, match=reason):
        options(**given)
