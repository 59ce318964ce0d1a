"""The numbers of a message as text, "num_examples:12,mass:0.5": each has one spelling, and is within declared bounds.

An integer is written in digits, any other number as the shortest decimal form of a double.
"""

import math
import re
from collections.abc import Mapping

import numpy as np

from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import LARGEST_COUNT, NumberSchema

MAX_NUMBERS = 2
"""The header of a message has room for so many."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,15}")
"""The form of all names in a message: of numbers, vectors, arrays and encodings."""

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,15}")
_FLOAT = re.compile(r"[0-9.e+-]{1,24}")


def violation(numbers: Mapping[str, float]) -> str | None:
    """Why nobody could write these; None: they can be."""
    if len(numbers) > MAX_NUMBERS or not all(map(NAME.fullmatch, numbers)):
        return f"there are at most {MAX_NUMBERS} numbers, named by 1 to 16 of a-z, 0-9 and _, got {sorted(numbers)}"
    for name, number in numbers.items():
        if is_integer(number):
            lawful = abs(number) <= LARGEST_COUNT
        else:
            lawful = isinstance(number, float | np.floating) and math.isfinite(number)
        if not lawful:
            return f"{name} is a finite number, or an integer up to {LARGEST_COUNT}, got {number!r}"
    return None


def is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def write(numbers: Mapping[str, float]) -> str:
    """The text of numbers that have no violation."""
    return ",".join([f"{name}:{_written(number)}" for name, number in numbers.items()])


def _written(number: float) -> str:
    return str(int(number)) if is_integer(number) else repr(float(number))


def read(text: str, declared: Mapping[str, NumberSchema]) -> dict[str, float]:
    """The numbers of a text, any of those that are declared, and no others.

    Raises RemoteProtocolError for any other text; out of bounds, its reason is "absurd_number".

    >>> read("mass:0.5", {"mass": NumberSchema(0, 4)})
    {'mass': 0.5}
    """
    numbers: dict[str, float] = {}
    for name, written in [entry.partition(":")[::2] for entry in text.split(",")] if text else []:
        schema = declared.get(name)
        if schema is None:
            raise RemoteProtocolError(f"a number of the message is none of {sorted(declared)}, but {name[:64]!a}")
        if name in numbers:
            raise RemoteProtocolError(f"the number {name!r} is listed twice")
        number = numbers[name] = _number(name, written, schema)
        violation = schema.violation(number)
        if violation is not None:
            raise RemoteProtocolError(f"{name} {violation}", reason="absurd_number")
    return numbers


def _number(name: str, text: str, schema: NumberSchema) -> float:
    pattern, kind = (_INTEGER, int) if schema.is_integer else (_FLOAT, float)
    try:
        number = kind(text) if pattern.fullmatch(text) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or _written(number) != text:
        form = "an integer of at most 16 digits" if schema.is_integer else "the shortest decimal form of a double"
        raise RemoteProtocolError(f"{name} is {form}, got {text[:64]!a}")
    return number
