"""A run as a piece of HTML for notebooks: its table, and its curves as pictures; no scripts, and every text escaped."""

from html import escape

from gossipfl.figures.curves import Against, curves, looks
from gossipfl.figures.paper_table import html_table
from gossipfl.names.visible_text import visible
from gossipfl.results.picture import picture
from gossipfl.runs.files import Run
from gossipfl.scores import LOSS


def html_of(run: Run) -> str:
    """The name of a run, its table, and the first metric of what is deployed over rounds and over bytes."""
    manifest = run.manifest
    metric = next(iter(manifest.metrics), LOSS)
    rows = [row.model_dump() for row in run.history]
    bounds = {algorithm.label for algorithm in manifest.algorithms if algorithm.bound}
    style = looks([algorithm.label for algorithm in manifest.algorithms], bounds)
    axes: dict[Against, str] = {"round": "round", "num_bytes": "MB sent by all"}
    pictures = [
        picture(
            f"{metric.name} of what is deployed",
            curves(rows, f"deployed_{metric.name}", against),
            style,
            words,
            (lambda x: f"{x:g}") if against == "round" else lambda x: f"{x / 1e6:g}",
            (lambda y: f"{100 * y:g} %") if metric.unit == "share" else lambda y: f"{y:g}",
        )
        for against, words in axes.items()
    ]
    heading = f"<p><b>{escape(visible(manifest.name))}</b> {escape(visible(manifest.description or ''))}</p>"
    return f"<div>{heading}{html_table(run)}{''.join(pictures)}</div>"
