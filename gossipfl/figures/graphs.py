"""Who talks to whom, and when they could not, on the axes of matplotlib: where the report has its peers and bars."""

from collections.abc import Mapping
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from gossipfl.figures.canvas import break_names, percent_formatter, set_title
from gossipfl.names.visible_text import visible
from gossipfl.scores import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_NAMED = 40
"""Peers of larger graphs have no names beside them."""

_PALE, _INK = "#c3cad3", "#15202b"


def draw_topology(axes: "Axes", drawing: Mapping[str, Any], values: Mapping[str, float | None], metric: Metric) -> None:
    """Draw a graph as the report has it (`gossipfl.report.payload.drawings`): peers colored by their `values` of a
    metric, bright is better; their names in them, or beside them where they are long, if there are few."""
    from matplotlib.collections import LineCollection

    positions = np.array(drawing["positions"], np.float64).reshape(-1, 2) * (1, -1)  # y points down in the page
    nodes, hub = drawing["nodes"], drawing["hub"]
    ends = [positions[list(pair)] for pair in drawing["links"]]
    strength = max(0.15, min(0.8, 60 / max(1, len(ends)) + 0.15))
    axes.add_collection(LineCollection(ends, colors="#586574", linewidths=0.6, alpha=strength, zorder=1))
    x, y = positions.T
    if drawing["directed"]:
        (from_x, from_y), (to_x, to_y) = np.array(ends, np.float64).reshape(-1, 2, 2).transpose(1, 2, 0)
        part = 0.85  # the head stands before the receiver's dot, not under it
        axes.quiver(
            *(from_x, from_y, part * (to_x - from_x), part * (to_y - from_y)),
            angles="xy",
            scale_units="xy",
            scale=1,
            color="#586574",
            width=0.004,
            headwidth=4,
        )
    size = max(4.0, min(130.0, 2600 / max(1, len(nodes))))
    peers = [index for index, node in enumerate(nodes) if node != hub]
    shades = np.array([nan if (value := values.get(nodes[index])) is None else value for index in peers], np.float64)
    known = np.array(peers, int)[np.isfinite(shades)]
    axes.scatter(x[peers], y[peers], size, "white", edgecolors=_PALE, linewidths=0.8, zorder=2)
    if known.size:
        shades = shades[np.isfinite(shades)]
        best = metric.best(shades.tolist())
        apart = 0.02 * (1 if metric.unit == "share" else abs(best) or 1)  # as in the page: less is no difference
        colors = "viridis_r" if metric.higher_is_better is False else "viridis"
        low, high = (best, best + apart) if metric.higher_is_better is False else (best - apart, best)
        dots = axes.scatter(x[known], y[known], size, shades, cmap=colors, edgecolors="none", zorder=2)
        dots.set_clim(np.nanmin([low, *shades]), np.nanmax([high, *shades]))
        bar = axes.figure.colorbar(dots, ax=axes, shrink=0.75, label=metric.name.replace("_", " "))
        if metric.unit == "share":
            bar.formatter = percent_formatter()
    if hub in nodes:
        at = nodes.index(hub)
        axes.scatter(x[at], y[at], 1.6 * size, _INK, marker="s", zorder=3)
    if len(nodes) <= MAX_NAMED:
        for node, place in zip(nodes, positions, strict=True):
            axes.annotate(
                visible(node),
                (place[0], place[1]),
                (0, 0.6 * size**0.5 + (3 if node == hub else 1)),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=5.5,
                color=_INK,
                parse_math=False,
                zorder=4,
                in_layout=False,
            )
    axes.set_xlim(-1.18, 1.18)
    axes.set_ylim(-1.18, 1.18)
    axes.set_aspect("equal")
    axes.set_axis_off()
    set_title(axes, visible(drawing["title"]), 0.7, "center")


def draw_histogram(axes: "Axes", values: list[float], metric: Metric, label: str) -> None:
    """Draw how many peers of an algorithm end with which value of a metric."""
    axes.hist(values, bins=40, color="#0072b2")
    if metric.unit == "share":
        axes.xaxis.set_major_formatter(percent_formatter())
    axes.set_xlabel(f"{metric.name.replace('_', ' ')} at the end")
    axes.set_ylabel("peers")
    set_title(axes, visible(label))


def draw_contact(axes: "Axes", found: Mapping[str, Any], label: str, clock: str) -> None:
    """Draw when links were interrupted and who left, as the report has it (`gossipfl.report.contact.contact`)."""
    rows = [(" \N{LEFT RIGHT ARROW} ".join(link["peers"]), link["bars"], "#d55e00") for link in found["links"]]
    rows += [(f"{one['peer']} left", [(one["start"], one["end"])], _PALE) for one in found["departures"]]
    least = found["end"] / 300  # an interruption of a moment would not be seen
    for place, (_, bars, color) in enumerate(rows):
        axes.broken_barh([(start, max(least, end - start)) for start, end in bars], (place - 0.3, 0.6), color=color)
    axes.set_yticks(range(len(rows)), [visible(name) for name, _, _ in rows], parse_math=False)
    axes.tick_params(axis="y", length=0, labelsize=6)
    break_names(axes)
    axes.invert_yaxis()
    axes.set_xlim(0, found["end"] or 1)
    axes.set_xlabel(f"{clock} (s)")
    set_title(axes, visible(label), 0.55)
