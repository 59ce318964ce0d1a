"""The way in which a source is read: which of its columns are what, and how large its examples are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Columns: TypeAlias = str | tuple[str, ...]
"""A column as it is, or several side by side as one array [N, columns]."""

Vocabulary: TypeAlias = Literal["characters"] | int
"""Tokens of a text: characters, or words, so many in all."""


@dataclass(frozen=True)
class Reading:
    """All that a scenario says of its source; `docs/data.md` has which source takes which of it.

    A dict of columns has a name for each input or output of the model. Without `features`, they are all columns that
    have no other use. Without `target`, the source has one of its own, or refuses; an empty tuple: the model has a loss
    of its own.
    """

    features: Columns | Mapping[str, Columns] | None = None
    target: Columns | Mapping[str, Columns] | None = None
    weight: str | None = None
    peer: tuple[str, ...] = ()
    """Columns that no model sees, by which partitions may go."""
    categorical: tuple[str, ...] = ()
    """Columns whose values are numbered from 0, in sorted order."""
    task: Literal["classification", "regression"] | None = None
    """Absent: integers and strings are classes, and other numbers are not."""
    image_size: tuple[int, int] | None = None
    """Height and width of images that are stored as files; absent: all must have one size."""
    vocabulary: Vocabulary | None = None
    window: int | None = None
    """Tokens of an example."""
    test_source: str | None = None
    """The test part, of the same kind as the source."""
    asked: tuple[str, ...] = ()
    """Columns that somebody asks about, whatever else they are used for; "*" are all features that are numbers."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that a model or a partition needs, each once."""
        used = (self.features, self.target, self.weight, self.peer)
        return tuple(dict.fromkeys(column for choice in used for column in columns_of(choice)))

    def completed(
        self, features: Columns | Mapping[str, Columns], target: Columns, weight: str | None = None
    ) -> "Reading":
        """The same with these in the place of what is left open."""
        return replace(
            self,
            features=features if self.features is None else self.features,
            target=target if self.target is None else self.target,
            weight=weight if self.weight is None else self.weight,
        )


PLAIN = Reading()
"""Nothing is said: the source has names of its own, or needs none."""


def columns_of(choice: Columns | Mapping[str, Columns] | None) -> tuple[str, ...]:
    """All columns of a choice, in its order.

    >>> columns_of({"user": "user_id", "item": ("item_id", "price")})
    ('user_id', 'item_id', 'price')
    """
    if choice is None:
        return ()
    if isinstance(choice, str):
        return (choice,)
    if isinstance(choice, Mapping):
        return tuple(column for part in choice.values() for column in columns_of(part))
    return tuple(choice)
