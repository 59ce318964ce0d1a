"""Reads scenarios from TOML or JSON files, by path or by name, with single fields overridden."""

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.names import resources
from gossipfl.names.spelling import did_you_mean
from gossipfl.scenario.scenario import Scenario


def load_scenario(name: str | Path, overrides: Sequence[str] = ()) -> Scenario:
    """The scenario in a TOML (or .json) file, or the one of that name in `simulations/`.

    Each override is `field.subfield=value` with a TOML value, quotes around a plain word being optional.
    Raises ConfigurationError for a missing or garbled file and for whatever is wrong with the scenario.

    >>> load_scenario("ring_vs_fedavg", ["rounds=3"]).rounds
    3
    """
    path = _find(str(name))
    try:
        text = path.read_text("utf-8-sig")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, not TOML, or endless digits
        raise ConfigurationError(f"cannot read the scenario {path}: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"cannot read the scenario {path}: it is a {type(content).__name__}, not a table")
    for override in overrides:
        _set(content, override)
    try:
        return Scenario(**{"name": re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)[:64], **content})
    except ConfigurationError as error:
        raise ConfigurationError(f"{path.name}: {error}") from None


def given_scenario(given: Scenario | str | Path) -> Scenario:
    """A scenario as programs give it: itself, its name or its file. Raises what `load_scenario` does."""
    return given if isinstance(given, Scenario) else load_scenario(given)


def _find(name: str) -> Path:
    path = Path(name)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError) as error:  # not allowed to look, too long, or a NUL in it
        raise ConfigurationError(f"cannot read the scenario {name!r}: {error}") from error
    names = resources.names("simulations")
    if name.removesuffix(".toml") in names:
        return resources.folder("simulations") / f"{name.removesuffix('.toml')}.toml"
    raise ConfigurationError(
        f"there is no scenario file {name!r}, and none of that name in simulations/.{did_you_mean(path.stem, names)} "
        f"There are: {', '.join(names)}."
    )


def _set(content: dict[str, Any], override: str) -> None:
    field, equals, text = override.partition("=")
    if not equals or not field.strip():
        raise ConfigurationError(f"--set takes field=value, for example training.batch_size=32; got {override!r}")
    *parents, last = field.strip().split(".")
    target: Any = content
    for parent in parents:
        if isinstance(target, list):
            target = _item(target, parent, field)
        elif isinstance(target, dict):
            if isinstance(target.get(parent), str):  # a plain name stands for a table with only a name
                target[parent] = {"source" if parent == "data" else "name": target[parent]}
            target = target.setdefault(parent, {})
        else:
            raise ConfigurationError(f"--set {override}: {parent!r} is inside {target!r}, which has no fields")
    if isinstance(target, list):
        _item(target, last, field)
        target[int(last)] = toml_value(text)
    elif isinstance(target, dict):
        target[last] = toml_value(text)
    else:
        raise ConfigurationError(f"--set {override}: {last!r} is inside {target!r}, which has no fields")


def _item(items: list[Any], position: str, field: str) -> Any:
    if not position.isdecimal() or int(position) >= len(items):
        raise ConfigurationError(f"--set {field}: {position!r} is not a position from 0 to {len(items) - 1}")
    if isinstance(items[int(position)], str):
        items[int(position)] = {"name": items[int(position)]}
    return items[int(position)]


def toml_value(text: str) -> Any:
    """A TOML value; anything that is none is taken as a word."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text.strip()
    return parsed["value"] if len(parsed) == 1 else text.strip()
