"""The page of an audit, `audit.html`, and its figures, `audit.json`: self-contained, without scripts."""

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from gossipfl.audits.audit import Audit
from gossipfl.audits.findings import Finding, Rebuilt
from gossipfl.audits.summary import HEADINGS, Cell, cells, notes
from gossipfl.files.strict_json import strict_json
from gossipfl.files.whole_files import write_whole
from gossipfl.names.visible_text import visible
from gossipfl.report.html import csp_digest, packaged
from gossipfl.report.png import png

MAX_SHOWN = 12
"""Pairs of an original and what was rebuilt, for each defence."""


def write_audit(
    directory: Path, audit: Audit, findings: Sequence[Finding], command: str, *, shows_examples: bool
) -> Path:
    """Write both files of an audit that a `command` has made, and return the path of the page. Only with
    `shows_examples` there are examples of peers, and what was rebuilt of them, in it; `audit.json` has none in any
    case."""
    figures = {
        "command": command,
        "scenario": audit.scenario.name,
        "algorithm": audit.label,
        "attacker": str(audit.plan.attacker),
        "seed": audit.scenario.seed,
        "findings": [finding.as_json() for finding in findings],
    }
    write_whole(directory / "audit.json", strict_json(figures, indent=1))
    page = directory / "audit.html"
    write_whole(page, audit_html(audit, findings, command, shows_examples=shows_examples))
    return page


def audit_html(audit: Audit, findings: Sequence[Finding], command: str, *, shows_examples: bool) -> str:
    """The page as text. Its Content-Security-Policy allows its own style and images inside it, and nothing else."""
    style = packaged("page/audit.css")
    pictures = [_SHOWN, *_pictures(findings)] if shows_examples else [_HIDDEN]
    return Template(packaged("page/audit.html")).substitute(
        policy=f"default-src 'none'; img-src data:; style-src '{csp_digest(style)}'; base-uri 'none'; "
        "form-action 'none'",
        style=style,
        title=_text(f"{audit.label}: what the {audit.plan.attacker} gets"),
        scenario=_text(f"{audit.scenario.name}, {audit.dataset.name}, seed {audit.scenario.seed}"),
        command=_text(command),
        headings=_row("th", [Cell(heading) for heading in HEADINGS]),
        rows="\n".join(_row("td", cells(finding)) for finding in findings),
        notes="\n".join(f"<li>{_text(note)}</li>" for note in notes(audit.plan.attacker, findings)),
        pictures="\n".join(pictures),
    )


_SHOWN = (
    "<p>Above: the example of a target that was rebuilt best. Below: what is most like it among all that was rebuilt; "
    "of whom nothing can be read, the guess. PSNR and SSIM are means over all examples of that training.</p>"
)
_HIDDEN = (
    '<p class="soft">The originals are training examples of peers, so neither they nor what was rebuilt of them is on '
    "this page; <code>gossipfl audit ... --show-examples</code> puts them there.</p>"
)


def _pictures(findings: Sequence[Finding]) -> Iterator[str]:
    """A strip for each defence: originals above what was rebuilt of them."""
    for finding in findings:
        if finding.refused is None:
            pairs = "\n".join(_pair(rebuilt) for rebuilt in finding.rebuilt[:MAX_SHOWN])
            yield f'<section><h2>{_text(finding.defence.name)}</h2><div class="strip">{pairs}</div></section>'


def _pair(rebuilt: Rebuilt) -> str:
    where = f"{rebuilt.target}, seed {rebuilt.seed}"
    images = "".join(
        f'<img alt="{_text(f"{what} of {where}")}" src="data:image/png;base64,{_picture(image)}">'
        for what, image in (("original", rebuilt.original), ("rebuilt", rebuilt.rebuilt))
    )
    caption = f"{rebuilt.found.psnr:.1f} dB, {rebuilt.found.ssim:.2f}"
    return f"<figure>{images}<figcaption>{_text(caption)}<br>{_text(where)}</figcaption></figure>"


def _picture(image: NDArray[np.float32]) -> str:
    """The PNG of an example: an image as it is, of one feature vector a row of bars; black and white are its own
    extremes where they are beyond 0 and 1."""
    pixels = np.atleast_2d(np.asarray(image, np.float64))
    pixels = pixels if pixels.ndim == 3 and pixels.shape[-1] == 3 else pixels.reshape(*pixels.shape[:2], -1)[..., 0]
    low, high = min(0.0, float(pixels.min())), max(1.0, float(pixels.max()))
    return base64.b64encode(png(np.rint(255 * (pixels - low) / (high - low)).astype(np.uint8))).decode()


def _row(tag: str, of: Sequence[Cell]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_text(one.text)}{_small(one.below)}</{tag}>" for one in of) + "</tr>"


def _small(text: str) -> str:
    return f"<small>{_text(text)}</small>" if text else ""


def _text(text: str) -> str:
    return html.escape(visible(text))
