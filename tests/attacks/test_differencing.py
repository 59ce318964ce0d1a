"""What sums over overlapping neighborhoods, and over steps with a drop-out, give away by subtraction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.attacks.differencing import LinearView, exposed

RNG = np.random.default_rng(0)
MODELS = {peer: RNG.normal(size=20) for peer in "abcdef"}


def seen(weights: dict[str, float], models: dict[str, np.ndarray] = MODELS) -> LinearView:
    return LinearView(weights, np.sum([w * models[peer] for peer, w in weights.items()], axis=0))


def test_one_sum_gives_none_of_its_terms() -> None:
    assert exposed([seen({"a": 0.4, "b": 0.3, "c": 0.3})]) == {}
    assert exposed([]) == {}


def test_two_colluding_neighborhoods_that_differ_in_one_peer_expose_it() -> None:
    found = exposed([seen({"a": 0.25, "b": 0.25, "c": 0.5}), seen({"a": 0.5, "b": 0.5})])
    assert list(found) == ["c"]
    assert found["c"].value == pytest.approx(MODELS["c"], abs=1e-12)


def test_other_weights_of_the_same_peers_are_another_equation() -> None:
    assert set(exposed([seen({"a": 0.5, "b": 0.5}), seen({"a": 0.3, "b": 0.7})])) == {"a", "b"}


def test_a_drop_out_exposes_a_model_as_nearly_as_the_others_stand_still() -> None:
    later = {peer: model + 1e-3 * RNG.normal(size=20) for peer, model in MODELS.items()}
    found = exposed([seen({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}), seen({"a": 1 / 3, "b": 1 / 3}, later)])["c"]
    assert 0 < np.abs(found.value - MODELS["c"]).max() < found.amplification * 4e-3


@given(st.integers(0, 2**32 - 1))
def test_what_is_exposed_is_right_and_the_rest_could_be_anything(seed: int) -> None:
    """For who is not exposed there are other models that give the same sums."""
    rng = np.random.default_rng(seed)
    peers = list(MODELS)
    rows = [
        {peer: float(rng.integers(1, 4)) for peer in rng.permutation(peers)[: rng.integers(1, 4)]} for _ in range(4)
    ]
    found = exposed([seen(row) for row in rows])
    matrix = np.array([[row.get(peer, 0.0) for peer in peers] for row in rows])
    free = np.linalg.svd(matrix)[2][np.linalg.matrix_rank(matrix) :]
    for number, peer in enumerate(peers):
        if peer in found:
            assert found[peer].value == pytest.approx(MODELS[peer], abs=1e-8)
        elif any(peer in row for row in rows):
            assert np.abs(free[:, number]).max() > 1e-6
