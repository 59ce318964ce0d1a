"""Columns that somebody asks about: whole, by name, in float64, and no part of what is trained on."""

import numpy as np
import pytest

from gossipfl.data.asked_columns import own_columns
from gossipfl.data.columns_by_name import column_of
from gossipfl.data.examples import Examples
from gossipfl.data.reading import PLAIN, Reading
from gossipfl.data.sources import load
from gossipfl.errors import DataError
from gossipfl.experiments.loaded_data import load_data
from gossipfl.scenario import Scenario

ROWS = 40


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "people.csv"
    lines = [f"{20 + k / 10},{k % 7},{'north' if k % 3 else 'south'},{2**60 + k}" for k in range(ROWS)]
    path.write_text("\n".join(["age,visits,region,id", *lines]) + "\n")
    return f"csv:{path}"


def own(source, *asked, reading=PLAIN):
    read = own_columns(source, asked, reading)
    assert read is not None
    return {name: column_of(read[0], name, source) for name in asked}


class TestOwnFiles:
    def test_all_rows_count_and_nobody_needs_a_target(self, table):
        columns = own(table, "age", "region")
        assert columns["age"].values.tolist() == [20 + k / 10 for k in range(ROWS)]
        assert columns["region"].values[:2].tolist() == ["south", "north"]

    def test_a_star_is_all_numbers_that_are_features(self, table):
        assert own(table, "*", reading=Reading(features=("age", "visits", "region")))["*"].names == ("age", "visits")
        assert own(table, "*", reading=Reading(target="age", peer=("id",)))["*"].names == ("visits",)

    def test_integers_that_float64_does_not_have_are_refused(self, table):
        with pytest.raises(DataError, match=r"column 'id' has integers beyond 2\^53"):
            own(table, "id")

    def test_a_column_that_is_not_there_is_named_with_the_nearest(self, table):
        with pytest.raises(DataError, match=r"column 'agee' is asked about.*Did you mean 'age'"):
            own(table, "agee")

    def test_a_missing_value_is_named_with_its_row(self, tmp_path):
        (tmp_path / "holes.csv").write_text("age,visits\n31,2\n,3\n40,1\n")
        with pytest.raises(DataError, match="column 'age' has no value in row 2"):
            own(f"csv:{tmp_path / 'holes.csv'}", "age")

    def test_other_sources_are_no_tables(self):
        assert own_columns("digits", ["x"], PLAIN) is None


def test_asked_columns_come_along_with_their_examples_and_change_nothing_else(table):
    data = {"source": table, "features": ["age", "visits"], "target": "region", "validation": 0.2, "max_train": 20}
    scenario = Scenario(data=data)
    plain, asked = load_data(scenario), load_data(scenario, asked=("age", "region", "*"))
    assert asked.digest == plain.digest
    assert np.array_equal(asked.train.x, plain.train.x)
    column = column_of(asked.train, "age", "set")
    assert column.values.dtype == np.float64
    assert np.array_equal(column.values.astype(np.float32), asked.train.x[:, 0])
    assert column_of(asked.train, "*", "set").names == ("age", "visits")
    assert asked.labels is not None
    assert column_of(asked.train, "region", "set").values.tolist() == [asked.class_names[k] for k in asked.labels]


def test_without_columns_inputs_and_targets_have_their_names():
    digits = load("digits")
    pixels = column_of(digits.train, "*", "digits")
    assert pixels.values.shape == (len(digits.train), 64)
    assert pixels.names[9] == "x[1,1,0]"
    assert column_of(digits.train, "y", "digits").values.tolist() == digits.train.y.tolist()
    with pytest.raises(DataError, match=r"digits has no column 'age'\. There are x, y"):
        column_of(digits.train, "age", "digits")


def test_images_of_bytes_are_as_a_model_gets_them():
    images = Examples(np.full((2, 3, 3, 1), 51, np.uint8))
    assert column_of(images, "x", "images").values == pytest.approx(np.full((2, 9), 0.2))


def test_who_has_no_examples_has_no_values():
    digits = load("digits")
    nobody = np.zeros(0, np.int64)
    for name in ("x", "*"):
        assert column_of(digits.train.take(nobody), name, "digits").values.shape == (0, 64)
