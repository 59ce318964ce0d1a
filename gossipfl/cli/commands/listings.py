"""`algorithms`, `scenario list` and `scenario schema` print what there is to choose from."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gossipfl.cli.terminal.console import new_console, print_json
from gossipfl.errors import ConfigurationError
from gossipfl.names import resources
from gossipfl.names.spelling import did_you_mean
from gossipfl.scenario import Scenario, load_scenario
from gossipfl.scenario.algorithms import SECTIONS, AlgorithmSection
from gossipfl.scenario.choices import FAMILIES, WORDS, described
from gossipfl.scenario.kinds import KINDS

Facts: TypeAlias = Mapping[str, Any]

_NARROW = 120
"""On terminals of fewer characters a sentence has no room beside other columns."""


def list_algorithms(name: str | None, as_json: bool) -> None:
    """`algorithms`: all, those of one kind, or one of them. Raises ConfigurationError for a name that there is not."""
    if name is None or name in SECTIONS:
        kinds = SECTIONS if name is None else {name: SECTIONS[name]}
        everything = {kind: {one: described(kind, one) for one in names} for kind, names in kinds.items()}
        if as_json:
            print_json(everything)
        else:
            _print_all(everything)
        return
    kind = next((kind for kind, names in SECTIONS.items() if name in names), None)
    if kind is None:
        known = [one for names in SECTIONS.values() for one in names]
        raise ConfigurationError(
            f"there is no {', '.join(WORDS[:-1])} or {WORDS[-1]} {name!r}.{did_you_mean(name, known)} "
            f"There are: {', '.join(known)}."
        )
    if as_json:
        print_json(described(kind, name))
    else:
        _print_one(described(kind, name))


def list_scenarios() -> None:
    """`scenario list`."""
    table = Table("name", "question")
    for name in resources.names("simulations"):
        table.add_row(name, load_scenario(name).description)
    new_console().print(table)


def print_schema() -> None:
    """`scenario schema`."""
    print_json(Scenario.model_json_schema())


def _print_all(everything: Mapping[str, Mapping[str, Facts]]) -> None:
    algorithms = everything.get("algorithms", {}).values()
    groups = [(family, [facts for facts in algorithms if facts["family"] == family]) for family in FAMILIES]
    groups += [(f"{kind.word}s: {kind.meaning}", [*everything.get(kind.name, {}).values()]) for kind in KINDS]
    console = new_console()
    for title, members in [group for group in groups if group[1]]:
        console.print(_table(title, members, is_narrow=console.width < _NARROW))
    console.print(
        "links: the topology's, or its own. goals: the mean of the peers' objectives that it can keep, each counting "
        "the same (uniform) or by its examples. message: its size. mean: whether mixing keeps that of the peers.\n"
        "Parameters, and how to name it in a scenario: gossipfl algorithms NAME"
    )


def _table(title: str, members: Sequence[Facts], *, is_narrow: bool) -> Table:
    """One line for each; where the terminal is narrow, the other columns are a line below."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("name", no_wrap=True, min_width=21)
    table.add_column("what it does", ratio=1)
    for heading in () if is_narrow or not members else _cells(members[0]):
        table.add_column(heading, min_width=len(heading))
    for facts in members:
        cells = _cells(facts)
        if is_narrow and cells:
            below = "; ".join(f"{heading}: {cell}" for heading, cell in cells.items())
            table.add_row(facts["name"], Group(facts["summary"], Text(below, style="dim")))
        else:
            table.add_row(facts["name"], facts["summary"], *cells.values())
    return table


def _message(size: int) -> str:
    return "weights" if size == 1 else f"{size} x weights" if size else "none"


def _mean(is_kept: bool) -> str:
    return "kept" if is_kept else "not kept"


_SHOWN: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "goals": ("goals", ", ".join),
    "vectors_per_message": ("message", _message),
    "keeps_mean": ("mean", _mean),
}
"""Facts that are shown with another heading, or in other words, than JSON has them."""

_ELSEWHERE = {"name", "kind", "summary", "description", "family", "calculates_with", "parameters", "toml"}
"""What is known of each, and shown elsewhere."""


def _cells(facts: Facts) -> dict[str, str]:
    """What distinguishes one of its kind from others, by heading."""
    shown = {key: _SHOWN.get(key, (key.replace("_", " "), str)) for key in facts if key not in _ELSEWHERE}
    return {heading: words(facts[key]) for key, (heading, words) in shown.items()}


def _print_one(facts: Facts) -> None:
    console = new_console()
    paragraphs = re.sub(r"(?<=\S)\n(?=\S)", " ", facts["description"])
    console.print(f"{facts['name']}\n\n{paragraphs}")
    grid = Table.grid(padding=(0, 3, 0, 0))
    if "family" in facts:
        grid.add_row("family", facts["family"])
    for heading, cell in _cells(facts).items():
        grid.add_row("mean of the peers" if heading == "mean" else heading, cell)
    if grid.row_count:
        console.print("", grid)
    if facts.get("calculates_with"):
        console.print(f"\nCalculates with the {' and the '.join(facts['calculates_with'])} of local SGD.")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("parameter", "type", "default", "explanation"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "parameter")
    parameters = facts["parameters"]
    for name in sorted(parameters, key=lambda name: name in AlgorithmSection.model_fields):
        parameter = parameters[name]
        style = "dim" if name in AlgorithmSection.model_fields else ""
        table.add_row(name, parameter["type"], _default(parameter["default"]), parameter["explanation"], style=style)
    console.print(table if parameters else "\nIt has no parameters.\n")
    console.print(f"In a scenario:\n\n{facts['toml']}", soft_wrap=True)


def _default(default: Any) -> str:
    if default is None:
        return "absent"
    return str(default["name"] if isinstance(default, Mapping) else default).lower()
