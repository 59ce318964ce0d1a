import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.files.strict_json import strict_json, without_nan

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=20,
)


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


@given(values)
def test_it_is_json_with_null_for_nan_and_infinity(value):
    assert strict_json(value) == json.dumps(without_nan(value), separators=(",", ":"))
    json.loads(strict_json(value), parse_constant=refuse)


def test_nan_deep_inside_is_null():
    value = {"loss": {"a": float("nan"), 2: np.float64("inf")}, "pair": (1.5, [float("-inf")])}
    assert strict_json(value) == '{"loss":{"a":null,"2":null},"pair":[1.5,[null]]}'


def test_keys_are_text_whatever_they_are():
    assert strict_json({("a", "b"): 1, np.int64(2): 2.5}) == "{\"('a', 'b')\":1,\"2\":2.5}"


def test_what_json_cannot_say_is_refused():
    with pytest.raises(TypeError, match="not JSON serializable"):
        strict_json({"weights": {1.0, 2.0}})
