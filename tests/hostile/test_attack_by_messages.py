"""A certified neighbor that misbehaves: everything is signed as it should be, and the message is still wrong."""

import gzip
import struct
from collections.abc import Callable, Mapping

import numpy as np
from attacker import http
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from siege import Siege, besiege

from gossipfl.codec.messages import encode
from gossipfl.compression import dense
from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.weights import frozen

POST = "POST /v1/messages"
SIZE = 64

Make = Callable[[Siege], bytes]


def holding(value: float) -> Make:
    weights = np.zeros(SIZE)
    weights[-1] = value
    return lambda siege: siege.request(weights=weights)


def claiming(**numbers: object) -> Make:
    return lambda siege: siege.request(**numbers)


def garbled(change: Callable[[bytes], bytes]) -> Make:
    return lambda siege: change(siege.request())


def respelled(old: bytes, new: bytes, **numbers: float) -> Make:
    return lambda siege: siege.request(numbers=numbers).replace(old, new, 1)


def vectors(**sizes: int) -> Make:
    return claiming(vectors={name: dense(frozen(np.zeros(size))) for name, size in sizes.items()})


MESSAGES: dict[str, tuple[Make, int, str]] = {
    "NaN": (holding(np.nan), 422, "not_finite"),
    "infinity": (holding(np.inf), 422, "not_finite"),
    "minus infinity": (holding(-np.inf), 422, "not_finite"),
    "more than can be averaged": (holding(1.5e308), 422, "absurd_number"),
    "less than can be averaged": (holding(-1.5e308), 422, "absurd_number"),
    "more examples than there are": (claiming(numbers={"num_examples": 10**9 + 1}), 422, "absurd_number"),
    "no examples": (claiming(numbers={"num_examples": 0}), 422, "absurd_number"),
    "more examples than can be written": (claiming(numbers={"num_examples": 9e9}), 422, "malformed_message"),
    "the mass of a galaxy": (claiming(numbers={"mass": 1e15}), 422, "absurd_number"),
    "a little more mass than all": (claiming(numbers={"mass": 3.1}), 422, "absurd_number"),
    "mass that is no number": (respelled(b"mass:1.0", b"mass:nan", mass=1.0), 422, "malformed_message"),
    "mass by another spelling": (respelled(b"mass:1.0", b"mass:1e0", mass=1.0), 422, "malformed_message"),
    "mass twice": (respelled(b"lass:", b"mass:", mass=1.0, lass=1.0), 422, "malformed_message"),
    "no mass": (claiming(numbers={"mass": 0.0}), 422, "absurd_number"),
    "mass that is owed": (claiming(numbers={"mass": -1.0}), 422, "absurd_number"),
    "a number that nobody declared": (claiming(numbers={"degree": 1}), 422, "malformed_message"),
    "a round after the last one": (claiming(round=10**6 + 1), 422, "absurd_number"),
    "another sender": (claiming(sender="b", exchange=ExchangeId("b", "a", 1)), 403, "wrong_sender"),
    "another receiver": (claiming(receiver="b"), 403, "wrong_sender"),
    "weights of another length": (vectors(weights=SIZE + 1), 422, "malformed_message"),
    "no weights": (vectors(), 422, "against_protocol"),
    "a vector that nobody knows": (vectors(weights=SIZE, secrets=3), 422, "malformed_message"),
    "half a message": (garbled(lambda body: body[: len(body) // 2]), 422, "malformed_message"),
    "a message and a half": (garbled(lambda body: body + bytes(100)), 422, "malformed_message"),
    "a compressed message": (garbled(gzip.compress), 422, "malformed_message"),
    "a compressed bomb": (garbled(lambda _: gzip.compress(bytes(10**6))), 422, "malformed_message"),
    "a header of 16 EiB": (garbled(lambda body: b"\xff" * 8 + body[8:]), 422, "malformed_message"),
    "nested JSON": (garbled(lambda body: struct.pack("<Q", 672) + b"[" * 672), 422, "malformed_message"),
    "a pickle": (garbled(lambda _: b"cos\nsystem\n(S'true'\ntR."), 422, "malformed_message"),
    "zeros": (garbled(lambda body: bytes(len(body))), 422, "malformed_message"),
    "an answer to a question that nobody asked": (
        claiming(kind=Kind.REPLY, exchange=ExchangeId("a", "d", 99)),
        422,
        "against_protocol",
    ),
    "thanks for nothing": (claiming(kind=Kind.ACKNOWLEDGE), 422, "against_protocol"),
    "another algorithm's message": (claiming(kind=Kind.MODEL, exchange=None), 422, "against_protocol"),
    "an exchange of others": (claiming(exchange=ExchangeId("b", "a", 1)), 422, "against_protocol"),
    "no exchange": (claiming(exchange=None), 422, "against_protocol"),
}


def test_messages_that_are_wrong(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    """Each gets its reason, over a connection that stays usable, and none changes the weights."""

    async def assault(siege: Siege) -> None:
        async with await siege.wire("d") as wire:
            for name, (make, status, reason) in MESSAGES.items():
                before = siege.refusals
                body = make(siege)
                await wire.send(http(POST, siege.headers(body), body))
                told = await wire.told()
                assert (told.status, told.reason) == (status, reason), name
                assert siege.refusals - before == {reason: 1}, name
                await siege.exchanges_go_on(1)

    besiege(assault, credentials, tls=tls, size=SIZE)


def test_a_body_that_is_not_the_signed_one(tls: bool, credentials: Mapping[str, Credentials]) -> None:
    async def assault(siege: Siege) -> None:
        body = siege.request()
        async with await siege.wire("d") as wire:
            for position in (0, len(body) // 2, len(body) - 1):
                altered = body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]
                await wire.send(http(POST, siege.headers(body), altered))
                told = await wire.told()
                assert (told.status, told.reason) == (422, "wrong_digest")
        await siege.exchanges_go_on()

    assert besiege(assault, credentials, tls=tls) == {"wrong_digest": 3}


NUMBERS = st.sampled_from([0.0, -1.0, 1e-300, 1e3, -1e3])
WORDS = st.builds(
    dict,
    kind=st.sampled_from(list(Kind)),
    round=st.sampled_from([0, 1, 10**6]),
    numbers=st.fixed_dictionaries(
        {},
        optional={"num_examples": st.sampled_from([1, 10**9]), "mass": st.sampled_from([5e-324, 1.0, 3.0])},
    ),
    # "d" may open exchanges; the one that the victim has opened with it is left alone, because it is not "d".
    exchange=st.none()
    | st.sampled_from([ExchangeId(*"dd", 1), ExchangeId(*"aa", 1), ExchangeId(*"ad", 99)])
    | st.integers(0, 3).map(lambda number: ExchangeId("d", "a", number)),
    vectors=st.dictionaries(
        st.sampled_from(["weights", "optimizer"]), NUMBERS.map(lambda x: dense(frozen(np.full(SIZE, x)))), max_size=2
    ),
)


@settings(
    max_examples=4,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(conversation=st.lists(WORDS, min_size=40, max_size=40))
def test_lawful_words_in_a_senseless_order(credentials: Mapping[str, Credentials], conversation: list[dict]) -> None:
    """They are taken or refused; what the neighbor was promised is what the victim's weights were moved by."""

    async def assault(siege: Siege) -> None:
        promised = set()
        async with await siege.wire("d") as wire:
            for words in conversation:
                body = encode(Message("d", "a", **words))
                await wire.send(http(POST, siege.headers(body), body))
                told = await wire.told()
                assert told.status in (200, 204) or (told.status, told.reason) == (422, "against_protocol")
                exchange = words["exchange"]
                if told.status == 200 and exchange not in promised:
                    promised.add(exchange)
                    siege.account_for(told)
        await siege.exchanges_go_on()

    assert set(besiege(assault, credentials, size=SIZE)) <= {"against_protocol"}
