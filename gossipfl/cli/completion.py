"""Candidates for what is still being typed in a shell; each function imports late what it needs.

A candidate is what may stand there, with an explanation for the shells that show one. What cannot be read yet, such as
a scenario that is half typed, has no candidates, and never an error: somebody is in the middle of a line.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import typer

from gossipfl.errors import GossipFLError

if TYPE_CHECKING:
    from gossipfl.scenario import Scenario

Candidates: TypeAlias = list[tuple[str, str]]


def scenarios(incomplete: str) -> Candidates:
    """Scenarios that come with gossipfl, and files."""
    from gossipfl.names import resources

    return [*_beginning(incomplete, resources.names("simulations")), *_files(incomplete, ".toml", ".json")]


def topologies(incomplete: str) -> Candidates:
    """Topologies that come with gossipfl, and files."""
    from gossipfl.names import resources

    return [*_beginning(incomplete, resources.names("topologies")), *_files(incomplete, "")]


def overrides(incomplete: str) -> Candidates:
    """FIELD=VALUE for the fields of a scenario: with their defaults, and after the sign with what they may be."""
    from gossipfl.cli.commands.completing import overrides_beginning_with

    return list(overrides_beginning_with(incomplete))


def sources(incomplete: str) -> Candidates:
    """The sources of data, as far as a name goes."""
    from gossipfl.data.sources import SOURCE_FORMS

    forms = {form.partition(":")[0] + ":" * (":" in form): meaning for form, meaning in SOURCE_FORMS.items()}
    return [(form, meaning) for form, meaning in forms.items() if form.startswith(incomplete) and "." not in form]


def choices(incomplete: str) -> Candidates:
    """Algorithms, what they are made of, and the kinds of both."""
    from gossipfl.scenario.algorithms import SECTIONS

    return _beginning(incomplete, [*SECTIONS, *(name for names in SECTIONS.values() for name in names)])


def queries(incomplete: str) -> Candidates:
    """The names of queries."""
    from gossipfl.queries import QUERIES

    return _beginning(incomplete, list(QUERIES))


def labels(context: typer.Context, incomplete: str) -> Candidates:
    """The algorithms of the scenario that stands before."""
    scenario = _scenario_before(context)
    return [] if scenario is None else _beginning(incomplete, scenario.labels)


def peers(context: typer.Context, incomplete: str) -> Candidates:
    """The participants of the scenario that stands before."""
    scenario = _scenario_before(context)
    if scenario is None:
        return []
    servers = {section.makes.hub for section in scenario.algorithms} - {None}
    return _beginning(incomplete, [*scenario.topology.graph(scenario.seed), *servers])


def _scenario_before(context: typer.Context) -> "Scenario | None":
    from gossipfl.scenario import load_scenario

    # Typer does not assign arguments when an option after them has no value yet.
    name = context.params.get("scenario") or next(iter(context.args), "")
    try:
        return load_scenario(name)
    except (GossipFLError, OSError):
        return None


def _beginning(incomplete: str, names: list[str]) -> Candidates:
    return [(name, "") for name in names if name.startswith(incomplete)]


def _files(incomplete: str, *suffixes: str) -> Iterator[tuple[str, str]]:
    """Folders and files with one of the suffixes, as they are typed from the current directory."""
    folder, slash, begin = incomplete.rpartition("/")
    try:
        found = sorted(Path(folder + slash or ".").iterdir())
    except OSError:
        return
    for path in found:
        if path.name.startswith(begin) and (begin or not path.name.startswith(".")):
            if path.is_dir():
                yield f"{folder}{slash}{path.name}/", ""
            elif path.name.endswith(suffixes):
                yield folder + slash + path.name, ""
