"""What no training changes of a model: in a file of its own, and known by its digest."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gossipfl.errors import ConfigurationError, SchemaMismatchError
from gossipfl.files.weight_files import metadata_of, write_weights
from gossipfl.runs.constant_files import read_constants, write_constants
from gossipfl.training.model_files import read_model
from gossipfl.weights import (
    LARGEST_INTEGER,
    Constants,
    ModelVectors,
    Segment,
    StoredModel,
    WeightsSchema,
    as_integers,
    frozen,
    integer_range,
)

CONSTANTS = Constants(
    ("backbone/kernel", "table", "on", "half", *map(str, range(8))),
    (
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array(2**40, np.int64),
        np.array([True, False]),
        np.ones(2, np.float16),
        *(np.full(1, i, np.float64) for i in range(8)),
    ),
)


def test_constants_come_back_in_their_order_with_their_dtypes(tmp_path):
    write_constants(tmp_path, 3, CONSTANTS)
    read = read_constants(tmp_path, 3, CONSTANTS.digest)
    assert read.names == CONSTANTS.names
    assert read.digest == CONSTANTS.digest
    for left, right in zip(read.arrays, CONSTANTS.arrays, strict=True):
        assert (left.dtype, left.shape) == (right.dtype, right.shape)
        np.testing.assert_array_equal(left, right)


def test_a_model_without_constants_has_no_file(tmp_path):
    write_constants(tmp_path, 3, Constants())
    assert not list(tmp_path.iterdir())
    assert not read_constants(tmp_path, 3, None)


def test_constants_that_are_lost_or_others_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"there is no .*seed3.constants.safetensors"):
        read_constants(tmp_path, 3, CONSTANTS.digest)
    write_constants(tmp_path, 3, CONSTANTS)
    with pytest.raises(ConfigurationError, match="does not hold the frozen variables that the run's manifest names"):
        read_constants(tmp_path, 3, "0" * 64)


def test_the_digest_is_of_values_shapes_and_dtypes():
    array = np.arange(6, dtype=np.float32)
    others = [array + 1, array.reshape(2, 3), array.astype(np.float64), array.astype(np.int32)]
    digests = {Constants(("a",), (one,)).digest for one in (array, *others)}
    assert len(digests) == 5
    assert Constants(("b",), (array.astype(">f4"),)).digest == Constants(("a",), (array,)).digest


def test_integers_are_the_nearest_ones_that_a_variable_takes():
    values = np.array([0.5, 1.5, -0.6, 3e38, -3e38, 127.4], np.float32)
    assert as_integers(values, "int32").tolist() == [0, 2, -1, LARGEST_INTEGER, -LARGEST_INTEGER, 127]
    assert as_integers(values, "int8").tolist() == [0, 2, -1, 127, -128, 127]
    assert as_integers(values, "uint8").tolist() == [0, 2, 0, 255, 0, 127]
    assert as_integers(values, "bool").tolist() == [False, True, False, True, False, True]
    assert as_integers(np.float32(2.6), "int64").shape == ()
    assert integer_range("uint64") == (0, LARGEST_INTEGER)


class WithConstants:
    """A `ModelFacts`."""

    schema = WeightsSchema((Segment("head", (2,), "float32"),))
    statistics_schema = WeightsSchema((Segment("calls", (), "int32"),))
    local_schema = WeightsSchema(())
    optimizer_size = 0
    constants = Constants(("backbone",), (np.zeros(3, np.float32),))


def begin_with(path: Path) -> StoredModel:
    def read_keras(path: Path) -> StoredModel:
        raise AssertionError(f"{path} is no file of Keras")

    return read_model(path, WithConstants(), read_keras)


VECTORS = {"head": np.ones(2, np.float32), "calls": np.array(5, np.int32)}


def test_a_start_takes_the_constants_that_its_file_holds_by_name(tmp_path):
    path = tmp_path / "start.safetensors"
    save_file(VECTORS | {"backbone": np.ones(3, np.float32)}, path)
    stored = begin_with(path)
    assert stored.vectors.statistics.tolist() == [5]
    assert stored.constants.arrays[0].tolist() == [1, 1, 1]
    save_file(VECTORS | {"backbone": np.ones(4, np.float32)}, path)
    with pytest.raises(ConfigurationError, match=r"the constant 'backbone' has shape \(4,\), the model has \(3,\)"):
        begin_with(path)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"head": np.full(2, np.inf, np.float32)}, "it holds NaN or infinity"),
        ({"backbone": np.full(3, np.nan, np.float32)}, "the frozen variable 'backbone' holds NaN"),
        ({"calls": np.array(2**40)}, "the variable 'calls', which training changes, has integers beyond 16777216"),
        ({"calls": np.array(-(2**24) - 2)}, "has integers beyond 16777216"),
    ],
)
def test_numbers_that_no_run_can_begin_with_are_refused(tmp_path, changed, expected):
    path = tmp_path / "start.safetensors"
    save_file(VECTORS | {"backbone": np.full(3, -np.inf, np.float32), "calls": np.array(2**24)}, path)
    assert begin_with(path).vectors.statistics.tolist() == [2**24]
    save_file(VECTORS | {"backbone": np.ones(3, np.float32)} | changed, path)
    with pytest.raises(ConfigurationError, match=expected):
        begin_with(path)


def test_a_start_that_was_trained_on_another_backbone_is_refused(tmp_path):
    path = tmp_path / "start.safetensors"
    save_file(VECTORS, path)  # of somebody else's making: the backbone is that of the model function
    assert begin_with(path).constants is WithConstants.constants
    save_file(VECTORS, path, metadata_of(WithConstants.constants.digest))
    assert begin_with(path).constants is WithConstants.constants
    model = ModelVectors(frozen(np.ones(2, np.float32)), frozen(np.full(1, 5, np.float32)))
    write_weights(tmp_path, "run", VECTORS, {"a": model}, CONSTANTS.digest)
    with pytest.raises(ConfigurationError, match=r"trained on other frozen variables .* begin with a .keras file"):
        begin_with(tmp_path / "run.average.safetensors")


def test_constants_of_another_number_are_refused():
    with pytest.raises(SchemaMismatchError, match="there are 12 constants, the model has 1"):
        CONSTANTS.check_shapes([(2, 3)])
