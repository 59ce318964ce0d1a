"""What `docs/data.md` shows works, on small files of the names that it uses."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gossipfl.data.sources import SOURCE_FORMS
from gossipfl.experiments.loaded_data import load_data
from gossipfl.scenario import Scenario
from gossipfl.scenario.source_fields import SourceFields

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "data.md").read_text("utf-8")
SCENARIOS = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)]
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)

HOUSES = pd.DataFrame(
    {
        "rooms": np.arange(40) % 5 + 1,
        "area": np.linspace(30, 200, 40),
        "heating": ["gas", "oil", "heat pump", "gas"] * 10,
        "price": np.arange(40) * 1000 + 100_000,
        "region": [f"region {i % 16}" for i in range(40)],
        "weight": np.ones(40),
    }
)
FUNCTION = """
import numpy as np

def rides():
    return np.eye(20), np.linspace(0, 1, 20)
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The files that the page names, in the current directory."""
    import datasets
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    HOUSES.to_csv("houses.csv", index=False)
    HOUSES[:10].to_csv("houses_test.csv", index=False)
    ids = np.arange(40)
    ratings = {"user_id": 2**30 + ids % 4, "item_id": ids, "price": ids / 7, "rating": ids % 5 + 0.5}
    pd.DataFrame(ratings).to_parquet("ratings.parquet")
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (10 + i, 12), (i, i, i)).save(tmp_path / "photos" / name / f"{i}.png")
    Path("plays.txt").write_text("To be, or not to be, that is the question:\n" * 40)
    np.savez("ratings.npz", user=ids % 4, item=ids, rating=ids / 40)
    Path("big").mkdir()
    for part in ("train", "test"):
        np.save(f"big/x_{part}.npy", np.eye(16, dtype=np.float32))
        np.save(f"big/y_{part}.npy", np.arange(16) % 4)
    datasets.disable_progress_bars()
    image = datasets.Array2D((2, 2), "float32")
    features = datasets.Features({"image": image, "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": np.zeros((20, 2, 2), np.float32), "label": ids[:20] % 2}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk("animals")
    Path("my_data.py").write_text(FUNCTION)


def test_every_source_and_every_field_has_its_place():
    sections = set(re.findall(r"^## (\w+)$", TEXT, re.MULTILINE))
    kinds = {form.partition(":")[0] for form in SOURCE_FORMS} - {"digits", "package.module"}
    assert kinds <= sections
    assert {scenario["data"]["source"].partition(":")[0] for scenario in SCENARIOS} >= kinds
    shown = {field for scenario in SCENARIOS for field in scenario["data"]} | set(re.findall(r"`(\w+)`", TEXT))
    assert set(SourceFields.model_fields) <= shown


def of(kind):
    scenarios = [
        fields for fields in SCENARIOS if (fields["data"]["source"].partition(":")[0] == "tfds") == (kind == "tfds")
    ]
    return pytest.mark.parametrize("fields", scenarios, ids=lambda fields: fields["data"]["source"])


@of("files")
def test_its_scenarios_load(files, fields):
    scenario = Scenario(**fields)
    if scenario.data.source.startswith("idx:") and not Path("/usr/share/datasets/fashion-mnist").is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    dataset = load_data(scenario)
    assert len(dataset.train) >= len(dataset.test) > 0


@pytest.mark.slow
@of("tfds")
def test_its_sets_of_tensorflow_datasets_have_what_it_says(fields):
    """They are not prepared here; `tests/data/test_tensorflow_datasets.py` reads others."""
    import tensorflow_datasets as tfds

    data = Scenario(**fields).data
    info = tfds.builder(data.source.removeprefix("tfds:")).info
    assert {*(data.features or info.supervised_keys[:1]), data.target or info.supervised_keys[1]} <= set(info.features)


@pytest.mark.parametrize("code", PYTHON)
def test_its_python_loads(code):
    names = {}
    exec(code, names)
    assert len(load_data(names["scenario"]).train) > 0


def test_readers_find_it():
    assert "docs/data.md" in (ROOT / "README.md").read_text("utf-8")
