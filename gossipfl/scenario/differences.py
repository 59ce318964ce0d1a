"""The difference of two scenarios, for messages on runs that are not those of a scenario."""

from collections.abc import Iterable
from typing import Any


def first_difference(before: Any, now: Any, at: str = "") -> str | None:
    """The first difference of two scenarios as JSON has them, in words.

    >>> first_difference({"training": {"batch_size": 10}}, {"training": {"batch_size": 50}})
    'training.batch_size was 10, and is 50'
    """
    if isinstance(before, dict) and isinstance(now, dict):
        names = dict.fromkeys([*before, *now])
        pairs: Iterable[tuple[str, Any, Any]] = ((name, before.get(name), now.get(name)) for name in names)
        found = (first_difference(old, new, f"{at}.{name}" if at else name) for name, old, new in pairs)
        return next(filter(None, found), None)
    return None if before == now else f"{at} was {before}, and is {now}"
