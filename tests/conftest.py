"""Shared by all tests: fakes and oracles can be imported, and child processes run this checkout too."""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent

sys.path.insert(0, str(TESTS))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS.parent), os.environ.get("PYTHONPATH")]))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start what runs in the background deaf to Ctrl-C, and its children too: tests that press it would wait.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("at any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("at any speed")  # hypothesis would fail an example that takes 0.2 s on a busy machine
settings.register_profile("thorough", settings.get_profile("at any speed"), max_examples=1000)
"""pytest --hypothesis-profile=thorough: ten times as many examples."""
settings.register_profile("quick", settings.get_profile("at any speed"), max_examples=5)

FRAMEWORKS = re.compile(
    r"""^\s*(?:import|from) (?:tensorflow|keras|toy_models|fit_oracle|random_models)\b|importorskip\("keras""",
    re.MULTILINE,
)
SLOW_ROOMS = {
    "cli",
    "deploy",
    "engines",
    "experiments",
    "gossip_callback",
    "hostile",
    "hosts",
    "report",
    "results",
    "runs",
    "sweep",
    "training",
}
"""Folders of tests that start processes, open ports or wait for real time."""


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "quick":
        settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m quick`, modules without a quick test are not imported: TensorFlow alone takes 3 s."""
    if config.option.markexpr != "quick" or collection_path.suffix != ".py":
        return None
    return not _is_quick(collection_path) or None


@cache
def _is_quick(module: Path) -> bool:
    if not module.is_relative_to(TESTS):  # doctests
        return False
    folders = set(module.relative_to(TESTS).parts[:-1])
    return folders.isdisjoint(SLOW_ROOMS) and not FRAMEWORKS.search(module.read_text("utf-8"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_quick(item.path) and not item.get_closest_marker("slow") and not item.get_closest_marker("long"):
            item.add_marker(pytest.mark.quick)


@pytest.fixture
def ports_of_four_terminals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests that listen on the ports that this scenario names wait for one another, whichever process runs them."""
    fcntl = pytest.importorskip("fcntl", reason="locks a file as POSIX does")
    with (tmp_path_factory.getbasetemp().parent / "ports.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def command_line(monkeypatch, capsys, tmp_path) -> Callable:
    """Runs the command line in this process, without TensorFlow, and in an empty directory."""
    from outcome import Outcome
    from softmax_trainer import run_without_tensorflow

    from gossipfl.cli.app import main

    run_without_tensorflow(monkeypatch)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["gossipfl", *arguments])
        monkeypatch.setattr(sys, "path", [*sys.path])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Outcome(end.value.code or 0, captured.out, captured.err)

    return run
