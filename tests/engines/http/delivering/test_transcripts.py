"""Conversations with one neighbor, as stories: each plays as it is written.

When a rule of delivery changes, `python tests/engines/http/delivering/test_transcripts.py --rewrite` writes what is
asked for now, and the difference is for you to judge.
"""

import re
import sys
from pathlib import Path

import pytest
from transcripts import COMMANDS, Player

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_it_plays_as_it_is_written(path):
    written = path.read_text()
    assert Player().play(written) == written


def test_every_word_of_the_language_is_spoken():
    lines = [line for path in TRANSCRIPTS for line in path.read_text().splitlines() if line[:1].isdigit()]
    words = [re.sub(r"^[\d.]+ +", "", line) for line in lines]
    assert not [pattern for pattern in COMMANDS if not any(re.fullmatch(pattern, word) for word in words)]


def test_a_word_that_nobody_knows_is_no_word():
    with pytest.raises(ValueError, match="no command is called 'b sings'"):
        Player().play("0.0 b sings\n")


if __name__ == "__main__":
    assert sys.argv[1:] == ["--rewrite"], __doc__
    for path in TRANSCRIPTS:
        path.write_text(Player().play(path.read_text()))
