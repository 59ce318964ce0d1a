"""Partitions by a column, by lists and by a function: who holds what is what somebody else says."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.data.deck import Deck
from gossipfl.data.examples import Examples
from gossipfl.data.given_partition import ByColumn, ByFunction, Given
from gossipfl.data.partition import check_partition
from gossipfl.errors import ConfigurationError

AB = ["a", "b"]


def deck_of(num_examples: int = 4, **columns: Any) -> Deck:
    return Deck(Examples(np.arange(num_examples), columns={name: np.array(one) for name, one in columns.items()}), None)


def dealt(rule: Any, deck: Deck, peers: list[str], seed: int = 0) -> list[list[int]]:
    parts = rule(deck, peers, np.random.default_rng(seed))
    check_partition(parts, len(deck))
    return [part.tolist() for part in parts]


@settings(deadline=None)
@given(
    users=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    num_peers=st.integers(1, 8),
    seed=st.integers(0, 9),
)
def test_the_examples_of_a_value_stay_together_and_sizes_are_even(users: list[int], num_peers: int, seed: int) -> None:
    deck, peers = deck_of(len(users), user=users), [f"peer {k}" for k in range(num_peers)]
    counts = np.unique(users, return_counts=True)[1]
    if len(counts) < num_peers:
        with pytest.raises(
            ConfigurationError, match=rf"{len(counts)} value\\(s\\) for {num_peers} peers|lower the number"
        ):
            dealt(ByColumn("user"), deck, peers, seed)
        return
    parts = dealt(ByColumn("user"), deck, peers, seed)
    assert parts == dealt(ByColumn("user"), deck, peers, seed)
    held = [{users[example] for example in part} for part in parts]
    assert sum(map(len, held)) == len(counts)
    sizes = [len(part) for part in parts]
    # Graham (1966): a peer has one value, or its last one came when it had no more than the mean of what was dealt, and
    # is none of the `num_peers` largest.
    next_largest = np.sort(counts)[::-1][num_peers] if len(counts) > num_peers else 0
    most = max(counts.max(), len(users) / num_peers + (1 - 1 / num_peers) * next_largest)
    assert max(sizes) <= most + 1e-9


def test_peers_that_are_named_as_the_values_hold_their_own() -> None:
    deck = deck_of(5, city=["Rom", "Ulm", "Rom", "Bern", "Ulm"])
    assert dealt(ByColumn("city"), deck, ["Ulm", "Rom", "Bern"]) == [[1, 4], [0, 2], [3]]
    assert dealt(ByColumn("ward"), deck_of(3, ward=[7, 9, 7]), ["9", "7"]) == [[1], [0, 2]]


def test_other_peers_are_dealt_values_by_the_seed() -> None:
    deck = deck_of(6, user=[0, 1, 2, 3, 4, 5])
    hands = {json.dumps(dealt(ByColumn("user"), deck, ["x", "y", "z"], seed)) for seed in range(20)}
    assert len(hands) > 10


@pytest.mark.parametrize(
    ("columns", "by", "words"),
    [
        ({}, "user", r"no column 'user' .* they have none"),
        ({"users": [1, 2, 3, 4], "age": [1, 1, 1, 1]}, "user", r"there are users, age\. Did you mean 'users'"),
        ({"user": ["x", "", "y", ""]}, "user", r"no value for 2 example\(s\), the first of them 1"),
        ({"user": [1.0, 2.0, np.nan, 3.0]}, "user", r"no value for 1 example\(s\), the first of them 2"),
        ({"user": [[1], [2], [3], [4]]}, "user", r"one value for each example, got shape \(4, 1\)"),
        ({"user": [5, 5, 5, 5]}, "user", r"1 value\(s\) for 2 peers.* at most 1"),
    ],
)
def test_a_column_that_cannot_be_dealt_is_named(columns: dict[str, Any], by: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        dealt(ByColumn(by), deck_of(**columns), AB)


@pytest.mark.parametrize(
    "lists",
    [{"b": [1], "a": [3, 0, 2]}, [[0, 2, 3], [1]], [np.array([2, 3, 0]), (1,)]],
    ids=["names", "order", "arrays"],
)
def test_lists_are_dealt_as_they_are(lists: Any, tmp_path: Path) -> None:
    expected = [[0, 2, 3], [1]]
    assert dealt(Given(parts=lists), deck_of(), AB) == expected
    assert dealt(ByFunction(lambda examples, peers, generator: lists), deck_of(), AB) == expected
    if isinstance(lists, dict):
        file = tmp_path / "parts.json"
        file.write_text(json.dumps(lists), "utf-8")
        assert dealt(Given(file=str(file)), deck_of(), AB) == expected


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"a": [0, 1, 2, 3]}, "no list for peer 'b'"),
        ({"a": [0, 1], "b": [2], "bb": [3]}, "names the peer 'bb', which is none of the topology. Did you mean 'b'"),
        ([[0, 1, 2, 3]], "1 lists for 2 peers"),
        ([[0, 1, 2, 3], []], "the list of peer 'b' is empty"),
        ([[0, 1], [2, 4]], "peer 'b' holds example 4, but the training set has 4"),
        ([[-1, 0, 1], [2, 3]], "peer 'a' holds example -1"),
        ([[0, 1, 2], [2, 3]], "gives example 2 twice, to a and b"),
        ([[0, 1, 1, 2], [3]], "gives example 1 twice, to a;"),
        ([[0], [3]], "gives 2 of 4 training examples to nobody, the first of them 1"),
        ([[0.5], [3]], "the list of peer 'a' must be a list of whole numbers, got float64"),
        ([["x"], [3]], "whole numbers"),
        ([[[0], [1, 2]], [3]], "the list of peer 'a' is no list"),
        ("ab", "must be a list of example numbers for each peer, .* got str"),
        (7, "got int"),
    ],
)
def test_lists_that_are_no_partition_are_named(lists: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^partition 'indices'.*{words}"):
        dealt(Given(parts=lists), deck_of(), AB)


@pytest.mark.parametrize(
    ("text", "words"), [(None, "there is no"), ("{", "cannot read .* it is JSON"), ("[[[" * 9999, "cannot")]
)
def test_a_file_that_cannot_be_read_is_named(text: str | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "parts.json"
    if text is not None:
        file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=f"{words}.*parts.json|{words}"):
        dealt(Given(file=str(file)), deck_of(), AB)


def test_lists_come_from_a_file_or_from_python() -> None:
    for arguments in ({}, {"file": "x", "parts": []}):
        with pytest.raises(ConfigurationError, match="either a file or parts"):
            Given(**arguments)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> None:
        (tmp_path / "deals_of_test.py").write_text(text, "utf-8")
        monkeypatch.delitem(sys.modules, "deals_of_test", raising=False)

    return write


def test_a_function_is_given_the_examples_the_peers_and_a_generator(module: Callable[[str], None]) -> None:
    module(
        "def by_parity(examples, peers, generator):\n"
        "    assert generator.random() < 1\n"
        "    return {peer: [k for k in range(len(examples)) if k % len(peers) == i] for i, peer in enumerate(peers)}\n"
        "def by_size(examples, peers):\n    return []\n"
    )
    assert dealt(ByFunction("deals_of_test:by_parity"), deck_of(), AB) == [[0, 2], [1, 3]]
    with pytest.raises(ConfigurationError, match=r"takes \(examples, peers, generator\)"):
        dealt(ByFunction("deals_of_test:by_size"), deck_of(), AB)
    with pytest.raises(ConfigurationError, match="Did you mean 'deals_of_test:by_parity'"):
        dealt(ByFunction("deals_of_test:by_partiy"), deck_of(), AB)
