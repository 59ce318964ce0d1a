"""The fields of a scenario as FIELD=VALUE, for the shell to complete, from the schema of scenarios."""

import json
from collections.abc import Iterator, Mapping
from textwrap import shorten
from typing import Any

from gossipfl.algorithms import ALGORITHMS
from gossipfl.data.sources import SOURCES
from gossipfl.scenario import Scenario
from gossipfl.topology import available

_KINDS_OF_DATA = [kind.form.partition(":")[0] + ":" * (":" in kind.form) for kind in SOURCES.values()]

_WIDTH = 70
"""Longer explanations would be broken into lines, of which shells make candidates."""


def overrides_beginning_with(incomplete: str) -> Iterator[tuple[str, str]]:
    """Overrides that begin like this, each with the beginning of what the field means.

    Before the sign they have the field's default, so that something stands there to be changed; after it, each value
    that the field may have, if these are few.
    """
    name, equals, _ = incomplete.partition("=")
    for field, facts in _fields():
        if equals and field == name:
            overrides = [f"{field}={value}" for value in _values(field, facts)]
        elif not equals and field.startswith(name):
            overrides = [f"{field}={_default(facts)}"]
        else:
            continue
        meaning = shorten(facts.get("description", ""), _WIDTH, placeholder=" ...")
        yield from ((override, meaning) for override in overrides if override.startswith(incomplete))


def _fields() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All fields with a value of their own, by their dotted names."""
    schema = Scenario.model_json_schema()

    def within(section: Mapping[str, Any], above: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name, facts in section["properties"].items():
            kinds = [facts, *facts.get("anyOf", ())]
            sections = [schema["$defs"][kind["$ref"].rpartition("/")[2]] for kind in kinds if "$ref" in kind]
            if "$ref" not in facts:
                yield above + name, facts
            for one in sections:
                if "properties" in one:
                    yield from within(one, f"{above}{name}.")

    yield from within(schema, "")


def _values(field: str, facts: Mapping[str, Any]) -> list[str]:
    match field:
        case "topology" | "topology.name":
            return available()
        case "model":
            return ["softmax", "mlp", "cnn"]
        case "data" | "data.source":
            return _KINDS_OF_DATA
        case "algorithms":
            return [f"['{name}']" for name in ALGORITHMS]
    kinds = [facts, *facts.get("anyOf", ())]
    named = [
        str(value) for kind in kinds for value in (*kind.get("enum", ()), *([kind["const"]] if "const" in kind else ()))
    ]
    return [*named, *(["true", "false"] if any(kind.get("type") == "boolean" for kind in kinds) else [])]


def _default(facts: Mapping[str, Any]) -> str:
    default = facts.get("default")
    if isinstance(default, bool | int | float):
        return json.dumps(default)
    return default if isinstance(default, str) else ""
