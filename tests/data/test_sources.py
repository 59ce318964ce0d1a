import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossipfl.data import tensorflow_datasets
from gossipfl.data.examples import Examples
from gossipfl.data.parts import Parts
from gossipfl.data.reading import Reading
from gossipfl.data.sources import SOURCE_FORMS, load
from gossipfl.errors import ConfigurationError, DataError

MODULE = """
import numpy as np
from gossipfl.data.dataset import Dataset

x, y = np.arange(24, dtype=np.uint8).reshape(6, 2, 2), np.array([[0], [1], [2], [0], [1], [2]])
number = 3

def pairs():
    return (x, y), (x[:3], y[:3])

def lists():
    return [[x.tolist(), y[:, 0].tolist()], [x.tolist(), y[:, 0].tolist()]]

def dataset():
    return Dataset.from_arrays("mine", (x, y), (x, y))

def pair():
    return x, y

def wrong():
    return x

def broken():
    raise RuntimeError("out of coffee")

def needs(path):
    raise AssertionError

class Sets:
    first = staticmethod(pairs)
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_sets_of_data.py").write_text(MODULE)
    (tmp_path / "needs_a_package.py").write_text("import a_package_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_sets_of_data", raising=False)
    return "my_sets_of_data"


def test_digits_are_the_embedded_default() -> None:
    dataset = load("digits")
    assert dataset.train.x.shape == (1438, 8, 8, 1)
    assert dataset.test.x.shape == (359, 8, 8, 1)
    assert dataset.num_classes == 10
    assert (float(dataset.train.x.min()), float(dataset.train.x.max())) == (0.0, 1.0)
    assert np.bincount(dataset.test.y).min() >= 34
    assert load("digits").digest == dataset.digest
    assert load("digits", seed=1).digest != dataset.digest
    assert len(load("digits", test_fraction=0.5).test.y) == 898


def test_an_impossible_test_fraction_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="test_fraction"):
        load("digits", test_fraction=1.5)


def test_files_are_sources(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(20), y=np.arange(20) % 2)
    assert len(load(f"npz:{tmp_path / 'a.npz'}").test.y) == 4
    with pytest.raises(DataError, match="not a directory"):
        load(f"idx:{tmp_path / 'a.npz'}")


def test_a_function_gives_pairs_or_a_data_set(user_module: str) -> None:
    for function in ("pairs", "Sets.first"):
        dataset = load(f"{user_module}:{function}")
        assert dataset.train.x.shape == (6, 2, 2, 1)
        assert dataset.test.y.tolist() == [0, 1, 2]
        assert dataset.name == f"{user_module}:{function}"
    assert load(f"{user_module}:dataset").name == "mine"
    assert load(f"{user_module}:lists").input_shape == (2, 2)
    assert len(load(f"{user_module}:pair", test_fraction=0.5).test) == 3


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("lsits", "has no function 'lsits'. Did you mean 'my_sets_of_data:lists'?"),
        ("number", "'number' is a int, expected a function without arguments"),
        ("needs", "the function needs the arguments path"),
        ("wrong", r"my_sets_of_data:wrong: train must be a Dataset, Examples, \(x, y\) .* got ndarray"),
    ],
)
def test_functions_that_do_not_fit_are_data_errors(user_module: str, function: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(f"{user_module}:{function}")


def test_errors_of_the_user_are_not_hidden(user_module: str) -> None:
    with pytest.raises(RuntimeError, match="out of coffee"):
        load(f"{user_module}:broken")
    for module, missing in (("needs_a_package", "a_package_that_is_not_there"), ("no_such_module", "no_such_module")):
        with pytest.raises(DataError, match=f"cannot import module '{module}' .No module named '{missing}'"):
            load(f"{module}:function")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("digit", "unknown data source 'digit'. Did you mean 'digits'?"),
        ("Digits", "Did you mean 'digits'?"),
        ("kmnist", "Did you mean 'tfds:kmnist'?"),
        ("tfsd:kmnist", "it must be installed or on PYTHONPATH. Did you mean 'tfds:kmnist'?"),
        ("ixd:/data", "Did you mean 'idx:/data'?"),
        ("/", "Did you mean 'folder:/' or 'idx:/'?"),
        ("mine.npz", "Did you mean 'npz:mine.npz'?"),
        ("mine.csv", "Did you mean 'csv:mine.csv'?"),
        ("cvs:mine.csv", "Did you mean 'csv:mine.csv'?"),
        ("digits:function", "'digits:function' is to be written as digits"),
        ("a-b:c", "unknown data source 'a-b:c'"),
        ("", "unknown data source ''"),
        ("tfds:", "'tfds:' is to be written as tfds:NAME"),
        ("idx", "'idx' is to be written as idx:DIRECTORY"),
    ],
)
def test_unknown_sources_list_the_forms_and_the_nearest(source: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        load(source)
    assert words in str(caught.value)
    assert all(form in str(caught.value) for form in SOURCE_FORMS)


def test_tfds_sources_are_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []

    def fake(*arguments: Any) -> Parts:
        calls.append(arguments)
        return Parts({"train": Examples(np.zeros((10, 2)), np.arange(10) % 2)})

    monkeypatch.setattr(tensorflow_datasets, "read_tfds", fake)
    reading = Reading(target="label")
    load("tfds:emnist/letters:3.1.0", reading=reading, download=True, data_dir=tmp_path)
    assert calls[0] == ("emnist/letters:3.1.0", "tfds:emnist/letters:3.1.0", reading, True, tmp_path)


def test_naming_a_source_imports_no_framework() -> None:
    code = (
        "import sys, gossipfl.data.sources, gossipfl.data.partition\n"
        "late = {'tensorflow', 'tensorflow_datasets', 'sklearn', 'keras', 'requests', 'pyarrow', 'PIL'}\n"
        "late &= set(sys.modules)\n"
        "assert not late, late"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
