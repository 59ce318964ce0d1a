"""The paper under a figure: its size in a column or a page, its type, and the file that it becomes.

matplotlib is imported when the first figure is made; it is no dependency of gossipfl.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from gossipfl.errors import ConfigurationError
from gossipfl.files.whole_files import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.ticker import Formatter

Width: TypeAlias = Literal["column", "page"]
"""A figure is as wide as one column of a page of two, or as the page."""

Format: TypeAlias = Literal["pdf", "svg", "png"]

INCHES: dict[Width, float] = {"column": 3.35, "page": 6.9}
"""Widths by which figures fit the two-column styles of IEEE, ACM, NeurIPS and Elsevier without being scaled."""

HEIGHT = 0.68
"""A figure's height as a share of its width in a column; on a page it is as tall as that, times 1.25."""

_SHARE_OF_NAMES = 0.4
"""The share of a figure's width that names along a y axis may take."""

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e7ec",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.solid_capstyle": "round",
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # TrueType: publishers refuse the Type 3 fonts that are matplotlib's default
    "svg.hashsalt": "gossipfl",  # the same figure gives the same bytes
}
"""The settings of matplotlib that figures are made with, whatever else is set."""


@contextmanager
def figure_style() -> Iterator[None]:
    """The settings of figures, within the block; those of the user come back after it.

    Raises ConfigurationError, naming the extra, where there is no matplotlib.
    """
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise ConfigurationError(
            "figures are drawn by matplotlib, which is not installed: pip install 'gossipfl[plots]'"
        ) from error
    with rc_context(STYLE):
        yield


def pyplot_axes(width: Width = "page") -> "Axes":
    """Axes of a new figure that pyplot knows, so that a notebook shows it.

    Raises ConfigurationError, naming the extra, where there is no matplotlib.
    """
    with figure_style():
        from matplotlib import pyplot

        return pyplot.figure(figsize=_size(width, 1.0), layout="constrained").add_subplot()


def new_figure(width: Width, tall: float = 1.0) -> "Figure":
    """A figure of its own, which no window shows; `tall` times as high as usual."""
    from matplotlib.figure import Figure

    return Figure(figsize=_size(width, tall), layout="constrained")


def save_figure(figure: "Figure", path: Path, format: Format) -> None:
    """Write a figure, whole or not at all, without the time: the same run gives the same bytes."""
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": None}[format]
    with whole(path) as unfinished:
        figure.savefig(unfinished, format=format, metadata=metadata)


def break_lines(text: "Text", inches: float) -> int:
    """Break a text into lines that are no wider than so many inches, words too where they are wider, and return the
    number of lines."""
    figure = text.get_figure(root=True)
    assert figure is not None
    whole_text = text.get_text()
    characters = len(whole_text)
    while characters > 1 and (width := text.get_window_extent().width / figure.dpi) > inches:
        characters = max(1, min(characters - 1, int(characters * inches / width)))
        text.set_text(_broken(whole_text, characters))
    return text.get_text().count("\n") + 1


def _broken(text: str, characters: int) -> str:
    """A text in lines of so many characters, broken after spaces, hyphens and underscores, else within words."""
    lines = [""]
    for piece in re.findall(rf"[^ _/-]{{0,{characters - 1}}}[ _/-]|[^ _/-]{{1,{characters}}}", text):
        if lines[-1] and len((lines[-1] + piece).rstrip()) > characters:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.strip() for line in lines)


def set_title(axes: "Axes", text: str, share: float = 0.78, loc: Literal["left", "center"] = "left") -> None:
    """Name axes in lines that are no wider than a share of the figure, by default what a y axis and its numbers leave
    of a column."""
    title = axes.set_title(text, loc=loc, parse_math=False)
    figure = axes.get_figure(root=True)
    assert figure is not None
    break_lines(title, share * figure.get_figwidth())


def break_names(axes: "Axes") -> int:
    """Break the names along a y axis so that most of the figure is left for what they name; returns the lines of
    the longest."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    names = axes.get_yticklabels()
    lines = [break_lines(name, _SHARE_OF_NAMES * figure.get_figwidth()) for name in names]
    axes.set_yticks(axes.get_yticks(), [name.get_text() for name in names], parse_math=False)
    return max(lines, default=1)


def percent_formatter() -> "Formatter":
    """Ticks of shares, as percent."""
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0, decimals=None, symbol=" %")


def _size(width: Width, tall: float) -> tuple[float, float]:
    height = INCHES["column"] * HEIGHT * (1.25 if width == "page" else 1.0)
    return INCHES[width], height * tall
