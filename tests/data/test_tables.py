"""Columns by their use, whatever table they come from."""

import datetime
import decimal
import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.data.columns import numbered, numbers_of, side_by_side
from gossipfl.data.reading import Reading
from gossipfl.data.tables import select
from gossipfl.errors import DataError

TABLE = {
    "age": [31, 64, 25, 40],
    "height": [1.5, 1.75, 2.0, 1.25],
    "id": [2**40, 2**40 + 1, 7, 8],
    "city": ["Oslo", "Bern", "Oslo", "Rome"],
    "label": ["no", "yes", "no", "no"],
    "grade": [3, 1, 0, 2],
    "weight": [1.0, 2.0, 0.5, 1.0],
    "pixels": [[1, 2], [3, 4], [5, 6], [7, 8]],
}


def columns(**changes):
    return {name: pa.chunked_array([pa.array(values)]) for name, values in (TABLE | changes).items()}


def parts(reading, **changes):
    return select({"train": columns(**changes)}, reading, "set")


def train(*arguments, **named):
    return parts(Reading(*arguments, **named)).examples["train"]


def test_columns_side_by_side_and_on_their_own():
    examples = train(("age", "height"), "label", "weight", ("city", "id"))
    assert examples.x.dtype == np.float32
    assert examples.x.tolist() == [[31, 1.5], [64, 1.75], [25, 2], [40, 1.25]]
    assert examples.y.tolist() == [0, 1, 0, 0]
    assert examples.weight.tolist() == [1, 2, 0.5, 1]
    assert examples.columns["city"].tolist() == TABLE["city"]
    assert examples.columns["id"].tolist() == TABLE["id"]
    several = train({"user": ("id",), "rest": ("age", "height"), "pixels": "pixels"}, {"a": "grade", "b": ("height",)})
    assert several.x["user"].tolist() == [[number] for number in TABLE["id"]]
    assert several.x["user"].dtype == np.int64
    assert several.x["pixels"].tolist() == TABLE["pixels"]
    assert several.y["a"].tolist() == TABLE["grade"]
    assert several.y["b"].shape == (4, 1)


def test_whatever_is_used_and_whatever_is_not_is_said():
    read = parts(Reading(("age", "height"), "label", peer=("city",)))
    assert read.class_names == ("no", "yes")
    assert read.num_classes == 2
    assert read.notes == (
        "features: age, height; target: label; peer: city",
        "4 of 8 columns are not used: id, grade, weight, pixels",
    )


def test_without_features_all_columns_are_that_have_no_other_use():
    few = {name: columns()[name] for name in ("age", "height", "city", "label", "weight")}
    examples = select({"train": few}, Reading(target="label", weight="weight", peer=("city",)), "set").examples["train"]
    assert examples.x.shape == (4, 2)


def test_tasks():
    assert train(("age",), "grade").y.tolist() == TABLE["grade"]
    assert train(("age",), "grade", task="regression").y.dtype == np.float32
    read = parts(Reading(("age",), "height", task="classification"))
    assert read.class_names == ("1.25", "1.5", "1.75", "2.0")
    assert read.examples["train"].y.tolist() == [1, 2, 3, 0]
    assert parts(Reading(("age",), "signed", task="classification"), signed=[-1, 1, 1, -1]).class_names == ("-1", "1")
    assert parts(Reading(("age",), "flag"), flag=[True, False, True, True]).examples["train"].y.dtype == bool
    assert train(("age",), ()).y is None
    with pytest.raises(DataError, match=r"the target 'label' has strings, .*; data.task 'regression' needs numbers"):
        train(("age",), "label", task="regression")


def test_integers_that_may_be_quantities_are_classes_with_a_note():
    said = "the target 'age' has 4 different integers from 25 to 64, which are taken for classes; data.task ="
    assert parts(Reading(("height",), "age")).notes[-1].startswith(said)
    for target in ("grade", "flag"):
        notes = parts(Reading(("age",), target), flag=[True] * 4).notes
        assert not any("taken for classes" in note for note in notes)
    with pytest.raises(DataError, match=r"the target 'age' has integers from -5 on: say data.task = 'regression' if"):
        parts(Reading(("height",), "age"), age=[-5, 0, 3, 4])
    with pytest.raises(DataError, match=r"numbers a single target; name those of several"):
        train(("age",), ("grade", "height"), task="classification")
    several = train(("age",), {"a": "city", "b": "height"}, categorical=("city",))
    assert several.y["a"].tolist() == [1, 0, 1, 2]


def test_gaps_in_the_numbers_of_classes_are_said():
    read = parts(Reading(("height",), "grade", task="classification"), grade=[0, 10, 20, 0])
    assert (read.examples["train"].y.tolist(), read.class_names) == ([0, 10, 20, 0], ())
    assert read.notes[-1] == (
        "the target 'grade' has 3 different integers from 0 to 20, which are taken for the numbers of 21 classes; "
        "data.categorical = ['grade'] numbers them from 0"
    )
    numbered = Reading(("height",), "grade", task="classification", categorical=("grade",))
    read = parts(numbered, grade=[0, 10, 20, 0])
    assert (read.examples["train"].y.tolist(), read.class_names) == ([0, 1, 2, 0], ("0", "10", "20"))
    assert len(parts(Reading(("height",), "grade", task="classification"), grade=[0, 1, 2, 0]).notes) == 2


def test_a_column_that_is_text_in_one_part_is_text_in_all():
    tables = {"train": columns(id=["007", "7", "12", "12"]), "test": columns(id=[12, 7, 8, 8])}
    read = select(tables, Reading(("age",), "label", peer=("id",)), "set")
    assert read.examples["test"].columns["id"].tolist() == ["12", "7", "8", "8"]
    assert select(tables, Reading(("age",), "id"), "set").class_names == ("007", "12", "7", "8")
    with pytest.raises(DataError, match="values of type int64 in one part and double in another: give them one type"):
        select(
            {"train": columns(), "test": columns(id=[0.5, 1, 2, 3])}, Reading(("id",), "label", categorical=("id",)), ""
        )


def test_values_are_numbered_over_all_parts():
    table = {"train": columns(), "test": columns(city=["Bern", "Aix", "Bern", "Bern"], label=["maybe"] * 4)}
    read = select(table, Reading(("city", "age"), "label", categorical=("city",)), "set")
    assert read.class_names == ("maybe", "no", "yes")
    assert read.examples["train"].x[:, 0].tolist() == [2, 1, 2, 3]
    assert read.examples["test"].x[:, 0].tolist() == [1, 0, 1, 1]
    assert "values of 'city', numbered from 0: Aix, Bern, Oslo, Rome" in read.notes


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading(("age",)), r"name the column that is to be predicted, data.target .* the columns are age, height, id"),
        (Reading(("aeg",), "label"), "data.features names 'aeg', and there is no such column. Did you mean 'age'?"),
        (Reading(("age",), "label", "w"), "data.weight names 'w'"),
        (Reading(("age", "city"), "label"), r"column 'city' has strings \('Oslo' in row 1\).*data.categorical"),
        (Reading(("age",), "label", categorical=("city",)), "'city', which is neither a feature nor a target"),
        (Reading(("age",), "label", "city"), "column 'city' has strings"),
        (Reading(("age",), "label", peer=("height",)), "'height' has values of type float64"),
        (Reading(("id", "height"), "label"), r"column 'id' has integers beyond 2\^24"),
        (Reading((), "label"), "no column is left for data.features"),
    ],
)
def test_columns_that_do_not_fit_are_refused_by_name(reading, words):
    with pytest.raises(DataError, match=words):
        parts(reading)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, None, 3, None], "column 'age' has no value in row 2, the first of 2"),
        ([None] * 4, "no value in row 1"),
        ([1.0, 2.0, float("nan"), 3.0], "column 'age' is nan in row 3"),
        ([1.0, float("inf"), 0.0, 0.0], "column 'age' is inf in row 2"),
        ([1e300, 0.0, 0.0, 0.0], "numbers beyond 3.403e.38, the largest of float32"),
        ([2.0**40 + 1, 2.0, 3.0, 4.0], "whole numbers that float32 does not have, such as 1099511627777"),
        ([[1], [1, 2], [3], [4]], r"lists of unequal lengths, 1 in row 1 and 2 in row 2"),
        ([[1], [None], [3], [4]], r"column 'age' \(its lists\) has no value in row 2"),
        ([["a"]] * 4, "strings"),
        ([b"\xff"] * 4, "bytes that are no UTF-8 text"),
        ([datetime.date(2020, 1, 1)] * 4, r"values of type date32.*expected numbers"),
        ([{"a": 1}] * 4, "values of type struct"),
    ],
)
def test_values_that_are_missing_or_no_numbers_are_refused_with_their_row(values, words):
    with pytest.raises(DataError, match=words):
        parts(Reading(("age", "height"), "label"), age=values)


def test_a_part_without_a_column_is_named():
    with pytest.raises(DataError, match=r"data.features names 'age', and there is no such column in its test part"):
        select({"train": columns(), "test": {"label": columns()["label"]}}, Reading(("age",), "label"), "set")
    with pytest.raises(DataError, match="column 'label' has no value in row 1"):
        parts(Reading(("age",), "label"), label=[None, "a", "b", "c"])
    with pytest.raises(DataError, match="one number, at least 0"):
        parts(Reading(("age",), "label", "weight"), weight=[1, -1, 1, 1])


def test_types_of_arrow():
    decimals = pa.chunked_array([pa.array([decimal.Decimal("1.5"), decimal.Decimal("2")])])
    assert numbers_of(decimals, "c").tolist() == [1.5, 2]
    whole = pa.chunked_array([pa.array([decimal.Decimal(2**60 + 1), decimal.Decimal(2)])])
    assert numbers_of(whole, "c").tolist() == [2**60 + 1, 2]
    with pytest.raises(DataError, match=r"c has decimals beyond 2\^63"):
        numbers_of(pa.chunked_array([pa.array([decimal.Decimal(2**64)])]), "c")
    with pytest.raises(DataError, match=r"c has numbers beyond 2\^53, of which .* the first 16 digits"):
        numbered([pa.chunked_array([pa.array([12345678901234567890.0])])], "c")
    words = pa.chunked_array([pa.array(["b", "a"]), pa.array(["b"])]).dictionary_encode()
    assert numbered([words], "c")[0][0].tolist() == [1, 0, 1]
    nested = pa.chunked_array([pa.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])])
    assert numbers_of(nested, "c").shape == (2, 2, 2)
    fixed = pa.chunked_array([pa.FixedSizeListArray.from_arrays(pa.array(range(6)), 3)])
    assert numbers_of(fixed, "c").tolist() == [[0, 1, 2], [3, 4, 5]]
    bytes_of_tensorflow = np.array([b"x", b"\xc3\xa9"], object)
    assert numbered([bytes_of_tensorflow], "c")[1] == ("x", "é")


def test_images_in_a_column_are_read():
    from PIL import Image

    def png(color, size=(3, 2)):
        buffer = io.BytesIO()
        Image.new("RGB", size, color).save(buffer, "png")
        return {"bytes": buffer.getvalue(), "path": None}

    images = [png((i, 0, 255)) for i in range(4)]
    read = parts(Reading("image", "grade"), image=images).examples["train"].x
    assert read.shape == (4, 2, 3, 3)
    assert read[:, 0, 0].tolist() == [[i, 0, 255] for i in range(4)]
    with pytest.raises(DataError, match=r"most have 2x3, and .*image 4 has 5x5: give data.image_size"):
        parts(Reading("image", "grade"), image=[*images[:3], png((0, 0, 0), (5, 5))])
    with pytest.raises(DataError, match="column 'image' has no value in row 2"):
        parts(Reading("image", "grade"), image=[images[0], {"bytes": None, "path": "x"}, *images[2:]])


integers = st.integers(-(2**63), 2**63 - 1)
columns_of_integers = st.integers(1, 3).flatmap(
    lambda n: st.lists(st.lists(integers, min_size=n, max_size=n), min_size=1, max_size=4)
)


@given(columns_of_integers)
def test_integers_side_by_side_are_exact(rows):
    array = side_by_side([(f"c{i}", np.array(row)) for i, row in enumerate(rows)])
    assert array.dtype in (np.int32, np.int64)
    assert array.T.tolist() == rows


@given(st.lists(st.text(max_size=3), min_size=1, max_size=20))
def test_numbers_stand_for_their_strings(strings):
    (array,), names = numbered([pa.chunked_array([pa.array(strings)])], "c")
    assert [names[number] for number in array] == strings
    assert list(names) == sorted(set(strings), key=str.encode)
