"""`classes.json`: which classes the final models of a run tell apart, if somebody has measured it."""

from pathlib import Path
from typing import Literal, TypeAlias

from gossipfl.runs.manifest import FORMAT
from gossipfl.runs.parts import Count, Part, Seed, numbered

NAME = "classes.json"

Which: TypeAlias = Literal["worst", "median", "average"]


class ModelClasses(Part):
    """The confusion matrix of one model: `counts[true][predicted]` examples; `peer` is None for the average model."""

    algorithm: str
    which: Which
    peer: str | None = None
    counts: list[list[Count]]


class Classes(Part):
    """`classes.json`: the matrices of a run's models with one seed, on `num_examples` examples that are held out."""

    format: int = FORMAT
    seed: Seed
    num_examples: Count
    class_names: list[str]
    models: list[ModelClasses]


def read_classes(run: Path) -> Classes | None:
    """The content of `classes.json`; None: nobody has measured it."""
    path = run / NAME
    return numbered(path, Classes, FORMAT) if path.is_file() else None
