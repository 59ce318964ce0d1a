"""Data sets as Python has them: arrays, frames of pandas and Polars, `tf.data.Dataset`, and functions that give one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gossipfl.data.dataset import Dataset, as_examples
from gossipfl.data.examples import Examples
from gossipfl.data.parts import Parts
from gossipfl.data.reading import PLAIN, Reading
from gossipfl.data.tensorflow_data import read_tensorflow_data
from gossipfl.errors import DataError

FORMS = (
    "a Dataset, Examples, (x, y) or (x, y, weight) as fit takes them, a frame of pandas or Polars, a pyarrow.Table, a "
    "finite tf.data.Dataset, or a pair of such for training and test"
)
"""The data sets in Python, for errors."""

_PANDAS = {("pandas", "DataFrame")}
_FRAMES = _PANDAS | {("polars", "DataFrame"), ("pyarrow", "Table")}
_TF_DATA = {("tensorflow", "DatasetV2")}


def is_value(value: Any) -> bool:
    """True if this could be a data set, or a function that gives one; it is neither looked into nor called."""
    known = isinstance(value, Dataset | Examples | tuple) or _is_a(value, _FRAMES | _TF_DATA)
    return known or (callable(value) and not isinstance(value, type))


def name_of(value: Any) -> str:
    """The name of a data set in manifests: its own, that of a function, or its kind.

    >>> name_of(([0.5, 1.5], [0, 1]))
    'arrays'
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Dataset):
        return value.name
    if callable(value):
        return f"{value.__module__}:{getattr(value, '__qualname__', type(value).__qualname__)}"
    if _is_a(value, _FRAMES | _TF_DATA):
        return "tf.data" if _is_a(value, _TF_DATA) else f"{_root(type(value))} frame"
    return "arrays"


def read_value(value: Any, name: str, reading: Reading) -> Dataset | Parts:
    """The data set in one of `FORMS`; a function is called.

    A pair of pairs is training and test part, as `keras.datasets` give it: a model with several inputs and several
    outputs takes dicts. Errors of a function pass through.

    Raises DataError for anything else, and when `reading` names columns where there are none.
    """
    if callable(value):
        value = value()
    is_pair = isinstance(value, tuple | list) and len(value) == 2 and all(map(_is_set, value))
    sets = dict(zip(("train", "test"), value, strict=True)) if is_pair else {"train": value}
    if all(_is_a(one, _FRAMES) for one in sets.values()):
        from gossipfl.data.tables import select  # late: Arrow takes a quarter of a second

        parts = select({part: _columns(frame, f"{name}: {part}") for part, frame in sets.items()}, reading, name)
        has_index = any(_is_a(frame, _PANDAS) and type(frame.index).__name__ != "RangeIndex" for frame in sets.values())
        return parts.with_notes("the index of the frame is not used") if has_index else parts
    if (named := replace(reading, peer=(), asked=())) != PLAIN:
        field = next(field for field, given in vars(named).items() if given != getattr(PLAIN, field))
        raise DataError(f"data source {name!r} has no named columns: leave data.{field} out, or give a frame")
    if isinstance(value, Dataset):
        data: Dataset | Parts = value
        columns = value.train.columns
    else:
        notes: list[str] = []
        examples = {part: _examples(one, f"{name}: {part}", notes) for part, one in sets.items()}
        data = Parts(examples, notes=tuple(notes))
        columns = examples["train"].columns
    if unknown := [column for column in reading.peer if column not in columns]:
        raise DataError(f"data source {name!r} has no column {unknown[0]!r}: give Examples with columns, or a frame")
    return data


def _examples(value: Any, what: str, notes: list[str]) -> Examples:
    if isinstance(value, Examples):
        return value
    if _is_a(value, _TF_DATA):
        examples, note = read_tensorflow_data(value, what)
        notes.append(note)
        return examples
    if not isinstance(value, tuple | list) or len(value) not in (2, 3):
        raise DataError(f"data source {what} must be {FORMS}; got {type(value).__name__}")
    return as_examples(tuple(value), what)


def _columns(frame: Any, what: str) -> Mapping[str, Any]:
    import pyarrow as pa

    from gossipfl.data.columns import table_columns

    try:
        if _is_a(frame, _PANDAS):
            frame = pa.Table.from_pandas(frame, preserve_index=False)
        elif not isinstance(frame, pa.Table):
            frame = frame.to_arrow()
    except (pa.ArrowException, ValueError, TypeError) as error:  # columns of mixed types, or of one name
        raise DataError(f"{what}: a column cannot be read: {str(error)[:200]}") from error
    return table_columns(frame, what)


def _is_set(value: Any) -> bool:
    """True for a part of a data set, such as a pair of arrays; an array is none."""
    if isinstance(value, tuple | list):
        return len(value) in (2, 3) and all(hasattr(one, "__array__") or isinstance(one, dict | list) for one in value)
    return isinstance(value, Examples) or _is_a(value, _FRAMES | _TF_DATA)


def _is_a(value: Any, kinds: set[tuple[str, str]]) -> bool:
    """True for an object of a package that need not be installed."""
    return any((_root(base), base.__name__) in kinds for base in type(value).__mro__)


def _root(kind: type) -> str:
    return kind.__module__.partition(".")[0]
