"""What peers agree on: scores by peer, equal where they are the same bits, and the rows that files have of them."""

import json
from dataclasses import replace
from math import nan

import numpy as np
import pytest

from gossipfl.agreements import SHARED_ASPECTS, Agreement, agreement_of
from gossipfl.history import History
from gossipfl.scores import LOSS, Metric


def agreed(scores, round=3, known_in=5, of_peers=4):
    peers = tuple("abcd"[: len(scores)])
    return Agreement(round, known_in, of_peers, peers, (LOSS, Metric("accuracy")), np.array(scores, np.float64))


def test_it_is_the_same_for_all_who_know_the_same_scores_whenever_they_came_to_know():
    one, later = agreed([[0.5, nan], [0.25, 1.0]]), agreed([[0.5, nan], [0.25, 1.0]], known_in=6)
    history = History("gossip", 7)
    for time, agreement in enumerate([one, later, agreed([[0.5, 0.0], [0.25, 1.0]]), agreed([[0.5, nan]])]):
        history.agree(agreement, float(time))
    rows = list(history.agreed_rows())
    assert [row["known_to"] for row in rows] == [2, 1, 1]
    assert (rows[0]["time"], rows[0]["known_in"]) == (0.0, 5)
    assert one != replace(one, round=4)
    assert one != "agreement"


def test_a_row_has_every_aspect_and_nobodys_own_scores():
    history = History("gossip", 7)
    history.agree(agreed([[0.5, 0.75], [0.25, 1.0]]), 2.5)
    (row,) = history.agreed_rows()
    assert (row["num_peers"], row["of_peers"], row["round"], row["oldest"]) == (2, 4, 3, 3)
    assert {f"{aspect}_{name}" for aspect in SHARED_ASPECTS for name in ("loss", "accuracy")} <= row.keys()
    assert (row["mean_loss"], row["worst_loss"], row["best_accuracy"]) == (0.375, 0.5, 1.0)
    assert row["decile5_accuracy"] == pytest.approx(0.875)
    assert not any(name.startswith("peer") for name in row)


@pytest.mark.parametrize("scores", [[[0.5, nan], [0.25, 1.0]], []])
def test_its_values_make_it_again(scores):
    one = replace(agreed(np.zeros((0, 2)) if scores == [] else scores), oldest=1)
    assert agreement_of(json.loads(json.dumps(one.values()))) == one


def test_of_models_that_diverged_a_few_digits_are_shown():
    assert str(agreed([[3e38, nan], [1.0, 0.5]])).endswith(
        "loss 1.5e+38 (3e+38 to 1.0000), accuracy nan (nan to 0.5000)"
    )
