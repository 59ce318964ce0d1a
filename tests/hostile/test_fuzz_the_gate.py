"""Whatever bytes and numbers come to the gate: an envelope, a message, or a Refusal; never another exception."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import facts_for

from gossipfl.codec.messages import encode
from gossipfl.compression import dense
from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.engines.http.trust.gate import Gate
from gossipfl.engines.http.trust.replay import WINDOW, ReplayWindow
from gossipfl.engines.http.wire.envelope import (
    CERTIFICATE,
    ENVELOPE,
    NO_DIGEST,
    SIGNATURE,
    Envelope,
    Purpose,
    Sealed,
    digest_of,
    read_line,
)
from gossipfl.engines.http.wire.limits import TokenBucket
from gossipfl.engines.http.wire.refusals import Refusal
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.weights import ModelVectors, frozen

MODEL = ModelVectors(frozen(np.zeros(8)), frozen(np.ones(2)))
FACTS = facts_for(MODEL, num_rounds=10, num_participants=3)
BODY = encode(
    Message(
        "b",
        "a",
        Kind.REQUEST,
        exchange=ExchangeId("b", "a", 1),
        vectors={"weights": dense(MODEL.weights), "statistics": dense(MODEL.statistics)},
    )
)
ENVELOPE_OF_B = Envelope(
    Purpose.MESSAGE,
    FACTS.run_id,
    FACTS.schema,
    "b",
    1,
    "b" * 32,
    "a",
    "a" * 32,
    1,
    0,
    len(BODY),
    digest_of([memoryview(BODY)]),
)

quick = settings(max_examples=150, deadline=None, derandomize=True)
texts = st.text(st.characters(codec=None, categories=None), max_size=600) | st.text(
    "abcdef0123456789 -./_", max_size=600
)


@st.composite
def altered(draw: st.DrawFn, original: bytes) -> bytes:
    """A few bytes changed, left out, doubled, or swapped for a part from elsewhere."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        start, length = draw(st.integers(0, len(data))), draw(st.integers(0, 40))
        data[start : start + length] = draw(
            st.binary(max_size=40) | st.sampled_from([data[start:], bytes(data[:length])])
        )
    return bytes(data)


def gate(credentials: Mapping[str, Credentials]) -> Gate:
    return Gate(FACTS, "a", "a" * 32, ("b", "d"), credentials["a"].verifier())


def sealed_by(credentials: Credentials, line: str) -> Sealed:
    return Sealed(line, credentials.sign(line.encode()), credentials.certificate)


@quick
@given(line=texts | altered(ENVELOPE_OF_B.line().encode()).map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_lines(line: str) -> None:
    protocol, envelope = read_line(line)
    assert isinstance(protocol, str)
    assert envelope is None or envelope.line() == line


@quick
@given(values=st.dictionaries(st.sampled_from([ENVELOPE, SIGNATURE, CERTIFICATE]), texts))
def test_headers(values: dict[str, str]) -> None:
    sealed = Sealed.read(values.get)
    assert sealed is None or sealed.line == values[ENVELOPE]


@quick
@given(
    line=altered(ENVELOPE_OF_B.line().encode()).map(lambda data: data.decode("utf-8", "surrogateescape")),
    length=st.integers(-1, 10**20) | st.just(len(BODY)),
    caller=st.sampled_from([None, "", "b", "d"]),
    resigned=st.booleans(),
)
def test_altered_envelopes(
    line: str, length: int, caller: str | None, resigned: bool, credentials: Mapping[str, Credentials]
) -> None:
    """With the signature over the original nothing else is admitted; signed anew, only what is in order."""
    guard = gate(credentials)
    original = sealed_by(credentials["b"], ENVELOPE_OF_B.line())
    signature = credentials["b"].sign(line.encode("utf-8", "replace")) if resigned else original.signature
    with suppress(Refusal):
        admitted = guard.admit(Sealed(line, signature, original.certificate), length, caller)
        assert admitted.line() == line
        assert (admitted.sender, admitted.receiver, admitted.addressee) == ("b", "a", "a" * 32)
        assert length == admitted.size <= FACTS.max_body_bytes
        assert resigned or line == ENVELOPE_OF_B.line()


@quick
@given(signature=st.binary(max_size=100), certificate=st.binary(max_size=600), data=st.data())
def test_altered_proofs(
    signature: bytes, certificate: bytes, data: st.DataObject, credentials: Mapping[str, Credentials]
) -> None:
    good = sealed_by(credentials["b"], ENVELOPE_OF_B.line())
    for proof in (
        replace(good, signature=signature),
        replace(good, certificate=certificate),
        replace(good, certificate=data.draw(altered(good.certificate))),
    ):
        if proof != good:
            with pytest.raises(Refusal):
                gate(credentials).admit(proof, len(BODY), None)


@quick
@given(body=st.binary(max_size=1000) | altered(BODY))
def test_bodies(body: bytes) -> None:
    guard = Gate(FACTS, "a", "a" * 32, ("b",))
    envelope = replace(ENVELOPE_OF_B, size=len(body), digest=NO_DIGEST)
    with suppress(Refusal):
        message = guard.message(envelope, bytearray(body), NO_DIGEST)
        assert (message.sender, message.receiver) == ("b", "a")


@quick
@given(
    counters=st.lists(
        st.tuples(st.integers(1, 2), st.integers(0, 60) | st.integers(WINDOW - 2, WINDOW + 60) | st.just(10**15)),
        max_size=60,
    )
)
def test_no_counter_is_taken_twice(counters: list[tuple[int, int]]) -> None:
    window = ReplayWindow()
    taken: list[tuple[int, int]] = []
    for incarnation, counter in counters:
        with suppress(Refusal):
            window.check(incarnation, counter)
            assert not taken or incarnation >= taken[-1][0]
            taken.append((incarnation, counter))
        assert window.seen < 1 << WINDOW
    assert len(set(taken)) == len(taken)


@quick
@given(pauses=st.lists(st.floats(0, 0.5), max_size=60), rate=st.sampled_from([0.5, 2.0, 10.0]))
def test_a_bucket_gives_no_more_than_its_rate_and_its_burst(pauses: list[float], rate: float) -> None:
    now = [0.0]
    bucket = TokenBucket(rate, lambda: now[0])
    num_taken = 0
    for pause in pauses:
        now[0] += pause
        wait = bucket.take()
        num_taken += wait == 0
        assert num_taken <= rate * now[0] + max(1.0, 2 * rate) + 1e-9
        assert wait <= 1 / rate
