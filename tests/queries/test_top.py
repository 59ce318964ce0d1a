"""Frequent values, classes, skew and distinct values against plain counting."""

import math
from collections import Counter

import numpy as np
import pytest
from asking import answered, asked
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError, DataError
from gossipfl.queries import Classes, Distinct, Skew, Top, Values

texts = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["a", "é", "", "7"])
numbers = st.floats(-1e90, 1e90) | st.integers(-3, 9).map(float)
peers = st.lists(st.lists(texts, max_size=9) | st.lists(numbers, max_size=9), min_size=1, max_size=5)


def counter(peers):
    def name(item):
        return item if isinstance(item, str) else str(int(item)) if item.is_integer() else repr(item)

    return Counter(name(item) for peer in peers for item in peer)


@given(peers)
def test_classes_are_counted_exactly(peers) -> None:
    answer = answered(Classes(), [Values(peer) for peer in peers])
    assert (answer.value, answer.bound) == (counter(peers), 0.0)


@given(peers, st.integers(1, 5), st.floats(1 / 256, 1))
def test_the_top_are_those_of_a_share(peers, k, least_share) -> None:
    answer = answered(Top(k, least_share), [Values(peer) for peer in peers])
    everything = counter(peers)
    least = max(1, math.ceil(least_share * everything.total()))
    frequent = sorted((-count, text) for text, count in everything.items() if count >= least)
    assert list(answer.value.items()) == [(text, -count) for count, text in frequent[:k]]
    assert any("rarer" in note for note in answer.notes) == (len(frequent) < k and least > 1)


def test_a_few_among_many_are_found() -> None:
    generator = np.random.default_rng(0)
    rare = [f"rare {number}" for number in generator.integers(0, 10**6, 20_000)]
    everything = np.array(rare + ["frequent"] * 400 + ["common"] * 300)
    generator.shuffle(everything)
    answer, num_passes = asked(Top(5), [Values(part) for part in np.array_split(everything, 7)])
    assert answer.value == {"frequent": 400, "common": 300}
    assert num_passes == 4


def test_three_passes_count_ten_classes() -> None:
    labels = np.arange(1000) % 10
    answer, num_passes = asked(Classes(), [Values(labels[:10]), Values(labels[10:])])
    assert (list(answer.value), set(answer.value.values()), num_passes) == ([*map(str, range(10))], {100}, 3)


def test_more_classes_than_can_be_sought_are_said() -> None:
    for query in (Classes(), Skew()):
        answer = answered(query, [Values(np.arange(300.0))] * 3)
        assert math.isnan(answer.value)
        assert "256 different values at most, and there are more" in answer.notes[0]


def test_two_texts_of_one_hash_are_told() -> None:
    """A pair as a birthday attack on the 52 bits finds it: both are counted, and no text is made up of them."""
    values = [Values(["one"]), Values(["two"])]
    for own in values:
        vars(own)["hashed"] = own.hashed._replace(hashes=np.array([5 << 12], np.uint64))
    assert answered(Classes(), values).value == {"(several of hash 5)": 2}


@given(peers)
def test_skew_is_the_distance_from_the_shares_of_all(peers) -> None:
    answer = answered(Skew(), [Values(peer) for peer in peers])
    everything = counter(peers)
    sizes = [len(peer) for peer in peers]
    assert (answer.value["fewest"], answer.value["most"]) == (min(sizes), max(sizes))
    distances = [
        sum(abs(counter([peer])[text] / len(peer) - everything[text] / sum(sizes)) for text in everything) / 2
        for peer in peers
        if peer
    ]
    if distances:
        assert answer.value["mean"] == pytest.approx(np.mean(distances), abs=answer.bound)
        assert answer.value["greatest"] == pytest.approx(max(distances), abs=answer.bound)
    else:
        assert math.isnan(answer.value["mean"])


@pytest.mark.parametrize("number", [0, 1, 2, 10, 100, 3_000, 10_000, 30_000])
def test_distinct_values_are_estimated_as_promised(number) -> None:
    for precision in (8, 12, 16):
        answer = answered(Distinct(precision), [Values(np.arange(number) / 8), Values(np.arange(number // 2) / 8)])
        assert abs(answer.value - number) <= answer.bound <= 3.13 * 2 ** (-precision / 2) * answer.value + 0.5


def test_the_error_of_the_estimate_is_that_of_hyperloglog() -> None:
    """Over many sets of values the mean error is 1.04 / sqrt(m), and it is without a bias."""
    values = [Values([f"{trial} {number}" for number in range(600)]) for trial in range(60)]
    errors = [answered(Distinct(6), [own]).value / 600 - 1 for own in values]
    assert abs(np.mean(errors)) < 3 * 0.13 / math.sqrt(60)
    assert np.std(errors) < 1.3 * 0.13


def test_what_they_do_not_take_is_refused() -> None:
    for query in (Top(), Classes(), Skew(), Distinct()):
        with pytest.raises(ConfigurationError, match="is asked of one column, not of 4 features"):
            query.first(4)
        with pytest.raises(DataError, match="takes no weights"):
            answered(query, [Values(["a"], [1.0])])
        with pytest.raises(DataError, match="an example has 2 numbers"):
            answered(query, [Values([[1, 2]])])
    with pytest.raises(DataError, match=r"up to 119 bytes, and 'xxxxxxxxxxxxxxxxxxxx'\.\.\. has 120"):
        answered(Classes(), [Values(["x" * 120])])
    for wrong in (lambda: Top(0), lambda: Top(1, 0.001), lambda: Top(1, math.nan), lambda: Distinct(3)):
        with pytest.raises(ConfigurationError, match="must be"):
            wrong()
