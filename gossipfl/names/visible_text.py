"""Text from files and from other peers, made safe to show: what would act on a terminal is written out instead.

Escape sequences move the cursor and rewrite what stands above; marks of writing direction show a name as another one;
a line break in a name makes a line of its own.
"""

import unicodedata
from typing import Any


def visible(text: str, keep: str = "") -> str:
    """The text with every character that cannot be seen, but those to `keep`, as Python writes it in a string.

    >>> visible("plain text, größer, 日本")
    'plain text, größer, 日本'
    >>> print(visible("a" + chr(27) + "[2J" + chr(0x202E) + "b" + chr(10)))
    a\\x1b[2J\\u202eb\\n
    """
    if text.isprintable():
        return text
    return "".join(char if char in keep or _is_seen(char) else _written_out(char) for char in text)


LINES = "\n\t"
"""The line breaks and tabs that text of several lines may keep."""


def visible_lines(text: str) -> str:
    """The visible text, line breaks and tabs kept."""
    return visible(text, LINES)


def all_visible(value: Any, keep: str = "") -> Any:
    """A JSON value with every text in it, keys included, made visible."""
    match value:
        case str():
            return visible(value, keep)
        case dict():
            return {all_visible(key, keep): all_visible(member, keep) for key, member in value.items()}
        case list() | tuple():
            return [all_visible(member, keep) for member in value]
        case _:
            return value


def _is_seen(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"  # Python counts all spaces but one to the others


def _written_out(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
