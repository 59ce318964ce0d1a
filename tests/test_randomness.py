import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.randomness import PublicRandomness, SeededSecrets

NAMES = st.lists(st.integers(0, 3) | st.sampled_from(["mask", "noise"]), max_size=3)


@given(seed=st.integers(0, 2**32), name=NAMES, other=NAMES)
def test_secrets_of_a_seed_are_told_by_their_name_alone(seed, name, other):
    first, second = (SeededSecrets(seed).random_bytes(32, *which) for which in (name, other))
    assert (first == second) == (name == other)
    assert SeededSecrets(seed + 1).random_bytes(32, *name) != first
    assert SeededSecrets(seed).random_bytes(8, *name) == first[:8]


def test_secrets_of_a_seed_are_bits_by_equal_chance():
    bits = np.unpackbits(np.frombuffer(SeededSecrets(0).random_bytes(100_000, "noise"), np.uint8))
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / np.sqrt(bits.size)


def test_secrets_are_not_what_a_public_generator_of_that_name_gives():
    public = PublicRandomness(0).generator("secret", "mask").bytes(32)
    assert SeededSecrets(0).random_bytes(32, "mask") != public


def test_the_system_never_says_the_same_twice():
    drawn = {SystemSecrets().random_bytes(16, "mask") for _ in range(100)}
    assert len(drawn) == 100
    assert {len(one) for one in drawn} == {16}


def test_the_type_says_who_is_protected():
    assert SystemSecrets.protects
    assert not SeededSecrets.protects
