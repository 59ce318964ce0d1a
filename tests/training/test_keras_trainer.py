"""Local training through slots is `model.fit` with the same batches."""

import dataclasses
import gc
import random
import signal
import threading

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from fit_oracle import fit_job, job_of, model_of, toy_trainer  # noqa: E402
from keras import layers  # noqa: E402
from toy_data import BATCH_SIZE, SIZES, toy_batches, toy_dataset  # noqa: E402
from toy_models import (  # noqa: E402
    batch_norm,
    compiled,
    conv_adam,
    dense_adam,
    dropout_momentum_clipnorm,
    softmax_sgd,
)

from gossipfl.actions import Evaluate  # noqa: E402
from gossipfl.data.examples import Examples  # noqa: E402
from gossipfl.errors import ConfigurationError, SchemaMismatchError, TrainingError  # noqa: E402
from gossipfl.training.batches import Batches  # noqa: E402
from gossipfl.training.models import resolve  # noqa: E402

pytestmark = pytest.mark.slow


CASES = {  # model: (optimizer floats per weight, seed generators)
    softmax_sgd: (0, 0),
    dropout_momentum_clipnorm: (1, 2),
    dense_adam: (2, 0),
    conv_adam: (2, 0),
    batch_norm: (0, 0),
}
# On some processors `fit` gives the same bits; on others TensorFlow fuses other operations in its graph than in ours.
TOLERANCE = 1e-6


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_one_epoch_is_fit_with_the_same_batches(build):
    num_slots_per_weight, num_seeds = CASES[build]
    trainer = toy_trainer(build)
    state = {
        "optimizer": np.zeros(num_slots_per_weight * trainer.schema.size + 1, np.float32),
        "seeds": np.array([part for i in range(num_seeds) for part in (100 + i, 0)], np.int64),
    }
    jobs = [job_of(trainer, peer, -(-size // BATCH_SIZE), state=state) for peer, size in SIZES.items()]
    model = build()
    for job, update in zip(jobs, trainer.train(jobs), strict=True):
        weights, statistics, history = fit_job(model, trainer, job)
        np.testing.assert_allclose(update.weights, weights, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(update.statistics, statistics, rtol=0, atol=10 * TOLERANCE)
        assert update.metrics["loss"] == pytest.approx(history["loss"][0], rel=1e-5)
        assert update.metrics["accuracy"] == pytest.approx(history["accuracy"][0], abs=1e-6)
        assert update.num_examples == SIZES[job.peer_id]
        assert update.num_steps == job.num_steps
        assert update.state["optimizer"][-1] == job.num_steps
        seeds = [part for i in range(num_seeds) for part in (100 + i, job.num_steps)]
        assert update.state.get("seeds", np.empty(0)).tolist() == seeds
        assert not update.weights.flags.writeable
        assert update.weights.base is None


@pytest.fixture(scope="module")
def stateful_trainers():
    """The same run with one slot and with two."""
    return [toy_trainer(dropout_momentum_clipnorm, slots=slots) for slots in (1, 2)]


def assert_same_bits(left, right):
    np.testing.assert_array_equal(left.weights, right.weights)
    np.testing.assert_array_equal(left.statistics, right.statistics)
    assert left.state.keys() == right.state.keys()
    for name, part in left.state.items():
        np.testing.assert_array_equal(part, right.state[name])


def test_results_do_not_depend_on_grouping_or_slots(stateful_trainers):
    one_slot, two_slots = stateful_trainers
    jobs = [job_of(one_slot, peer, num_steps) for peer in SIZES for num_steps in (1, 2, 7)]
    alone = [one_slot.train([job])[0] for job in jobs]
    for trainer in stateful_trainers:
        for size in (5, len(jobs)):
            together = [update for i in range(0, len(jobs), size) for update in trainer.train(jobs[i : i + size])]
            for left, right in zip(alone, together, strict=True):
                assert_same_bits(left, right)
                assert left.metrics == right.metrics
    backwards = two_slots.train(jobs[::-1])[::-1]
    for left, right in zip(alone, backwards, strict=True):
        assert_same_bits(left, right)


def test_results_do_not_depend_on_the_memory_bound(stateful_trainers, monkeypatch):
    trainer = stateful_trainers[1]
    jobs = [job_of(trainer, peer, 2) for peer in SIZES]
    whole, scores = trainer.train(jobs), trainer.evaluate([trainer.initial()] * 3)
    monkeypatch.setattr("gossipfl.training.keras.trainer.MAX_CALL_BYTES", 1)
    for left, right in zip(whole, trainer.train(jobs), strict=True):
        assert_same_bits(left, right)
    assert trainer.evaluate([trainer.initial()] * 3) == scores


def test_results_do_not_depend_on_chunks(stateful_trainers):
    trainer = stateful_trainers[0]
    whole = trainer.train([job_of(trainer, "d", 9)])[0]
    first = trainer.train([job_of(trainer, "d", 4)])[0]
    rest = job_of(
        trainer, "d", 5, job=2, first_step=4, weights=first.weights, statistics=first.statistics, state=first.state
    )
    second = trainer.train([rest])[0]
    assert_same_bits(second, whole)
    assert first.num_examples + second.num_examples == whole.num_examples


@pytest.mark.parametrize("max_grouped_floats", [10**6, 0])
def test_slices_of_examples_in_order_give_the_bits_of_gathered_ones(max_grouped_floats, monkeypatch):
    monkeypatch.setattr("gossipfl.training.keras.slot.MAX_GROUPED_FLOATS", max_grouped_floats)
    size = len(toy_dataset().train.y) // 2
    in_order = Batches({"a": np.arange(size), "b": np.arange(size, 2 * size)}, 10, False, 5)
    assert in_order.in_order
    gathered = Batches({**in_order.shards, "another": np.array([3, 1])}, 10, False, 5)
    assert not gathered.in_order
    sliced, picked = (
        trainer.train([job_of(trainer, peer, 2 * trainer._format.batches.steps_per_epoch(peer) - 1) for peer in "ab"])
        for trainer in (toy_trainer(dense_adam, batches=batches) for batches in (in_order, gathered))
    )
    for left, right in zip(sliced, picked, strict=True):
        assert_same_bits(left, right)
        assert left.metrics == right.metrics


def test_an_empty_state_is_a_reset(stateful_trainers):
    trainer = stateful_trainers[0]
    first = trainer.train([job_of(trainer, "a", 3)])[0]
    kept = trainer.train([job_of(trainer, "a", 3, first_step=3, weights=first.weights, state=first.state)])[0]
    reset = trainer.train([job_of(trainer, "a", 3, first_step=3, weights=first.weights)])[0]
    again = trainer.train([job_of(trainer, "a", 3, first_step=3, weights=first.weights)])[0]
    assert_same_bits(reset, again)
    assert reset.state["optimizer"][-1] == 3
    assert kept.state["optimizer"][-1] == 6
    assert not np.array_equal(reset.weights, kept.weights)
    elsewhere = trainer.train([job_of(trainer, "a", 3, first_step=6, weights=first.weights)])[0]
    assert elsewhere.state["seeds"][0] != reset.state["seeds"][0]  # another job, other dropped units


@pytest.mark.parametrize("max_grouped_floats", [10**6, 0])
def test_one_graph_per_slot_and_kind(max_grouped_floats, monkeypatch):
    monkeypatch.setattr("gossipfl.training.keras.slot.MAX_GROUPED_FLOATS", max_grouped_floats)
    trainer = toy_trainer(softmax_sgd, slots=2)
    assert trainer.num_traces == 0
    for num_steps in (1, 3, 8):
        jobs = [job_of(trainer, peer, num_steps) for peer in SIZES]
        trainer.train(jobs)
        trainer.train(jobs[:1])
    assert trainer.num_traces == 2
    trainer.evaluate([trainer.initial()] * 3)
    trainer.evaluate([trainer.initial()])
    assert trainer.num_traces == 4
    trainer.train([job_of(trainer, "a", 1, vectors={"c": trainer.initial().weights})])
    trainer.train([job_of(trainer, "a", 2, wants=frozenset({"gradient_sum"}))])
    assert trainer.num_traces == 6


def test_initial_weights_come_from_the_seed_and_leave_global_random_state_alone():
    build = resolve("mlp", toy_dataset().task)
    sgd = {"name": "sgd", "learning_rate": 0.1}
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    first = toy_trainer(build, optimizer=sgd).initial()
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002
    np.testing.assert_array_equal(toy_trainer(build, optimizer=sgd, slots=2).initial().weights, first.weights)
    assert not np.array_equal(toy_trainer(build, optimizer=sgd, seed=6).initial().weights, first.weights)


def test_optimizer_and_loss_from_the_settings():
    def uncompiled():
        return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10)])

    trainer = toy_trainer(uncompiled, optimizer={"name": "sgd", "learning_rate": 1})
    update = trainer.train([job_of(trainer, "b", 1)])[0]
    model = uncompiled()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss, metrics=["accuracy"])
    weights, _, history = fit_job(model, trainer, job_of(trainer, "b", 1))
    np.testing.assert_array_equal(update.weights, weights)
    assert update.metrics["loss"] == pytest.approx(history["loss"][0], rel=1e-6)
    # an optimizer of the settings replaces the compiled one and keeps the compiled loss
    slow = toy_trainer(softmax_sgd, optimizer={"name": "SGD", "learning_rate": 0.0})
    np.testing.assert_array_equal(slow.train([job_of(slow, "a", 2)])[0].weights, slow.initial().weights)


def test_a_learning_rate_schedule_follows_the_step_of_the_peer_whatever_becomes_of_its_optimizer():
    schedule = {"name": "exponential_decay", "initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5}
    trainer = toy_trainer(softmax_sgd, optimizer={"name": "sgd", "learning_rate": schedule})
    whole = trainer.train([job_of(trainer, "d", 6)])[0]
    first = trainer.train([job_of(trainer, "d", 2)])[0]
    rest = job_of(trainer, "d", 4, first_step=2, weights=first.weights, state=first.state)
    assert_same_bits(trainer.train([rest])[0], whole)
    assert_same_bits(
        trainer.train([dataclasses.replace(rest, state={})])[0],
        dataclasses.replace(whole, state={"optimizer": np.array([4])}),
    )


def test_mixed_precision_with_a_scaled_loss():
    def build():
        policy = "mixed_float16"
        dense = [layers.Dense(12, "relu", dtype=policy), layers.Dense(10, "softmax", dtype="float32")]
        return compiled(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)), layers.Flatten(), *dense)

    trainer = toy_trainer(build)
    update = trainer.train([job_of(trainer, "d", 40)])[0]
    assert update.weights.dtype == np.float32
    assert trainer.evaluate([model_of(update)])[0].loss < trainer.evaluate([trainer.initial()])[0].loss


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_binary_models(activation):
    def build():
        return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1, activation)])

    dataset = toy_dataset(num_classes=2)
    trainer = toy_trainer(build, optimizer={"name": "adam", "learning_rate": 0.01}, dataset=dataset)
    update = trainer.train([job_of(trainer, "d", 8)])[0]
    model = build()
    threshold = 0.0 if activation is None else 0.5
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.BinaryCrossentropy(from_logits=activation is None),
        metrics=[keras.metrics.BinaryAccuracy(name="accuracy", threshold=threshold)],
    )
    weights, _, history = fit_job(model, trainer, job_of(trainer, "d", 8), dataset=dataset)
    np.testing.assert_allclose(update.weights, weights, rtol=1e-5, atol=1e-7)  # TensorFlow fuses one column or not
    assert update.metrics["accuracy"] == pytest.approx(history["accuracy"][0], abs=1e-6)
    (score,) = trainer.evaluate([trainer.initial()])
    model.set_weights([*trainer.schema.unflatten(trainer.initial().weights)])
    expected = model.evaluate(dataset.test.x, dataset.test.y, batch_size=32, verbose=0, return_dict=True)
    assert score.metrics["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-6)


@pytest.mark.parametrize("build", [softmax_sgd, batch_norm], ids=lambda build: build.__name__)
def test_evaluation_is_model_evaluate(build):
    trainer = toy_trainer(build, slots=2)
    updates = trainer.train([job_of(trainer, peer, 5) for peer in SIZES])
    scores = trainer.evaluate([trainer.initial(), *map(model_of, updates)])
    assert scores == [trainer.evaluate([vectors])[0] for vectors in (trainer.initial(), *map(model_of, updates))]
    model, dataset = build(), toy_dataset()
    for vectors, score in zip((trainer.initial(), *updates), scores, strict=True):
        values = trainer.schema.unflatten(vectors.weights), trainer.statistics_schema.unflatten(vectors.statistics)
        for variables, arrays in zip((model.trainable_variables, model.non_trainable_variables), values, strict=True):
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)
        expected = model.evaluate(dataset.test.x, dataset.test.y, batch_size=32, verbose=0, return_dict=True)
        assert score.loss == pytest.approx(expected["loss"], rel=1e-5)
        assert score.metrics["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-6)
    assert trainer.evaluate([]) == []


def test_divergence_names_the_peers_and_the_round():
    trainer = toy_trainer(softmax_sgd, slots=2)
    bad = np.full(trainer.schema.size, np.nan, np.float32)
    jobs = [job_of(trainer, "a", 1), job_of(trainer, "b", 2, job=7, weights=bad), job_of(trainer, "d", 2, weights=bad)]
    with pytest.raises(
        TrainingError, match=r"peer 'b' diverged in its local round 8 .steps 0 to 1.: NaN.*1 more failed: 'd'"
    ) as caught:
        trainer.train(jobs)
    assert (caught.value.peer_id, caught.value.round) == ("b", 7)
    assert trainer.train(jobs[:1])[0].num_examples == 16


class CheckedDense(layers.Dense):
    def call(self, inputs):
        with tf.control_dependencies([tf.debugging.assert_less(inputs, 100.0)]):
            return super().call(tf.identity(inputs))


def test_a_failing_operation_names_the_peer_and_keeps_the_cause():
    shards = toy_batches().shards
    x = toy_dataset().train.x.copy()
    x[np.setdiff1d(shards["d"], np.concatenate([shards[peer] for peer in "abc"]))[0]] = 1000.0
    trainer = toy_trainer(
        lambda: compiled("sgd", layers.Flatten(), CheckedDense(10, "softmax")),
        dataset=dataclasses.replace(toy_dataset(), train=Examples(x, toy_dataset().train.y)),
    )
    with pytest.raises(TrainingError, match="local round 2 of peer 'd' failed") as caught:
        trainer.train([job_of(trainer, peer, 4) for peer in SIZES])
    assert caught.value.peer_id == "d"
    assert isinstance(caught.value.__cause__, tf.errors.InvalidArgumentError)
    jobs = [Evaluate(peer, 3, (trainer.initial(),) * 2, 0, 4) for peer in SIZES]
    with pytest.raises(TrainingError, match="evaluation 4 of peer 'd' failed") as caught:
        trainer.score(jobs)
    assert list(caught.value.outcomes[:-1]) == trainer.score(jobs[:-1])


@pytest.mark.parametrize("max_grouped_floats", [10**6, 0])
def test_an_interrupt_ends_running_groups_after_their_current_step(max_grouped_floats, monkeypatch):
    monkeypatch.setattr("gossipfl.training.keras.slot.MAX_GROUPED_FLOATS", max_grouped_floats)
    trainer = toy_trainer(dropout_momentum_clipnorm, slots=2)
    expected = trainer.train([job_of(trainer, "d", 3)])[0]
    hours = dict(trainer._format.arguments(job_of(trainer, "d", 1)))
    num_steps = 5_000_000
    hours["indices"] = np.broadcast_to(hours["indices"][:1], (num_steps,))
    hours["sizes"] = np.broadcast_to(np.int32(1), num_steps)
    started = threading.Event()

    def train_for_hours(slot):
        started.set()
        return slot.run("train", [hours])

    def press_ctrl_c(slot):
        started.wait()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trainer._pool.run([train_for_hours, press_ctrl_c])
    assert_same_bits(trainer.train([job_of(trainer, "d", 3)])[0], expected)


def test_a_dropped_trainer_leaves_no_threads():
    before = set(threading.enumerate())
    trainer = toy_trainer(softmax_sgd, slots=2)
    trainer.train([job_of(trainer, peer, 1) for peer in SIZES])
    threads = set(threading.enumerate()) - before
    assert threads
    del trainer
    gc.collect()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)


def test_jobs_of_another_model_are_refused_before_training():
    trainer = toy_trainer(softmax_sgd)
    size = trainer.schema.size
    short = np.zeros(size - 1, np.float32)
    for fields, message in [
        ({"weights": short}, f"weights of job 1 of peer 'a': shape .{size - 1},., the model has .{size},."),
        ({"statistics": short}, "statistics"),
        ({"state": {"momenta": np.zeros(0, np.float32)}}, "the part 'momenta', expected some of 'optimizer'"),
        ({"state": {"optimizer": short}}, "state 'optimizer'"),
        ({"state": {"optimizer": np.zeros(1, np.float32), "seeds": np.zeros(2, np.int64)}}, "state 'seeds'"),
        ({"vectors": {"c": short}}, "vector 'c'"),
        ({"vectors": {"d": short}}, "unknown name 'd'"),
        ({"proximal_mu": 0.1}, "no 'anchor'"),
        ({"wants": frozenset({"hessian"})}, "hessian"),
    ]:
        with pytest.raises(SchemaMismatchError, match=message):
            trainer.train([job_of(trainer, "a", 1, **fields)])
    with pytest.raises(SchemaMismatchError, match="weights of model 0"):
        trainer.evaluate([type(trainer.initial())(short, short[:0])])
    with pytest.raises(ConfigurationError, match="'nobody' has no shard"):
        trainer.train([job_of(trainer, "nobody", 1)])
    assert trainer.num_traces == 0
    assert trainer.train([]) == []


def test_flags_tell_what_is_in_force():
    flags = toy_trainer(softmax_sgd, slots=2).flags
    assert flags["slots"] == 2
    assert {"tensorflow", "keras", "intra_op_threads", "inter_op_threads", "one_dnn", "op_determinism"} <= set(flags)
