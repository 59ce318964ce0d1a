"""A message that breaks the rules is a RemoteProtocolError, and leaves the peer as it was."""

import json
from itertools import product

import numpy as np
import pytest
from conversation import Conversation
from federation import make_peers, random_shards, ring
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import (
    SERVER,
    FedAvg,
    GoSGD,
    GossipLearning,
    GradientTrackingGossip,
    LocalOnly,
    PairwiseGossip,
    Scaffold,
    StochasticGradientPush,
    SynchronousGossip,
)
from gossipfl.compression import dense
from gossipfl.errors import LocalProtocolError, RemoteProtocolError
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.peers import Peer, Sharing
from gossipfl.schedules import Static

SHARING = Sharing(optimizer_state="average")
ALGORITHMS = {
    "pairwise": PairwiseGossip(sharing=SHARING),
    "gosgd": GoSGD(sharing=SHARING),
    "gossip_learning": GossipLearning(sharing=SHARING),
    "synchronous": SynchronousGossip(sharing=SHARING),
    "gradient_tracking": GradientTrackingGossip(sharing=SHARING),
    "sgp": StochasticGradientPush(Static(), sharing=SHARING),
    "fedavg": FedAvg(sharing=SHARING),
    "scaffold": Scaffold(sharing=SHARING),
    "local": LocalOnly(),
}


def talk(name) -> Conversation:
    """Four peers of which 0 has trained once and all others are training."""
    trainer = NumpyTrainer(random_shards(ring(4)), momentum=0.5, has_statistics=True)
    peers = make_peers(ALGORITHMS[name], ring(4), trainer)
    conversation = Conversation(peers, lambda job: trainer.train([job])[0])
    conversation.start()
    if name in ("fedavg", "scaffold"):
        conversation.deliver_all()
    conversation.train("0")
    return conversation


def lawful(kind, sender, receiver):
    vectors = {name: dense(np.ones(3)) for name in ("weights", "statistics", "optimizer", "tracker", "control")}
    exchange = None
    if kind in (Kind.REQUEST, Kind.PUSH):
        exchange = ExchangeId(sender, receiver, 1)
    elif kind in (Kind.REPLY, Kind.DECLINE, Kind.ACKNOWLEDGE):
        exchange = ExchangeId(receiver, sender, 1)
    numbers = {"num_examples": 1, "mass": 1.0, "age": 1, "step_weight": 1.0}
    return {
        "sender": sender,
        "receiver": receiver,
        "kind": kind,
        "exchange": exchange,
        "vectors": vectors,
        "numbers": numbers,
    }


def bits(peer: Peer):
    arrays, values = peer.snapshot()
    return {name: array.tobytes() for name, array in arrays.items()}, json.dumps(values)


def check_refused(peer, reason=None, **fields):
    before = bits(peer)
    with pytest.raises(RemoteProtocolError, match=reason):
        peer.receive(Message(**fields), 0.0)
    assert bits(peer) == before


WHO = {  # algorithm: (receiver, sender, kinds that carry weights, all kinds that it knows)
    "pairwise": ("0", "1", {Kind.REQUEST, Kind.REPLY}, {Kind.REQUEST, Kind.REPLY, Kind.DECLINE, Kind.ACKNOWLEDGE}),
    "gosgd": ("0", "1", {Kind.PUSH}, {Kind.PUSH, Kind.ACKNOWLEDGE}),
    "gossip_learning": ("0", "1", {Kind.PUSH}, {Kind.PUSH}),
    "synchronous": ("0", "1", {Kind.MODEL}, {Kind.MODEL}),
    "gradient_tracking": ("0", "1", {Kind.MODEL}, {Kind.MODEL}),
    "sgp": ("0", "1", {Kind.MODEL}, {Kind.MODEL}),
    "fedavg server": (SERVER, "1", {Kind.UPDATE}, {Kind.UPDATE, Kind.ACKNOWLEDGE}),
    "fedavg client": ("0", SERVER, {Kind.MODEL, Kind.FINAL}, {Kind.MODEL, Kind.FINAL}),
    "scaffold server": (SERVER, "1", {Kind.UPDATE}, {Kind.UPDATE, Kind.ACKNOWLEDGE}),
    "scaffold client": ("0", SERVER, {Kind.MODEL}, {Kind.MODEL, Kind.FINAL}),
    "local": ("0", "1", set(), set()),
}
EXTRA = {"gradient_tracking": "tracker", "scaffold server": "control", "scaffold client": "control"}


@pytest.fixture(params=WHO)
def who(request):
    name = request.param
    receiver, sender, carrying, known = WHO[name]
    conversation = talk(name.split()[0])
    return conversation.peers[receiver], sender, carrying, known


def test_unknown_kinds_and_strangers(who):
    peer, sender, _, known = who
    for kind in Kind:
        if kind not in known:
            check_refused(peer, **lawful(kind, sender, peer.peer_id))
        for stranger in ("nobody", peer.peer_id, "2" if sender == "1" and peer.peer_id == "0" else "nobody"):
            check_refused(peer, **lawful(kind, stranger, peer.peer_id))


@pytest.mark.parametrize(
    ("vector", "reason"),
    [(np.ones(4), "4 elements"), (np.ones(0), "0 elements"), (np.ones(3, np.float32), "is float32, expected float64")],
)
def test_vectors_of_another_size_or_dtype(who, vector, reason):
    peer, sender, carrying, _ = who
    for kind, name in product(carrying, peer.local.shared()):
        message = lawful(kind, sender, peer.peer_id)
        if kind is Kind.REPLY:  # peer 0 has asked one of its neighbors
            message["exchange"] = ExchangeId(peer.peer_id, sender, 1)
        message["vectors"] = message["vectors"] | {name: dense(vector)}
        check_refused(peer, reason, **message)


def test_missing_weights(who):
    peer, sender, carrying, _ = who
    for kind in carrying:
        message = lawful(kind, sender, peer.peer_id)
        message["vectors"] = {"statistics": dense(np.ones(3))}
        check_refused(peer, "carries no weights", **message)


@pytest.mark.parametrize(("name", "vector"), EXTRA.items())
def test_missing_or_misshapen_extra_vectors(name, vector):
    receiver, sender, carrying, _ = WHO[name]
    peer = talk(name.split()[0]).peers[receiver]
    for kind in carrying:
        message = lawful(kind, sender, receiver)
        given = dict(message["vectors"])
        check_refused(peer, "4 elements", **(message | {"vectors": {**given, vector: dense(np.ones(4))}}))
        del given[vector]
        check_refused(peer, f"carries no {vector}", **(message | {"vectors": given}))


@pytest.mark.parametrize("kind", [Kind.REPLY, Kind.DECLINE])
def test_answers_to_what_was_never_asked(kind):
    conversation = talk("pairwise")
    message = lawful(kind, "0", "1") | {"exchange": ExchangeId("1", "0", 1)}
    check_refused(conversation.peers["1"], "never opened", **message)


def test_a_receipt_for_what_was_never_pushed():
    message = lawful(Kind.ACKNOWLEDGE, "0", "1")
    check_refused(talk("gosgd").peers["1"], "never opened", **(message | {"exchange": ExchangeId("1", "0", 1)}))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("pairwise", kind) for kind in (Kind.REQUEST, Kind.REPLY, Kind.DECLINE, Kind.ACKNOWLEDGE)),
        *(("gosgd", kind) for kind in (Kind.PUSH, Kind.ACKNOWLEDGE)),
    ],
)
@pytest.mark.parametrize("exchange", [None, ExchangeId("2", "3", 1), ExchangeId("1", "0", 0), ExchangeId("0", "1", -1)])
def test_messages_about_no_exchange_of_the_pair(name, kind, exchange):
    peer = talk(name).peers["0"]
    check_refused(peer, "names the exchange", **(lawful(kind, "1", "0") | {"exchange": exchange}))


def test_vectors_that_are_not_shared_are_ignored():
    conversation = talk("synchronous")
    message = lawful(Kind.MODEL, "1", "0")
    message["vectors"] = message["vectors"] | {"gossip": dense(np.ones(77))}
    assert conversation.peers["0"].receive(Message(**message), 0.0) == []


def test_an_optimizer_state_of_another_size_that_came_early_counts_as_silent():
    conversation = talk("synchronous")
    peer = conversation.peers["1"]  # in its first round, it cannot know the size
    short = lawful(Kind.MODEL, "0", "1")
    short["vectors"] = short["vectors"] | {"optimizer": dense(np.ones(2))}
    assert peer.receive(Message(**short), 0.0) == []
    assert peer.receive(Message(**lawful(Kind.MODEL, "2", "1")), 0.0) == []
    conversation.train("1")
    assert peer.round == 1
    assert peer.local.state["optimizer"].shape == (3,)


@pytest.mark.parametrize("name", ["pairwise", "gosgd", "gossip_learning", "synchronous", "local"])
def test_an_update_that_answers_no_job_is_this_programs_fault(name):
    trainer = NumpyTrainer(random_shards(ring(4)))
    peers = make_peers(ALGORITHMS[name], ring(4), trainer)
    (job,) = [action for action in peers["0"].start(0.0) if action == peers["0"].local.outstanding]
    (update,) = trainer.train([job])
    with pytest.raises(LocalProtocolError, match="outstanding is nothing"):
        peers["1"].completed(update, 0.0)
    peers["0"].completed(update, 0.0)
    with pytest.raises(LocalProtocolError, match="got the Update of job 0"):
        peers["0"].completed(update, 0.0)
