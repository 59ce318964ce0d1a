"""DP-SGD: gradients of single examples are clipped, their sum is noised, and batches are drawn in secret."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from scipy.stats import kstest
from toy_data import BATCH_SIZE, SIZES, toy_batches, toy_dataset

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402
from fit_oracle import job_of, toy_models, toy_trainer  # noqa: E402
from toy_models import batch_norm, conv_adam, dense_adam, dropout_momentum_clipnorm, softmax_sgd  # noqa: E402

from gossipfl.errors import ConfigurationError  # noqa: E402
from gossipfl.training.keras.private import dense_chain, gaussian  # noqa: E402
from gossipfl.training.secret_batches import noise_seeds, secret_batches  # noqa: E402
from gossipfl.training.settings import ExamplePrivacy  # noqa: E402

SECRET = bytes(range(32))


def private(build, clip: float, noise: float, **given):
    return toy_trainer(build, privacy=ExamplePrivacy(clip, noise), **given)


def trained(trainer, peer_id="a", num_steps=6, **fields):
    return trainer.train([job_of(trainer, peer_id, num_steps, **fields)])[0]


def by_a_loop(build, clip: float, peer_id: str, num_steps: int) -> np.ndarray:
    """The weights after some steps, one example's gradient after the other."""
    dataset, batches = toy_dataset(), toy_batches()
    (built,) = toy_models(build).models(1)
    model, shard = built.model, batches.shards[peer_id]
    expected = min(BATCH_SIZE, len(shard))
    indices, sizes = secret_batches(shard, expected / len(shard), 0, num_steps, SECRET)
    for batch in np.split(indices, np.cumsum(sizes)[:-1]):
        total = [np.zeros(variable.shape) for variable in model.trainable_variables]
        for example in batch:
            with tf.GradientTape() as tape:
                output = model(dataset.train.x[[example]], training=True)
                loss = model.compute_loss(y=dataset.train.y[[example]], y_pred=output)
            gradients = [np.asarray(one) for one in tape.gradient(loss, model.trainable_variables)]
            norm = np.sqrt(sum(np.sum(one.astype(np.float64) ** 2) for one in gradients))
            total = [t + one * min(1.0, clip / norm) for t, one in zip(total, gradients, strict=True)]
        model.optimizer.apply([tf.constant(t / expected, tf.float32) for t in total], model.trainable_variables)
    return built.stored.vectors.weights


@pytest.mark.parametrize("build", [dense_adam, conv_adam])  # by norms of dense layers, and example by example
def test_the_steps_are_those_of_a_plain_loop(build) -> None:
    trainer = private(build, 0.5, 0.0)
    for peer_id in ("a", "c"):
        update = trained(trainer, peer_id, 2, secret=SECRET)
        assert update.weights == pytest.approx(by_a_loop(build, 0.5, peer_id, 2), abs=1e-5)


def test_without_clip_and_noise_it_is_plain_training_on_the_same_batches() -> None:
    """Peers whose whole shard is a batch have the same one in both."""
    plain = trained(toy_trainer(dense_adam), "c", 5)
    update = trained(private(dense_adam, inf, 0.0), "c", 5, secret=SECRET)
    assert update.weights == pytest.approx(plain.weights, abs=1e-6)
    assert update.metrics["loss"] == pytest.approx(plain.metrics["loss"], abs=1e-5)
    assert update.metrics["accuracy"] == plain.metrics["accuracy"]
    assert update.num_examples == plain.num_examples


def test_a_job_without_a_secret_is_trained_as_ever() -> None:
    plain, beside = trained(toy_trainer(dense_adam)), trained(private(dense_adam, 1.0, 1.0))
    assert plain.weights.tobytes() == beside.weights.tobytes()


def test_the_bits_depend_on_the_secret_and_not_on_the_group() -> None:
    trainer = private(dense_adam, 1.0, 1.0, slots=2)
    jobs = [job_of(trainer, peer, 4, secret=SECRET) for peer in SIZES]
    together = trainer.train(jobs)
    for job, update in zip(jobs, together, strict=True):
        (alone,) = trainer.train([job])
        assert alone.weights.tobytes() == update.weights.tobytes()
    other = trained(trainer, "a", 4, secret=SECRET[::-1])
    assert not np.array_equal(other.weights, together[0].weights)


def test_a_job_that_is_cut_into_parts_gives_the_bits_of_the_whole() -> None:
    trainer = private(softmax_sgd, 1.0, 1.0)
    whole = trained(trainer, "a", 5, secret=SECRET)
    job = job_of(trainer, "a", 2, secret=SECRET)
    (first,) = trainer.train([job])
    rest = replace(job, first_step=2, num_steps=3, weights=first.weights, state=first.state)
    (second,) = trainer.train([rest])
    assert second.weights.tobytes() == whole.weights.tobytes()


def test_a_batch_without_examples_is_noise_alone_and_of_the_right_size() -> None:
    batches = toy_batches({"a": 100}, batch_size=1)
    secret = next(
        secret
        for secret in (bytes([k] * 32) for k in range(256))
        if not secret_batches(batches.shards["a"], 0.01, 0, 1, secret)[1].any()
    )
    trainer = private(softmax_sgd, 0.5, 2.0, batches=batches)
    update = trained(trainer, "a", 1, secret=secret)
    noise = (trainer.initial().weights - update.weights) / 0.05  # the learning rate; the batch size is 1
    assert noise.std() == pytest.approx(0.5 * 2.0, rel=0.1)
    assert abs(noise.mean()) < 5 * 1.0 / np.sqrt(noise.size)
    assert update.metrics["loss"] == 0
    still = trained(private(softmax_sgd, 0.5, 0.0, batches=batches), "a", 1, secret=secret)
    assert np.array_equal(still.weights, trainer.initial().weights)


def test_noise_is_of_each_step_and_divided_by_the_expected_size() -> None:
    assert len({*map(tuple, noise_seeds(0, 50, SECRET).tolist())}) == 50
    trainer = private(softmax_sgd, 1e-6, 1e6)  # clipped to nearly nothing
    jobs = [job_of(trainer, "a", 1, secret=bytes([k] * 32)) for k in range(10)]
    noise = np.concatenate([update.weights - trainer.initial().weights for update in trainer.train(jobs)])
    assert noise.std() == pytest.approx(0.05 / BATCH_SIZE, rel=0.05)


def test_gaussians_are_normal_and_have_their_tails() -> None:
    values = gaussian(400_001, tf.constant([3, 4], tf.int64)).numpy().astype(np.float64)
    assert values.size == 400_001
    assert kstest(values, "norm").pvalue > 1e-3
    assert values.std() == pytest.approx(1, abs=0.01)
    assert np.abs(values).max() > 4.3
    assert abs(np.corrcoef(values[:200_000], values[200_000:400_000])[0, 1]) < 0.02


def test_an_example_changes_a_step_by_no_more_than_the_clip() -> None:
    batches = toy_batches({"with": 20, "without": 20}, batch_size=20)
    batches.shards["without"] = batches.shards["with"][:-1]
    trainer = private(softmax_sgd, 0.1, 0.0, batches=batches)
    initial = trainer.initial().weights
    changes = [
        (trained(trainer, peer, 1, secret=SECRET).weights - initial) * len(batches.shards[peer])
        for peer in ("with", "without")
    ]
    assert 0 < np.linalg.norm(changes[0] - changes[1]) <= 0.05 * 0.1 * (1 + 1e-3)


@pytest.mark.parametrize(
    ("build", "said"), [(batch_norm, "BatchNormalization"), (dropout_momentum_clipnorm, "Dropout")]
)
def test_models_that_mix_examples_or_draw_are_refused(build, said) -> None:
    with pytest.raises(ConfigurationError, match=said):
        private(build, 1.0, 1.0)


def test_secrets_and_settings_go_together() -> None:
    with pytest.raises(ConfigurationError, match="no settings"):
        trained(toy_trainer(softmax_sgd), secret=SECRET)
    trainer = private(softmax_sgd, 1.0, 1.0)
    with pytest.raises(ConfigurationError, match="corrected"):
        trained(trainer, secret=SECRET, vectors={"c": trainer.initial().weights})


def chained(*layers, loss="sparse_categorical_crossentropy"):
    def build():
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), *(layer() for layer in layers)])
        model.compile("sgd", loss)
        return model

    return build


def twice():
    layer = keras.layers.Dense(64, "tanh")
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), layer, layer, keras.layers.Dense(4, "softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize(
    "build",
    [
        twice,
        chained(lambda: keras.layers.Dense(4, lambda x: x - tf.reduce_mean(x, 0))),
        chained(lambda: keras.layers.Dense(4, "tanh"), loss="circle"),
        chained(
            lambda: keras.layers.Dense(4, "softmax"), loss=keras.losses.SparseCategoricalCrossentropy(reduction="sum")
        ),
    ],
)
def test_norms_in_one_pass_are_for_chains_whose_examples_are_not_mixed(build) -> None:
    assert dense_chain(build()) is None
    assert dense_chain(chained(lambda: keras.layers.Dense(4, "softmax"))()) is not None
