"""The notebooks run from top to bottom, at small size, and show what they promise."""

import os
import re
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own parts
@pytest.mark.parametrize("name", sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")))
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    book = nbformat.read(NOTEBOOKS / name, as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells)  # they are not kept, so that changes can be read
    for cell in book.cells:
        cell.source = re.sub(r"^ROUNDS, SEEDS = .*$", "ROUNDS, SEEDS = 2, 2", cell.source, flags=re.MULTILINE)
        cell.source = re.sub(r"^ROUNDS = .*$", "ROUNDS = 2", cell.source, flags=re.MULTILINE)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # with which a kernel would keep to itself what TensorFlow writes
    resources = {"metadata": {"path": tmp_path}}
    nbclient.NotebookClient(book, timeout=240, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    written = "".join(output.text for output in outputs if output.get("name") == "stderr")
    imports_keras = any("import keras" in cell.source for cell in book.cells)  # itself, and gets TensorFlow's notes
    assert imports_keras or written == ""
    pages = "".join(output.data.get("text/html", "") for output in outputs if "data" in output)
    assert "<polyline" in pages
    assert "2/2" in pages  # the bars of `progress`
    assert any("image/png" in output.data for output in outputs if "data" in output)
