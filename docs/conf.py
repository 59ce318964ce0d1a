"""Makes a site of the pages in this folder: `sphinx-build -W docs site` (extra `docs`)."""

import json
import os
import re
from pathlib import Path

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx

import gossipfl

project = "gossipfl"
version = release = gossipfl.__version__
copyright = "the authors of gossipfl, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown", ".ipynb": "notebook"}
myst_heading_anchors = 4
html_theme = "furo"
html_title = "gossipfl"
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"


DOCS = Path(__file__).parent
ABOVE = {
    "benchmarks": "simulations/benchmarks/README.md",
    "changes": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "security": "SECURITY.md",
}
"""Pages of the site that stand beside the code, where people look for them; here they are one link each."""


def _within_the_site(app: Sphinx, name: str, source: list[str]) -> None:
    """Pages from above this folder are taken in, and links to them lead to where they are in the site."""
    file = DOCS.parent / ABOVE[name] if name in ABOVE else DOCS / f"{name}.md"
    names = {DOCS.parent / above: DOCS / f"{page}.md" for page, above in ABOVE.items()}

    def link(found: re.Match[str]) -> str:
        target = (file.parent / found[1]).resolve()
        return f"]({os.path.relpath(names.get(target, target), (DOCS / name).parent)}"

    text = file.read_text("utf-8") if name in ABOVE else source[0]
    source[0] = re.sub(r"\]\(([\w./-]+\.\w+)(?=[)#])", link, text)


def _of_docstrings(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text with `names` between backticks, indented formulas, and examples."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    lines[:] = "\n\n".join(map(_restructured, paragraphs)).splitlines()


def _restructured(paragraph: str) -> str:
    if paragraph.lstrip().startswith(">>> "):
        return paragraph
    if paragraph.startswith("    "):
        return "::\n\n" + paragraph
    text, *others = paragraph.split("`")
    code = (f"``{other}``" if i % 2 == 0 else _escaped(other) for i, other in enumerate(others))
    return _escaped(text) + "".join(code)


def _escaped(text: str) -> str:
    return re.sub(r"([*|_\\])", r"\\\1", text)


class Notebook(MystParser):
    """Notebooks are pages of text and code; what comes of the code is seen by running it."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        cells = (("".join(cell["source"]), cell["cell_type"]) for cell in json.loads(inputstring)["cells"])
        super().parse("\n\n".join(text if kind == "markdown" else _code(text) for text, kind in cells), document)


def _code(text: str) -> str:
    has_commands = re.search(r"^[!%]", text, re.MULTILINE)  # which are not Python
    return f"```{'text' if has_commands else 'python'}\n{text}\n```"


def setup(app: Sphinx) -> None:
    app.add_source_parser(Notebook)
    app.connect("source-read", _within_the_site)
    app.connect("autodoc-process-docstring", _of_docstrings)
