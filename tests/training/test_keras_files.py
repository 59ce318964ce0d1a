"""What cannot be read or written is one sentence, and leaves nothing half done."""

import json
import shutil
import struct
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from gossipfl.errors import ConfigurationError
from gossipfl.runs.export import save
from gossipfl.training.keras.files import load_variables
from gossipfl.training.model_files import read_arrays

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves

VALUES = np.array([1.5, -2.0, 3.25, 1e-3], np.float32)


def raw(path: Path, dtype: str, content: bytes, shape: tuple[int, ...]) -> Path:
    """A safetensors file of one array, of any dtype."""
    tensor = {"dtype": dtype, "shape": shape, "data_offsets": [0, len(content)]}
    header = json.dumps({"weights": tensor}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + content)
    return path


class Scale(keras.layers.Layer):
    """A layer that nobody has registered."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.scale


class Made(keras.layers.Layer):
    """A layer that Keras cannot describe: it is given a function, and has no `get_config`."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def model(*layers: keras.layers.Layer, units: int = 2, optimizer: str = "adam") -> keras.Model:
    layers = (keras.Input((4,)), keras.layers.Dense(3), *layers, keras.layers.BatchNormalization())
    built = keras.Sequential([*layers, keras.layers.Dropout(0.5), keras.layers.Dense(units)])
    built.compile(optimizer, "mse", metrics=["mae"])
    return built


def same(one: keras.Model, other: keras.Model) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


class TestSafetensors:
    @pytest.mark.parametrize("shape", [(4,), (2, 2)])
    def test_half_precision_becomes_single(self, tmp_path, shape):
        bfloat16 = (VALUES.view(np.uint32) >> 16).astype("<u2")
        array = read_arrays(raw(tmp_path / "b.safetensors", "BF16", bfloat16.tobytes(), shape))["weights"]
        assert (array.dtype, array.shape) == (np.float32, shape)
        np.testing.assert_allclose(array.ravel(), VALUES, rtol=2**-7)
        assert array.ravel()[:3].tolist() == VALUES[:3].tolist()
        half = VALUES.astype("<f2")
        array = read_arrays(raw(tmp_path / "h.safetensors", "F16", half.tobytes(), shape))["weights"]
        assert (array.dtype, array.tobytes()) == (np.float32, half.astype(np.float32).tobytes())

    @pytest.mark.parametrize(
        ("dtype", "size"), [("F8_E4M3", 4), ("F8_E5M2", 4), ("F8_E8M0", 4), ("F4", 2), ("C64", 32)]
    )
    def test_other_floats_are_refused_in_a_sentence(self, tmp_path, dtype, size):
        path = raw(tmp_path / "f8.safetensors", dtype, bytes(size), (4,))
        with pytest.raises(
            ConfigurationError, match=f"'weights' is of {dtype}.* save it as F32, F16 or BF16"
        ) as refused:
            read_arrays(path)
        assert "\n" not in str(refused.value)


class TestKerasFiles:
    @pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
    def test_a_layer_that_nobody_has_registered_is_no_obstacle(self, tmp_path, name):
        trained = model(Scale())
        trained.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)  # with an optimizer that has moments
        trained.layers[1].scale.assign([1.0, 2.0, 3.0])
        save(trained, tmp_path / name)
        fresh = model(Scale(), optimizer="sgd")
        assert not same(fresh, trained)
        load_variables(fresh, tmp_path / name)
        assert same(fresh, trained)

    @pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
    @pytest.mark.parametrize(("theirs", "own"), [((), (Scale(),)), ((Scale(),), ())], ids=["less", "more"])
    def test_another_architecture_is_refused(self, tmp_path, name, theirs, own):
        """Keras would leave out a layer of the file in silence."""
        save(model(*theirs), tmp_path / name)
        with pytest.raises(ValueError, match=r"another architecture: at layers/scale\w*/vars/0 it has"):
            load_variables(model(*own), tmp_path / name)

    def test_another_shape_is_refused(self, tmp_path):
        save(model(units=5), tmp_path / "model.keras")
        with pytest.raises(
            ValueError, match=r"has a variable of shape \(3, 5\), the model a variable of shape \(3, 2\)"
        ):
            load_variables(model(), tmp_path / "model.keras")

    @pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
    def test_garbage_is_refused(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"no file of Keras")
        with pytest.raises((ValueError, OSError)):
            load_variables(model(), tmp_path / name)

    def test_an_archive_without_weights_is_refused(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
            archive.writestr("config.json", "{}")
        with pytest.raises(ValueError, match=r"it is no \.keras file: .*model\.weights\.h5"):
            load_variables(model(), tmp_path / "model.keras")


class TestSaving:
    def test_a_layer_that_cannot_be_described_leaves_no_half_file(self, tmp_path):
        made = model(Made(lambda x: x))
        with pytest.raises(ConfigurationError, match=r"give --output model\.weights\.h5 instead") as refused:
            save(made, tmp_path / "model.keras")
        assert "\n" not in str(refused.value)
        assert "must override `get_config()`" in str(refused.value)
        assert not list(tmp_path.iterdir())
        save(made, tmp_path / "model.weights.h5")
        load_variables(model(Made(lambda x: x)), tmp_path / "model.weights.h5")
        assert [path.name for path in tmp_path.iterdir()] == ["model.weights.h5"]

    def test_hdf5_is_not_let_near_a_disk_without_room(self, tmp_path, monkeypatch):
        """It would not raise an error, but end the process with a segmentation fault."""
        made, path = model(units=5000), tmp_path / "model.weights.h5"
        save(made, path)
        needed = path.stat().st_size
        path.unlink()
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda where: usage._replace(free=needed - 1))
        with pytest.raises(OSError, match="No space left on device"):
            save(made, path)
        assert not list(tmp_path.iterdir())
        monkeypatch.setattr(shutil, "disk_usage", lambda where: usage._replace(free=4 * needed))
        save(made, path)

    @pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
    def test_a_directory_that_is_not_there_is_an_error_of_the_disk(self, tmp_path, name):
        with pytest.raises(OSError, match="nowhere"):
            save(model(), tmp_path / "nowhere" / name)
