"""The pictures of `docs/concepts.md` can be drawn again, and are those that it shows."""

import re
import runpy
from pathlib import Path

import pytest
from softmax_trainer import run_without_tensorflow

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.long
def test_pictures_are_those_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    run_without_tensorflow(monkeypatch)
    script = runpy.run_path(str(DOCS / "pictures.py"))
    script["_two_labels"].__globals__["ROUNDS"] = 2
    script["draw"](tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    shown = re.findall(r"]\(pictures/([\w.]+)\)", (DOCS / "concepts.md").read_text("utf-8"))
    assert drawn == set(shown) == {path.name for path in (DOCS / "pictures").iterdir()}
    for name in drawn:
        assert re.findall(r">([\w ]+)</text>", (tmp_path / name).read_text()), f"{name} says nothing"
