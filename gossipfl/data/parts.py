"""The examples that a source has, before a part of them is held out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gossipfl.data.examples import Examples

PARTS = ("train", "test", "validation")
"""The names of parts, as arrays, folders and splits have them."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The examples of some of the `PARTS`, the first of which there is always.

    `notes` say what the source was taken for. Of tables, `columns` names those of an input and those of a target, in
    the order in which a model gets them.
    """

    examples: Mapping[str, Examples]
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    columns: tuple[tuple[str, ...], ...] = ()

    def with_notes(self, *notes: str, first: bool = False) -> "Parts":
        """The same with more notes, after those that there are, or before."""
        return replace(self, notes=(*notes, *self.notes) if first else (*self.notes, *notes))
