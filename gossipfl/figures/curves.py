"""The curves of a run as numbers: one per algorithm, the mean over seeds with the range that they span."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import fmean
from typing import Any, Literal, TypeAlias

from gossipfl.errors import ConfigurationError

Against: TypeAlias = Literal["round", "num_bytes", "time", "epochs", "num_examples", "epsilon"]
"""The columns of a history that a curve can be drawn against."""

HUES = ("#0072b2", "#d55e00", "#008a63", "#b5488a", "#c48a00", "#3f9fd8")
"""The report's hues in light colors, safe for color-blind people (after Okabe and Ito, 2008)."""

GRAY = "#7a8593"
"""The color of bounds."""

_DASHES: tuple[tuple[float, ...], ...] = ((), (4.0, 2.2), (1.0, 1.8))
_DASHES_OF_BOUNDS = ((1.0, 2.2), (5.0, 2.5), (5.0, 2.0, 1.0, 2.0))


@dataclass(frozen=True, slots=True)
class Curve:
    """One algorithm's points in order of rounds: mean over its seeds, and their range; NaN where nobody has measured.

    All four have the same length.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    num_seeds: int

    @property
    def is_measured(self) -> bool:
        return any(isfinite(value) for value in self.y)


@dataclass(frozen=True, slots=True)
class Look:
    """The look of an algorithm's line: its color as `#rrggbb`, its dashes (on, off, ... in line widths; empty: a line
    without gaps) and its width in points."""

    color: str
    dash: tuple[float, ...]
    width: float


def looks(labels: Sequence[str], bounds: Collection[str] = ()) -> dict[str, Look]:
    """The report's look for each label: competitors in hues by their order, then the same with dashes; bounds in gray.

    >>> looks(["gossip", "local"], bounds={"local"})["local"].color
    '#7a8593'
    """
    competing = [label for label in labels if label not in bounds]
    found = {
        label: Look(HUES[index % len(HUES)], _DASHES[index // len(HUES) % len(_DASHES)], 1.4)
        for index, label in enumerate(competing)
    }
    for index, label in enumerate(label for label in labels if label in bounds):
        found[label] = Look(GRAY, _DASHES_OF_BOUNDS[index % len(_DASHES_OF_BOUNDS)], 1.1)
    return {label: found[label] for label in labels}


def curves(
    rows: Iterable[Mapping[str, Any]], column: str, against: Against = "round", smoothing: int = 1
) -> dict[str, Curve]:
    """The curve of each algorithm, in order of appearance, from the flat rows of a history (`History.rows`).

    Points are equivalent rounds; where seeds differ in x, their mean counts. `smoothing` is the number of evaluations
    that a moving mean is taken over; it is narrower at both ends, so the last point is the one of the table.
    Raises ConfigurationError for an even or negative number.

    >>> rows = [{"algorithm": "a", "seed": seed, "round": 1, "loss": seed} for seed in (0, 1)]
    >>> curves(rows, "loss")["a"]
    Curve(x=(1.0,), y=(0.5,), low=(0.0,), high=(1.0,), num_seeds=2)
    """
    if smoothing < 1 or smoothing % 2 == 0:
        raise ConfigurationError(
            f"a moving mean is over an odd number of evaluations, so that it has a middle; got {smoothing}, expected 1 "
            "(none), 3, 5, ..."
        )
    seeds: dict[str, set[int]] = {}
    points: dict[str, dict[int, tuple[list[float], list[float]]]] = {}
    for row in rows:
        label = row["algorithm"]
        seeds.setdefault(label, set()).add(row["seed"])
        xs, ys = points.setdefault(label, {}).setdefault(row["round"], ([], []))
        for values, value in ((xs, row.get(against)), (ys, row.get(column))):
            if value is not None and isfinite(value):
                values.append(value)
    return {label: _curve(by_round, len(seeds[label]), smoothing) for label, by_round in points.items()}


def _curve(by_round: Mapping[int, tuple[list[float], list[float]]], num_seeds: int, smoothing: int) -> Curve:
    measured = [by_round[round] for round in sorted(by_round) if by_round[round][0]]
    x = tuple(fmean(xs) for xs, _ in measured)
    y, low, high = (smoothed([of(ys) if ys else nan for _, ys in measured], smoothing) for of in (fmean, min, max))
    return Curve(x, y, low, high, num_seeds)


def smoothed(values: Sequence[float], window: int) -> tuple[float, ...]:
    """The moving mean of values over a window around each, which shrinks at both ends; NaN stays, and is left out of
    the means of its neighbors.

    >>> smoothed([1.0, 4.0, 1.0], 3)
    (1.0, 2.0, 1.0)
    """

    def mean(position: int) -> float:
        half = min(window // 2, position, len(values) - 1 - position)
        around = [value for value in values[position - half : position + half + 1] if isfinite(value)]
        return fmean(around) if isfinite(values[position]) else nan

    return tuple(float(mean(position)) for position in range(len(values)))
