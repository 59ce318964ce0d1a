"""Names for readers of errors and notes: the nearest to a misspelled one, the words of a class's, the first of many."""

import difflib
import re
from collections.abc import Iterable, Sequence


def did_you_mean(word: str, choices: Iterable[str], *, before: str = "", after: str = "") -> str:
    """A sentence with the nearest spellings, starting with a space, or the empty string when none is near.

    `before` and `after` complete a choice to what has to be written.

    >>> did_you_mean("cycle_grap", ["cycle_graph", "star_graph"])
    " Did you mean 'cycle_graph'?"
    >>> did_you_mean("wan", ["LAN", "WAN"])
    " Did you mean 'WAN'?"
    >>> did_you_mean("kmnits", ["kmnist"], before="tfds:")
    " Did you mean 'tfds:kmnist'?"
    """
    known = list(choices)
    nearest = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    nearest = nearest or [choice for choice in known if choice.casefold() == word.casefold()]
    return f" Did you mean {' or '.join(repr(f'{before}{choice}{after}') for choice in nearest)}?" if nearest else ""


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names with commas; of more than `most` the first ones, and how many more there are.

    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], most=2)
    ('a, b, c', 'a, b and 1 more')
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def snake_case(name: str) -> str:
    """The words of a class's name, in lower case.

    >>> snake_case("SparseCategoricalCrossentropy"), snake_case("KLDivergence"), snake_case("SGD")
    ('sparse_categorical_crossentropy', 'kl_divergence', 'sgd')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
