"""JSON as the standard has it: without NaN and infinity, which Python writes and browsers and other readers refuse."""

import json
from collections.abc import Iterable
from typing import Any


def strict_json(value: Any, *, indent: int | None = None) -> str:
    """The value as JSON text, NaN and infinity as null; on one line without spaces unless there is an `indent`."""
    separators = (",", ":") if indent is None else None
    try:
        return json.dumps(value, allow_nan=False, indent=indent, separators=separators)
    except (ValueError, TypeError):  # looking at every number takes far longer than writing it, and NaN is rare
        return json.dumps(without_nan(value), allow_nan=False, indent=indent, separators=separators)


def json_lines(values: Iterable[Any]) -> str:
    """The values as `strict_json`, each in a line of its own."""
    return "".join(strict_json(value) + "\n" for value in values)


def without_nan(value: Any) -> Any:
    """The value with None for every NaN and infinity in it, text for every key, and lists for tuples."""
    match value:
        case float():
            return value if abs(value) < float("inf") else None
        case dict():
            return {str(key): without_nan(member) for key, member in value.items()}
        case list() | tuple():
            return [without_nan(member) for member in value]
        case _:
            return value
