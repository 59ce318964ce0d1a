import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from secret_noise import SecretNoise

from gossipfl.compression import STAGES, Chain, Clip, Leaving, decompress, encoded
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.errors import ConfigurationError
from gossipfl.randomness import PublicRandomness, Randomness
from gossipfl.weights import frozen

SIZE = 4
FIRST = {"weights": frozen(np.zeros(SIZE)), "statistics": frozen(np.ones(2))}
SEEDED = Randomness.of_seed(0)
SYSTEM = Randomness(PublicRandomness(0), SystemSecrets())

models = st.lists(st.floats(-1e6, 1e6), min_size=SIZE, max_size=SIZE).map(lambda values: frozen(np.array(values)))
norms = st.floats(1e-3, 1e3)


def weights_of(leaving) -> np.ndarray:
    return decompress(leaving["weights"])


def through_a_file(snapshot):
    arrays, values = snapshot
    return {name: np.array(array) for name, array in arrays.items()}, json.loads(json.dumps(values))


@pytest.mark.parametrize("stage", [*(kind() for kind in STAGES.values()), SecretNoise()])
class TestEveryStage:
    def test_it_is_a_value(self, stage):
        assert pickle.loads(pickle.dumps(stage)) == stage
        assert type(stage).__name__ in repr(stage)

    def test_it_leaves_statistics_and_dtypes_and_gives_what_nobody_can_write_to(self, stage):
        vectors = {name: frozen(np.full(3, 2.0, np.float32)) for name in ("weights", "statistics", "optimizer")}
        leaving, memory = stage.apply(encoded(vectors), stage.first(vectors), SEEDED)
        assert leaving.keys() == vectors.keys()
        assert decompress(leaving["statistics"]) is vectors["statistics"]
        for vector in [*(decompress(one) for one in leaving.values()), *memory.values()]:
            assert vector.dtype == np.float32
            assert not vector.flags.writeable

    def test_it_is_pure(self, stage):
        vectors = {"weights": frozen(np.arange(3.0))}
        first = stage.first(vectors)
        once, again = (stage.apply(encoded(vectors), first, SEEDED) for _ in range(2))
        assert weights_of(once[0]).tobytes() == weights_of(again[0]).tobytes()
        assert {name: array.tobytes() for name, array in once[1].items()} == {
            name: array.tobytes() for name, array in again[1].items()
        }


@given(sent=st.lists(models, min_size=1, max_size=6), norm=norms)
def test_what_others_see_moves_by_no_more_than_the_norm(sent, norm):
    leaving, before = Leaving(Chain((Clip(norm),)), FIRST, SEEDED), FIRST["weights"]
    for x in sent:
        seen = weights_of(leaving.encode({**FIRST, "weights": x}))
        assert np.linalg.norm(seen - before) <= norm * (1 + 1e-9) + 1e-9  # the rounding of a sum next to 1e6
        step, to_go = seen - before, x - before
        if np.linalg.norm(to_go) <= norm:
            np.testing.assert_array_equal(seen, x)
        else:  # straight to where it wants to be
            assert step @ to_go == pytest.approx(np.linalg.norm(step) * np.linalg.norm(to_go), rel=1e-6, abs=1e-6)
        before = seen


@given(x=models, norm=norms)
def test_what_is_held_back_follows(x, norm):
    leaving, length = Leaving(Chain((Clip(norm),)), FIRST, SEEDED), np.linalg.norm(x)
    for _ in range(min(30, int(np.ceil(length / norm)) + 1)):
        seen = weights_of(leaving.encode({**FIRST, "weights": x}))
    if length / norm < 29:
        np.testing.assert_array_equal(seen, x)


@pytest.mark.parametrize("norm", [0.0, -1.0, float("inf"), float("nan")])
def test_a_norm_that_is_none_is_refused(norm):
    with pytest.raises(ConfigurationError, match="norm must be above 0"):
        Clip(norm)


def test_giants_do_not_overflow():
    vectors = {"weights": frozen(np.full(SIZE, 3e38, np.float32))}
    leaving = Leaving(Chain((Clip(1.0),)), {"weights": frozen(np.zeros(SIZE, np.float32))}, SEEDED)
    np.testing.assert_allclose(weights_of(leaving.encode(vectors)), 0.5)


def test_a_chain_is_its_links_one_after_the_other():
    stages = (Clip(2.0), SecretNoise(), Clip(1.0))
    chain, vectors = Chain(stages), {"weights": frozen(np.arange(4.0))}
    leaving, memory = chain.apply(vectors, chain.first(FIRST), SEEDED)
    by_hand = encoded(vectors)
    for position, stage in enumerate(stages):
        by_hand, own = stage.apply(by_hand, stage.first(FIRST), SEEDED.of("stage", position))
        for name, array in own.items():
            np.testing.assert_array_equal(memory[f"{position}/{name}"], array)
    np.testing.assert_array_equal(weights_of(leaving), weights_of(by_hand))


def test_without_links_vectors_leave_as_they_are():
    leaving = Leaving(Chain(), FIRST, SEEDED)
    assert weights_of(leaving.encode(FIRST)) is FIRST["weights"]
    assert weights_of(leaving.again(FIRST)) is FIRST["weights"]
    assert leaving.seen(FIRST) is FIRST
    assert leaving.with_the_rest(FIRST, FIRST) is FIRST
    assert leaving.snapshot()[0] == {}


@given(sent=st.lists(models, min_size=2, max_size=5), stop=st.integers(0, 4))
def test_a_restart_at_any_message_changes_no_byte(sent, stop):
    stages = Chain((Clip(5.0), SecretNoise()))
    undisturbed, leaving = (Leaving(stages, FIRST, SEEDED) for _ in range(2))
    for position, x in enumerate(sent):
        vectors = {**FIRST, "weights": x}
        expected, found = weights_of(undisturbed.encode(vectors)), weights_of(leaving.encode(vectors))
        assert found.tobytes() == expected.tobytes()
        if position == stop:
            twin = Leaving(stages, FIRST, SEEDED)
            twin.restore(through_a_file(leaving.snapshot()))
            assert weights_of(twin.again(vectors)).tobytes() == found.tobytes()
            np.testing.assert_array_equal(twin.seen(vectors)["weights"], leaving.seen(vectors)["weights"])
            leaving = twin


def test_secret_noise_is_drawn_once_for_each_message_and_sent_again_as_it_was():
    leaving = Leaving(Chain((SecretNoise(),)), FIRST, SYSTEM)
    first = weights_of(leaving.encode(FIRST))
    assert weights_of(leaving.again(FIRST)) is first
    twin = Leaving(Chain((SecretNoise(),)), FIRST, SYSTEM)
    twin.restore(through_a_file(leaving.snapshot()))
    assert weights_of(twin.again(FIRST)).tobytes() == first.tobytes()
    assert weights_of(leaving.encode(FIRST)).tobytes() != first.tobytes()


def test_noise_from_a_seed_can_be_repeated_and_differs_by_message_and_peer():
    def drawn(randomness):
        leaving = Leaving(Chain((SecretNoise(),)), FIRST, randomness)
        return [weights_of(leaving.encode(FIRST)).tobytes() for _ in range(3)]

    mine, others = drawn(SEEDED.of("peer", "0")), drawn(SEEDED.of("peer", "1"))
    assert mine == drawn(SEEDED.of("peer", "0"))
    assert len({*mine, *others}) == 6


@given(st.lists(models, min_size=2, max_size=2), norms)
def test_what_is_held_back_stays_in_the_mean(sent, norm):
    """Two peers that mix what they see of each other keep the mean of what they have."""
    mine, theirs = (Leaving(Chain((Clip(norm),)), FIRST, SEEDED) for _ in range(2))
    own = [{**FIRST, "weights": x} for x in sent]
    seen = []
    for leaving, vectors in zip((mine, theirs), own, strict=True):
        leaving.encode(vectors)
        seen.append(leaving.seen(vectors)["weights"])
    mixed = [
        leaving.with_the_rest(vectors, {"weights": frozen((seen[0] + seen[1]) / 2)})["weights"]
        for leaving, vectors in zip((mine, theirs), own, strict=True)
    ]
    np.testing.assert_allclose(mixed[0] + mixed[1], sent[0] + sent[1], rtol=1e-12, atol=1e-6)
