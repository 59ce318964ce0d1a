"""Ranges of whole numbers, split until what is sought in them stands alone."""

from collections.abc import Sequence

from gossipfl.errors import DataError
from gossipfl.queries.query import CANNOT_BE


def starts(low: int, high: int, num_cells: int) -> list[int]:
    """The first number of each of `num_cells` cells, of about the same width, that low, ..., high are split into; there
    are fewer cells where there are fewer numbers.

    >>> starts(0, 9, 4), starts(3, 4, 4)
    ([0, 2, 5, 7], [3, 4])
    """
    width = high - low + 1
    num_cells = min(num_cells, width)
    return [low + cell * width // num_cells for cell in range(num_cells)]


def cell(first: Sequence[int], high: int, number: int) -> tuple[int, int]:
    """The first and the last number of a cell of these `starts`."""
    return first[number], first[number + 1] - 1 if number + 1 < len(first) else high


def narrowed(bounds: tuple[int, int], least: int, greatest: int) -> tuple[int, int]:
    """The part of a cell, from the first to the last number, between two others. Raises DataError if there is none."""
    low, high = max(bounds[0], least), min(bounds[1], greatest)
    if low > high:
        raise DataError(CANNOT_BE)
    return low, high


def num_splits(width: int, num_cells: Sequence[int]) -> int:
    """The number of splits, into so many cells each and the last of them ever again, after which a cell has one number.

    >>> num_splits(1000, (10, 2))
    8
    """
    splits = 0
    while width > 1:
        width = -(-width // num_cells[min(splits, len(num_cells) - 1)])
        splits += 1
    return splits
