"""Heat maps on the axes of matplotlib: who holds how much of which class, and which classes a model mistakes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gossipfl.names.visible_text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_NAMES = 24
_MAX_NUMBERS = 400


def draw_labels(axes: "Axes", peers: Sequence[str], counts: Sequence[Sequence[int]]) -> None:
    """Draw the examples of each class (rows) that each peer (columns) holds: darker by the square root."""
    held = np.array(counts, np.float64).T
    _draw_cells(axes, np.sqrt(held), held.astype(np.int64))
    _name(axes, "x", peers, "peer")
    _name(axes, "y", [str(number) for number in range(len(held))], "class")


def draw_confusion(axes: "Axes", counts: NDArray[np.int64], class_names: Sequence[str]) -> None:
    """Draw a confusion matrix, [class of an example, class that the model gives it]: darker by the share of the row."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    _draw_cells(axes, shares, counts)
    _name(axes, "x", class_names, "predicted")
    _name(axes, "y", class_names, "true")
    axes.set_aspect("equal")


def _draw_cells(axes: "Axes", strengths: NDArray[np.float64], numbers: NDArray[np.int64]) -> None:
    axes.imshow(strengths, cmap="Blues", aspect="auto", vmin=0, vmax=float(strengths.max()) or 1.0)
    axes.grid(False)
    if numbers.size <= _MAX_NUMBERS and numbers.max() < 10_000:
        for (row, column), number in np.ndenumerate(numbers):
            if number:
                color = "white" if strengths[row, column] > 0.6 * strengths.max() else "black"
                axes.text(
                    column,
                    row,
                    f"{number}",
                    ha="center",
                    va="center",
                    fontsize=5,
                    color=color,
                )


def _name(axes: "Axes", side: str, names: Sequence[str], title: str) -> None:
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_label_text(title)
    stride = -(-len(names) // _MAX_NAMES)
    shown = [visible(name) for name in names[::stride]]
    axis.set_ticks(range(0, len(names), stride), shown, parse_math=False)
    if side == "x" and max(map(len, shown), default=0) > 2:
        axes.tick_params(axis="x", rotation=90)
