"""`gather` and `export`: what is made of runs that are on disk."""

from collections.abc import Sequence
from pathlib import Path

from gossipfl.cli.commands import loading
from gossipfl.cli.terminal.console import new_console
from gossipfl.errors import ConfigurationError
from gossipfl.report.complete import complete
from gossipfl.runs.export import export
from gossipfl.runs.gathering import gather
from gossipfl.runs.scored_average import AverageScoring
from gossipfl.scenario import load_scenario


def gather_peers(
    directories: Sequence[Path], output: Path, scenario: str | None, overrides: Sequence[str], evaluate: bool
) -> None:
    """`gather`."""
    own = None if scenario is None else load_scenario(scenario, overrides)
    scoring = None
    if evaluate:
        if own is None:
            raise ConfigurationError(
                "--evaluate measures on your data, with your model: name the scenario that the peers ran by --scenario"
            )
        scoring = AverageScoring(own, loading.load_dataset(own, download=False))
        loading.import_tensorflow()
    report = complete(gather(directories, output, own, scoring))
    new_console().print(f"Run: {output}\nReport: {report}", soft_wrap=True)


def export_model(
    run: Path,
    peer: str | None,
    average: bool,
    best: bool,
    algorithm: str | None,
    seed: int | None,
    output: Path,
    scenario: str | None,
    overrides: Sequence[str],
) -> None:
    """`export`."""
    if (peer is not None) + average + best != 1:
        raise ConfigurationError("say which model to export: --peer NAME, --average or --best")
    own = None if scenario is None else load_scenario(scenario, overrides)
    loading.import_tensorflow()
    new_console().print(f"Model: {export(run, peer, algorithm, seed, output, own, best=best)}", soft_wrap=True)
