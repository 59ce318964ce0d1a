"""The choices that there are, read off themselves: algorithms, and all that they are made of."""

import inspect
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import networkx as nx
from pydantic import BaseModel

from gossipfl.algorithms import ALGORITHMS, Algorithm, Family
from gossipfl.scenario.algorithms import SECTIONS, AlgorithmSection, takers
from gossipfl.scenario.kinds import KINDS, Kind
from gossipfl.scenario.sections import TrainingSection

FAMILIES = get_args(Family)
"""The families of algorithms, in the order of listings."""

WORDS = ("algorithm", *(kind.word for kind in KINDS))
"""The words for one of each kind."""

_TYPES = {int: "integer", float: "float", bool: "boolean", str: "string", list: "array", dict: "table"}


_KINDS = {kind.name: kind for kind in KINDS}


def described(kind: str, name: str) -> dict[str, Any]:
    """Everything known of an algorithm, or of one of another kind, JSON-ready."""
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
    section: Any = SECTIONS["algorithms"][name](name=name)
    recipe = section.recipe(TrainingSection(), "uniform", nx.Graph(), _optimizer(section.makes))
    is_bound = recipe.family == "bounds"
    own_links = "topology" if recipe.follows_links else "its own"
    return {
        "family": recipe.family,
        "links": "none" if is_bound else "by schedule" if "schedule" in type(section).model_fields else own_links,
        "goals": sorted(recipe.weightings, reverse=True),
        "vectors_per_message": 0 if is_bound else 1 + len(recipe.extra_vectors),
        "calculates_with": list(recipe.calculates_with),
    }


def _optimizer(makes: type[Algorithm]) -> dict[str, Any]:
    """One that fits, for what calculates with it."""
    return {"name": "sgd", "learning_rate": 0.1} | ({"momentum": 0.9} if "momentum" in makes.calculates_with else {})


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
    """The name of a section, and its own parameters as they are by default."""
    fields = SECTIONS[kind][name].model_fields.items()
    own = {key: _default(info.default) for key, info in fields if key not in AlgorithmSection.model_fields}
    return [f"{key} = {_toml_value(value)}" for key, value in {"name": name, **own}.items() if value is not None]


def _toml(name: str) -> str:
    """Lines of a scenario that name an algorithm."""
    makes = ALGORITHMS[name]
    optimizer = [f"optimizer = {_toml_value(_optimizer(makes))}"] if makes.calculates_with else []
    return "\n".join(["[[algorithms]]", *_given("algorithms", name), *optimizer])


def _toml_of_value(kind: Kind, name: str) -> str:
    """Lines of a scenario that name a member of a kind, in the first algorithm that takes one."""
    user, field, is_list = next(takers(kind))
    value = f"{{ {', '.join(_given(kind.name, name))} }}"
    return "\n".join(["[[algorithms]]", f'name = "{user}"', f"{field} = {f'[{value}]' if is_list else value}"])


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_toml_value(one)}' for key, one in value.items() if one is not None)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
