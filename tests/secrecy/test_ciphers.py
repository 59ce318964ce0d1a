"""The primitives are those of the standards, by their published examples."""

import numpy as np
import pytest

from gossipfl.engines.ciphers import cipher_of_seed
from gossipfl.errors import RemoteProtocolError

CIPHER = cipher_of_seed(0, "a")


def test_x25519_of_rfc_7748():
    """Section 5.2: the scalar 9 times the base point."""
    expected = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert CIPHER.public(b"\x09" + bytes(31)).hex() == expected


def test_both_ends_agree_for_one_purpose():
    one, other = b"1" * 32, b"2" * 32
    assert CIPHER.agree(one, CIPHER.public(other), b"p") == CIPHER.agree(other, CIPHER.public(one), b"p")
    assert CIPHER.agree(one, CIPHER.public(other), b"p") != CIPHER.agree(other, CIPHER.public(one), b"q")


def test_chacha20_of_rfc_8439():
    """Appendix A.1, test vector 1: key, nonce and counter 0."""
    expected = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    assert CIPHER.stream(bytes(32), 32).hex() == expected


def test_a_point_that_gives_zero_is_refused():
    with pytest.raises(RemoteProtocolError, match="none that can be agreed with"):
        CIPHER.agree(bytes(31) + b"\x01", bytes(32), b"p")


def test_what_was_sealed_is_opened_by_its_key_and_context_alone():
    sealed = CIPHER.seal(b"k" * 32, b"text", b"context")
    assert CIPHER.open(b"k" * 32, sealed, b"context") == b"text"
    for key, changed, context in (
        (b"j" * 32, sealed, b"context"),
        (b"k" * 32, sealed[:-1] + b"\x00", b"context"),
        (b"k" * 32, sealed, b"other"),
    ):
        with pytest.raises(RemoteProtocolError, match="cannot be opened"):
            CIPHER.open(key, changed, context)


def test_signatures_are_of_one_peer_and_one_text():
    signature = CIPHER.sign(b"text")
    cipher_of_seed(0, "b").check("a", b"text", signature, b"")
    for name, text in (("b", b"text"), ("a", b"other")):
        with pytest.raises(RemoteProtocolError, match="is not that of peer"):
            CIPHER.check(name, text, signature, b"")


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 50_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_mask_is_the_key_stream_added_modulo_two_to_the_32(size, sign):
    term = np.random.default_rng(size).integers(0, 2**32, size, dtype=np.uint32)
    total = term.copy()
    CIPHER.add_mask(b"k" * 32, total, sign)
    stream = np.frombuffer(CIPHER.stream(b"k" * 32, 4 * size), "<u4")
    assert (total == (term + stream if sign > 0 else term - stream)).all()
