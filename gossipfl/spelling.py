"""Turns a misspelled name into a hint for the reader of an error."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A sentence with the nearest spellings, starting with a space, or the empty string when none is near.

    >>> did_you_mean("cycle_grap", ["cycle_graph", "star_graph"])
    " Did you mean 'cycle_graph'?"
    """
    nearest = difflib.get_close_matches(word, choices, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
