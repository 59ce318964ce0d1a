"""The report's charts on the axes of matplotlib: curves with their range over seeds, spread over peers, traffic."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite, nan
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from gossipfl.figures.canvas import break_lines, break_names, percent_formatter, set_title
from gossipfl.figures.curves import Against, Curve, curves, looks
from gossipfl.figures.paper_table import shown_target
from gossipfl.names.visible_text import visible
from gossipfl.scores import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

ASPECTS_IN_WORDS = {
    "deployed": "{} of what is deployed",
    "average": "{} of the average model",
    "mean": "{} of peers, mean",
    "worst": "{} of the worst peer",
    "best": "{} of the best peer",
    "training": "{} in training",
}

_AXES_IN_WORDS: dict[str, str] = {
    "round": "round",
    "num_bytes": "bytes sent by all",
    "epochs": "epochs",
    "num_examples": "examples per peer",
    "epsilon": "epsilon spent, at the peer that spent most",
}

_MANY_PEERS = 60
"""More peers than this are shown as bands, as in the report."""

_LINE = 0.13
"""Inches that a line of a name beside a bar takes."""

_HANDLE = 0.6
"""Inches of a legend's column that the line and the gaps beside a name take."""

_TIME_UNITS = ((2 * 86400, "d", 86400.0), (7200, "h", 3600.0), (120, "min", 60.0), (0, "s", 1.0))

Rows = Iterable[Mapping[str, Any]]


def draw_curves(
    axes: "Axes",
    rows: Rows,
    metric: Metric,
    aspect: str = "deployed",
    against: Against = "round",
    *,
    bounds: Collection[str] = (),
    targets: Sequence[float] = (),
    smoothing: int = 1,
    clock: str = "virtual time",
) -> None:
    """Draw a metric of every algorithm, from the flat rows of a history: mean over seeds, and the band they span.

    `aspect` is one of `gossipfl.measured.ASPECTS`; `bounds` are labels that are gray, and of those that send nothing
    there is only a level when x is bytes. Raises ConfigurationError as `curves` does.
    """
    words = ASPECTS_IN_WORDS.get(aspect, aspect + " {}").format(metric.name.replace("_", " "))
    found = curves(rows, f"{aspect}_{metric.name}", against, smoothing)
    entries = _draw_lines(axes, found, bounds, against, clock)
    for target in targets:  # thin and without gaps, as no bound is
        line = axes.axhline(target, color="#586574", linewidth=0.5, zorder=1)
        entries[f"target{'s' * (len(targets) > 1)}: {', '.join(shown_target(one, metric) for one in targets)}"] = line
    _add_legend(axes, entries)
    _name_axis(axes.yaxis, metric)
    axes.set_ylabel(words)


def draw_consensus(axes: "Axes", rows: Rows, *, bounds: Collection[str] = (), smoothing: int = 1) -> None:
    """Draw the consensus distance of every algorithm over rounds, on a logarithmic axis; whoever is at exactly zero
    throughout, as the clients of a server, is named in the place of a line."""
    found = curves(rows, "consensus_distance", "round", smoothing)
    zero = [label for label, curve in found.items() if curve.is_measured and not any(y > 0 for y in curve.y)]
    _add_legend(axes, _draw_lines(axes, found, bounds, "round", "", only_positive=True))
    if axes.lines:
        axes.set_yscale("log")
    axes.set_ylabel("consensus distance")
    if zero:
        set_title(axes, f"exactly zero: {', '.join(map(visible, zero))}")


def draw_spread(axes: "Axes", rows: Rows, metric: Metric, label: str) -> None:
    """Draw a metric of each peer of one algorithm over rounds, of its first seed, with their mean; of many peers all,
    the middle 80 % and the middle half as bands, with their mean and their median."""
    own = [row for row in rows if row["algorithm"] == label and row.get(f"peer_{metric.name}")]
    first = min((row["seed"] for row in own), default=None)
    by_round = {row["round"]: row[f"peer_{metric.name}"] for row in own if row["seed"] == first}
    rounds = sorted(by_round)
    peers = list(dict.fromkeys(peer for of_peers in by_round.values() for peer in of_peers))
    known = {at: sorted(y for y in by_round[at].values() if y is not None and isfinite(y)) for at in rounds}
    color = looks([label])[label].color
    if len(peers) > _MANY_PEERS:
        for share, strength in ((0.0, 0.14), (0.1, 0.18), (0.25, 0.25)):
            low, high = ([_quantile(known[at], one) for at in rounds] for one in (share, 1 - share))
            axes.fill_between(rounds, low, high, color=color, alpha=strength, linewidth=0)
        middle = [median(known[at]) if known[at] else nan for at in rounds]
        axes.plot(rounds, middle, color=color, linewidth=1, linestyle=(0, (4, 2)))
    for peer in peers if len(peers) <= _MANY_PEERS else ():
        values = [nan if (y := by_round[at].get(peer)) is None else y for at in rounds]
        axes.plot(rounds, values, color=color, linewidth=0.5, alpha=0.45)
    axes.plot(rounds, [fmean(known[at]) if known[at] else nan for at in rounds], color=color, linewidth=1.8)
    if len(rounds) == 1:
        axes.plot(rounds * len(known[rounds[0]]), known[rounds[0]], "o", color=color, markersize=3)
    _name_axis(axes.yaxis, metric)
    _name_x_axis(axes.xaxis, "round", "", 0.0)
    axes.set_ylabel(f"{metric.name.replace('_', ' ')} of each peer")
    set_title(axes, visible(label))


def draw_traffic(axes: Sequence["Axes"], sizes: Mapping[str, tuple[float | None, float | None]]) -> None:
    """Draw the bytes of each algorithm, by label, on two axes with scales of their own: those sent by all, and those
    sent and received by the busiest participant; a figure that has no other axes grows by names of several lines."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    colors = [look.color for look in looks(list(sizes)).values()]
    for one, part, words in zip(axes, (0, 1), ("sent by all", "at the busiest"), strict=True):
        values = [nan if (value := size[part]) is None else value for size in sizes.values()]
        one.barh(range(len(sizes)), values, 0.6, color=colors)
        one.set_yticks(range(len(sizes)), [visible(label) for label in sizes] if part == 0 else [], parse_math=False)
        one.invert_yaxis()
        one.tick_params(axis="y", length=0)
        one.grid(False, axis="y")
        one.xaxis.set_major_locator(MaxNLocator(2))
        one.xaxis.set_major_formatter(EngFormatter("B"))
        one.set_xlabel(words)
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    num_lines = break_names(axes[0])
    if len(figure.axes) == 2:
        figure.set_figheight(max(figure.get_figheight(), 0.6 + _LINE * (num_lines + 0.5) * len(sizes)))


def _draw_lines(
    axes: "Axes",
    found: Mapping[str, Curve],
    bounds: Collection[str],
    against: Against,
    clock: str,
    only_positive: bool = False,
) -> dict[str, Any]:
    """Draw the lines, and return them by what a legend says of them."""
    style = looks(list(found), bounds)
    entries: dict[str, Any] = {}
    unit = _name_x_axis(axes.xaxis, against, clock, max((x for one in found.values() for x in one.x), default=1.0))
    for label, curve in found.items():
        if not curve.is_measured:
            continue
        look = style[label]
        drawn: Any = {"color": look.color, "linewidth": look.width, "linestyle": (0, look.dash) if look.dash else "-"}
        if against == "num_bytes" and label in bounds and not any(x > 0 for x in curve.x):
            level = next(y for y in reversed(curve.y) if isfinite(y))
            entries[f"{label}, at the end, without a byte"] = axes.axhline(level, **drawn)
            continue
        x = [one / unit for one in curve.x]
        y, low, high = (
            [one if one > 0 or not only_positive else nan for one in side] for side in (curve.y, curve.low, curve.high)
        )
        if not any(map(isfinite, y)):
            continue
        (entries[label],) = axes.plot(x, y, **drawn)
        alone = _alone(y)
        axes.plot([x[at] for at in alone], [y[at] for at in alone], "o", color=look.color, markersize=3)
        if curve.num_seeds > 1:
            axes.fill_between(x, low, high, color=look.color, alpha=0.14, linewidth=0)
    return entries


def _alone(values: Sequence[float]) -> list[int]:
    """The points with no neighbor to draw a line to: they are dots."""
    has = [False, *map(isfinite, values), False]
    return [at for at in range(len(values)) if has[at + 1] and not has[at] and not has[at + 2]]


def _add_legend(axes: "Axes", entries: Mapping[str, Any]) -> None:
    """Below the axes of a figure that has no others, which grows by it; else within, where it covers least. Long names
    have several lines; a line alone needs no name."""
    if len(entries) < 2:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    texts = [visible(label) for label in entries]
    blanks = [" "] * len(texts)  # texts follow: as labels, those with an underscore in front would be left out
    if len(figure.axes) == 1 and figure.get_layout_engine() is not None:
        width = figure.get_figwidth()
        num_columns = max(1, min(len(texts), int(width / (0.06 * max(map(len, texts)) + 0.5))))
        legend = figure.legend(entries.values(), blanks, loc="outside lower center", ncols=num_columns)
    else:
        width, num_columns = 0.8 * figure.get_figwidth() * axes.get_position().width, 1
        legend = axes.legend(entries.values(), blanks, loc="best")
    for shown, text in zip(legend.get_texts(), texts, strict=True):
        shown.set_text(text)
        shown.set_parse_math(False)
        break_lines(shown, width / num_columns - _HANDLE)
    if legend in figure.legends:
        figure.set_figheight(figure.get_figheight() + legend.get_window_extent().height / figure.dpi)


def _name_x_axis(axis: "Axis", against: Against, clock: str, largest: float) -> float:
    """Name an axis, and return the number that what is drawn on it is divided by."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    if against == "time":
        _, unit, seconds = next(one for one in _TIME_UNITS if largest >= one[0])
        axis.set_label_text(f"{clock} ({unit})")
        return seconds
    axis.set_label_text(_AXES_IN_WORDS[against])
    if against == "num_bytes":
        axis.set_major_formatter(EngFormatter("B"))
        axis.set_major_locator(MaxNLocator(5))
    elif against == "round":
        axis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    return 1.0


def _name_axis(axis: "Axis", metric: Metric) -> None:
    if metric.unit == "share":
        axis.set_major_formatter(percent_formatter())


def _quantile(values: Sequence[float], share: float) -> float:
    """Between two values by their distance, as in the report."""
    if not values:
        return nan
    place = share * (len(values) - 1)
    below = int(place)
    above = values[min(below + 1, len(values) - 1)]
    return values[below] + (place - below) * (above - values[below])
