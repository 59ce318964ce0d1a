"""The base of all sections of a scenario: no unknown fields, no changes after validation."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, Strict

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number: TypeAlias = Annotated[int, Strict(), Field(ge=0, lt=2**31)]
Count: TypeAlias = Annotated[int, Field(ge=1, lt=2**31)]


def by_name(value: Any) -> Any:
    """A plain string stands for a table that has only this name."""
    return {"name": value} if isinstance(value, str) else value


def _own(names: Iterable[str]) -> list[str]:
    return [name for name in names if not (name.startswith("_") or name in _OF_PYDANTIC)]


_OF_PYDANTIC = frozenset(type.__dir__(BaseModel))


class _WithOwnNames(ModelMetaclass):
    """Shows in `help` and in completions what a section has of its own, without the seventy names of pydantic."""

    def __dir__(cls) -> list[str]:  # noqa: N805  # a class is the self of a metaclass
        return _own(super().__dir__())


class Section(BaseModel, metaclass=_WithOwnNames):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def __dir__(self) -> list[str]:
        return _own(super().__dir__())


def name_of(section: type[BaseModel]) -> Any:
    """The name by which a union of sections tells this one; None: it is in no such union."""
    name = section.model_fields.get("name")
    return get_args(name.annotation)[0] if name is not None and get_origin(name.annotation) is Literal else None


def function_name(function: Any) -> str | None:
    """`package.module:function` of a function of the user's, as it is written to files."""
    if function is None or isinstance(function, str):
        return function
    return f"{function.__module__}:{getattr(function, '__qualname__', repr(function))}"
