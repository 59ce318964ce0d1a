import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.codec.number_list import read, write
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import NumberSchema

NUMBERS = {"num_examples": NumberSchema(1, 10**9, is_integer=True), "mass": NumberSchema(5e-324, 8)}


@given(st.fixed_dictionaries({"num_examples": st.integers(1, 10**9), "mass": st.floats(5e-324, 8)}))
def test_numbers_are_read_as_they_were_written(numbers):
    assert read(write(numbers), NUMBERS) == numbers


INTEGER, DOUBLE = "num_examples is an integer of at most", "mass is the shortest decimal form"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("num_examples:1e3", INTEGER),
        ("num_examples:" + "9" * 17, INTEGER),
        ("num_examples:01", INTEGER),
        ("num_examples:-0", INTEGER),
        ("num_examples:+1", INTEGER),
        ("num_examples:1_0", INTEGER),
        ("num_examples:\u0663", INTEGER),
        ("num_examples:", INTEGER),
        ("num_examples", INTEGER),
        ("num_examples:0", "num_examples is an integer from 1 to 1000000000, got 0"),
        ("num_examples:-1", "num_examples is an integer from 1 to 1000000000, got -1"),
        ("num_examples:1000000001", "num_examples is an integer from 1 to 1000000000, got 1000000001"),
        ("mass:0.0", "mass is a number from 5e-324 to 8, got 0.0"),
        ("mass:-1.0", "mass is a number from 5e-324 to 8, got -1.0"),
        ("mass:8.000000000000002", "mass is a number from 5e-324 to 8, got 8.000000000000002"),
        ("mass:inf", DOUBLE),
        ("mass:1e999", DOUBLE),
        ("mass:nan", DOUBLE),
        ("mass:heavy", DOUBLE),
        ("mass:1", DOUBLE),
        ("mass:1_0.0", DOUBLE),
        ("mass: 1.0", DOUBLE),
        ("mass:" + "1" * 400, DOUBLE),
        ("mass:1.0:2.0", DOUBLE),
        ("mass:1.0,mass:1.0", "number 'mass' is listed twice"),
        ("degree:3", "none of .*, but 'degree'"),
        ("mass:1.0,", "none of .*, but ''"),
        (",", "none of .*, but ''"),
    ],
)
def test_numbers_that_are_none(text, reason):
    with pytest.raises(RemoteProtocolError, match=reason):
        read(text, NUMBERS)
