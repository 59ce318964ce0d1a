"""The Python API: simulate, compare, step by step; with a NumPy trainer, and with Keras where it matters."""

from pathlib import Path

import numpy as np
import pytest
from softmax_trainer import SoftmaxTrainer, run_without_tensorflow

from gossipfl.data.sources import load
from gossipfl.errors import (
    ConfigurationError,
    DataError,
    GossipFLError,
    LocalProtocolError,
    SchemaMismatchError,
    TrainingError,
)
from gossipfl.experiments.comparison import Comparison
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.fairness import with_bounds
from gossipfl.experiments.holdings import Holdings
from gossipfl.experiments.loaded_data import load_data
from gossipfl.experiments.mode import Command, Mode
from gossipfl.experiments.running import run_all
from gossipfl.history import Evaluation, History
from gossipfl.results.running import compare, simulate
from gossipfl.results.simulation import initialize
from gossipfl.runs.directory import RunDirectory
from gossipfl.scenario import Scenario

TOY = {
    "rounds": 3,
    "model": "softmax",
    "data": {"source": "digits", "partition": {"name": "labels", "per_peer": 3}, "max_train": 200, "max_test": 60},
    "topology": {"name": "ring", "arguments": {"n": 4}},
    "training": {"batch_size": 20},
}


def toy(*algorithms: object, **fields: object) -> Scenario:
    return Scenario(**TOY | {"algorithms": list(algorithms) or ["pairwise"]} | fields)


@pytest.fixture
def trainers(monkeypatch) -> list[SoftmaxTrainer]:
    return run_without_tensorflow(monkeypatch)


class Recorder:
    """An observer that notes what it is told, and presses Ctrl-C at an evaluation."""

    def __init__(self, interrupted_at: int | None = None, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.told: list[object] = []
        self._interrupted_at, self._error = interrupted_at, error

    def begins(self, experiment: Experiment) -> None:
        self.told.append(experiment.seed)

    def evaluated(self, label: str, evaluation: Evaluation) -> None:
        self.told.append((label, evaluation.round))
        if sum(isinstance(event, tuple) for event in self.told) == self._interrupted_at:
            raise self._error

    def ended(self, history: History) -> None:
        self.told.append(history)


@pytest.mark.usefixtures("trainers")
class TestSimulate:
    def test_a_history_has_the_state_before_training_and_after_each_round(self):
        history = simulate(toy("fedavg"))
        assert [evaluation.round for evaluation in history] == [0, 1, 2, 3]
        assert history.algorithm == "fedavg"
        assert history.last.average_accuracy > history.evaluations[0].average_accuracy
        assert set(history.final) == {"0", "1", "2", "3", "server"}

    def test_the_algorithm_is_named_where_there_are_several(self):
        scenario = toy("pairwise", {"name": "fedavg", "label": "server"}, "local")
        assert simulate(scenario, "fedavg").algorithm == simulate(scenario, "server").algorithm == "server"
        with pytest.raises(ConfigurationError, match="the scenario has pairwise, server, local; name one of them"):
            simulate(scenario)

    def test_evaluations_are_as_often_and_of_as_many_peers_as_asked(self):
        history = simulate(toy("local", evaluation={"every": 2, "peers": 2}))
        assert [evaluation.round for evaluation in history] == [0, 2, 3]
        assert {tuple(evaluation.peer_accuracy) for evaluation in history} == {tuple(history.last.peer_accuracy)}
        assert len(history.last.peer_accuracy) == 2

    @pytest.mark.parametrize("algorithm", ["pairwise", "synchronous", "fedavg", "local", "centralized"])
    def test_the_same_scenario_and_seed_give_the_same_bits(self, algorithm):
        scenario = toy(algorithm, network={"preset": "WAN"}, compute={"speed_spread": 0.5})
        first, second = simulate(scenario), simulate(scenario)
        assert list(first.rows()) == list(second.rows())
        assert first.average.weights.tobytes() == second.average.weights.tobytes()
        other = simulate(scenario.with_changes(seed=1))
        assert first.average.weights.tobytes() != other.average.weights.tobytes()

    def test_seeds_may_have_63_bits(self):
        scenario = toy(
            "pairwise", seed=2**63 - 2, topology={"generator": "gnp_random_graph", "arguments": {"n": 4, "p": 1}}
        )
        assert simulate(scenario).seed == 2**63 - 2
        assert len(run_all(scenario, 2).histories) == 2

    def test_examples_are_weighted_in_fedavg_and_in_the_average_of_local_training(self):
        quantity = TOY["data"] | {"partition": {"name": "quantity", "alpha": 0.5}}
        scenario = toy("fedavg", "local", "centralized", weighting="examples", data=quantity, rounds=1)
        comparison = run_all(scenario)
        history = comparison["local"]
        sizes = {peer: len(shard) for peer, shard in Experiment(scenario).shards.items()}
        assert len(set(sizes.values())) > 1
        expected = sum(size * history.final[peer].weights for peer, size in sizes.items()) / sum(sizes.values())
        np.testing.assert_allclose(history.average.weights, expected, atol=1e-6)
        # One round from the same start, no momentum: the server's model is the same mean.
        np.testing.assert_allclose(comparison["fedavg"].average.weights, expected, atol=1e-6)

    def test_centralized_training_does_the_steps_of_all_peers(self):
        by_epochs, by_steps = toy("centralized"), toy("centralized", training={"steps": 5, "batch_size": 20})
        for scenario, expected in ((by_epochs, 10), (by_steps, 20)):
            simulator = Experiment(scenario).simulator(scenario.section())
            assert list(simulator.peers) == ["pool"]
            assert simulator.peers["pool"].local.work.steps_per_round == expected


@pytest.mark.usefixtures("trainers")
class TestCompare:
    def test_the_bounds_come_last_and_only_once(self):
        assert with_bounds(toy("pairwise", "fedavg")).labels == ["pairwise", "fedavg", "local", "centralized"]
        given = toy("centralized", {"name": "local", "label": "alone"}, "pairwise")
        assert with_bounds(given) == given

    def test_algorithms_keep_their_order_and_their_sections(self):
        torus = {"name": "pairwise", "topology": {"generator": "complete_graph", "arguments": {"n": 4}}}
        scenario = toy("fedavg", torus, "pairwise")
        comparison = compare(scenario, num_seeds=2)
        labels = ["fedavg", "pairwise (complete_graph)", "pairwise (ring)", "local", "centralized"]
        assert [row.label for row in comparison.table] == labels
        assert [(history.algorithm, history.seed) for history in comparison.histories] == [
            (label, seed) for seed in (0, 1) for label in labels
        ]
        assert comparison["fedavg"].seed == 0
        assert not comparison.interrupted

    def test_all_algorithms_of_a_seed_start_from_the_same_model_with_the_same_trainer(self, trainers):
        comparison = compare(toy("pairwise", "fedavg"), num_seeds=2)
        assert len(trainers) == 2
        assert len({history.evaluations[0].average_loss for history in comparison.histories}) == 1

    def test_the_number_of_seeds_is_at_least_one(self):
        with pytest.raises(ConfigurationError, match="number of seeds must be at least 1, got 0"):
            compare(toy(), num_seeds=0)

    def test_a_peer_that_is_called_pool_has_no_upper_bound(self):
        peers = {"peers": ["pool", "b"], "links": [["pool", "b"]]}
        scenario = toy("pairwise", topology=peers, data={"max_train": 100})
        assert len(simulate(scenario)) == 4
        with pytest.raises(ConfigurationError, match="Centralized adds a participant 'pool'"):
            compare(scenario)


@pytest.mark.usefixtures("trainers")
class TestStepByStep:
    def test_weights_can_be_looked_at_between_evaluations(self):
        simulation = initialize(toy("pairwise"))
        start = simulation.next()
        before = simulation.weights("0")
        evaluation = simulation.next()
        after = simulation.weights("0")
        assert (start.round, evaluation.round) == (0, 1)
        assert [array.shape for array in before] == [(64, 10), (10,)]
        assert all(np.any(old != new) for old, new in zip(before, after, strict=True))
        assert not np.any(before[0])
        with pytest.raises(ValueError, match="read-only"):
            after[0][0, 0] = 1
        assert [evaluation.round for evaluation in simulation] == [2, 3]
        assert simulation.next() is None
        assert [evaluation.round for evaluation in simulation.history] == [0, 1, 2, 3]

    def test_the_average_is_that_of_the_peers_and_of_the_history(self):
        simulation = initialize(toy("synchronous"))
        history = simulation.run()
        mean = np.mean([simulation.weights(peer)[0] for peer in simulation.peers], axis=0)
        np.testing.assert_allclose(simulation.average_weights()[0], mean, atol=1e-7)
        assert np.array_equal(simulation.average_weights()[0].ravel(), history.average.weights[:640])

    def test_the_graph_is_that_of_the_algorithm(self):
        complete = {"generator": "complete_graph", "arguments": {"n": 4}}
        scenario = toy({"name": "pairwise", "topology": complete}, "fedavg", "local")
        graphs = {name: initialize(scenario, name).graph for name in ("pairwise", "fedavg", "local")}
        assert {name: graph.number_of_edges() for name, graph in graphs.items()} == {
            "pairwise": 6,
            "fedavg": 4,
            "local": 0,
        }
        assert dict(graphs["fedavg"].degree)["server"] == 4

    @pytest.mark.parametrize("method", ["weights", "model"])
    def test_a_peer_that_is_not_there_is_named(self, method):
        with pytest.raises(ConfigurationError, match="there is no peer '9'; there are 0, 1, 2, 3"):
            getattr(initialize(toy()), method)("9")


class TestInterruption:
    def test_an_observer_hears_of_everything_in_order(self, trainers):
        recorder = Recorder()
        run_all(toy("local", "fedavg", rounds=1), 2, [recorder])
        told = [event.algorithm if isinstance(event, History) else event for event in recorder.told]
        of_a_seed = [("local", 0), ("local", 1), "local", ("fedavg", 0), ("fedavg", 1), "fedavg"]
        assert told == [0, *of_a_seed, 1, *of_a_seed]

    @pytest.mark.usefixtures("trainers")
    def test_ctrl_c_keeps_what_was_measured(self):
        recorder = Recorder(interrupted_at=6)
        comparison = run_all(toy("local", "fedavg", "pairwise"), 3, [recorder])
        assert comparison.interrupted
        assert [history.algorithm for history in comparison.histories] == ["local", "fedavg"]
        whole, cut = comparison.histories
        assert (len(whole), whole.interrupted, len(cut), cut.interrupted) == (4, False, 2, True)
        assert cut.average is not None
        assert set(cut.final) == {"0", "1", "2", "3", "server"}
        assert recorder.told[-1] is cut
        assert [row.label for row in comparison.table] == ["local", "fedavg"]

    @pytest.mark.parametrize("interrupted_at", [0, 2])
    def test_ctrl_c_in_the_middle_of_training(self, monkeypatch, interrupted_at):
        class Interrupted(SoftmaxTrainer):
            def train(self, jobs):
                if self.num_calls == interrupted_at:
                    raise KeyboardInterrupt
                return super().train(jobs)

        run_without_tensorflow(monkeypatch, Interrupted)
        comparison = run_all(toy("synchronous", "local", data={"max_train": 80}))  # equal shards: a call per round
        (history,) = comparison.histories
        assert comparison.interrupted
        assert history.interrupted
        assert len(history) == interrupted_at + 1
        assert np.isfinite(history.average.weights).all()

    def test_ctrl_c_while_a_further_seed_is_prepared(self, monkeypatch):
        class Interrupted(SoftmaxTrainer):
            def __init__(self, *arguments):
                super().__init__(*arguments)
                if built:
                    raise KeyboardInterrupt

        built = run_without_tensorflow(monkeypatch, Interrupted)
        comparison = run_all(toy("local"), 2)
        assert comparison.interrupted
        assert [(history.seed, len(history), history.interrupted) for history in comparison.histories] == [
            (0, 4, False)
        ]

    @pytest.mark.usefixtures("trainers")
    def test_another_error_is_not_kept_quiet(self):
        recorder = Recorder(interrupted_at=2, error=ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            run_all(toy("local", "fedavg"), 1, [recorder])
        assert recorder.told[-1].interrupted


@pytest.mark.usefixtures("trainers")
class TestSeeds:
    RANDOM_GRAPH = {"generator": "random_regular_graph", "arguments": {"n": 8, "d": 3}}  # noqa: RUF012

    def of_seed(self, seed: int, **fields: object) -> Comparison:
        return run_all(toy("synchronous", "fedavg", topology=self.RANDOM_GRAPH, **fields, seed=seed))

    def test_each_seed_of_a_table_is_the_run_of_that_seed_alone(self):
        together = run_all(toy("synchronous", "fedavg", topology=self.RANDOM_GRAPH, seed=3), num_seeds=3).histories
        alone = [history for seed in (3, 4, 5) for history in self.of_seed(seed).histories]
        assert [list(history.rows()) for history in together] == [list(history.rows()) for history in alone]
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one.average.weights, other.average.weights)
            assert one.link_traffic == other.link_traffic
        assert len({frozenset(history.link_traffic) for history in together[::2]}) == 3  # three graphs

    def test_a_fixed_graph_and_a_fixed_split_are_those_of_their_seeds(self):
        fixed = toy(topology=self.RANDOM_GRAPH | {"seed": 7}, data=TOY["data"] | {"seed": 7})
        first, second = (Experiment(fixed.with_seed(seed)) for seed in (0, 1))
        usual = Experiment(toy(topology=self.RANDOM_GRAPH, seed=7))
        for experiment in (first, second):
            assert experiment.dataset.digest == usual.dataset.digest
            assert list(experiment.scenario.graph().edges) == list(usual.scenario.graph().edges)
            assert all(np.array_equal(experiment.shards[peer], usual.shards[peer]) for peer in usual.shards)
        assert first.seed != second.seed

    def test_a_seed_that_is_not_possible_is_said_before_the_first_runs(self):
        sparse = {"generator": "gnp_random_graph", "arguments": {"n": 8, "p": 0.25}}
        recorder = Recorder()
        with pytest.raises(ConfigurationError, match=r"with seed 6: topology: .*not connected"):
            run_all(toy("local", topology=sparse, seed=3), 4, [recorder])
        assert recorder.told == []


FAULTS = [
    TrainingError("peer '2' ended in NaN", peer_id="2", round=1),
    SchemaMismatchError("63 elements, expected 64"),
    LocalProtocolError("asked twice"),
    ConfigurationError("the schedule has no end"),
    ValueError("operands could not be broadcast together"),
    MemoryError(),
]


class TestFailures:
    """However an algorithm fails, the others go on."""

    @pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
    def test_while_it_runs(self, monkeypatch, error):
        recorder = Recorder()

        class Fails(SoftmaxTrainer):
            def train(self, jobs):
                if self.num_calls >= 1 and not any(isinstance(told, History) for told in recorder.told):
                    raise error  # again, when each is trained alone, and when what was mixed in is taken out
                return super().train(jobs)

        run_without_tensorflow(monkeypatch, Fails)
        comparison = run_all(toy("fedavg", "local"), 1, [recorder])
        failed, whole = comparison.histories
        assert failed.failure.startswith("fedavg: ")
        assert str(error) in failed.failure
        assert isinstance(error, GossipFLError) or type(error).__name__ in failed.failure
        assert (failed.last.round, failed.average is not None, whole.last.round, whole.failure) == (1, True, 3, None)
        assert [told for told in recorder.told if isinstance(told, History)] == [failed, whole]

    @pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
    def test_before_it_begins(self, trainers, error):
        def make_engine(experiment, section):
            if section.name == "fedavg":
                raise error
            return experiment.simulator(section)

        recorder = Recorder()
        comparison = run_all(toy("fedavg", "local"), 1, [recorder], make_engine=make_engine)
        failed, whole = comparison.histories
        assert (failed.algorithm, failed.seed, len(failed), failed.interrupted) == ("fedavg", 0, 0, False)
        assert str(error) in failed.failure
        assert (whole.last.round, whole.failure) == (3, None)
        assert [row.label for row in comparison.table] == ["local"]
        assert recorder.told[1] is failed

    def test_data_that_cannot_be_dealt_with_a_further_seed(self, monkeypatch, trainers):
        def dealt(scenario, dataset):
            if scenario.seed == 1:
                raise ConfigurationError("no deal gives every peer 10 examples")
            return deal(scenario, dataset)

        deal = Holdings.dealt
        monkeypatch.setattr(Holdings, "dealt", dealt)
        first, failed, third = run_all(toy("local"), 3).histories
        assert (failed.seed, failed.failure) == (1, "local, seed 1: no deal gives every peer 10 examples")
        assert (first.failure, third.failure, third.last.round) == (None, None, 3)
        with pytest.raises(ConfigurationError, match="no deal gives"):
            run_all(toy("local", seed=1), 2)

    def test_peers_that_wait_for_what_was_lost(self, monkeypatch, trainers):
        """A patience that does not help: the server's first answer is lost, and nobody asks again."""
        monkeypatch.setattr("gossipfl.engines.virtual.network.VirtualNetwork.send", lambda self, message, now: None)
        comparison = run_all(toy("fedavg", "local"))
        assert "the run stalled" in comparison.histories[0].failure
        assert comparison.histories[1].failure is None


class TestData:
    def test_limits_cut_the_data_set_the_same_way_for_all_seeds(self):
        scenario = toy()
        dataset = load_data(scenario)
        assert (len(dataset.train.y), len(dataset.test.y)) == (200, 60)
        assert load_data(scenario).digest == dataset.digest
        assert load_data(scenario.with_changes(seed=1)).digest != dataset.digest

    def test_a_data_set_may_be_given_in_python(self):
        digits = load("digits")
        assert load_data(Scenario(data=digits)) is digits
        assert len(load_data(Scenario(data={"source": digits, "max_train": 10})).train.y) == 10

    def test_shards_depend_on_the_seed_of_the_run(self):
        dataset = load_data(toy())
        first, second = (Experiment(toy(seed=seed), dataset).shards for seed in (0, 1))
        assert list(first) == list(second) == ["0", "1", "2", "3"]
        assert any(not np.array_equal(first[peer], second[peer]) for peer in first)

    @pytest.mark.parametrize(
        ("fields", "error", "expected"),
        [
            ({"data": "digit"}, DataError, "unknown data source 'digit'. Did you mean 'digits'"),
            ({"data": "no_such_module:load"}, DataError, "No module named 'no_such_module'"),
            ({"data": "idx:/no/such/directory"}, DataError, "is not a directory"),
            ({"data": TOY["data"] | {"max_train": 3}}, ConfigurationError, "3 example"),
            ({"data": {"partition": {"name": "labels", "per_peer": 11}}}, ConfigurationError, "11 labels of 10"),
        ],
    )
    def test_data_that_do_not_fit_are_refused(self, fields, error, expected):
        with pytest.raises(error, match=expected):
            Experiment(toy(**fields))


@pytest.mark.slow
class TestWithKeras:
    def test_every_algorithm_runs_and_repeats_bit_for_bit(self):
        scenario = toy("pairwise", "synchronous", "fedavg", model="mlp", rounds=2, seed=2**40)
        first, second = compare(scenario), compare(scenario)
        assert [row.label for row in first.table] == ["pairwise", "synchronous", "fedavg", "local", "centralized"]
        for one, other in zip(first.histories, second.histories, strict=True):
            assert list(one.rows()) == list(other.rows())
            assert one.average.weights.tobytes() == other.average.weights.tobytes()
            for peer in one.final:
                assert one.final[peer].weights.tobytes() == other.final[peer].weights.tobytes()

    @pytest.mark.parametrize("peer", [None, "2"])
    def test_a_model_predicts_as_it_was_evaluated(self, peer):
        scenario = toy("pairwise", training={"batch_size": 20, "optimizer": {"name": "sgd", "learning_rate": 0.1}})
        simulation = initialize(scenario)
        before = [np.array(array) for array in simulation.weights("2")]
        for evaluation in simulation:
            model = simulation.model(peer)
            dataset = simulation.experiment.dataset
            predicted = model.predict(dataset.test.x, verbose=0).argmax(axis=1)
            accuracy = float((predicted == dataset.test.y).mean())
            expected = evaluation.average_accuracy if peer is None else evaluation.peer_accuracy[peer]
            assert accuracy == pytest.approx(expected, abs=1e-9)
        weights = simulation.average_weights() if peer is None else simulation.weights(peer)
        for ours, theirs in zip(weights, model.trainable_weights, strict=True):
            assert np.array_equal(ours, theirs.numpy())
        assert all(np.any(old != new) for old, new in zip(before, simulation.weights("2"), strict=True))

    def test_all_trainers_of_a_run_have_the_same_frozen_variables(self):
        import keras

        random = np.random.default_rng()

        def build():
            frozen = keras.layers.Dense(4, trainable=False)
            inputs = keras.Input((8, 8, 1))
            hidden = frozen(keras.layers.Flatten()(inputs))
            frozen.kernel.assign(random.normal(size=(64, 4)))
            return keras.Model(inputs, keras.layers.Dense(10, "softmax")(hidden))

        adam = {"name": "pairwise", "optimizer": "adam"}
        experiment = Experiment(toy("synchronous", adam, model=build, training={"optimizer": "sgd"}), slots=1)
        first, second = (experiment.trainer_for(section) for section in experiment.scenario.algorithms)
        assert first is not second
        assert first.constants.digest == second.constants.digest

    def test_no_trainer_is_made_only_to_be_asked(self, tmp_path):
        built = []

        def make(build_model, dataset, batches, settings, seed):
            built.append(settings.optimizer)
            return SoftmaxTrainer(dataset, batches)

        own = [{"name": "pairwise", "optimizer": optimizer} for optimizer in ("adam", "sgd")]
        scenario = toy(*own, training={"optimizer": "rmsprop"}, rounds=1)
        directory = RunDirectory.create(tmp_path / "run", scenario, 1, Mode(Command.SIMULATE), "")
        with directory:
            run_all(scenario, observers=[directory], make_trainer=make)
        assert built == ["adam", "sgd"]

    def test_a_function_of_ones_own_may_build_the_model(self):
        def build():
            import keras

            return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])

        with pytest.raises(ConfigurationError, match=r"not compiled and training\.optimizer is not given"):
            initialize(toy("fedavg", model=build))
        simulation = initialize(toy("fedavg", model=build, rounds=1, training={"optimizer": "sgd"}))
        assert [array.shape for array in simulation.weights("server")] == [(64, 10), (10,)]
        assert simulation.run().last.round == 1

    @pytest.mark.parametrize("name", ["no_such_module:build", "gossipfl.training.models:sotfmax"])
    def test_a_model_function_that_is_not_there_is_refused(self, name):
        with pytest.raises(ConfigurationError, match=f"model '{name}'"):
            simulate(toy(model=name))


def test_the_readme_style_names_are_exported():
    import gossipfl

    assert gossipfl.simulate is simulate
    assert gossipfl.compare is compare
    assert Path(gossipfl.__file__).is_file()
