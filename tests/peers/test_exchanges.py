"""The laws of exactly-once exchanges, on their own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.peers.exchanges import Exchanges


def request(exchange: ExchangeId) -> Message:
    return Message(exchange.initiator, exchange.responder, Kind.REQUEST, exchange=exchange)


def answer(exchange: ExchangeId, kind: Kind = Kind.REPLY, round: int = 0) -> Message:
    return Message(exchange.responder, exchange.initiator, kind, round, exchange)


def acknowledgement(exchange: ExchangeId) -> Message:
    return Message(exchange.initiator, exchange.responder, Kind.ACKNOWLEDGE, exchange=exchange)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.6), duplicates=st.floats(0, 0.6))
def test_every_exchange_is_decided_once_and_resolved_once_in_order(seed, loss, duplicates):
    rng = np.random.default_rng(seed)
    initiator, responder = Exchanges("a"), Exchanges("b")
    decided: list[int] = []
    resolved: list[int] = []
    in_flight: list[Message] = []
    for step in range(400):
        if not in_flight or rng.random() < 0.2:
            in_flight.append(request(initiator.open("b")))  # a retry while the last one is unresolved
            continue
        message = in_flight.pop(int(rng.integers(len(in_flight))))
        if rng.random() < duplicates:
            in_flight.append(message)
        if rng.random() < loss:
            continue
        match message.kind:
            case Kind.REQUEST:
                decision = responder.decision(message)
                if decision == "new":
                    decision = answer(message.exchange, round=step)
                    responder.decide(decision)
                    decided.append(message.exchange.number)
                if isinstance(decision, Message):
                    in_flight.append(decision)
            case Kind.REPLY:
                if initiator.resolve(message):
                    resolved.append(message.exchange.number)
                in_flight.append(acknowledgement(message.exchange))
            case Kind.ACKNOWLEDGE:
                responder.acknowledged(message)
        assert decided == list(range(1, len(decided) + 1))
        assert resolved == list(range(1, len(resolved) + 1))
        assert len(resolved) <= len(decided) <= len(resolved) + 1
        assert len(responder.snapshot()[1]["answers"]) <= 1


def test_a_repeated_request_gets_the_same_answer_until_it_is_acknowledged():
    responder = Exchanges("b")
    exchange = ExchangeId("a", "b", 1)
    assert responder.decision(request(exchange)) == "new"
    final = answer(exchange, Kind.DECLINE)
    responder.decide(final)
    assert responder.decision(request(exchange)) is final
    responder.acknowledged(acknowledgement(exchange))
    responder.acknowledged(acknowledgement(exchange))
    assert responder.decision(request(exchange)) == "old"


def test_a_higher_number_shows_that_the_decision_has_arrived():
    responder = Exchanges("b")
    first, second = ExchangeId("a", "b", 1), ExchangeId("a", "b", 2)
    responder.decide(answer(first))
    assert responder.decision(request(second)) == "new"
    responder.decide(answer(second))
    assert responder.decision(request(first)) == "old"
    responder.acknowledged(acknowledgement(first))  # late: the newer answer is still remembered
    assert isinstance(responder.decision(request(second)), Message)


def test_opening_again_names_the_unresolved_exchange():
    initiator = Exchanges("a")
    assert initiator.open("b") == initiator.open("b") == ExchangeId("a", "b", 1)
    assert initiator.open("c") == ExchangeId("a", "c", 1)
    assert initiator.unresolved() == ["b", "c"]
    assert initiator.resolve(answer(ExchangeId("a", "b", 1)))
    assert not initiator.resolve(answer(ExchangeId("a", "b", 1)))
    assert initiator.unresolved() == ["c"]
    assert initiator.open("b") == ExchangeId("a", "b", 2)


@pytest.mark.parametrize(
    "exchange",
    [None, ExchangeId("a", "c", 1), ExchangeId("c", "b", 1), ExchangeId("b", "a", 1), ExchangeId("a", "b", 0)],
)
def test_a_message_that_names_no_exchange_of_its_pair_is_refused(exchange):
    a_request = Message("a", "b", Kind.REQUEST, exchange=exchange)
    with pytest.raises(RemoteProtocolError, match="names the exchange"):
        Exchanges("b").decision(a_request)


def test_answers_and_acknowledgements_out_of_nowhere_are_refused():
    with pytest.raises(RemoteProtocolError, match="never opened"):
        Exchanges("a").resolve(answer(ExchangeId("a", "b", 1)))
    with pytest.raises(RemoteProtocolError, match="never decided"):
        Exchanges("b").acknowledged(acknowledgement(ExchangeId("a", "b", 1)))
