"""CKKS adds integers exactly, reads nothing without the key, and takes no bytes for a ciphertext that are none."""

import numpy as np
import pytest

from gossipfl.engines.ckks import CKKSAdder, CKKSKey, Parameters
from gossipfl.errors import ConfigurationError, RemoteProtocolError

PARAMETERS = Parameters(8192, (60, 40, 40, 60), 40)
KEY = CKKSKey(PARAMETERS)
ADDER = CKKSAdder(PARAMETERS)


def test_large_sums_are_integers_up_to_an_eighth():
    terms = np.random.default_rng(0).integers(-(2**42), 2**42, (16, PARAMETERS.num_slots)).astype(float)
    total = KEY.decrypt(ADDER.sum_of([ADDER.read(KEY.encrypt(term)) for term in terms]))
    assert np.abs(total - terms.sum(0)).max() < 1 / 8


def test_one_number_encrypted_twice_gives_other_ciphertexts_of_a_known_size():
    first, second = KEY.encrypt(np.ones(4096)), KEY.encrypt(np.ones(4096))
    assert first != second
    assert max(len(first), len(second)) <= PARAMETERS.largest


def test_bytes_that_are_no_ciphertext_of_these_parameters_are_refused():
    good = KEY.encrypt(np.ones(4096))
    others = Parameters(8192, (60, 40, 60), 40), Parameters(8192, (60, 40, 40, 60), 30), Parameters(4096, (54, 54), 20)
    foreign = [CKKSKey(other).encrypt(np.ones(other.num_slots)) for other in others]
    garbled = good[:1000] + bytes(100) + good[1100:]
    for content in (b"", b"some", bytes(2000), good[:-1], good + b"x", garbled, *foreign):
        with pytest.raises(RemoteProtocolError, match="no ciphertext"):
            ADDER.read(content)


def test_parameters_that_are_not_secure_are_refused():
    with pytest.raises(ConfigurationError, match="encryption: "):
        CKKSAdder(Parameters(4096, (60, 40, 40, 60), 40))
