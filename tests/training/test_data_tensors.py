"""Data as tensors: images of bytes give the bits of floats, and sample weights mean what they do in `fit`."""

from dataclasses import replace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from fit_oracle import fit_job, job_of, toy_trainer  # noqa: E402
from toy_data import toy_batches, toy_dataset  # noqa: E402

from gossipfl.actions import Evaluate  # noqa: E402
from gossipfl.data.conversion import model_inputs  # noqa: E402
from gossipfl.data.dataset import Dataset  # noqa: E402
from gossipfl.data.examples import Examples  # noqa: E402
from gossipfl.errors import ConfigurationError  # noqa: E402
from gossipfl.training.keras.data_tensors import DataTensors, as_model_gets, gathered, sliced  # noqa: E402
from gossipfl.training.keras.exact_inputs import refuse_collapsing_numbers  # noqa: E402
from gossipfl.training.settings import TrainingSettings  # noqa: E402

SETTINGS = TrainingSettings(evaluation_batch_size=32)
BYTES = np.random.default_rng(2).integers(0, 256, (300, 8, 8), np.uint8)


def byte_data() -> tuple[Dataset, Dataset]:
    """Images of bytes, and the same as floats."""
    y = toy_dataset().train.y, toy_dataset().test.y
    data = Dataset.from_arrays("bytes", (BYTES[:200], y[0]), (BYTES[200:], y[1]))
    floats = {part: replace(examples, x=model_inputs(examples.x)) for part, examples in data.parts}
    return data, replace(data, **floats)


def softmax():
    layers = keras.layers
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10, "softmax")])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


def test_every_byte_becomes_the_float_that_numpy_makes_of_it_in_a_graph():
    every = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    data = {"x": tf.constant(every)}

    def in_loop(data):  # as the loops over batches of training and evaluation have it
        def one(i, rows):
            taken = gathered(data, tf.range(i, i + 1))["x"], sliced(data, [i], [i + 1])["x"]
            return i + 1, rows.write(i, tf.concat(taken, 1))

        rows = tf.TensorArray(tf.float32, 256, element_shape=[1, 2, 1, 1])
        return tf.while_loop(lambda i, _: i < 256, one, (0, rows), parallel_iterations=1)[1].concat()

    expected = model_inputs(every)
    found = tf.function(in_loop, autograph=False)(data).numpy()
    assert found.dtype == np.float32
    assert np.array_equal(found[:, 0], expected[:, 0])
    assert np.array_equal(found[:, 1], expected[:, 0])
    assert np.array_equal(as_model_gets(data)["x"].numpy(), expected)


def test_only_images_of_bytes_are_divided():
    batch = {"x": {"table": tf.constant([[7]], tf.uint8), "ids": tf.constant([2**24 + 1])}, "y": tf.zeros((1, 2, 2, 1))}
    same = as_model_gets(batch)
    assert same["x"]["table"].dtype == tf.uint8
    assert same["x"]["ids"].numpy().tolist() == [2**24 + 1]


@pytest.mark.parametrize("shuffle", [True, False])
def test_bytes_train_and_score_to_the_bits_of_floats(shuffle):
    batches = toy_batches() if shuffle else replace(toy_batches(), shards={"a": np.arange(37)}, shuffle=False)
    trainers = [toy_trainer(softmax, dataset=data, batches=batches) for data in byte_data()]
    updates = [trainer.train([job_of(trainer, "a", 5)])[0] for trainer in trainers]
    assert updates[0].weights.tobytes() == updates[1].weights.tobytes()
    assert updates[0].metrics == updates[1].metrics
    models = [trainer.initial() for trainer in trainers]
    assert trainers[0].evaluate(models[:1]) == trainers[1].evaluate(models[1:])
    jobs = [Evaluate("a", 1, (model,), 0, 2) for model in models]
    assert trainers[0].score(jobs[:1]) == trainers[1].score(jobs[1:])


def test_bytes_stay_bytes_where_batches_are_gathered():
    data, _ = byte_data()
    assert DataTensors.of(data, SETTINGS, in_order=False).parts["train"]["x"].dtype == tf.uint8
    assert DataTensors.of(data, SETTINGS, in_order=True).parts["train"]["x"].dtype == tf.float32


def test_sample_weights_are_those_of_fit():
    plain = toy_dataset()
    weight = np.random.default_rng(0).random(200, np.float32)
    dataset = replace(plain, train=Examples(plain.train.x, plain.train.y, weight))
    trainer = toy_trainer(softmax, dataset=dataset)
    job = job_of(trainer, "a", 5)
    (update,) = trainer.train([job])
    weights, _, history = fit_job(softmax(), trainer, job, dataset)
    np.testing.assert_allclose(update.weights, weights, atol=1e-6)
    unweighted = toy_trainer(softmax)
    assert not np.allclose(unweighted.train([job_of(unweighted, "a", 5)])[0].weights, weights, atol=1e-3)
    (score,), (of_ones,) = trainer.evaluate([trainer.initial()]), unweighted.evaluate([unweighted.initial()])
    assert score.loss == pytest.approx(of_ones.loss)  # the test part has no weights
    assert history.keys() >= {"loss"}


def mapped_from_files(data, directory):
    """The same data set, with inputs that are read from files when they are used."""

    def on_disk(name, array):
        np.save(directory / f"{name}.npy", array)
        return np.load(directory / f"{name}.npy", mmap_mode="r")

    parts = {name: replace(part, x=on_disk(name, part.x)) for name, part in data.parts}
    return replace(data, **parts)


@pytest.mark.parametrize("shuffle", [True, False])
def test_of_mapped_files_only_examples_of_a_call_become_tensors_and_bits_stay(tmp_path, shuffle, monkeypatch):
    data, _ = byte_data()
    mapped = mapped_from_files(data, tmp_path)
    assert mapped.digest == data.digest
    batches = toy_batches() if shuffle else replace(toy_batches(), shards={"a": np.arange(37)}, shuffle=False)
    tensors = DataTensors.of(mapped, SETTINGS, in_order=not shuffle)
    assert isinstance(tensors.parts["train"]["x"], np.ndarray)
    assert tensors.bytes_per_example("train") == 64 + 4
    monkeypatch.setattr("gossipfl.training.keras.slot.MAX_MAPPED_BYTES", 2 * 32 * 68)  # two batches at a time
    trainers = [toy_trainer(softmax, dataset=each, batches=batches) for each in (data, mapped)]
    updates = [trainer.train([job_of(trainer, "a", 5)])[0] for trainer in trainers]
    assert updates[0].weights.tobytes() == updates[1].weights.tobytes()
    models = [replace(trainers[0].initial(), weights=updates[0].weights), trainers[0].initial()]
    assert trainers[0].evaluate(models) == trainers[1].evaluate(models)
    jobs = [Evaluate("a", 1, tuple(models), 0, 2)]
    assert trainers[0].score(jobs) == trainers[1].score(jobs)


def test_a_round_that_would_read_too_much_is_refused(tmp_path, monkeypatch):
    trainer = toy_trainer(softmax, dataset=mapped_from_files(byte_data()[0], tmp_path))
    monkeypatch.setattr("gossipfl.training.keras.jobs.MAX_FEATURE_BYTES", 1000)
    with pytest.raises(ConfigurationError, match=r"set training\.steps to fewer steps a round"):
        trainer.train([job_of(trainer, "a", 5)])


def taking(dtype, *, as_dict):
    ids = keras.Input((3,), dtype=dtype, name="ids")
    output = keras.layers.Dense(1)(keras.layers.Lambda(lambda numbers: keras.ops.cast(numbers, "float32"))(ids))
    return keras.Model({"ids": ids} if as_dict else ids, output)


@pytest.mark.parametrize("as_dict", [True, False])
@pytest.mark.parametrize(
    ("dtype", "largest", "fits"),
    [
        ("float32", 2**24, True),
        ("float32", 2**24 + 1, False),
        ("int32", 2**31 - 1, True),
        ("int32", 2**31, False),
        ("int64", 2**53 + 1, True),
        ("float16", 2**11, True),
        ("float16", 2**11 + 1, False),
        ("int8", 128, False),
    ],
)
def test_integers_that_the_input_of_a_model_would_make_one_are_refused(as_dict, dtype, largest, fits):
    ids = np.array([[0, 1, largest]], np.int16 if largest < 2**15 else np.int64)
    examples = Examples({"ids": ids} if as_dict else ids, np.zeros(1, np.float32))
    if fits:
        refuse_collapsing_numbers(taking(dtype, as_dict=as_dict), examples)
        return
    with pytest.raises(
        ConfigurationError, match=f"integers from 0 to {largest}, but the input 'ids' of model .* is {dtype}"
    ):
        refuse_collapsing_numbers(taking(dtype, as_dict=as_dict), examples)


def test_structures_of_all_integers_reach_the_model():
    dtypes = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]
    part = tuple(np.arange(6).reshape(3, 2).astype(dtype) for dtype in dtypes), np.arange(3)
    data = DataTensors.of(Dataset.from_arrays("all", part, part), SETTINGS, in_order=False).parts["train"]
    taken = tf.function(lambda data: (gathered(data, [2, 0]), sliced(data, [1], [3])), autograph=False)(data)
    for part, rows in zip(taken, ([2, 0], [1, 2]), strict=True):
        for tensor, dtype in zip(part["x"], dtypes, strict=True):
            assert tensor.dtype == tf.as_dtype(np.dtype(dtype))
            assert np.array_equal(tensor.numpy(), np.arange(6).reshape(3, 2).astype(dtype)[rows])
