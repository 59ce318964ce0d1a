"""What there is to choose from, read off the choices themselves: algorithms, and all that they are made of."""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from gossipfl.algorithms import ALGORITHMS, BOUNDS
from gossipfl.algorithms.rounds import SynchronousRecipe
from gossipfl.scenario.algorithms import SECTIONS, AlgorithmSection
from gossipfl.scenario.kinds import KINDS, Kind

FAMILIES = ("gossip in rounds", "asynchronous gossip", "with a server", "bounds")
"""Of algorithms."""

WORDS = ("algorithm", *(kind.word for kind in KINDS))
"""What one of each kind is called."""

_TYPES = {int: "integer", float: "float", bool: "boolean", str: "string", list: "array", dict: "table"}
_LOCAL_SGD = {"name": "sgd", "learning_rate": 0.1}


_KINDS = {kind.name: kind for kind in KINDS}


def described(kind: str, name: str) -> dict[str, Any]:
    """What is known of an algorithm, or of one of another kind, JSON-ready."""
    section = SECTIONS[kind][name]
    doc = inspect.getdoc(section.makes) or ""
    parameters = {
        field: {
            "type": _type(info.annotation),
            "default": _default(info.default),
            "explanation": info.description or "",
        }
        for field, info in section.model_fields.items()
        if field != "name"
    }
    own = _facts(name) if kind == "algorithms" else _KINDS[kind].facts(section.makes())
    toml = _toml(name) if kind == "algorithms" else _toml_of_value(_KINDS[kind], name)
    return {
        "name": name,
        "kind": kind,
        "summary": " ".join(doc.partition("\n\n")[0].split()),
        "description": doc,
        **own,
        "parameters": parameters,
        "toml": toml,
    }


def _facts(name: str) -> dict[str, Any]:
    made: Any = ALGORITHMS[name]
    return {
        "family": _family(name),
        "goals": sorted(made.weightings, reverse=True),
        "links": "none" if name in BOUNDS else _links(name),
        "vectors_per_message": 1 + len(made.extra_vectors) if name not in BOUNDS else 0,
        "calculates_with": [
            field.name.removeprefix("local_") for field in dataclasses.fields(made) if field.name.startswith("local_")
        ],
    }


def _family(name: str) -> str:
    made: Any = ALGORITHMS[name]
    if name in BOUNDS:
        return "bounds"
    if made.hub is not None:
        return "with a server"
    return "gossip in rounds" if issubclass(made, SynchronousRecipe) else "asynchronous gossip"


def _links(name: str) -> str:
    if "schedule" in SECTIONS["algorithms"][name].model_fields:
        return "by schedule"
    made: Any = ALGORITHMS[name]
    return "its own" if made.follows_links is False else "topology"


def _type(annotation: Any) -> str:
    """A type in the words of TOML; of sections, their names."""
    if get_origin(annotation) is Literal:
        return " | ".join("false" if value is False else str(value) for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(dict.fromkeys(_type(one) for one in get_args(annotation) if one is not NoneType))
    if get_origin(annotation) is tuple:
        return f"array of {_type(get_args(annotation)[0])}"
    if hasattr(annotation, "__metadata__"):
        return _type(get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        name = annotation.model_fields["name"].annotation
        return _type(name) if get_origin(name) is Literal else "string | table"
    return _TYPES.get(get_origin(annotation) or annotation, "value")


def _default(default: Any) -> Any:
    """The default of a parameter as JSON has it."""
    if isinstance(default, tuple):
        return [_default(one) for one in default]
    return default.model_dump(mode="json") if isinstance(default, BaseModel) else default


def _given(kind: str, name: str) -> list[str]:
    """Its name, and its own parameters as they are by default."""
    fields = SECTIONS[kind][name].model_fields.items()
    own = {key: _default(info.default) for key, info in fields if key not in AlgorithmSection.model_fields}
    return [f"{key} = {_toml_value(value)}" for key, value in {"name": name, **own}.items() if value is not None]


def _toml(name: str) -> str:
    """Lines of a scenario that name an algorithm."""
    calculates_with = _facts(name)["calculates_with"]
    momentum = {"momentum": 0.9} if "momentum" in calculates_with else {}
    optimizer = [f"optimizer = {_toml_value(_LOCAL_SGD | momentum)}"] if calculates_with else []
    return "\n".join(["[[algorithms]]", *_given("algorithms", name), *optimizer])


def _toml_of_value(kind: Kind, name: str) -> str:
    """Lines of a scenario that name a member of a kind, in the first algorithm that takes one."""
    user, field, is_list = next(_takers(kind))
    value = f"{{ {', '.join(_given(kind.name, name))} }}"
    return "\n".join(["[[algorithms]]", f'name = "{user}"', f"{field} = {f'[{value}]' if is_list else value}"])


def _takers(kind: Kind) -> Iterator[tuple[str, str, bool]]:
    """The algorithms that take one of a kind, with the field, and whether it is a list."""
    for user, makes in ALGORITHMS.items():
        for field, annotation in get_type_hints(makes).items():
            is_list = get_origin(annotation) is tuple
            if kind.type == (get_args(annotation)[0] if is_list else annotation):
                yield user, field, is_list


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_toml_value(one)}' for key, one in value.items() if one is not None)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
