"""Patterns choose variables by their names; what fits nothing, or both lists, is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.training.sharing import SharingPatterns

NAMES = ["body/conv/kernel", "body/conv/bias", "body/norm/gamma", "body/norm/moving_mean", "head/kernel", "scale"]


def chosen(names=NAMES, **patterns):
    local, frozen = SharingPatterns(**patterns).chosen([[name] for name in names])
    return [[name for name, yes in zip(names, one, strict=True) if yes] for one in (local, frozen)]


def test_nothing_is_chosen_by_default():
    assert chosen() == [[], []]
    assert not SharingPatterns()


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("head",), ["head/kernel"]),
        (("head/*",), ["head/kernel"]),
        (("scale",), ["scale"]),
        (("*norm*",), ["body/norm/gamma", "body/norm/moving_mean"]),
        (("*/kernel",), ["body/conv/kernel", "head/kernel"]),
        (("body", "!body/norm"), ["body/conv/kernel", "body/conv/bias"]),
        (("*", "!body", "body/norm/gamma"), ["body/norm/gamma", "head/kernel", "scale"]),
        (("body/[cn]*/[kg]*",), ["body/conv/kernel", "body/norm/gamma"]),
    ],
)
def test_patterns_choose_by_name_in_their_order(patterns, expected):
    assert chosen(local=patterns) == [expected, []]
    assert chosen(frozen=patterns) == [[], expected]


def test_a_variable_in_two_places_goes_by_both_names():
    tied = [["encoder/table", "decoder/table"], ["decoder/bias"]]
    assert SharingPatterns(local=("decoder",)).chosen(tied)[0] == [True, True]
    assert SharingPatterns(local=("encoder",)).chosen(tied)[0] == [True, False]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"local": ("haed/*",)},
            r"sharing.local: the pattern 'haed/\*' fits no variable.* Did you mean 'head'\? There",
        ),
        ({"local": ("head", "!heads")}, r"the pattern '!heads' fits no variable of the model. Did you mean 'head'"),
        ({"frozen": ("Head",)}, r"sharing.frozen: .*'Head'.* There are body/conv/kernel, .*, scale$"),
        ({"local": ("head",), "frozen": ("*/kernel",)}, r"sharing.local and sharing.frozen both name .*'head/kernel'"),
    ],
)
def test_what_fits_nothing_or_is_both_is_refused(given, expected):
    with pytest.raises(ConfigurationError, match=expected):
        chosen(**given)


def test_of_many_variables_some_are_named():
    with pytest.raises(ConfigurationError, match=r"There are 0, 1, .*, 11 and 88 more$"):
        chosen([str(number) for number in range(100)], local=("x",))


@given(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_names_choose_themselves_and_what_is_taken_back_is_not_chosen(names):
    local, _ = chosen(local=tuple(names))
    assert local == [name for name in NAMES if name in names]
    assert chosen(local=("*", *(f"!{name}" for name in names)))[0] == [name for name in NAMES if name not in names]
