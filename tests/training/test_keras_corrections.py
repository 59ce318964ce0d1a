"""The one door into local training: the gradient that is applied is g + c + mu (y - anchor)."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from fit_oracle import flat, job_of, toy_trainer  # noqa: E402
from toy_data import toy_batches, toy_dataset  # noqa: E402
from toy_models import softmax_sgd  # noqa: E402

pytestmark = pytest.mark.slow

LEARNING_RATE = 0.05  # of softmax_sgd


@pytest.fixture(scope="module")
def trainer():
    return toy_trainer(softmax_sgd)


def some_vector(trainer, seed):
    return np.random.default_rng(seed).normal(0, 0.1, trainer.schema.size).astype(np.float32)


def softmax_gradient(trainer, weights, step):
    """Mean gradient of cross-entropy in float64: X^T (p - onehot(y)) / n."""
    dataset, (chosen, _) = toy_dataset(), toy_batches().indices("a", step, 1)
    x, y = dataset.train.x[chosen].reshape(len(chosen), -1).astype(np.float64), dataset.train.y[chosen]
    kernel, bias = (array.astype(np.float64) for array in trainer.schema.unflatten(weights.astype(np.float32)))
    logits = x @ kernel + bias
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    error = (probabilities - np.eye(10)[y]) / len(y)
    return np.concatenate([(x.T @ error).ravel(), error.sum(axis=0)])


def by_hand(trainer, start, num_steps, c=0.0, anchor=0.0, mu=0.0):
    y, gradients = start.astype(np.float64), []
    for step in range(num_steps):
        gradients.append(softmax_gradient(trainer, y, step))
        y = y - LEARNING_RATE * (gradients[-1] + c + mu * (y - anchor))
    return y, np.sum(gradients, axis=0)


def test_c_and_anchor_and_gradient_sum_are_the_formula(trainer):
    start, c, anchor = (some_vector(trainer, seed) for seed in (1, 2, 3))
    job = job_of(
        trainer,
        "a",
        4,
        weights=start,
        vectors={"c": c, "anchor": anchor},
        proximal_mu=0.5,
        wants=frozenset({"gradient_sum"}),
    )
    update = trainer.train([job])[0]
    weights, gradient_sum = by_hand(trainer, start, 4, c, anchor, 0.5)
    np.testing.assert_allclose(update.weights, weights, atol=2e-6)
    np.testing.assert_allclose(update.vectors["gradient_sum"], gradient_sum, atol=8e-6)


def test_each_correction_alone(trainer):
    start, c = some_vector(trainer, 1), some_vector(trainer, 2)
    only_c = trainer.train([job_of(trainer, "a", 3, weights=start, vectors={"c": c})])[0]
    np.testing.assert_allclose(only_c.weights, by_hand(trainer, start, 3, c=c)[0], atol=2e-6)
    assert only_c.vectors == {}
    plain = trainer.train([job_of(trainer, "a", 3, weights=start)])[0]
    asked = trainer.train([job_of(trainer, "a", 3, weights=start, wants=frozenset({"gradient_sum"}))])[0]
    np.testing.assert_array_equal(asked.weights, plain.weights)
    total = (start - plain.weights) / LEARNING_RATE
    np.testing.assert_allclose(asked.vectors["gradient_sum"], total, atol=3e-5)


def test_a_job_in_parts_gives_the_bits_of_the_whole(trainer):
    c, asked = {"c": some_vector(trainer, 2)}, frozenset({"gradient_sum"})
    whole = trainer.train([job_of(trainer, "a", 5, vectors=c, wants=asked)])[0]
    first = trainer.train([job_of(trainer, "a", 2, vectors=c, wants=asked)])[0]
    so_far = {"first_step": 2, "weights": first.weights, "state": first.state, "vectors": {**c, **first.vectors}}
    last = trainer.train([job_of(trainer, "a", 3, wants=asked, **so_far)])[0]
    np.testing.assert_array_equal(last.weights, whole.weights)
    np.testing.assert_array_equal(last.vectors["gradient_sum"], whole.vectors["gradient_sum"])


def test_plain_and_corrected_jobs_in_one_call_keep_their_order(trainer):
    jobs = [job_of(trainer, peer, 2, vectors={"c": some_vector(trainer, 4)} if peer in "bd" else {}) for peer in "abcd"]
    together = trainer.train(jobs)
    for job, update in zip(jobs, together, strict=True):
        assert update.peer_id == job.peer_id
        np.testing.assert_array_equal(update.weights, trainer.train([job])[0].weights)


def test_proximal_term_is_fit_with_a_proximal_loss():
    """FedProx: loss + mu/2 ||y - anchor||^2, with momentum, written by hand for `fit`."""
    mu = 0.3

    def build():
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(12, "relu"),
                keras.layers.Dense(10, "softmax"),
            ]
        )
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
        return model

    trainer = toy_trainer(build)
    start = trainer.initial().weights
    job = job_of(trainer, "d", 6, vectors={"anchor": start}, proximal_mu=mu)
    update = trainer.train([job])[0]

    class Proximal(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            loss = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
            distances = zip(self.trainable_variables, trainer.schema.unflatten(start), strict=True)
            return loss + mu / 2 * sum(keras.ops.sum((variable - center) ** 2) for variable, center in distances)

    plain = build()
    proximal = Proximal(plain.layers)
    proximal.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
    for variable, value in zip(proximal.trainable_variables, trainer.schema.unflatten(start), strict=True):
        variable.assign(value)
    from fit_oracle import SameBatches

    proximal.fit(SameBatches(toy_dataset(), toy_batches(), job), shuffle=False, verbose=0)
    np.testing.assert_allclose(update.weights, flat(proximal.trainable_variables), atol=2e-6)
    assert not np.allclose(update.weights, trainer.train([job_of(trainer, "d", 6)])[0].weights, atol=1e-4)
    # a model that overrides compute_loss, even without the argument `training`, trains the same way through slots
    assert update.metrics["loss"] > 0


def test_compute_loss_may_be_overridden():
    class Halved(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return 0.5 * super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)

    def build(kind=Halved, learning_rate=0.1):
        model = kind([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
        model.compile(keras.optimizers.SGD(learning_rate), "sparse_categorical_crossentropy")
        return model

    halved = toy_trainer(build)
    plain = toy_trainer(lambda: build(keras.Sequential, 0.05))
    left, right = (trainer.train([job_of(trainer, "a", 3)])[0] for trainer in (halved, plain))
    np.testing.assert_allclose(left.weights, right.weights, atol=1e-7)
    assert left.metrics["loss"] == pytest.approx(right.metrics["loss"] / 2, rel=1e-6)


def test_scaled_losses_take_unscaled_corrections():
    def build(scale):
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
        model.compile(keras.optimizers.SGD(0.05, loss_scale_factor=scale), "sparse_categorical_crossentropy")
        return model

    plain, scaled = toy_trainer(lambda: build(None)), toy_trainer(lambda: build(8.0))
    fields = {"vectors": {"c": some_vector(plain, 2)}, "wants": frozenset({"gradient_sum"})}
    left, right = (trainer.train([job_of(trainer, "a", 3, **fields)])[0] for trainer in (plain, scaled))
    np.testing.assert_array_equal(left.weights, right.weights)  # a power of two scales exactly
    np.testing.assert_array_equal(left.vectors["gradient_sum"], right.vectors["gradient_sum"])
