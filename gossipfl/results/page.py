"""A run as a piece of HTML for notebooks: its table, and its curves as pictures; no scripts, and every text escaped."""

from collections.abc import Collection
from html import escape

from gossipfl.figures.curves import Against, curves, looks
from gossipfl.figures.paper_table import html_table
from gossipfl.names.visible_text import visible
from gossipfl.results.picture import legend, picture
from gossipfl.runs.files import Run
from gossipfl.scores import LOSS


def html_of(run: Run) -> str:
    """The name of a run, its table, and the first metric of what is deployed over rounds and over bytes."""
    manifest = run.manifest
    metric = next(iter(manifest.metrics), LOSS)
    rows = [row.model_dump() for row in run.history]
    bounds = {algorithm.label for algorithm in manifest.algorithms if algorithm.bound}
    style = looks([algorithm.label for algorithm in manifest.algorithms], bounds)

    def shown(value: float) -> str:
        return f"{100 * value:g} %" if metric.unit == "share" else f"{value:g}"

    def drawn(against: Against, words: str, unit: float, labels: Collection[str]) -> str:
        found = curves(rows, f"deployed_{metric.name}", against)
        title = f"{metric.name} of what is deployed"
        own = {label: found[label] for label in labels if label in found}
        return picture(title, own, style, words, lambda x: f"{x / unit:g}", shown)

    sending = [row.label for row in run.summary.rows if row.num_bytes is not None and row.num_bytes.mean]
    pictures = drawn("round", "round", 1, style) + drawn("num_bytes", "MB sent by all", 1e6, sending)
    heading = f"<p><b>{escape(visible(manifest.name))}</b> {escape(visible(manifest.description or ''))}</p>"
    return f"<div>{heading}{html_table(run)}{pictures}{legend(style)}</div>"
