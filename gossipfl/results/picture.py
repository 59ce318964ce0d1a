"""Curves as a static picture in SVG, for notebooks: no scripts, no style sheets, and every text escaped."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import floor, isfinite, log10

from gossipfl.figures.curves import Curve, Look
from gossipfl.names.visible_text import visible

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 420, 250, 54, 34, 26, 10
_MAX_POINTS = 400
"""More points than this are further apart than pixels only in the file."""


def picture(
    title: str,
    found: Mapping[str, Curve],
    style: Mapping[str, Look],
    x_words: str,
    shown_x: Callable[[float], str],
    shown_y: Callable[[float], str],
) -> str:
    """The curves with their bands, axes and ticks; empty where nothing is measured."""
    measured = {label: curve for label, curve in found.items() if curve.is_measured}
    ys = [y for one in measured.values() for side in (one.y, one.low, one.high) for y in side if isfinite(y)]
    xs = [x for one in measured.values() for x in one.x if isfinite(x)]
    if not ys or not xs:
        return ""
    x_ticks, y_ticks = _ticks(0.0, max(xs), 1.0), _ticks(min(ys), max(ys))  # rounds and bytes are whole

    def x_at(x: float) -> float:
        return _LEFT + (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (_WIDTH - _LEFT - _RIGHT)

    def y_at(y: float) -> float:
        return _HEIGHT - _BOTTOM - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (_HEIGHT - _BOTTOM - _TOP)

    def points(xs: Sequence[float], ys: Sequence[float]) -> str:
        return " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in zip(xs, ys, strict=True))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" font-family="sans-serif" font-size="11" fill="currentColor">',
        f"<title>{_text(title)}</title>",
        f'<text x="{_LEFT}" y="14" font-weight="bold">{_text(title)}</text>',
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">{_text(x_words)}</text>',
    ]
    parts += [
        f'<path d="M{_LEFT},{y_at(y):.1f} H{_WIDTH - _RIGHT}" stroke="currentColor" stroke-opacity="0.15"/>'
        f'<text x="{_LEFT - 6}" y="{y_at(y) + 4:.1f}" text-anchor="end">{_text(shown_y(y))}</text>'
        for y in y_ticks
    ]
    parts += [
        f'<text x="{x_at(x):.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">{_text(shown_x(x))}</text>'
        for x in x_ticks
    ]
    for label, curve in measured.items():
        look = style[label]
        for part in _unbroken(curve):
            line_x, line, low, high = ([side[at] for at in part] for side in (curve.x, curve.y, curve.low, curve.high))
            if curve.num_seeds > 1:
                band = f"{points(line_x, high)} {points(line_x[::-1], low[::-1])}"
                parts.append(f'<polygon points="{band}" fill="{look.color}" fill-opacity="0.14"/>')
            parts.append(
                f'<polyline points="{points(line_x, line)}" {_stroke(look)}><title>{_text(label)}</title></polyline>'
            )
            if len(part) == 1:
                parts.append(f'<circle cx="{x_at(line_x[0]):.1f}" cy="{y_at(line[0]):.1f}" r="2" fill="{look.color}"/>')
    return "".join([*parts, "</svg>"])


def legend(style: Mapping[str, Look]) -> str:
    """The lines of all labels, with their names."""
    entries = [
        f'<span style="white-space: nowrap"><svg width="26" height="9"><path d="M2,5 H24" {_stroke(look)}/></svg> '
        f"{_text(label)}</span>"
        for label, look in style.items()
    ]
    return f"<p>{'&ensp; '.join(entries)}</p>"


def _stroke(look: Look) -> str:
    dashes = " ".join(f"{look.width * one:g}" for one in look.dash) or "none"
    return f'fill="none" stroke="{look.color}" stroke-width="{look.width}" stroke-dasharray="{dashes}"'


def _text(text: str) -> str:
    return escape(visible(text))


def _unbroken(curve: Curve) -> list[list[int]]:
    """The numbers of points that a line goes through without a gap, thinned where there are very many."""
    parts: list[list[int]] = [[]]
    for at, (x, y) in enumerate(zip(curve.x, curve.y, strict=True)):
        if isfinite(x) and isfinite(y):
            parts[-1].append(at)
        elif parts[-1]:
            parts.append([])
    step = -(-len(curve.x) // _MAX_POINTS)
    return [sorted({*part[::step], part[-1]}) for part in parts if part]


def _ticks(low: float, high: float, least_step: float = 0.0) -> list[float]:
    """Round numbers from at most `low` to at least `high`, four to seven of them.

    >>> _ticks(0.0, 20.0)
    [0.0, 5.0, 10.0, 15.0, 20.0]
    """
    span = high - low or abs(high) or 1.0
    rough = max(span / 4, least_step)
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = floor(low / step + 1e-9), -floor(-high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, max(last, first + 1) + 1)]
