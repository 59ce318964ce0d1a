"""Windows of a text, with the next token of each place as target."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.examples import Examples
from gossipfl.data.parts import Parts
from gossipfl.data.reading import Vocabulary
from gossipfl.errors import DataError

MAX_TEXT_BYTES = 2**30
"""The largest file that is read."""

UNKNOWN = "<unknown>"
"""The name of token 0, which stands for whatever the vocabulary does not have."""

_WORD = re.compile(r"\w+|[^\w\s]|\n")


def read_text(
    path: Path, name: str, vocabulary: Vocabulary, window: int, test_fraction: float, test: Path | None = None
) -> Parts:
    """Windows of T tokens, int32 [N, T], one after the other, and for each token the next: y[n, t] = x[n, t + 1].

    Tokens are characters, or words, punctuation marks and line ends. The vocabulary comes from the training part alone:
    its characters in sorted order, or its most frequent words. Without a file for the `test` part, the last
    `test_fraction` of the tokens is held out. x and y are views of one array.

    Raises DataError when a file is missing, is no text in UTF-8, or is too short.
    """
    tokens = _tokens(_text(path, name), vocabulary)
    if test is None:
        end = len(tokens) - round(test_fraction * len(tokens))
        train, held_out, origin = tokens[:end], tokens[end:], f"the last {test_fraction:.0%} of it are held out"
    else:
        train, held_out, origin = tokens, _tokens(_text(test, name), vocabulary), f"held out is {test}"
    names, numbers = _numbering(train, vocabulary)
    parts = [_windows(numbers(part), window, name) for part in (train, held_out)]
    kind = "characters" if vocabulary == "characters" else "words and marks"
    notes = [f"read as text of {len(train):,} {kind} to train on, {len(names):,} different with {UNKNOWN}; {origin}"]
    unknown = [float(np.mean(part.x == 0)) for part in parts]  # type: ignore[operator, unused-ignore]
    if any(unknown):
        notes.append(f"{UNKNOWN} are {unknown[0]:.2%} of the training tokens and {unknown[1]:.2%} of those held out")
    left = [len(part) - len(windows) * window - 1 for part, windows in zip((train, held_out), parts, strict=True)]
    if any(left):
        notes.append(f"windows of {window}: the last {left[0]} training and {left[1]} held-out tokens are not used")
    return Parts({"train": parts[0], "test": parts[1]}, len(names), names, tuple(notes))


def _text(path: Path, name: str) -> str:
    path = path.expanduser()
    try:
        if not path.is_file():
            raise DataError(f"{name}: there is no file {path}")
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise DataError(f"{name}: {path} is larger than {MAX_TEXT_BYTES / 2**30:.0f} GiB: use a part of it")
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"{name}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: {path} is no text in UTF-8, byte {error.start} is not: save it as UTF-8") from error


def _tokens(text: str, vocabulary: Vocabulary) -> Any:
    """Code points as an array, or a list of words."""
    if vocabulary == "characters":
        return np.frombuffer(text.encode("utf-32-le"), np.uint32)
    return _WORD.findall(text)


def _numbering(train: Any, vocabulary: Vocabulary) -> tuple[tuple[str, ...], Any]:
    """The tokens by number, and the function that makes numbers of tokens."""
    if vocabulary == "characters":
        known = np.unique(train)
        table = np.zeros(0x110000, np.int32)
        table[known] = np.arange(1, len(known) + 1)
        return (UNKNOWN, *map(chr, known)), table.__getitem__
    words = (UNKNOWN, *(word for word, _ in Counter(train).most_common(int(vocabulary) - 1)))
    number_of = {word: number for number, word in enumerate(words)}
    return words, lambda tokens: np.fromiter((number_of.get(token, 0) for token in tokens), np.int32, len(tokens))


def _windows(numbers: NDArray[np.int32], window: int, name: str) -> Examples:
    count = (len(numbers) - 1) // window
    if count < 1:
        raise DataError(
            f"{name}: a part of {len(numbers)} tokens has no window of {window} and a next token: give a longer "
            "text, or a smaller data.window"
        )
    end = count * window
    return Examples(numbers[:end].reshape(count, window), numbers[1 : end + 1].reshape(count, window))
