"""The live page is the report's page with other sections: its style, scripts and charts, and two scripts more."""

import html
from functools import cache
from importlib import resources
from string import Template

from gossipfl.dashboard.card import JSON
from gossipfl.names.visible_text import LINES, all_visible, visible
from gossipfl.report.html import SCRIPTS, UPLOT, csp_digest, embedded_json, packaged

_SCRIPTS = SCRIPTS[: SCRIPTS.index("report.js")]
"""What the report draws with, but for the file that draws the report itself."""


def live_html(page: JSON) -> str:
    """The page as text, with what there is to show by now (`Board.page`)."""
    return Template(_own("template.html")).substitute(
        title=html.escape(visible(str(page["run"]["manifest"]["name"]))),
        license=packaged(f"{UPLOT}/LICENSE").strip(),
        style=_style(),
        script=_script(),
        run=embedded_json(all_visible(page["run"], LINES)),
        live=embedded_json(page["live"]),
    )


@cache
def policy() -> str:
    """The Content-Security-Policy of the page: this script, this style, and a stream from where the page is from."""
    return (
        f"default-src 'none'; script-src '{csp_digest(_script())}'; style-src '{csp_digest(_style())}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@cache
def _script() -> str:
    shared = [packaged(f"{UPLOT}/uPlot.iife.min.js"), *(packaged(f"page/{name}") for name in _SCRIPTS)]
    return "\n".join([*shared, _own("graph.js"), _own("live.js")])


@cache
def _style() -> str:
    return "\n".join([packaged(f"{UPLOT}/uPlot.min.css"), packaged("page/report.css"), _own("live.css")])


def _own(name: str) -> str:
    return resources.files("gossipfl.dashboard").joinpath("page", name).read_text(encoding="utf-8")
