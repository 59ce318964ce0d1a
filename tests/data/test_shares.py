"""Held-out examples are dealt as training examples are."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.data.deck import Deck
from gossipfl.data.examples import Examples
from gossipfl.data.given_partition import ByColumn
from gossipfl.data.partition import IID, Dirichlet
from gossipfl.data.shares import own_shares
from gossipfl.errors import ConfigurationError


def deck_of(labels: Any = None, **columns: Any) -> Deck:
    labels = None if labels is None else np.asarray(labels)
    number = len(next(iter(columns.values()))) if labels is None else len(labels)
    return Deck(Examples(np.zeros((number, 1)), columns={k: np.array(v) for k, v in columns.items()}), labels)


def shares_of(rule: Any, training: Deck, held_out: Deck, num_peers: int, seed: int = 0) -> tuple[list[Any], list[Any]]:
    peers = [str(peer) for peer in range(num_peers)]
    parts = rule(training, peers, np.random.default_rng(seed))
    return parts, own_shares(rule, training, parts, held_out, np.random.default_rng(seed + 1))


@settings(deadline=None, max_examples=60)
@given(
    num_peers=st.integers(1, 6),
    alpha=st.floats(0.1, 5),
    counts=st.lists(st.integers(0, 50), min_size=1, max_size=5),
    seed=st.integers(0, 9),
)
def test_of_each_class_a_peer_holds_what_it_holds_in_training(
    num_peers: int, alpha: float, counts: list[int], seed: int
) -> None:
    training = np.arange(40 * len(counts)) % len(counts)
    held_out = np.repeat(np.arange(len(counts)), counts)
    if not held_out.size:
        return
    parts, shares = shares_of(Dirichlet(alpha), deck_of(training), deck_of(held_out), num_peers, seed)
    assert np.array_equal(np.sort(np.concatenate(shares)), np.arange(len(held_out)))
    for label, count in enumerate(counts):
        for part, share in zip(parts, shares, strict=True):
            wanted = np.sum(training[part] == label) / 40 * count
            assert abs(np.sum(held_out[share] == label) - wanted) <= 1 + 1e-9


def test_what_nobody_has_in_training_is_in_no_share() -> None:
    _, shares = shares_of(IID(), deck_of([0, 0, 1, 1]), deck_of([0, 1, 2, 7, 0]), 2)
    assert sorted(np.concatenate(shares).tolist()) == [0, 1, 4]


def test_without_classes_sizes_are_in_proportion() -> None:
    training, held_out = deck_of(user=[0] * 30 + [1] * 10), deck_of(user=[5] * 8)
    parts = [np.arange(30), np.arange(30, 40)]
    shares = own_shares(IID(), training, parts, held_out, np.random.default_rng(0))
    assert [len(share) for share in shares] == [6, 2]
    assert sorted(np.concatenate(shares).tolist()) == list(range(8))


def test_by_a_column_whoever_holds_a_value_holds_it_everywhere() -> None:
    training = deck_of(user=["u", "v", "w", "u", "v", "x"])
    held_out = deck_of(user=["x", "new", "u", "a", "v", "u", "zz"])
    parts, shares = shares_of(ByColumn("user"), training, held_out, 3)
    users = [set(training.examples.columns["user"][part]) for part in parts]
    for user, share in zip(users, shares, strict=True):
        held = held_out.examples.columns["user"][share]
        assert set(held) <= user
        assert len(held) == np.isin(held_out.examples.columns["user"], list(user)).sum()
    assert sorted(np.concatenate(shares).tolist()) == [0, 2, 4, 5]


def test_held_out_examples_without_the_column_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no column 'user'"):
        shares_of(ByColumn("user"), deck_of(user=[0, 1]), deck_of(region=[0, 1]), 2)


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="column 'user' is int64 in the training examples and <U1 here"):
        shares_of(ByColumn("user"), deck_of(user=[0, 1, 2]), deck_of(user=["0", "1", "2"]), 3)


@pytest.mark.parametrize("labels", [(np.arange(60) % 3, None), (None, np.arange(60) % 3)])
def test_where_only_one_part_has_classes_sizes_are_in_proportion(labels: Any) -> None:
    training, held_out = (deck_of(one, at=np.arange(60)) if one is None else deck_of(one) for one in labels)
    _, shares = shares_of(IID(), training, held_out, 3)
    assert [len(share) for share in shares] == [20, 20, 20]
