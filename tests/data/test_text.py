from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.data.text import UNKNOWN, read_text
from gossipfl.errors import DataError


def read(path: Path, text: str, vocabulary="characters", window=4, test_fraction=0.25, test=None):
    (path / "a.txt").write_text(text, newline="")
    return read_text(path / "a.txt", "text:a.txt", vocabulary, window, test_fraction, test)


def text_of(names, numbers):
    return "".join(names[number] for number in numbers)


def test_targets_are_the_next_characters(tmp_path):
    read_parts = read(tmp_path, "abcabcabcabcabcabcabcazz")
    train, test = read_parts.examples["train"], read_parts.examples["test"]
    names = read_parts.class_names
    assert names == (UNKNOWN, "a", "b", "c")
    assert [text_of(names, row) for row in train.x] == ["abca", "bcab", "cabc", "abca"]
    assert [text_of(names, row) for row in train.y] == ["bcab", "cabc", "abca", "bcab"]
    assert train.x.dtype == train.y.dtype == np.int32
    assert np.shares_memory(train.x, train.y)
    assert text_of(names, test.x[0]) == "abca"
    assert read_parts.notes == (
        "read as text of 18 characters to train on, 4 different with <unknown>; the last 25% of it are held out",
        "windows of 4: the last 1 training and 1 held-out tokens are not used",
    )


def test_a_vocabulary_has_the_most_frequent_words_of_the_training_part(tmp_path):
    other = tmp_path / "b.txt"
    other.write_text("the emu, the cat.")
    parts = read(tmp_path, "the cat, the dog, the end.\n", vocabulary=3, window=2, test=other)
    assert parts.class_names == (UNKNOWN, "the", ",")
    assert parts.examples["train"].x.tolist() == [[1, 0], [2, 1], [0, 2], [1, 0]]
    assert parts.examples["test"].x.tolist() == [[1, 0], [2, 1]]
    assert parts.notes[0].endswith(f"held out is {other}")
    assert parts.notes[1] == "<unknown> are 37.50% of the training tokens and 25.00% of those held out"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=20, max_size=60), st.integers(1, 4))
def test_characters_and_their_numbers_are_one(tmp_path_factory, text, window):
    path = tmp_path_factory.getbasetemp()
    parts = read(path, text, window=window, test_fraction=0.4)
    train = parts.examples["train"]
    shown = text_of(parts.class_names, train.x.ravel())
    assert text.removeprefix("\ufeff").startswith(shown) or "\r" in text
    assert (train.x.ravel()[1:] == train.y.ravel()[:-1]).all()


def test_what_is_no_text_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_text(tmp_path / "none.txt", "text:none", "characters", 4, 0.2)
    (tmp_path / "b.txt").write_bytes(b"abc\xff")
    with pytest.raises(DataError, match=r"b.txt is no text in UTF-8, byte 3 is not"):
        read_text(tmp_path / "b.txt", "text:b", "characters", 4, 0.2)
    for text in ("", "abc", "abcdef"):
        with pytest.raises(DataError, match="has no window of 4 and a next token"):
            read(tmp_path, text)
