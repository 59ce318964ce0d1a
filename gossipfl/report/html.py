"""One run as one HTML file that needs no network: template, style, scripts and data in a single text."""

import base64
import hashlib
import html
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

from gossipfl.files.strict_json import strict_json
from gossipfl.names.visible_text import LINES, all_visible, visible
from gossipfl.report.payload import page_payload
from gossipfl.runs.files import Run

SCRIPTS = (
    "format.js",
    "elements.js",
    "saving.js",
    "curves.js",
    "plot.js",
    "charts.js",
    "traffic.js",
    "findings.js",
    "winners.js",
    "table.js",
    "agreed.js",
    "colors.js",
    "drawings.js",
    "contact.js",
    "labels.js",
    "classes.js",
    "provenance.js",
    "report.js",
)
"""The page's own scripts, in the order in which they build on each other."""

UPLOT = "vendor/uplot-1.6.32"


def report_html(run: Run) -> str:
    """The whole report of `run` as text.

    A Content-Security-Policy allows exactly the script and the style written here, by their SHA-256 digests, and
    nothing from anywhere else: the page cannot load or send anything.
    """
    style = packaged(f"{UPLOT}/uPlot.min.css") + "\n" + packaged("page/report.css")
    script = packaged(f"{UPLOT}/uPlot.iife.min.js") + "\n" + "\n".join(packaged(f"page/{name}") for name in SCRIPTS)
    policy = (
        f"default-src 'none'; script-src '{csp_digest(script)}'; style-src '{csp_digest(style)}'; "
        f"base-uri 'none'; form-action 'none'"
    )
    return Template(packaged("page/template.html")).substitute(
        policy=policy,
        title=html.escape(visible(run.manifest.name)),
        license=packaged(f"{UPLOT}/LICENSE").strip(),
        style=style,
        script=script,
        run=embedded_json(all_visible(page_payload(run), LINES)),
    )


def embedded_json(value: Mapping[str, Any]) -> str:
    """JSON that is safe inside a script element: it holds no `<`, `>`, `&` or non-ASCII character, only their escapes.

    So neither `</script>` nor `<!--` can end the element, and U+2028 cannot end a line.
    Non-finite numbers become null (JSON has none).
    """
    return strict_json(value).replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def csp_digest(text: str) -> str:
    """The source expression that allows one inline element: base64 of SHA-256 of its text (CSP Level 2)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def packaged(path: str) -> str:
    return resources.files("gossipfl.report").joinpath(path).read_text(encoding="utf-8")
