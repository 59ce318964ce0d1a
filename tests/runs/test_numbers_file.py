"""numbers.json: what peers agreed on before a run is read back, or not believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.agreed_numbers import AgreedNumbers
from gossipfl.runs.numbers_file import NumbersFile

finite = st.floats(allow_nan=False, allow_infinity=False)
rows = st.lists(st.lists(finite, max_size=3).map(tuple), max_size=2).map(tuple)
counts = st.integers(0, 2**53)


@given(numbers=st.builds(AgreedNumbers, counts, finite, st.lists(counts, max_size=3).map(tuple), rows, rows))
def test_numbers_are_read_back_to_the_bit(tmp_path_factory, numbers):
    file = NumbersFile(tmp_path_factory.mktemp("peer") / "numbers.json")
    assert file.read("asked", "data") is None
    file.write("asked", "data", numbers)
    assert file.read("asked", "data") == numbers
    assert file.read("asked otherwise", "data") is None
    assert file.read("asked", "other data") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not what a run writes"),
        ('{"format": 1, "questions": "q", "data": "d", "numbers": {"num_examples": "many"}}', "numbers.num_examples"),
        ('{"format": 2}', "format 2"),
    ],
)
def test_what_is_garbled_is_said(tmp_path, content, reason):
    (tmp_path / "numbers.json").write_text(content)
    with pytest.raises(ConfigurationError, match=reason):
        NumbersFile(tmp_path / "numbers.json").read("q", "d")
