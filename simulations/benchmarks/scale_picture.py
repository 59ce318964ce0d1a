"""Curves over the number of peers as SVG, both axes logarithmic."""

from collections.abc import Mapping
from math import ceil, floor, log10

WIDTH, HEIGHT, MARGIN, INSET = 400, 260, 48, 24


def picture(curves: Mapping[str, Mapping[int, float]]) -> str:
    """One panel for each title; `curves` has a value for each number of peers."""
    panels = "".join(
        f'<g transform="translate({number * WIDTH})">{_panel(title, curve)}</g>'
        for number, (title, curve) in enumerate(curves.items())
    )
    width = len(curves) * WIDTH
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>{panels}</svg>\n'
    )


def _panel(title: str, curve: Mapping[int, float]) -> str:
    left, right = log10(min(curve)), log10(max(curve))
    bottom, top = floor(log10(min(curve.values()))), ceil(log10(max(curve.values())))
    parts = [f'<text x="{WIDTH / 2}" y="20" text-anchor="middle" font-size="14">{title}</text>']

    def across(peers: float) -> float:
        return MARGIN + INSET + (WIDTH - 2 * (MARGIN + INSET)) * (log10(peers) - left) / (right - left)

    def up(value: float) -> float:
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (log10(value) - bottom) / (top - bottom)

    for power in range(bottom, top + 1):
        y = up(10.0**power)
        parts.append(f'<path d="M{MARGIN} {y:.1f}H{WIDTH - MARGIN}" stroke="#ddd"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    points = " ".join(f"{across(peers):.1f},{up(value):.1f}" for peers, value in curve.items())
    parts.append(f'<polyline points="{points}" fill="none" stroke="#1f6fb4" stroke-width="2"/>')
    for peers, value in curve.items():
        x, y = across(peers), up(value)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#1f6fb4"/>')
        parts.append(f'<text x="{x:.1f}" y="{y - 9:.1f}" text-anchor="middle">{value:.2g}</text>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">{peers:,}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">peers</text>')
    return "".join(parts)
