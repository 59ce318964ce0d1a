"""What there is to choose from, read off the choices themselves: algorithms, schedules and server optimizers."""

import dataclasses
import inspect
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gossipfl.algorithms import ALGORITHMS, BOUNDS
from gossipfl.algorithms.rounds import SynchronousRecipe
from gossipfl.methods.server_optimizers import SERVER_OPTIMIZERS
from gossipfl.scenario.algorithms import SECTIONS, AlgorithmSection
from gossipfl.schedules import SCHEDULES

CHOICES: Mapping[str, Mapping[str, Any]] = {
    "algorithms": ALGORITHMS,
    "schedules": SCHEDULES,
    "server_optimizers": SERVER_OPTIMIZERS,
}
"""By kind, and by the names that scenarios use."""

FAMILIES = ("gossip in rounds", "asynchronous gossip", "with a server", "bounds")
"""Of algorithms."""

_TYPES = {int: "integer", float: "float", bool: "boolean", str: "string", list: "array", dict: "table"}
_LOCAL_SGD = {"name": "sgd", "learning_rate": 0.1}


def described(kind: str, name: str) -> dict[str, Any]:
    """What is known of an algorithm, a schedule or a server optimizer, JSON-ready."""
    made, section = CHOICES[kind][name], SECTIONS[kind][name]
    doc = inspect.getdoc(made) or ""
    facts: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "summary": " ".join(doc.partition("\n\n")[0].split()),
        "description": doc,
    }
    if kind == "algorithms":
        calculates_with = [
            field.name.removeprefix("local_") for field in dataclasses.fields(made) if field.name.startswith("local_")
        ]
        facts |= {
            "family": _family(name),
            "goals": sorted(made.weightings, reverse=True),
            "links": "none" if name in BOUNDS else _links(section, made),
            "vectors_per_message": 1 + len(made.extra_vectors) if name not in BOUNDS else 0,
            "calculates_with": calculates_with,
        }
    elif kind == "schedules":
        facts |= {"links": _links(section, made), "keeps_mean": made.keeps_mean}
    parameters = {
        field: {"type": _type(info.annotation), "default": _default(info), "explanation": info.description or ""}
        for field, info in section.model_fields.items()
        if field != "name"
    }
    return facts | {"parameters": parameters, "toml": _toml(kind, name, section, facts)}


def _family(name: str) -> str:
    made: Any = ALGORITHMS[name]
    if name in BOUNDS:
        return "bounds"
    if made.hub is not None:
        return "with a server"
    return "gossip in rounds" if issubclass(made, SynchronousRecipe) else "asynchronous gossip"


def _links(section: type[BaseModel], made: Any) -> str:
    if "schedule" in section.model_fields:
        return "by schedule"
    return "its own" if made.follows_links is False else "topology"


def _type(annotation: Any) -> str:
    """A type in the words of TOML; of sections, their names."""
    if get_origin(annotation) is Literal:
        return " | ".join("false" if value is False else str(value) for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(dict.fromkeys(_type(one) for one in get_args(annotation) if one is not NoneType))
    if hasattr(annotation, "__metadata__"):
        return _type(get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        name = annotation.model_fields["name"].annotation
        return _type(name) if get_origin(name) is Literal else "string | table"
    return _TYPES.get(get_origin(annotation) or annotation, "value")


def _default(info: FieldInfo) -> Any:
    default = info.default
    return default.model_dump(mode="json") if isinstance(default, BaseModel) else default


def _own(section: type[BaseModel]) -> list[str]:
    """The parameters that not every algorithm has."""
    return [name for name in section.model_fields if name not in AlgorithmSection.model_fields]


def _toml(kind: str, name: str, section: type[BaseModel], facts: Mapping[str, Any]) -> str:
    """Lines of a scenario that name it, with its parameters as they are by default."""
    given = [f"name = {_toml_value(name)}"]
    given += [
        f"{field} = {_toml_value(default)}"
        for field in _own(section)
        if (default := _default(section.model_fields[field])) is not None
    ]
    if kind == "algorithms":
        momentum = {"momentum": 0.9} if "momentum" in facts["calculates_with"] else {}
        given += [f"optimizer = {_toml_value(_LOCAL_SGD | momentum)}"] if facts["calculates_with"] else []
    else:
        user, field = ("synchronous", "schedule") if kind == "schedules" else ("fedavg", "server_optimizer")
        given = [f'name = "{user}"', f"{field} = {{ {', '.join(given)} }}"]
    return "\n".join(["[[algorithms]]", *given])


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_toml_value(one)}' for key, one in value.items() if one is not None)} }}"
    return f'"{value}"' if isinstance(value, str) else str(value)
