import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.data import csv_files
from gossipfl.data.csv_files import MAX_LINE, Dialect, read_csv, sniffed
from gossipfl.data.reading import Reading
from gossipfl.data.tables import select
from gossipfl.errors import DataError


def read(path: Path, content: bytes, suffix: str = ".csv"):
    file = path / f"table{suffix}"
    file.write_bytes(content)
    return read_csv(file, "csv:table")


@pytest.mark.parametrize(
    ("content", "note", "columns"),
    [
        (b"a,b\n1,x\n2,y\n", "with header, separator ',', columns: 2, rows: 2", {"a": [1, 2], "b": ["x", "y"]}),
        (b"1,2.5\n3,4\n", "without header, separator ',', columns: 2, rows: 2", {"0": [1, 3], "1": [2.5, 4.0]}),
        (
            b"\xef\xbb\xbfa;b\n1,5;2\n2,25;3\n",
            "with header, separator ';', decimal comma, columns: 2, rows: 2",
            {"a": [1.5, 2.25], "b": [2, 3]},
        ),
        (b"\r\na\tb\r\n1\t2\r\n", "with header, separator tab, columns: 2, rows: 1", {"a": [1], "b": [2]}),
        (b"a|b\n1|2\n", "with header, separator '|', columns: 2, rows: 1", {"a": [1], "b": [2]}),
        (b"a b\n1 2\n", "with header, separator space, columns: 2, rows: 1", {"a": [1], "b": [2]}),
        (
            b"text\none word\nand two words\n",
            "with header, separator ',', columns: 1, rows: 2",
            {"text": ["one word", "and two words"]},
        ),
        (b'a,"b\nc"\n1,"x;\ny"\n', "with header, separator ',', columns: 2, rows: 1", {"a": [1], "b\nc": ["x;\ny"]}),
        (
            b",a,b\n0,1,2\n1,3,4\n",
            "columns: 3, rows: 2; 1 of them without a name (an index?), not used",
            {"a": [1, 3], "b": [2, 4]},
        ),
        (
            b",0,1\n0,1,2\n1,3,4\n",
            "with header, separator ',', columns: 3, rows: 2; 1 of them without a name (an index?), not used",
            {"0": [1, 3], "1": [2, 4]},
        ),
    ],
)
def test_it_is_said_what_a_file_was_taken_for(tmp_path, content, note, columns):
    table, said = read(tmp_path, content)
    assert said.startswith("read as CSV ")
    assert said.endswith(note)
    assert {name: column.to_pylist() for name, column in table.items()} == columns


def test_types_come_from_the_whole_column(tmp_path):
    """Arrow alone takes them from the first MiB."""
    table, _ = read(tmp_path, b"a,b\n" + b"1,2\n" * 300_000 + b"1.5,x\n")
    assert (str(table["a"].type), str(table["b"].type)) == ("double", "string")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "csv:table is empty"),
        (b"\n \n", "csv:table is empty"),
        (b"a,b\n", "has a header and no rows"),
        (b"a,b\n1,2\n1\n", "with separator ',', the first has 2 fields, and row 3 has 1"),
        (b"a,b\n" + b"1,2\n" * 300 + b"1,2,3\n", "Row #302: Expected 2 columns, got 3"),
        (b"0,1,2\n5,6,7\n", "begins with the line '0,1,2', which may be the names of columns, as pandas"),
        (b"a,b,a\n1,2,3\n", "has 2 columns 'a': give each a name of its own"),
        (b"a;b\n1,500;2\n", "'1,500', whose comma may be that of decimals or of thousands"),
        (b"a;b\n1,5;2.5\n", r"decimal commas \('1,5'\) and decimal points \('2.5'\)"),
        (b"a,b\n\xff,2\n", "no text in UTF-8, byte 4 is not"),
        ("a,b\n1,2\n".encode("utf-16"), "there are zero bytes in it"),
        (b"PAR1" + bytes(9), "is not CSV, but Parquet: use parquet:FILE"),
        (b"PK\x03\x04" + bytes(9), "is not CSV, but a zip archive"),
        (b"x" * (MAX_LINE + 1), "a first line of more than 1048576 bytes"),
        (b'a,b\n"x,1\n' + b"y" * 200_000, "there is a field of more than 131072 characters"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(tmp_path, content, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, content)


CODES = b'zip,age,label\n"007",1,01\n7,20,02\n 0120 ,3,01\n'


def test_numbers_that_begin_with_0_are_text(tmp_path, monkeypatch):
    table, note = read(tmp_path, CODES)
    assert {name: column.to_pylist() for name, column in table.items()} == {
        "zip": ["007", "7", "0120"],
        "age": [1, 20, 3],
        "label": ["01", "02", "01"],
    }
    assert note.endswith("rows: 3; text, as there are numbers that begin with 0: zip, label")
    monkeypatch.setattr(csv_files, "_WINDOW", 3)  # wherever one search ends
    assert read(tmp_path, CODES)[1] == note
    assert str(read(tmp_path, b"a;b\n0;100\n-10;0\n")[0]["b"].type) == "int64"


def test_numbers_that_begin_with_0_keep_their_zeros_in_every_use(tmp_path):
    (tmp_path / "codes.csv").write_bytes(CODES)
    table, _ = read_csv(tmp_path / "codes.csv", "csv:codes")
    parts = select({"train": table}, Reading(("zip", "age"), "label", peer=("zip",), categorical=("zip",)), "codes")
    assert parts.examples["train"].x[:, 0].tolist() == [0, 2, 1]
    assert parts.examples["train"].columns["zip"].tolist() == ["007", "7", "0120"]
    assert parts.class_names == ("01", "02")
    later = {name: column.slice(1) for name, column in table.items()}
    with pytest.raises(DataError, match=r"'zip' has numbers that begin with 0 \('0120' in row 2\), as names do: name"):
        select({"train": later}, Reading(("zip", "age"), "label"), "codes")


YEARS = b"2019,2020,label\n1.5,2,yes\n3,4,no\n"
IRIS = b"5.1,3.5,setosa\n4.9,3,setosa\n7,3.2,versicolor\n"
PRICES = b"1.5,2,ab12\n3,4,cd34\n"


@pytest.mark.parametrize(
    ("content", "named", "has_header"),
    [
        (YEARS, ("label",), True),
        (YEARS, ("2019", "2020"), True),
        (YEARS, ("2",), False),
        (b"2019,2020,price\n1.5,2,3\nNA,4,5\n", (), True),
        (b"2019,2020\n1,2\n", ("2020",), True),
        (b"2019,2020\n1,2\n", ("1",), False),
        (IRIS, (), False),
        (IRIS, ("2",), False),
        (PRICES, ("0", "1"), False),
    ],
)
def test_a_header_may_have_numbers(content, named, has_header):
    assert sniffed(content, False, "csv:x", named).has_header == has_header


@pytest.mark.parametrize(
    ("content", "named"),
    [(YEARS, ()), (PRICES, ()), (PRICES, ("1", "2")), (b"?,2,yes\n1,2,no\n", ()), (b"1,a,x\n2,3,x\n3,4,y\n", ())],
)
def test_a_first_line_that_may_be_both_is_refused(content, named):
    with pytest.raises(DataError, match="may be the names of columns or an example: begin the file with a line of"):
        sniffed(content, False, "csv:x", named)


def test_files_are_unpacked(tmp_path, monkeypatch):
    content = b"a,b\n" + b"1,2\n" * 1000
    assert read(tmp_path, gzip.compress(content), ".csv.gz")[0]["b"].to_pylist() == [2] * 1000
    with pytest.raises(DataError, match=r"cannot read .*table.csv.gz"):
        read(tmp_path, b"not packed", ".csv.gz")
    monkeypatch.setattr(csv_files, "MAX_FEATURE_BYTES", 1000)
    with pytest.raises(DataError, match="more than 0 GiB of text"):
        read(tmp_path, gzip.compress(content), ".csv.gz")
    with pytest.raises(DataError, match="there is no file"):
        read_csv(tmp_path / "nothing.csv", "csv:nothing")


def test_a_header_of_many_columns_is_read(tmp_path):
    names = [f"column{i}" for i in range(20_000)]
    content = "\n".join([",".join(names), ",".join("1" for _ in names), ""]).encode()
    assert list(read(tmp_path, content)[0]) == names


fields = st.text("abz09.-_ äß", min_size=1, max_size=5).filter(lambda field: field.strip())


@given(
    st.integers(2, 5).flatmap(lambda n: st.lists(st.lists(fields, min_size=n, max_size=n), min_size=2, max_size=5)),
    st.sampled_from(",;\t|"),
)
def test_separators_are_found(rows, separator):
    names = [f"n{i}" for i in range(len(rows[0]))]
    text = "\n".join(separator.join(row) for row in [names, *rows])
    assert sniffed(text.encode(), False, "csv:x") == Dialect(separator, tuple(names), True, False)


@given(st.binary(max_size=300) | st.text("ab1,;\"'\n\r\t .\0", max_size=60).map(str.encode))
def test_garbage_gives_a_data_error_and_nothing_else(tmp_path_factory, content):
    try:
        read(tmp_path_factory.getbasetemp(), content)
    except DataError:
        return
