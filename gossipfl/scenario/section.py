"""The base of all sections of a scenario: no unknown fields, no changes after validation."""

from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, Strict

Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number: TypeAlias = Annotated[int, Strict(), Field(ge=0, lt=2**31)]
Count: TypeAlias = Annotated[int, Field(ge=1, lt=2**31)]


def by_name(value: Any) -> Any:
    """A plain string stands for a table that has only this name."""
    return {"name": value} if isinstance(value, str) else value


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def name_of(section: type[BaseModel]) -> Any:
    """The name by which a union of sections tells this one; None: it is in no such union."""
    name = section.model_fields.get("name")
    return get_args(name.annotation)[0] if name is not None and get_origin(name.annotation) is Literal else None


def function_name(function: Any) -> str | None:
    """`package.module:function` of a function of the user's, as it is written to files."""
    if function is None or isinstance(function, str):
        return function
    return f"{function.__module__}:{getattr(function, '__qualname__', repr(function))}"
