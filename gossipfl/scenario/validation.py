"""Turns pydantic's findings into sentences that name the field, the value, what is allowed and the nearest spelling."""

import re
import reprlib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gossipfl.names.spelling import did_you_mean
from gossipfl.scenario.section import name_of

_UNION_BRANCH = re.compile(r"(?:str|int|float|bool|(?:literal|list|dict|tuple|function-\w+)\[.*\]|constrained-\w+)")
"""What pydantic puts into the location of an error for a branch of a union; not a part of what was written."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def described(error: ValidationError, model: type[BaseModel]) -> str:
    """One line per wrong field."""
    lines: dict[str, str] = {}
    for details in error.errors():
        sections, location = _resolved(model, details["loc"])
        field = ".".join(location)
        if field not in lines:
            lines[field] = _line(details, field, sections)
        elif details["type"] not in ("literal_error", "string_type"):  # another branch of a union
            lines[field] += f" Or else: {_lowered(details['msg'])}."
    deepest = [field for field in lines if not any(other.startswith(f"{field}.") for other in lines)]
    return "\n".join(lines[field] for field in deepest)


def _line(details: ErrorDetails, field: str, sections: list[type[BaseModel]]) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            allowed = sorted({name for section in sections for name in section.model_fields})
            hint = did_you_mean(field.rpartition(".")[2], allowed)
            return f"{field}: there is no such field.{hint} Fields here: {', '.join(allowed)}."
        case "literal_error":
            return _not_allowed(field, details["input"], context["expected"].replace(" or ", ", "))
        case "union_tag_invalid":
            return _not_allowed(f"{field}.name", context["tag"], context["expected_tags"])
        case "union_tag_not_found":
            return f"{field}: a name is needed."
        case "missing":
            return f"{field}: this field is needed."
        case "tuple_type":
            return f"{field} is {_shown(details['input'])}: input should be a valid list."
        case "value_error":
            return f"{field}: {context['error']}" if field else str(context["error"])
        case _:
            return f"{field} is {_shown(details['input'])}: {_lowered(details['msg'])}."


def _shown(value: Any) -> str:
    """The value as written in Python, shortened; nesting without end does no harm."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # an integer of thousands of digits
        return f"a value of type {type(value).__name__}"


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]


def _not_allowed(field: str, value: Any, expected: str) -> str:
    choices = [choice.strip(" '") for choice in expected.split(",")]
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    return f"{field} is {_shown(value)}; allowed are {', '.join(choices)}.{hint}"


def _resolved(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[type[BaseModel]], list[str]]:
    """The sections that the last part of a location may be a field of, and the location without pydantic's names for
    the branches of a union."""
    sections = [model]
    fields: list[str] = []
    inside = sections  # what the value found so far may be
    for part in location:
        tagged = [section for section in inside if name_of(section) == part]
        if isinstance(part, int):
            fields.append(str(part))
        elif tagged:
            inside = tagged
        elif inside or not fields:
            sections = inside
            inside = [
                nested
                for section in sections
                if part in section.model_fields
                for nested in _models_in(section.model_fields[part].annotation)
            ]
            fields.append(part)
        elif not _UNION_BRANCH.fullmatch(part):
            fields.append(part)  # a key of a table
    return sections, fields


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
