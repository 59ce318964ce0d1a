"""What the README and the guides show runs: each page from top to bottom, at toy size where it would take long."""

import doctest
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from softmax_trainer import run_without_tensorflow
from typer.testing import CliRunner

from gossipfl.cli.app import app
from gossipfl.scenario import Scenario

ROOT = Path(__file__).parents[1]

WALKED = (
    "README.md",
    "docs/comparing.md",
    "docs/first_steps.md",
    "docs/own_data.md",
    "docs/own_model.md",
    "docs/publishing.md",
    "docs/python.md",
    "docs/scaling.md",
    "docs/tracking.md",
)
FAST = {"docs/comparing.md", "docs/first_steps.md", "docs/publishing.md", "docs/tracking.md"}
"""Pages of classifications that run with a trainer of NumPy, because building models is what takes time."""

ELSEWHERE = {
    "CONTRIBUTING.md": {"bash": "test_docs_design.py"},
    "docs/algorithms.md": {"toml": "test_docs_algorithms.py"},
    "docs/analytics.md": dict.fromkeys(("pycon", "sh", "toml"), "test_docs_analytics.py"),
    "docs/data.md": dict.fromkeys(("python", "toml"), "test_docs_data.py"),
    "docs/deploying.md": {"sh": "test_docs_deploying.py"},
    "docs/deploy/README.md": {"sh": "deploy/test_deployment_files.py", "toml": "test_pages.py"},
    "docs/embedding.md": {"python": "test_docs_embedding.py"},
    "docs/metrics.md": {"toml": "test_docs_metrics.py"},
    "docs/models.md": dict.fromkeys(("python", "toml"), "test_docs_models.py"),
    "docs/privacy.md": dict.fromkeys(("bash", "toml"), "test_docs_privacy.py"),
    "docs/own_algorithm.md": dict.fromkeys(("bash", "diff", "python", "sh"), "test_docs_own_algorithm.py"),
}
"""Pages whose blocks are run by tests of their own: which, by language."""


@dataclass(frozen=True)
class Block:
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that the block is, if its first line is a comment that says so."""
        named = re.match(r"# ([\w./]+\.\w+)\n", self.text)
        return named and named[1]


def blocks(page: str) -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [Block(language, text) for language, text in found if language not in ("", "{toctree}")]


def test_every_block_is_run_by_a_test() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in (str(path.relative_to(ROOT)) for path in pages):
        languages = {block.language for block in blocks(page)} - {"nginx"}  # which is not there
        if page in WALKED:
            assert languages <= {"bash", "pycon", "python", "sh", "toml"}, page
            continue
        tests = ELSEWHERE.get(page, {})
        assert languages == set(tests), page
        for language, test in tests.items():
            text = (ROOT / "tests" / test).read_text("utf-8")
            assert f"```{language}" in text, f"{test} runs no {language} of {page}"
            assert Path(page).name in text, f"{test} does not read {page}"


TOY = ["--set", "rounds=1", "--set", "data.max_train=400", "--set", "data.max_test=100"]
RUNS = ("compare", "launch", "simulate", "sweep")
STEPS = ("python3 -m venv", "source ", "export ", ".venv/bin/", "gossipfl --install-completion")
"""Lines that are not repeated here: `.ci/run` installs, `cli/test_completion.py` completes, and Ray has its tests in
`training/test_ray_trainer.py`."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
@pytest.mark.parametrize("page", WALKED)
def test_page_runs_from_top_to_bottom(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if any("launch four_terminals" in block.text for block in blocks(page)):
        request.getfixturevalue("ports_of_four_terminals")
    if page in FAST:
        run_without_tensorflow(monkeypatch)
    else:
        pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("houses.csv").write_text(HOUSES)  # which the README supposes
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.file:
            Path(block.file).write_text(block.text)
        if block.language == "python":
            exec(compile(block.text, page, "exec"), names)
        elif block.language == "toml":
            Scenario(**tomllib.loads(block.text))
        elif block.language == "pycon":
            example = doctest.DocTestParser().get_doctest(block.text, {}, page, page, 0)
            assert doctest.DocTestRunner().run(example).failed == 0
        else:
            for line in block.text.splitlines():
                if not line.startswith(STEPS):
                    run_here(line)


def run_here(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "gossipfl", line
    if arguments[0] in RUNS and "--resume" not in arguments:
        arguments += TOY
    arguments = ["svg" if word == "pdf" else word for word in arguments]  # which takes half of the time
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, f"{line}\n{result.output}"
    assert result.output.strip(), line


HOUSES = "\n".join(
    ["rooms,area,region,price", *(f"{i % 5 + 1},{0.5 + i % 7 / 10},{i % 6},{i % 5 + i % 7}" for i in range(120))]
)


def test_scenarios_of_hosts_are_accepted() -> None:
    for text in re.findall(
        r"```toml\n(.*?)```", (ROOT / "docs" / "deploy" / "README.md").read_text("utf-8"), re.DOTALL
    ):
        assert Scenario(topology="four-hosts", **tomllib.loads(text)).algorithms


def test_guarantees_name_tests_that_exist() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    defined = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) >= 15
    for row in rows:
        assert "`test_" in row, row
    assert set(re.findall(r"`(test_\w+)`", text)) <= defined
