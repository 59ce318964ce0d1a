from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.engines.http.wire.envelope import (
    CERTIFICATE,
    ENVELOPE,
    NO_DIGEST,
    PROTOCOL,
    SIGNATURE,
    Envelope,
    Purpose,
    Sealed,
    digest_of,
    read_line,
)

names = st.from_regex(r"\A[A-Za-z0-9._-]{1,64}\Z")
counts = st.integers(0, 10**16 - 1)


def digits(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=length, max_size=length)


envelopes = st.builds(
    Envelope,
    purpose=st.sampled_from(Purpose),
    run=digits(64),
    schema=digits(64),
    sender=names,
    incarnation=counts,
    session=digits(32),
    receiver=names,
    addressee=digits(32),
    counter=counts,
    received=counts,
    size=counts,
    digest=st.just(NO_DIGEST) | digits(64),
)


@given(envelopes)
def test_what_is_written_is_read(envelope):
    assert read_line(envelope.line()) == (PROTOCOL, envelope)


@given(envelopes, st.data())
def test_there_is_no_second_line_for_an_envelope(envelope, data):
    """Whatever is changed means something else, or nothing."""
    line = envelope.line()
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, min(len(line), start + 3)))
    changed = line[:start] + data.draw(st.text(max_size=3)) + line[end:]
    if changed != line:
        assert read_line(changed)[1] != envelope


@given(st.text(max_size=400))
def test_noise_is_no_envelope(noise):
    assert read_line(noise) == ("", None)


@given(envelopes)
def test_another_version_is_told_apart_from_garbage(envelope):
    assert read_line(envelope.line().replace(PROTOCOL, "gossipfl/2", 1)) == ("gossipfl/2", None)


@given(envelopes, st.binary(min_size=1, max_size=80), st.binary(min_size=1, max_size=500))
def test_headers_carry_line_signature_and_certificate(envelope, signature, certificate):
    sealed = Sealed(envelope.line(), signature, certificate)
    headers = sealed.headers()
    assert headers.keys() == {ENVELOPE, SIGNATURE, CERTIFICATE}
    assert Sealed.read(headers.get) == sealed
    assert Sealed.read(Sealed(envelope.line()).headers().get) == Sealed(envelope.line())


@pytest.mark.parametrize("broken", ["*", "YQ", "YQ=", "YQ==YQ==", "Y Q==", "é"])
@pytest.mark.parametrize("header", [SIGNATURE, CERTIFICATE])
def test_what_is_not_base64_is_nothing(header, broken):
    assert Sealed.read({ENVELOPE: "line", header: broken}.get) is None
    assert Sealed.read({header: "YQ=="}.get) is None


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_a_digest_does_not_depend_on_the_pieces(body, cuts):
    view = memoryview(body)
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [view[start:end] for start, end in pairwise(edges)]
    assert digest_of(pieces) == digest_of([view])


def test_a_digest_is_that_of_the_bytes():
    assert digest_of([memoryview(b"")]).startswith("af1349b9f5f9a1a6")  # of the test vectors of BLAKE3
    assert digest_of([np.arange(3.0).data.cast("B")]) != digest_of([np.arange(1.0, 4.0).data.cast("B")])
