"""The house rules of gossipfl that no reviewer has to watch: floors, late imports, pure peers."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import networkx as nx
import pytest
from house import FLOORS, MODULES, ROOT, dotted, floor, graph, imports, tree

import gossipfl

THINKING = 2
"""The highest floor without input, output, clocks, threads, frameworks and global randomness."""
MATHEMATICS = {"numpy", "scipy", "networkx"}
IMPURE = {
    *("asyncio", "concurrent", "multiprocessing", "sched", "selectors", "signal", "socket", "ssl", "subprocess"),
    *("_thread", "threading", "datetime", "time", "random", "secrets", "uuid", "urllib", "http"),
}
FILES = {"fileinput", "io", "os", "pathlib", "shutil", "sqlite3", "tempfile"}

SEEDED = {"BitGenerator", "Generator", "PCG64", "PCG64DXSM", "Philox", "SeedSequence", "default_rng"}
"""The names of `numpy.random` that do not touch its global state."""

SWALLOWS_EVERYTHING = {
    "gossipfl/experiments/running.py",  # however an algorithm fails, the others go on
    "gossipfl/results/callbacks.py",  # raised a moment later, where it is no failure of an algorithm
    "gossipfl/runs/export.py",  # whatever a user's layer raises when it is asked for its configuration
}
"""Modules at an engine's outermost edge that may `except Exception` without raising it again; each with its reason."""


def attribute_chain(node: ast.AST) -> str:
    """`np.random.seed` for the expression of that form, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = attribute_chain(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


of_each_module = pytest.mark.parametrize("path", MODULES, ids=str)
of_each_thinking_module = pytest.mark.parametrize(
    "path",
    [path for path in MODULES if floor(dotted(path)) <= THINKING and path.parts[1] != "files"],
    ids=str,
)


@of_each_module
def test_imports_point_down(path: Path) -> None:
    here = floor(dotted(path))
    wrong = [
        f"line {found.line}: {found.module} is on floor {floor(found.module)}, above floor {here}"
        for found in imports(path)
        if found.root == "gossipfl" and found.module != "gossipfl.__version__" and floor(found.module) > here
    ]
    assert not wrong


def test_no_rooms_stand_in_a_circle() -> None:
    assert not [rooms for rooms in nx.strongly_connected_components(graph()) if len(rooms) > 1]


@of_each_module
def test_a_file_is_one_idea(path: Path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8").count("\n") <= 400


def public_docstrings(node: ast.AST) -> Iterator[ast.Constant]:
    """The docstrings of a module, its public classes and functions, and of what is assigned in modules and classes."""
    for child in ast.walk(node):
        if isinstance(child, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            texts = [] if getattr(child, "name", "").startswith("_") else child.body[:1]
            if isinstance(child, ast.Module | ast.ClassDef):
                named = [
                    (one, text) for one, text in pairwise(child.body) if isinstance(one, ast.Assign | ast.AnnAssign)
                ]
                texts += [text for one, text in named if not ast.unparse(one).startswith("_")]
            for text in texts:
                if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                    yield text.value


@of_each_module
def test_docstrings_of_what_is_public_stand_alone(path: Path) -> None:
    """Not "What it holds" or "Whether it may", which are half a sentence without the name above them."""
    halves = ("What ", "Whatever ", "Whether ", "Which ", "Whom ", "Whose ", "How ", "Of ")
    assert not [text.value for text in public_docstrings(tree(path)) if str(text.value).startswith(halves)]


@of_each_thinking_module
def test_thinking_needs_only_mathematics(path: Path) -> None:
    forbidden = IMPURE | (FILES if floor(dotted(path)) == 2 else set())
    allowed = (set(sys.stdlib_module_names) | MATHEMATICS | {"gossipfl"}) - forbidden
    assert [f"line {found.line}: {found.module}" for found in imports(path) if found.root not in allowed] == []


@of_each_thinking_module
def test_thinking_neither_waits_nor_opens_files_nor_shares_randomness(path: Path) -> None:
    wrong = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            wrong.append(f"line {node.lineno}: only engines wait")
        elif isinstance(node, ast.Attribute):
            chain = attribute_chain(node)
            numpy_random = re.fullmatch(r"(?:np|numpy)\.random\.(\w+)", chain)
            if numpy_random and numpy_random[1] not in SEEDED:
                wrong.append(f"line {node.lineno}: {chain} is global random state")
        elif isinstance(node, ast.ImportFrom) and node.module == "numpy.random":
            wrong += [f"line {node.lineno}: {name.name}" for name in node.names if name.name not in SEEDED]
        elif isinstance(node, ast.Call):
            name = attribute_chain(node.func)
            if name.endswith("default_rng") and not (node.args or node.keywords):
                wrong.append(f"line {node.lineno}: default_rng() has no seed")
            if floor(dotted(path)) == THINKING and name in {"open", "print", "input"}:
                wrong.append(f"line {node.lineno}: {name}() in a peer")
    assert not wrong


@of_each_module
def test_frameworks_are_imported_late(path: Path) -> None:
    keras_module = re.fullmatch(r"gossipfl/(keras/\w+|training/(keras/\w+|models))\.py", path.as_posix())
    http_module = path.as_posix().startswith("gossipfl/engines/http/")
    wrong = [
        f"line {found.line}: {found.module}"
        for found in imports(path)
        if (
            found.root in {"tensorflow", "keras", "tensorflow_datasets"}
            and found.at_import_time
            and not found.for_types_only
            and not keras_module
        )
        or (found.root == "aiohttp" and not http_module)
    ]
    assert not wrong


@pytest.mark.parametrize("path", [path for path in MODULES if path.match("gossipfl/cli/*.py")], ids=str)
def test_the_command_line_imports_only_typer_at_the_top(path: Path) -> None:
    allowed = set(sys.stdlib_module_names) | {"typer"}
    wrong = [
        f"line {found.line}: {found.module}"
        for found in imports(path)
        if found.at_import_time
        and not found.for_types_only
        and found.root not in allowed
        and found.module not in {"gossipfl.__version__", "gossipfl.errors"}
        and not found.module.startswith("gossipfl.cli.")
    ]
    assert not wrong


@of_each_module
def test_errors_are_caught_by_name(path: Path) -> None:
    def swallows_everything(handler: ast.ExceptHandler) -> bool:
        last = handler.body[-1]
        if isinstance(last, ast.Raise) and last.exc is None:
            return False  # cleans up and goes on raising
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        return any(kind is None or attribute_chain(kind) in {"Exception", "BaseException"} for kind in caught)

    wrong = [
        f"line {node.lineno}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and swallows_everything(node)
    ]
    assert path.as_posix() in SWALLOWS_EVERYTHING or not wrong


def test_every_floor_names_modules_that_exist() -> None:
    there = {path.parts[1].removesuffix(".py") for path in MODULES}
    assert set.union(*FLOORS.values()) == there


def python(*arguments: str) -> str:
    """Standard output of a fresh interpreter that has only this checkout on its path."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    completed = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def modules_loaded_by(statements: str) -> set[str]:
    return set(python("-c", f"{statements}\nimport sys\nprint(*sys.modules)").split("\n")[-2].split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    loaded = modules_loaded_by("import gossipfl")
    assert loaded.isdisjoint({"tensorflow", "keras", "aiohttp", "pydantic", "typer", "rich", *MATHEMATICS})


@pytest.mark.long
def test_every_public_name_is_there_without_frameworks() -> None:
    loaded = modules_loaded_by(
        "import gossipfl\n"
        "assert set(gossipfl.__all__) <= set(dir(gossipfl))\n"
        "for name in gossipfl.__all__: assert name == 'HostedPeer' or getattr(gossipfl, name) is not None"
    )
    assert loaded.isdisjoint({"tensorflow", "keras", "aiohttp"})
    assert modules_loaded_by("from gossipfl import HostedPeer").isdisjoint({"tensorflow", "keras"})


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'gossipfl' has no attribute 'simulat'"):
        _ = gossipfl.simulat


def test_the_version_is_that_of_the_project_file() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["version"] == gossipfl.__version__


def test_help_imports_no_framework() -> None:
    loaded = modules_loaded_by(
        "import runpy, sys\n"
        "sys.argv = ['gossipfl', '--help']\n"
        "try: runpy.run_module('gossipfl', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code"
    )
    assert loaded.isdisjoint({"tensorflow", "keras", "aiohttp"})


@pytest.mark.long
def test_help_answers_in_less_than_half_a_second() -> None:
    def seconds() -> float:
        """Processor time, which is what the user waits for on a machine that is not busy with other tests."""
        before = os.times()
        assert "simulate" in python("-m", "gossipfl", "--help")
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < 0.5
