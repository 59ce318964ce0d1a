"""Arrays by name, as archives and folders have them: `x_train`, `y_train`, `x_test`, `y_test`, or `x` and `y`."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from gossipfl.data.parts import PARTS, Parts
from gossipfl.data.reading import Reading
from gossipfl.data.tables import select
from gossipfl.errors import DataError
from gossipfl.names.spelling import listed


def read_arrays(names: Iterable[str], read: Callable[[str], NDArray[Any]], reading: Reading, source: str) -> Parts:
    """The parts of a set that has the arrays `NAME_train`, `NAME_test` and `NAME_validation`, or `NAME` for the first.

    `x`, `y` and, where there is one, `weight` are in place of what the reading leaves open. No others are read. Arrays
    that nobody named have no names of columns: the same examples from another source are the same.

    Raises DataError when an array is missing, or is not numbers.
    """
    names = sorted(names)
    stems = {_stem(name) for name in names}
    for name in [*["x"] * (reading.features is None), *["y"] * (reading.target is None)]:
        if name not in stems:
            raise DataError(
                f"{source}: expected the arrays x_train, y_train, x_test and y_test, or x and y, or others that "
                f"data.features and data.target name; it has {listed(names) or 'none'}"
            )
    are_named = reading.features is not None or reading.target is not None
    reading = reading.completed("x", "y", "weight" if "weight" in stems else None)
    needed = dict.fromkeys((*reading.columns, *reading.asked))
    tables, used = {}, set()
    for part in PARTS:
        found = {stem: f"{stem}_{part}" for stem in needed if f"{stem}_{part}" in names}
        if part == "train":
            found = {stem: stem for stem in needed if stem in names} | found
        if found or part == "train":
            tables[part] = {stem: read(name) for stem, name in found.items()}
            used |= set(found.values())
    parts = select(tables, reading, source)
    parts = parts if are_named else replace(parts, columns=())
    unused = [name for name in names if name not in used]
    return parts.with_notes(f"arrays that are not used: {listed(unused)}") if unused else parts


def _stem(name: str) -> str:
    part = next((part for part in PARTS if name.endswith(f"_{part}")), None)
    return name if part is None else name.removesuffix(f"_{part}")
