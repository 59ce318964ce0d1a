"""Examples from the columns of tables, by what a scenario says of each column."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.asked_columns import asked_of
from gossipfl.data.columns import (
    alike,
    as_float32,
    image_files,
    is_images,
    is_text,
    keys,
    numbered,
    numbers_of,
    side_by_side,
)
from gossipfl.data.examples import Examples, Tree
from gossipfl.data.images import as_images
from gossipfl.data.parts import Parts
from gossipfl.data.reading import Columns, Reading, columns_of
from gossipfl.errors import DataError
from gossipfl.names.spelling import did_you_mean, listed

_MANY_CLASSES = 20  # more different integers may be quantities


def select(
    tables: Mapping[str, Mapping[str, Any]],
    reading: Reading,
    name: str,
    class_names: Mapping[str, tuple[str, ...]] | None = None,
) -> Parts:
    """The examples of tables with the same columns, the parts `train`, `test` and `validation` or some of them.

    A column on its own stays as it is (a scalar becomes one feature); several are put side by side. Strings as target
    are numbered in sorted order, over all parts; `class_names` are those of columns that are numbered already.

    Raises DataError for columns that are not there, that are not numbers, or that lack values.
    """
    return _Reading(tables, reading, name, class_names or {}).parts()


class _Reading:
    """One reading of tables; each column is converted once."""

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, Any]],
        reading: Reading,
        name: str,
        class_names: Mapping[str, tuple[str, ...]],
    ) -> None:
        self.tables, self.name, self.class_names = alike(tables), name, class_names
        self.notes: list[str] = []
        self._is_inferred = reading.features is None
        self.reading = self._complete(reading)
        self._converted: dict[str, dict[str, NDArray[Any]]] = {}

    def _complete(self, reading: Reading) -> Reading:
        """The reading with the features that are meant where none are named, all of its columns being there."""
        columns = list(self.tables["train"])
        there_are = f"the columns are {listed(columns)}"
        if reading.target is None:
            raise DataError(
                f"{self.name}: name the column that is to be predicted, data.target ([] if the model has a loss of its "
                f"own); {there_are}"
            )
        if reading.features is None:
            reading = replace(reading, features=tuple(column for column in columns if column not in reading.columns))
        for field in ("features", "target", "weight", "peer", "categorical"):
            for column in columns_of(getattr(reading, field)):
                for part, table in self.tables.items():
                    if column not in table:
                        where = f" in its {part} part" if len(self.tables) > 1 else ""
                        raise DataError(
                            f"{self.name}: data.{field} names {column!r}, and there is no such column{where}."
                            f"{did_you_mean(column, table)} The columns are {listed(list(table))}"
                        )
        if not columns_of(reading.features):
            raise DataError(f"{self.name}: no column is left for data.features; {there_are}")
        if reading.task == "classification" and not isinstance(reading.target, str):
            raise DataError(
                f"{self.name}: data.task 'classification' numbers a single target; name those of several that "
                "are to be numbered in data.categorical"
            )
        modelled = {*columns_of(reading.features), *columns_of(reading.target)}
        if stray := [column for column in reading.categorical if column not in modelled]:
            raise DataError(
                f"{self.name}: data.categorical names {stray[0]!r}, which is neither a feature nor a target"
            )
        return reading

    def parts(self) -> Parts:
        reading = self.reading
        class_names = self._classes(reading.target) if isinstance(reading.target, str) else ()
        examples = {part: self._examples(part) for part in self.tables}
        notes = (*self._uses(), *self.notes)
        columns = (columns_of(reading.features), columns_of(reading.target))
        return Parts(examples, len(class_names) or None, class_names, notes, columns)

    def _examples(self, part: str) -> Examples:
        reading, table = self.reading, self.tables[part]
        assert reading.features is not None
        x = self._tree(reading.features, part)
        y = self._tree(reading.target, part, as_target=True) if reading.target else None
        weight = None if reading.weight is None else self._weight(reading.weight, part)
        columns = {column: keys(table[column], self._what(column, part)) for column in reading.peer}
        asked = asked_of(table, reading.asked, columns_of(reading.features), lambda name: self._what(name, part))
        try:
            return Examples(x, y, weight, columns, asked)
        except DataError as error:  # arrays of files may differ in length
            raise DataError(f"{self.name}: {part}: {error}") from error

    def _classes(self, column: str) -> tuple[str, ...]:
        """The names of the classes of a target. It is numbered unless its values are numbers of classes already, or
        no classes."""
        task = self.reading.task
        if any(is_text(table[column]) for table in self.tables.values()):
            if task == "regression":
                raise DataError(
                    f"{self.name}: the target {column!r} has strings, or numbers that begin with 0 and so are names; "
                    "data.task 'regression' needs numbers"
                )
        elif column not in self.reading.categorical:
            arrays = list(self._column(column).values())
            are_integers = all(array.dtype.kind in "biu" and array.ndim == 1 for array in arrays)
            are_classes = are_integers and all(array.min(initial=0) >= 0 for array in arrays)
            if are_classes if task == "classification" else are_integers and task is None:
                self._check_integers(column, arrays)
            if task != "classification" or are_classes:
                return self.class_names.get(column, ()) if task != "regression" else ()
        return self._number(column)

    def _check_integers(self, column: str, arrays: Sequence[NDArray[Any]]) -> None:
        """Integers are taken for classes; where they may be quantities it is said, and where they must be, refused."""
        values = np.unique(np.concatenate(arrays))
        if not len(values) or values.dtype == bool:
            return
        if values[0] < 0:
            raise DataError(
                f"{self.name}: the target {column!r} has integers from {values[0]} on: say data.task = 'regression' if "
                "they are quantities, or 'classification' to number them as classes"
            )
        if self.reading.task == "classification":
            if column not in self.class_names and len(values) <= values[-1]:
                self.notes.append(
                    f"the target {column!r} has {len(values)} different integers from {values[0]} to {values[-1]}, "
                    f"which are taken for the numbers of {values[-1] + 1} classes; data.categorical = [{column!r}] "
                    "numbers them from 0"
                )
        elif column not in self.class_names and (len(values) <= values[-1] or len(values) > _MANY_CLASSES):
            self.notes.append(
                f"the target {column!r} has {len(values)} different integers from {values[0]} to {values[-1]}, which "
                "are taken for classes; data.task = 'regression' takes them for quantities"
            )

    def _number(self, column: str) -> tuple[str, ...]:
        arrays, names = numbered([table[column] for table in self.tables.values()], self._what(column))
        self._converted[column] = dict(zip(self.tables, arrays, strict=True))
        return names

    def _column(self, column: str) -> dict[str, NDArray[Any]]:
        """The numbers of a column in each part."""
        if column not in self._converted:
            if column in self.reading.categorical:
                names = self._number(column)
                self.notes.append(f"values of {column!r}, numbered from 0: {listed(names)}")
            elif is_images(self.tables["train"][column]):
                self._converted[column] = self._images(column)
            else:
                self._converted[column] = {
                    part: numbers_of(table[column], self._what(column, part)) for part, table in self.tables.items()
                }
        return self._converted[column]

    def _images(self, column: str) -> dict[str, NDArray[Any]]:
        """All images of all parts at once, so that they have one size and one number of channels."""
        files = {part: image_files(table[column], self._what(column, part)) for part, table in self.tables.items()}
        what = self._what(column)
        all_files = [file for part in files.values() for file in part]
        images, notes = as_images(all_files, lambda i: f"{what}: image {i + 1}", what, self.reading.image_size)
        self.notes += notes
        ends = np.cumsum([len(part) for part in files.values()])[:-1]
        return dict(zip(files, np.split(images, ends), strict=True))

    def _tree(self, choice: Columns | Mapping[str, Columns], part: str, as_target: bool = False) -> Tree:
        if isinstance(choice, Mapping):
            return {key: self._tree(columns, part, as_target) for key, columns in choice.items()}
        if isinstance(choice, str):
            array, what = self._column(choice)[part], self._what(choice, part)
            if not as_target and array.ndim == 1:
                return array[:, np.newaxis]
        else:
            array = side_by_side([(self._what(column, part), self._column(column)[part]) for column in choice])
            what = f"{self.name}: targets"
        return as_float32(array, what) if as_target and self.reading.task == "regression" else array

    def _weight(self, column: str, part: str) -> NDArray[np.float32]:
        what = self._what(column, part)
        weight = as_float32(numbers_of(self.tables[part][column], what), what)
        if weight.ndim != 1 or (weight < 0).any():
            raise DataError(f"{what} is the weight of an example: one number, at least 0")
        return weight

    def _what(self, column: str, part: str | None = None) -> str:
        where = f" {part}:" if part is not None and len(self.tables) > 1 else ""
        return f"{self.name}:{where} column {column!r}"

    def _uses(self) -> Iterator[str]:
        """The use of each column, in words, where a user has not said all of it."""
        uses = {field: columns_of(getattr(self.reading, field)) for field in ("features", "target", "weight", "peer")}
        used = {column for columns in uses.values() for column in columns}
        columns = dict.fromkeys(column for table in self.tables.values() for column in table)
        unused = [column for column in columns if column not in used]
        if unused or self._is_inferred:
            yield "; ".join(f"{field}: {listed(columns)}" for field, columns in uses.items() if columns)
        if unused:
            yield f"{len(unused)} of {len(columns)} columns are not used: {listed(unused)}"
