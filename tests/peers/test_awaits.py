"""A peer that waits says for whom, and one that trains or has all it needs says nobody."""

import numpy as np
import pytest
from conversation import Conversation
from federation import complete, make_peers, random_shards, ring
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import FedAvg, GoSGD, GossipLearning, LocalOnly, PairwiseGossip, SynchronousGossip
from gossipfl.messages import Kind


def talk(algorithm, graph, num_rounds=2) -> Conversation:
    trainer = NumpyTrainer(random_shards(graph))
    peers = make_peers(algorithm, graph, trainer, num_rounds=num_rounds, initial=None)
    conversation = Conversation(peers, lambda job: trainer.train([job])[0])
    conversation.start()
    return conversation


def awaits(conversation):
    return {name: peer.awaits for name, peer in conversation.peers.items()}


def test_a_synchronous_peer_awaits_who_has_not_sent():
    conversation = talk(SynchronousGossip(), ring(4))
    assert set(awaits(conversation).values()) == {()}
    conversation.train("0")
    assert conversation.peers["0"].awaits == ("1", "3")
    conversation.train("3")
    conversation.deliver(next(k for k, m in enumerate(conversation.in_flight) if (m.sender, m.receiver) == ("3", "0")))
    assert conversation.peers["0"].awaits == ("1",)
    assert conversation.peers["3"].awaits == ("0", "2")
    assert conversation.peers["1"].awaits == ()


def test_a_server_awaits_the_clients_and_a_client_the_server():
    conversation = talk(FedAvg(), ring(3), num_rounds=1)
    assert awaits(conversation) == {"server": ("0", "1", "2"), **dict.fromkeys("012", ("server",))}
    while conversation.in_flight:
        conversation.deliver()
    assert conversation.peers["1"].awaits == ()
    for name in "20":
        conversation.train(name)
        conversation.deliver()
    assert conversation.peers["server"].awaits == ("1",)
    conversation.train("1")
    conversation.deliver()
    assert conversation.peers["server"].awaits == ("0", "1", "2")
    assert {message.kind for message in conversation.in_flight} == {Kind.FINAL}


def test_a_pairwise_peer_awaits_its_partner():
    conversation = talk(PairwiseGossip(), complete(2))
    conversation.train("0")
    assert awaits(conversation) == {"0": ("1",), "1": ()}
    conversation.deliver()
    conversation.deliver()
    assert awaits(conversation) == {"0": (), "1": ()}


@pytest.mark.parametrize(
    "algorithm", [SynchronousGossip(), FedAvg(), PairwiseGossip(), GoSGD(), GossipLearning(), LocalOnly()], ids=str
)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_whoever_does_not_train_and_is_not_done_awaits_somebody(algorithm, seed):
    """At every moment: so that no wait goes unsaid."""
    generator = np.random.default_rng(seed)
    conversation = talk(algorithm, ring(4))
    for _ in range(200):
        for name, peer in conversation.peers.items():
            assert bool(peer.awaits) == (name not in conversation.jobs and not peer.is_drained)
            assert set(peer.awaits) <= set(conversation.peers) - {name}
        moves = [*conversation.jobs, *range(len(conversation.in_flight))]
        if not moves:
            break
        move = moves[int(generator.integers(len(moves)))]
        conversation.train(move) if isinstance(move, str) else conversation.deliver(move)
    assert all(peer.is_drained and not peer.awaits for peer in conversation.peers.values())
