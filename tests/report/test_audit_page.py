"""The page of an audit: figures for everybody, examples of peers only where they are asked for."""

import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from gossipfl.audits.defences import Defence
from gossipfl.audits.findings import Finding, Rebuilt
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
    Finding(Defence.parsed("none"), attack="closed form", rebuilt=[Rebuilt(0, "<b>", "a", IMAGE, IMAGE, 99.0, 1, 1)]),
    Finding(Defence.parsed("secure"), refused="peer '0' has one neighbor"),
]


def test_examples_of_peers_are_shown_only_where_they_are_asked_for(tmp_path) -> None:
    page = write_audit(tmp_path, AUDIT, FINDINGS, shows_examples=False).read_text("utf-8")
    assert "data:image" not in page
    assert "--show-examples" in page
    assert audit_html(AUDIT, FINDINGS, shows_examples=True).count("data:image/png") == 2
    assert "original" not in (tmp_path / "audit.json").read_text("utf-8")


def test_names_are_text_and_nothing_is_loaded() -> None:
    page = audit_html(AUDIT, FINDINGS, shows_examples=True)
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
