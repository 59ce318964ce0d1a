"""Sections of a scenario that are made of frozen dataclasses: their fields are those of the dataclass, with its types,
defaults and explanations.

So what is added to one of the `KINDS` can be named in a scenario, without a word about it here.
"""

import dataclasses
from collections.abc import Collection, Mapping
from functools import reduce
from operator import or_
from types import GenericAlias, MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args, get_origin, get_type_hints

import networkx as nx
from pydantic import BeforeValidator, ConfigDict, Field, Strict, create_model

from gossipfl.errors import ConfigurationError
from gossipfl.peers.magnitudes import Bound
from gossipfl.scenario.kinds import KINDS
from gossipfl.scenario.section import Finite, Section, by_name, name_of
from gossipfl.topology import SCHEMES, MixingScheme, checked_matrix

BoundField: TypeAlias = Annotated[Finite, Strict()] | Literal[False]  # strict: true is not 1.0

_SECTION_OF: dict[type, "type[ValueSection]"] = {}
_TYPES: dict[Any, Any] = {
    MixingScheme: Literal[SCHEMES] | list[list[float]],
    Bound: BoundField,
    float: Finite,
    float | None: Finite | None,
}
"""By the type of a dataclass's field, that of the section's."""


class ValueSection(Section):
    """A frozen value of the library, given by its name and its fields."""

    # The fields of sections that are made have no docstrings, and looking for them takes a second.
    model_config = ConfigDict(use_attribute_docstrings=False)

    makes: ClassVar[Any]
    """The class of the value."""

    name: str

    def __reduce__(self) -> tuple[Any, ...]:
        """By the class of the value, because pickle does not find a section that is made by its name."""
        return _again, (self.makes, {name: getattr(self, name) for name in self.model_fields_set})

    def value(self, graph: nx.Graph) -> Any:
        """The value; a mixing matrix is checked against the graph."""
        return self.makes(**self.arguments(graph))

    def arguments(self, graph: nx.Graph) -> dict[str, Any]:
        fields = {field.name for field in dataclasses.fields(self.makes)}
        return {name: _value_of(value, graph) for name, value in self if name in fields}


def _again(makes: type, given: Mapping[str, Any]) -> ValueSection:
    return _SECTION_OF[makes](**given)


def _value_of(value: Any, graph: nx.Graph) -> Any:
    if isinstance(value, ValueSection):
        return value.value(graph)
    if isinstance(value, tuple):
        return tuple(_value_of(one, graph) for one in value)
    return checked_matrix(graph, value) if isinstance(value, list) else value  # of a MixingScheme; no other is a list


def section_of(
    name: str,
    makes: Any,
    base: type[ValueSection] = ValueSection,
    elsewhere: Collection[Any] = (),
    others: Mapping[str, Any] = MappingProxyType({}),
) -> type[ValueSection]:
    """The section of a frozen dataclass, without fields of the types that come from `elsewhere`, and with `others`."""
    hints = get_type_hints(makes, include_extras=True)
    fields: dict[str, Any] = {"name": (Literal[name], Field(description="Chooses this one."))}
    for field in dataclasses.fields(makes):
        if hints[field.name] not in elsewhere:
            annotation, *notes = get_args(hints[field.name])
            fields[field.name] = (_type_of(annotation), Field(_by_value(_default(field)), description=" ".join(notes)))
    section: type[ValueSection] = create_model(
        f"{makes.__name__}Section", __base__=base, __doc__=makes.__doc__, __module__=__name__, **fields, **others
    )
    section.makes = makes
    _SECTION_OF[makes] = section
    return section


def _type_of(annotation: Any) -> Any:
    if get_origin(annotation) is tuple:
        return GenericAlias(tuple, (_type_of(get_args(annotation)[0]), ...))
    return _TYPES.get(annotation, annotation)


def section_for(given: Any) -> Any:
    """A choice by name as its section takes it: a plain string stands for a table that has only this name, a frozen
    value of the library for its section.

    Raises ConfigurationError for a value that says otherwise what the scenario says for all algorithms.
    """
    return by_name(given) if isinstance(given, str) else _by_value(given)


def _by_value(value: Any) -> Any:
    """A value, or a default, as a section would have it."""
    if value is dataclasses.MISSING:
        return ...
    if isinstance(value, tuple):
        return tuple(_by_value(one) for one in value)
    section = _SECTION_OF.get(type(value))
    if section is None:
        return value
    own = {}
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        if field.name in section.model_fields:
            own[field.name] = _by_value(given)
        elif given != _default(field):
            raise ConfigurationError(
                f"{type(value).__name__} is given a {field.name}, which the scenario says (weighting, training, "
                f"optimizer, magnitude_bound): leave it out, or choose {name_of(section)!r} by name"
            )
    return section(name=name_of(section), **own)


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _one_of(sections: Mapping[str, type[ValueSection]]) -> Any:
    union: Any = Annotated[reduce(or_, sections.values()), Field(discriminator="name")]
    return Annotated[union, BeforeValidator(section_for, json_schema_input_type=str | union)]


VALUE_SECTIONS: dict[str, Mapping[str, type[ValueSection]]] = {}
"""The sections by the names of their kinds, and by those that scenarios use."""

for kind in KINDS:
    VALUE_SECTIONS[kind.name] = {name: section_of(name, makes) for name, makes in kind.members.items()}
    _TYPES[kind.type] = _one_of(VALUE_SECTIONS[kind.name])
