"""Columns of tables as arrays: numbers as they are, strings as strings until somebody asks to number them.

Tables of every origin (CSV, Parquet, Hugging Face, pandas, Polars) come as columns of Arrow; those of archives and of
tensorflow-datasets as NumPy arrays. What is missing, ragged or no number is refused with the column and the row.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gossipfl.data.conversion import MAX_EXACT_FLOAT, as_numbers
from gossipfl.errors import DataError

_LEADING_ZERO = "^-?0[0-9]"


def table_columns(table: pa.Table, name: str) -> dict[str, pa.ChunkedArray]:
    """The columns of a table of Arrow by name. Raises DataError for two of one name, no rows, and damaged content."""
    try:
        table.validate(full=True)
        names = table.column_names
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{name} is damaged: {str(error)[:200]}") from error
    doubled = next((column for column, count in Counter(names).items() if count > 1), None)
    if doubled is not None:
        raise DataError(f"{name} has several columns {doubled!r}: give each a name of its own")
    if not table.num_rows:
        raise DataError(f"{name} has no rows")
    return dict(zip(names, table.columns, strict=True))


def numbers_of(column: Any, what: str) -> NDArray[Any]:
    """The numbers [N, ...] of a column; lists of equal lengths become further axes.

    Raises DataError for missing values, NaN, strings, dates, and lists of unequal lengths, naming the first row.
    """
    if not isinstance(column, pa.ChunkedArray):
        if column.dtype.kind not in "biuf":
            raise DataError(_no_numbers(what, column))
        return column  # type: ignore[no-any-return]
    array = _whole(column, what)
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _stacked(array, what)
    if pa.types.is_decimal(kind):
        array = _decimals(array, what)
    elif not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError(_no_numbers(what, array))
    numbers: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise DataError(f"{what} is {numbers[row]} in row {row + 1}: fill in or drop what is missing or infinite")
    return numbers


def is_text(column: Any) -> bool:
    """True if a column holds strings."""
    if isinstance(column, pa.ChunkedArray):
        return _is_string(column.type.value_type if pa.types.is_dictionary(column.type) else column.type)
    return column.dtype.kind in "UST" or (
        column.dtype == object and all(isinstance(value, str | bytes) for value in column.flat)
    )


def has_leading_zeros(texts: pa.ChunkedArray | pa.Array) -> bool:
    """True if strings are integers, one of which begins with 0, such as postal codes."""
    return bool(
        pc.all(pc.match_substring_regex(texts, "^-?[0-9]+$")).as_py()
        and pc.any(pc.match_substring_regex(texts, _LEADING_ZERO)).as_py()
    )


def alike(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Tables in which a column that is text in one is text in all: codes of which only one table has such as 007."""
    texts = {
        name
        for table in tables.values()
        for name, column in table.items()
        if isinstance(column, pa.ChunkedArray) and is_text(column)
    }

    def is_other(name: str, column: Any) -> bool:
        return name in texts and isinstance(column, pa.ChunkedArray) and pa.types.is_integer(column.type)

    return {
        part: {name: column.cast(pa.string()) if is_other(name, column) else column for name, column in table.items()}
        for part, table in tables.items()
    }


def is_images(column: Any) -> bool:
    """True if a column holds image files, as Hugging Face stores them: structures with their `bytes`."""
    return (
        isinstance(column, pa.ChunkedArray)
        and pa.types.is_struct(column.type)
        and column.type.get_field_index("bytes") >= 0
    )


def image_files(column: pa.ChunkedArray, what: str) -> list[bytes]:
    """The contents of the image files of such a column. Raises DataError where one is missing."""
    return _whole(pc.struct_field(column, "bytes"), what).to_pylist()  # type: ignore[no-any-return]


def numbered(columns: Sequence[Any], what: str) -> tuple[list[NDArray[np.int32]], tuple[str, ...]]:
    """The values of columns, one per part of a data set, as numbers from 0 in sorted order, and what the numbers mean.

    Strings are sorted as such, numbers by value. Raises DataError for missing values, lists, and parts of
    different types.
    """
    arrays = [_as_arrow(column, what) for column in columns]
    if len(kinds := dict.fromkeys(str(array.type) for array in arrays)) > 1:
        raise DataError(f"{what} has values of type {' in one part and '.join(kinds)} in another: give them one type")
    values = pc.unique(pa.concat_arrays(arrays))
    values = values.take(pc.sort_indices(values))
    numbers = [pc.index_in(array, value_set=values).to_numpy(zero_copy_only=False).astype(np.int32) for array in arrays]
    return numbers, tuple(str(value) for value in values.to_pylist())


def keys(column: Any, what: str) -> NDArray[Any]:
    """The strings or integers [N] of a column that says where an example belongs, such as its user."""
    if not is_text(column):
        column = numbers_of(column, what)
        if column.ndim != 1 or column.dtype.kind not in "biu":
            raise DataError(
                f"{what} has values of type {column.dtype}: to say where examples belong, it needs names or integers"
            )
        return column  # type: ignore[no-any-return]
    return np.array(_as_arrow(column, what).to_pylist(), dtype=str)


def side_by_side(columns: Iterable[tuple[str, NDArray[Any]]]) -> NDArray[Any]:
    """Columns of numbers [N] or [N, ...] as one array [N, columns]: integers if all are, else float32.

    Raises DataError naming the column whose integers float32 cannot tell apart.
    """
    named = [(what, column.reshape(len(column), -1)) for what, column in columns]
    if all(column.dtype.kind in "biu" for _, column in named):
        return np.concatenate([column for _, column in named], axis=1, dtype=_integer_type(named))
    return np.concatenate([as_float32(column, what) for what, column in named], axis=1)


def as_float32(column: NDArray[Any], what: str) -> NDArray[np.float32]:
    """The same numbers as float32. Raises DataError where integers would collapse, or numbers be infinite."""
    if column.dtype.kind in "iu" and column.size and max(int(column.max()), -int(column.min())) > MAX_EXACT_FLOAT:
        raise DataError(
            f"{what} has integers beyond 2^24, which float32 does not tell apart; give it an input of its own, such as "
            "features = { id = [...] }, where integers stay integers"
        )
    numbers = as_numbers(column, what).astype(np.float32, copy=False)
    if not np.isfinite(numbers).all():
        raise DataError(f"{what} has numbers beyond {np.finfo(np.float32).max:.4g}, the largest of float32: scale it")
    return numbers


def _integer_type(columns: Sequence[tuple[str, NDArray[Any]]]) -> np.dtype[Any]:
    """int32 where all values fit, as TensorFlow likes it, else int64."""
    bounds = np.iinfo(np.int32)
    for what, column in columns:
        if column.size and int(column.max()) > np.iinfo(np.int64).max:
            raise DataError(f"{what} has integers beyond 2^63: number them from 0")
    fits = all(not c.size or (int(c.min()) >= bounds.min and int(c.max()) <= bounds.max) for _, c in columns)
    return np.dtype(np.int32 if fits else np.int64)


def _whole(column: pa.ChunkedArray, what: str) -> pa.Array:
    """One array without missing values, extension types and dictionaries."""
    if isinstance(column.type, pa.ExtensionType):  # arrays of fixed shape, as Hugging Face and Polars store them
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], type=column.type.storage_type)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise DataError(
            f"{what} has no value in row {row + 1}, the first of {column.null_count}: fill in or drop what is missing"
        )
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def _stacked(array: pa.Array, what: str) -> NDArray[Any]:
    num_rows = len(array)
    if not num_rows:
        raise DataError(f"{what} has no rows")
    lengths = pc.list_value_length(array)
    length = lengths[0].as_py()
    if not pc.all(pc.equal(lengths, length)).as_py():
        row = pc.index(pc.equal(lengths, length), False).as_py()
        raise DataError(
            f"{what} has lists of unequal lengths, {length} in row 1 and {lengths[row].as_py()} in row {row + 1}: "
            "pad or cut them to one length"
        )
    values = numbers_of(pa.chunked_array([array.flatten()]), f"{what} (its lists)")
    return values.reshape(num_rows, length, *values.shape[1:])


def _decimals(array: pa.Array, what: str) -> pa.Array:
    """Decimals as numbers that NumPy has: without a fraction they are integers, and keep their values."""
    try:
        return array.cast(pa.float64() if array.type.scale > 0 else pa.int64())
    except pa.ArrowInvalid as error:
        raise DataError(f"{what} has decimals beyond 2^63: number them from 0") from error


def _as_arrow(column: Any, what: str) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        array = _whole(column, what)
    elif column.ndim != 1:
        raise DataError(f"{what} has the shape {column.shape}, expected one value per row")
    else:
        values = [value.decode() if isinstance(value, bytes) else value for value in column.tolist()]
        array = pa.array(values)
    if not (_is_string(array.type) or pa.types.is_boolean(array.type) or pa.types.is_integer(array.type)):
        numbers = numbers_of(pa.chunked_array([array]), what)
        if numbers.dtype.kind == "f" and not pa.types.is_decimal(array.type) and (np.abs(numbers) >= 2**53).any():
            raise DataError(
                f"{what} has numbers beyond 2^53, of which a file without types has the first 16 digits: give names "
                "that are no numbers, such as 'id1234'"
            )
    if pa.types.is_nested(array.type):
        raise DataError(f"{what} has lists, expected one value per row")
    return array.cast(pa.large_string()) if _is_string(array.type) else array


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _no_numbers(what: str, values: Any) -> str:
    first = values[0] if len(values) else ""
    first = str(first.decode(errors="replace") if isinstance(first, bytes) else first)[:40]
    if is_text(pa.chunked_array([values]) if isinstance(values, pa.Array) else values):
        if isinstance(values, pa.Array) and has_leading_zeros(values):
            row = pc.index(pc.match_substring_regex(values, _LEADING_ZERO), True).as_py()
            return (
                f"{what} has numbers that begin with 0 ({values[row].as_py()!r} in row {row + 1}), as names do: name "
                "it in data.categorical, write the numbers without these zeros, or leave it out"
            )
        return (
            f"{what} has strings ({first!r} in row 1): leave it out, or name it in data.categorical, which numbers its "
            "values"
        )
    kind = values.type if isinstance(values, pa.Array) else values.dtype
    if kind in (pa.binary(), pa.large_binary()):
        return f"{what} holds bytes that are no UTF-8 text: save the file as UTF-8, or leave the column out"
    return f"{what} has values of type {kind} ({first} in row 1), expected numbers: convert it, or leave it out"
