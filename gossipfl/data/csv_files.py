"""CSV files: separator, header and decimal mark are read off the beginning, and it is said what a file was taken for.

Values are parsed by Arrow. The type of a column comes from all of its values, not from the first ones. Integers of
which one begins with 0, as in postal codes, are text: 007 and 7 name different things.
"""

import csv
import io
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.lib

from gossipfl.data.columns import has_leading_zeros
from gossipfl.data.conversion import MAX_FEATURE_BYTES
from gossipfl.errors import DataError
from gossipfl.names.spelling import listed

MAX_LINE = 2**20
"""Bytes of the longest first line: the names of 50,000 columns fit, and files without lines are found out."""

_HEAD = 4 * MAX_LINE
_SAMPLE = 200  # lines, of which separator and decimal mark are read off
_SEPARATORS = {"\t": "tab", ";": "';'", "|": "'|'", ",": "','", " ": "space"}
_COMPRESSED = {".gz", ".bz2", ".zst"}
_OTHER_FILES = {b"PAR1": "Parquet: use parquet:FILE", b"PK\x03\x04": "a zip archive: unpack it"}

_NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?", re.IGNORECASE)
_DECIMAL_POINT = re.compile(r"[-+]?\d*\.\d+(e[-+]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+")
_MISSING = {"", "?", "-", "na", "n/a", "#n/a", "null", "none"}  # in lower case; they may stand among numbers
_WINDOW = 2**30  # bytes that one search looks through


@dataclass(frozen=True)
class Dialect:
    """The way in which a file writes a table; without a header the names are "0", "1", and so on."""

    separator: str
    names: tuple[str, ...]
    has_header: bool
    decimal_comma: bool

    def __str__(self) -> str:
        header = "with" if self.has_header else "without"
        decimal = ", decimal comma" if self.decimal_comma else ""
        return f"CSV {header} header, separator {_SEPARATORS[self.separator]}{decimal}, columns: {len(self.names)}"


def read_csv(path: Path, name: str, named: Sequence[str] = ()) -> tuple[dict[str, pa.ChunkedArray], str]:
    """The columns of a file by name, and a note of what it was taken for; `named` are those that a scenario names.

    Files that end in .gz, .bz2 or .zst are unpacked. Columns without a name, such as an index, are left out.

    Raises DataError when the file is missing, is no text in UTF-8, or is no table with rows of one length.
    """
    content = _content(path.expanduser(), name)
    content = content.slice(_begin(content))
    head = content[: min(len(content), _HEAD)].to_pybytes()
    dialect = sniffed(head, len(content) > _HEAD, name, named)
    try:
        table = _table(content, dialect)
    except pyarrow.lib.ArrowException as error:
        told = str(error).splitlines()[0][:200]
        raise DataError(f"{name}: read as {dialect}, it is no table: {told}") from error
    if not table.num_rows:
        raise DataError(f"{name} has a header and no rows; read as {dialect}")
    texts = _with_leading_zeros(content, dialect, table)
    columns = {
        column: texts.get(position, table.column(position)) for position, column in enumerate(dialect.names) if column
    }
    note = f"read as {dialect}, rows: {table.num_rows:,}"
    if len(columns) < len(dialect.names):
        note += f"; {len(dialect.names) - len(columns)} of them without a name (an index?), not used"
    if kept := [dialect.names[position] for position in texts if dialect.names[position]]:
        note += f"; text, as there are numbers that begin with 0: {listed(kept)}"
    return columns, note


def sniffed(head: bytes, is_cut: bool, name: str, named: Sequence[str] = ()) -> Dialect:
    """The dialect of a file that begins with `head`; `is_cut` if it goes on.

    The separator is the first of tab, semicolon, bar and comma with which all lines have the same number of fields, or
    a space where there are none of these. There is a header when no field of the first line is a number, or when they
    are the numbers of columns behind that of an index, which has no name, or when one of the columns that are `named`
    is among them; and where only some are numbers, by the lines below. Commas are decimal marks where they do not
    separate and not all can be those of thousands.

    Raises DataError when no table can be seen, or a first line may be a header and an example.
    """
    text = _text(head, is_cut, name)
    separator, rows = _separated(text, is_cut, name)
    first = rows[0]
    if len(first) > 1 and first == _numbers_of_columns(len(first)):
        raise DataError(
            f"{name} begins with the line {separator.join(first)[:40]!r}, which may be the names of columns, as pandas "
            "writes them, or an example: begin it with a line of names that are no numbers"
        )
    has_header = _has_header(rows, separator, name, named)
    names = tuple(first if has_header else _numbers_of_columns(len(first)))
    doubled = next((column for column, count in Counter(names).items() if count > 1 and column), None)
    if doubled is not None:
        raise DataError(f"{name} has {names.count(doubled)} columns {doubled!r}: give each a name of its own")
    values = [field for row in rows[has_header:] for field in row]
    return Dialect(separator, names, has_header, separator != "," and _has_decimal_commas(values, name))


def _has_header(rows: Sequence[Sequence[str]], separator: str, name: str, named: Sequence[str]) -> bool:
    first, positions = rows[0], _numbers_of_columns(len(rows[0]))
    are_numbers = [_NUMBER.fullmatch(field) is not None for field in first]
    if any(first) and not any(are_numbers):
        return True
    if len(first) > 2 and first == ["", *positions[:-1]]:
        return True
    if any(column in first and column not in positions for column in named):
        return True
    if all(are_numbers):
        return False
    words = [
        (field, {row[position] for row in rows[1:] if row[position].lower() not in _MISSING})
        for position, field in enumerate(first)
        if not are_numbers[position] and field.lower() not in _MISSING
    ]
    is_above_numbers = any(below and all(map(_NUMBER.fullmatch, below)) for _, below in words)
    is_example = any(field in below for field, below in words)
    is_example |= bool(named) and all(column in positions and column not in first for column in named)
    if is_above_numbers == is_example:
        raise DataError(
            f"{name} begins with the line {separator.join(first)[:40]!r}, which may be the names of columns or an "
            "example: begin the file with a line of names that are no numbers, or name columns in the scenario, by "
            "their names or, where it has none, as '0', '1' and so on"
        )
    return is_above_numbers


def _table(content: pa.Buffer, dialect: Dialect, texts: Sequence[str] = ()) -> pa.Table:
    """The columns by position; of `texts` only these, as they stand."""
    return pyarrow.csv.read_csv(
        pa.BufferReader(content),
        pyarrow.csv.ReadOptions(
            use_threads=False,  # else an error does not tell the row
            block_size=min(len(content) + 1, 2**31 - 1),  # types come from the first block: all of the file
            column_names=_numbers_of_columns(len(dialect.names)),
            skip_rows_after_names=int(dialect.has_header),
        ),
        pyarrow.csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True),
        pyarrow.csv.ConvertOptions(
            strings_can_be_null=True,
            decimal_point="," if dialect.decimal_comma else ".",
            include_columns=texts,
            column_types=dict.fromkeys(texts, pa.string()),
        ),
    )


def _with_leading_zeros(content: pa.Buffer, dialect: Dialect, table: pa.Table) -> dict[int, pa.ChunkedArray]:
    """The columns of integers that lose a zero as such, as text, by position."""
    integers = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    if not integers or not _may_have_leading_zeros(content, dialect.separator):
        return {}
    found = {}
    for column, text in zip(integers, _table(content, dialect, integers).columns, strict=True):
        text = pc.utf8_trim_whitespace(text)
        if has_leading_zeros(text):
            found[int(column)] = text
    return found


def _may_have_leading_zeros(content: pa.Buffer, separator: str) -> bool:
    """A look at all bytes, at a tenth of the time of reading them: few files have such numbers."""
    pattern = rf'(^|[\s"{re.escape(separator)}])-?0[0-9]'
    for start in range(0, len(content), _WINDOW):
        window = content.slice(start, min(_WINDOW + 4, len(content) - start))  # overlaps by the longest match
        offsets = pa.py_buffer(struct.pack("=qq", 0, len(window)))
        if pc.match_substring_regex(pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, window]), pattern)[
            0
        ].as_py():
            return True
    return False


def _content(path: Path, name: str) -> pa.Buffer:
    if not path.is_file():
        raise DataError(f"{name}: there is no file {path}")
    try:
        if path.suffix in _COMPRESSED:
            content = bytearray()
            with pa.input_stream(str(path), compression="detect") as stream:
                while (chunk := stream.read(MAX_LINE)) and len(content) <= MAX_FEATURE_BYTES:
                    content += chunk
            buffer = pa.py_buffer(content)
        else:
            buffer = pa.memory_map(str(path)).read_buffer() if path.stat().st_size else pa.py_buffer(b"")
    except (OSError, pyarrow.lib.ArrowException) as error:
        raise DataError(f"{name}: cannot read {path}: {error}") from error
    if len(buffer) > MAX_FEATURE_BYTES:
        raise DataError(
            f"{name} has more than {MAX_FEATURE_BYTES / 2**30:.0f} GiB of text: use Parquet, or a part of it"
        )
    return buffer


def _begin(content: pa.Buffer) -> int:
    """The position after a byte order mark and empty lines."""
    head = content[: min(len(content), _HEAD)].to_pybytes()
    return len(head) - len(head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n"))


def _text(head: bytes, is_cut: bool, name: str) -> str:
    for magic, kind in _OTHER_FILES.items():
        if head.startswith(magic):
            raise DataError(f"{name} is not CSV, but {kind}")
    first_line = re.search(rb"[\r\n]", head)
    if (first_line.start() if first_line else len(head)) > MAX_LINE:
        raise DataError(f"{name} has a first line of more than {MAX_LINE} bytes: it is no CSV file")
    if b"\0" in head:
        raise DataError(f"{name} is no text in UTF-8, there are zero bytes in it: save it as UTF-8")
    try:
        text = head[: head.rfind(b"\n") + 1 if is_cut else None].decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no text in UTF-8, byte {error.start} is not: save it as UTF-8") from error
    if not text.strip():
        raise DataError(f"{name} is empty")
    return text


def _separated(text: str, is_cut: bool, name: str) -> tuple[str, list[list[str]]]:
    """The separator, and the fields of the first lines."""
    tables = {separator: _rows(text, separator, is_cut) for separator in _SEPARATORS}
    tables = {separator: rows for separator, rows in tables.items() if rows}
    if not tables:
        raise DataError(f"{name} is no CSV file: there is a field of more than {csv.field_size_limit()} characters")
    seen = [separator for separator, rows in tables.items() if any(len(row) > 1 for row in rows)]
    seen = [separator for separator in seen if separator != " "] or seen or [","]
    for separator in seen:
        if len({len(row) for row in tables[separator]}) == 1:
            return separator, tables[separator]
    if seen == [" "]:  # words in the only column
        return ",", [[" ".join(row)] for row in tables[" "]]
    separator = max(seen, key=lambda separator: len(tables[separator][0]))
    rows = tables[separator]
    number = next(number for number, row in enumerate(rows) if len(row) != len(rows[0]))
    raise DataError(
        f"{name} has rows of unequal lengths: with separator {_SEPARATORS[separator]}, the first has {len(rows[0])} "
        f"fields, and row {number + 1} has {len(rows[number])}"
    )


def _rows(text: str, separator: str, is_cut: bool) -> list[list[str]]:
    """The fields of the first lines; none if there would be one too long to be a field."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        rows = [[field.strip() for field in row] for row in islice(reader, _SAMPLE) if row]
        return rows[:-1] if is_cut and len(rows) > 1 and next(reader, None) is None else rows
    except csv.Error:
        return []


def _numbers_of_columns(num_columns: int) -> list[str]:
    return [str(position) for position in range(num_columns)]


def _has_decimal_commas(values: Sequence[str], name: str) -> bool:
    commas = [value for value in values if _DECIMAL_COMMA.fullmatch(value)]
    if not commas:
        return False
    if point := next((value for value in values if _DECIMAL_POINT.fullmatch(value)), None):
        raise DataError(f"{name} has decimal commas ({commas[0]!r}) and decimal points ({point!r}): write points only")
    if all(_THOUSANDS.fullmatch(value) for value in commas):
        raise DataError(
            f"{name} has numbers such as {commas[0]!r}, whose comma may be that of decimals or of thousands: write "
            "decimal points, and no commas"
        )
    return True
