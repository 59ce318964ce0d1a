"""The spelling of names: of a misspelled one a hint for the reader of an error, of a class's the words in it."""

import difflib
import re
from collections.abc import Iterable


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


def snake_case(name: str) -> str:
    """The words of a class's name, in lower case.

    >>> snake_case("SparseCategoricalCrossentropy"), snake_case("KLDivergence"), snake_case("SGD")
    ('sparse_categorical_crossentropy', 'kl_divergence', 'sgd')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
