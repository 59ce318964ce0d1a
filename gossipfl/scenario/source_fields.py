"""The fields of a scenario's `data` that say where examples come from, and which columns are what."""

from dataclasses import fields
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, field_serializer, field_validator, model_validator

from gossipfl.data.reading import Reading, columns_of
from gossipfl.data.sources import SOURCE_FORMS, check_reading
from gossipfl.data.values import FORMS, is_value, name_of
from gossipfl.errors import ConfigurationError
from gossipfl.scenario.section import Count, Section

ColumnChoice: TypeAlias = str | list[str]
"""A column as it is, or several side by side."""


class SourceFields(Section):
    """The source of the examples, and how it is read."""

    source: Any = "digits"
    """`digits`, `csv:FILE`, `parquet:FILE`, `folder:DIRECTORY`, `text:FILE`, `npz:FILE`, `npy:DIRECTORY`,
    `idx:DIRECTORY`, `tfds:NAME`, `hf:DIRECTORY` or `package.module:function`; in Python also a Dataset, (x, y) or
    (x, y, weight), a pair of those for training and test, a frame of pandas or Polars, a tf.data.Dataset, or a function
    that returns one of these."""
    test_source: str | None = None
    """csv, parquet, text: the test part, written as `source` is; absent: a part of the source is held out."""
    features: ColumnChoice | dict[str, ColumnChoice] | None = None
    """Tables: the columns that the model gets. A list is put side by side as one array, a name alone is taken as it
    is, and a table has one of both for each input of the model. Absent: all columns that have no other use."""
    target: ColumnChoice | dict[str, ColumnChoice] | None = None
    """Tables: the columns that the model is to give, written as `features` are. Strings are numbered in sorted
    order. An empty list: none, the model has a loss of its own."""
    weight: str | None = None
    """Tables: the column that has the weights of examples in the loss."""
    peer: ColumnChoice | None = None
    """Tables: columns that say whose an example is, such as a user or a region; no model sees them, unless they are
    `features`, too."""
    categorical: list[str] = []
    """Tables: features, or some of several targets, whose values are numbered from 0, in sorted order; strings need
    it."""
    task: Literal["classification", "regression"] | None = None
    """Tables: `regression` makes real numbers of integer targets, `classification` numbers targets of any type, in
    sorted order. Absent: strings and integers, which are from 0, are classes, and real numbers are not."""
    image_size: tuple[Count, Count] | None = None
    """Images in files: height and width to which all are brought; absent: they must have one size."""
    vocabulary: Literal["characters"] | Annotated[int, Field(ge=2, le=2**20)] | None = None
    """text: tokens are `characters` (also if absent), or words, so many in all: the most frequent ones of the training
    part."""
    window: Count | None = None
    """text: tokens of an example; absent: 64."""

    @field_validator("source")
    @classmethod
    def _is_a_source(cls, source: Any) -> Any:
        if not (isinstance(source, str) or is_value(source)):
            raise ConfigurationError(
                f"a data source is a string or a data set, got {type(source).__name__}: one of "
                f"{', '.join(SOURCE_FORMS)}, or in Python {FORMS}, or a function that returns one"
            )
        return source

    @field_serializer("source")
    def _source_by_name(self, source: Any) -> str:
        return name_of(source)

    @model_validator(mode="after")
    def _go_with_the_source(self) -> "SourceFields":
        check_reading(self.source, self.reading())
        return self

    def reading(self) -> Reading:
        """The same as a value for readers of sources."""
        given = {
            field.name: _frozen(getattr(self, field.name)) for field in fields(Reading) if hasattr(self, field.name)
        }
        return Reading(**{**given, "peer": columns_of(given["peer"])})


def _frozen(value: Any) -> Any:
    """The value with tuples in place of lists."""
    if isinstance(value, dict):
        return {name: _frozen(part) for name, part in value.items()}
    return tuple(value) if isinstance(value, list) else value
