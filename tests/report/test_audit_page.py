"""The page of an audit: figures for everybody, examples of peers only where they are asked for."""

import asyncio
import json
import struct
import zlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from chromium import chromium_page, chromium_path

from gossipfl.audits.defences import Defence
from gossipfl.audits.findings import Finding, Likeness, Mean, Rebuilt
from gossipfl.audits.places import Attacker
from gossipfl.report.audit import audit_html, write_audit
from gossipfl.report.png import png

AUDIT = SimpleNamespace(
    label="<synchronous>",
    plan=SimpleNamespace(attacker=Attacker.NEIGHBOR),
    scenario=SimpleNamespace(name="toy", seed=0),
    dataset=SimpleNamespace(name="digits"),
)
IMAGE = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
FINDINGS = [
    Finding(
        Defence.parsed("none"),
        attack="closed form",
        rounds=20,
        rebuilt=[Rebuilt(0, "<b>", "a", IMAGE, IMAGE, Likeness(99.0, 1, 1), Likeness(11.0, 0.4, 0.1))],
    ),
    Finding(Defence.parsed("secure"), refused="peer '0' has one neighbor"),
]


def test_examples_of_peers_are_shown_only_where_they_are_asked_for(tmp_path) -> None:
    page = write_audit(tmp_path, AUDIT, FINDINGS, "gossipfl audit toy", shows_examples=False).read_text("utf-8")
    assert "data:image" not in page
    assert "--show-examples" in page
    assert audit_html(AUDIT, FINDINGS, "", shows_examples=True).count("data:image/png") == 2
    assert "original" not in (tmp_path / "audit.json").read_text("utf-8")


def test_page_and_figures_say_by_which_command_they_were_made(tmp_path) -> None:
    command = "gossipfl audit toy --set 'a=<b>'"
    page = write_audit(tmp_path, AUDIT, FINDINGS, command, shows_examples=False).read_text("utf-8")
    assert "Made by <code>gossipfl audit toy --set &#x27;a=&lt;b&gt;&#x27;</code>" in page
    assert json.loads((tmp_path / "audit.json").read_text("utf-8"))["command"] == command
    assert "99.0<small>guess 11.0</small>" in page


@pytest.mark.browser
@pytest.mark.skipif(chromium_path() is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
def test_nothing_scrolls_sideways_on_screens_of_any_usual_width(tmp_path) -> None:
    """With the widest figures that there are, and more examples than fit beside each other."""
    many = [FINDINGS[0].rebuilt[0]] * 20
    rates = (Mean(0.0153, 0.0022, 20),) * 2
    wide = [
        replace(FINDINGS[0], defence=Defence.parsed(name), rebuilt=many, true_positives=rates, **figures)
        for name in ("none", "steps=16x", "encryption")
        for figures in [{"metric": "accuracy", "score": 0.202, "num_bytes": 9_917_600}]
    ]
    file = write_audit(
        tmp_path, AUDIT, [*wide, FINDINGS[1]], "gossipfl audit toy" + " --set a=b" * 30, shows_examples=True
    )

    async def overflows() -> list[list[float]]:
        async with chromium_page() as page:
            found = []
            for width in (1280, 800):
                await page.open(file, width=width)
                parts = "[document.documentElement, ...document.querySelectorAll('.wide, .strip')]"
                found.append(await page.evaluate(f"{parts}.map((part) => part.scrollWidth - part.clientWidth)"))
            return found

    assert asyncio.run(overflows()) == [[0] * 5] * 2


def test_names_are_text_and_nothing_is_loaded() -> None:
    page = audit_html(AUDIT, FINDINGS, "", shows_examples=True)
    assert "<b>" not in page
    assert "&lt;synchronous&gt;" in page
    assert "default-src 'none'; img-src data:" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "secure cannot be had here: peer &#x27;0&#x27; has one neighbor" in page


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 3)])
def test_a_png_holds_the_pixels(shape) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    file = png(pixels)
    start = file.index(b"IDAT")
    (size,) = struct.unpack(">I", file[start - 4 : start])
    lines = np.frombuffer(zlib.decompress(file[start + 4 : start + 4 + size]), np.uint8).reshape(2, -1)
    assert (lines[:, 0] == 0).all()
    assert np.array_equal(lines[:, 1:], pixels.reshape(2, -1))
