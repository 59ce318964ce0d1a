import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.data import parquet_files
from gossipfl.data.columns import table_columns
from gossipfl.data.parquet_files import read_parquet
from gossipfl.data.reading import Reading
from gossipfl.data.sources import load
from gossipfl.errors import DataError

TABLE = pa.table({"a": [1, 2, 3, 4], "label": ["x", "y", "x", "y"], "list": [[1.0, 2.0]] * 4})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet") / "whole.parquet"
    pq.write_table(TABLE, path)
    return path


def test_columns_keep_their_types(whole):
    columns, note = read_parquet(whole, "parquet:whole")
    assert columns == dict(zip(TABLE.column_names, TABLE.columns, strict=True))
    assert note == "read as Parquet, columns: 3, rows: 4"
    dataset = load(f"parquet:{whole}", reading=Reading("list", "label", test_source=f"parquet:{whole}"))
    assert dataset.train.x.shape == (4, 2)
    assert len(dataset.test) == 4
    assert [note for note in dataset.notes if "was read as Parquet" in note] == [f"parquet:{whole} was {note}"] * 2


def test_what_is_no_table_is_refused(tmp_path, whole, monkeypatch):
    with pytest.raises(DataError, match="there is no file"):
        read_parquet(tmp_path / "none", "parquet:none")
    content = whole.read_bytes()
    huge_footer = content[:-8] + (2**31 - 1).to_bytes(4, "little") + content[-4:]
    for damaged in (b"", b"PAR1", content[:-1], content[:50] + content[60:], huge_footer, b"a,b\n1,2\n"):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(DataError, match="is not a readable Parquet file"):
            read_parquet(tmp_path / "damaged", "parquet:damaged")
    with pytest.raises(DataError, match="several columns 'a'"):
        table_columns(pa.table([[1], [2]], names=["a", "a"]), "x")
    with pytest.raises(DataError, match="has no rows"):
        table_columns(TABLE.slice(0, 0), "x")
    pq.write_table(pa.table({"a": pa.nulls(10_000, pa.int8()).fill_null(0)}), tmp_path / "runs")
    monkeypatch.setattr(parquet_files, "MAX_FEATURE_BYTES", 20_000)
    with pytest.raises(DataError, match=r"takes 0.0 GiB, more than 0: use a part of it"):
        read_parquet(tmp_path / "runs", "parquet:runs")


@given(st.data())
def test_damage_gives_a_data_error_and_nothing_else(whole, tmp_path_factory, data):
    damaged = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    path.write_bytes(damaged)
    try:
        load(f"parquet:{path}", reading=Reading(("a",), "label"), test_fraction=0.5)
    except DataError:
        return
