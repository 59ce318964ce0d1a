"""Peers whose messages pass an outgoing chain: once for each message, sent again as they were, and the mean is kept."""

import json
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np
import pytest
from conversation import Conversation, random_steps
from exam import CANDIDATES
from federation import make_peers, make_simulator, random_shards, ring, stacked
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer
from secret_noise import SecretNoise

from gossipfl.actions import Send
from gossipfl.algorithms import GossipLearning, SynchronousGossip
from gossipfl.algorithms.seat import Seat
from gossipfl.compression import Bfloat16, Chain, Clip, Leaving, decompress
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.randomness import PublicRandomness, Randomness
from gossipfl.schedules import EpidemicOracle, RandomMatchings, Static
from gossipfl.weights import frozen

TAKES_STAGES = ("synchronous", "epidemic_learning", "dfedavgm", "gossip_learning")
CHAIN = (Clip(0.5), SecretNoise())


@dataclass(frozen=True)
class WithSecrets:
    """A recipe whose peers have the secrets of the operating system, as over HTTP."""

    recipe: SynchronousGossip

    def __getattr__(self, name):
        return getattr(self.recipe, name)

    def make_peer(self, seat: Seat):
        return self.recipe.make_peer(replace(seat, randomness=Randomness(PublicRandomness(0), SystemSecrets())))


def talk(recipe, num_peers=5, *, num_rounds=3, seed=0) -> Conversation:
    trainer = NumpyTrainer(random_shards(ring(num_peers)))
    peers = make_peers(WithSecrets(recipe), ring(num_peers), trainer, num_rounds=num_rounds)
    return Conversation(peers, random_steps(np.random.default_rng(seed)))


def bits_of(message):
    arrays = {n: a.tobytes() for vector in message.vectors.values() for n, a in vector.arrays.items()}
    return message.receiver, message.round, arrays


def restored(conversation: Conversation, recipe, peer_id: str) -> None:
    """A peer stops, and goes on from its snapshot: what it says then."""
    arrays, values = conversation.peers[peer_id].snapshot()
    fresh = make_peers(WithSecrets(recipe), ring(5), NumpyTrainer(random_shards(ring(5))), num_rounds=3)[peer_id]
    fresh.restore(({name: np.array(array) for name, array in arrays.items()}, json.loads(json.dumps(values))))
    conversation.peers[peer_id] = fresh


@pytest.mark.parametrize("name", CANDIDATES)
def test_an_algorithm_takes_links_or_says_why_not(name):
    recipe = CANDIDATES[name].recipe
    has_field = "outgoing" in {field.name for field in fields(recipe)}
    assert has_field == (name.split(",")[0] in TAKES_STAGES)
    assert has_field == ("outgoing" not in recipe.takes_no)


@pytest.mark.parametrize("order", ["adapt_then_combine", "combine_then_adapt"])
@pytest.mark.parametrize("schedule", [Static(), RandomMatchings(), EpidemicOracle()])
@settings(max_examples=10)
@given(seed=st.integers(0, 100), norm=st.floats(0.01, 10), gossip_steps=st.integers(1, 3))
def test_the_mean_moves_by_training_alone(order, schedule, seed, norm, gossip_steps):
    for stages in ((Clip(norm),), (SecretNoise(norm),)):
        recipe = SynchronousGossip(schedule, order, gossip_steps, outgoing=stages)
        conversation = talk(recipe, 6, num_rounds=4, seed=seed)
        begin = stacked_sum(conversation)
        conversation.start()
        conversation.play(np.random.default_rng(seed))
        np.testing.assert_allclose(stacked_sum(conversation), begin + conversation.moved, atol=1e-10)


def stacked_sum(conversation):
    return sum(peer.weights for peer in conversation.peers.values())


@pytest.mark.parametrize("recipe", [SynchronousGossip(gossip_steps=2), GossipLearning()])
def test_what_each_peer_sends_moves_by_no_more_than_the_norm(recipe):
    recipe = replace(recipe, outgoing=(Clip(0.2),))
    conversation = talk(recipe, num_rounds=8)
    conversation.start()
    conversation.play(np.random.default_rng(0))
    num_clipped = 0
    for peer_id in conversation.peers:
        said = [decompress(m.vectors["weights"]) for m in conversation.sent if m.sender == peer_id and m.vectors]
        steps = [np.linalg.norm(after - before) for before, after in pairwise(said)]
        assert max(steps) <= 0.2 * (1 + 1e-12)
        num_clipped += sum(step > 0.2 * (1 - 1e-12) for step in steps)
    assert num_clipped > 20


def test_a_wide_clip_changes_no_bit():
    trainer = NumpyTrainer(random_shards(ring(5)))
    plain, wide = (
        make_simulator(SynchronousGossip(outgoing=stages), ring(5), trainer, num_rounds=6)
        for stages in ((), (Clip(1e6),))
    )
    plain.run()
    wide.run()
    assert stacked(plain).tobytes() == stacked(wide).tobytes()


def test_all_neighbors_get_the_same_noise_and_the_next_step_another():
    conversation = talk(SynchronousGossip(gossip_steps=2, outgoing=CHAIN))
    conversation.start()
    conversation.train_all()
    conversation.deliver_all()
    of_peer_0 = [message for message in conversation.sent if message.sender == "0"]
    by_step = {step: {bits_of(m)[2]["values"] for m in of_peer_0 if m.round == step} for step in (0, 1)}
    assert [len(noisy) for noisy in by_step.values()] == [1, 1]
    assert by_step[0] != by_step[1]


@pytest.mark.parametrize("order", ["adapt_then_combine", "combine_then_adapt"])
def test_a_retry_and_a_restart_send_the_very_bytes(order):
    """Noise from the operating system cannot be drawn a second time by chance."""
    recipe = SynchronousGossip(order=order, outgoing=CHAIN, patience=5.0)
    conversation = talk(recipe)
    conversation.start()
    conversation.train("0")
    first = {bits_of(m)[:2]: bits_of(m) for m in conversation.in_flight if m.sender == "0"}
    assert len(first) == 2
    while conversation.in_flight:
        conversation.fail()
    conversation.tick(until=2.0)
    retried = [message for message in conversation.in_flight if message.sender == "0"]
    restored(conversation, recipe, "0")
    resumed = [a.message for a in conversation.peers["0"].start(conversation.now) if isinstance(a, Send)]
    for again in (retried, resumed):
        assert {bits_of(m)[:2]: bits_of(m) for m in again} == first
    # and it mixes with what the others have seen of it
    conversation.in_flight = [*retried, *resumed]
    conversation.train_all()
    conversation.play(np.random.default_rng(0))
    assert all(peer.finished for peer in conversation.peers.values())


def half_sized(recipe):
    return replace(recipe, outgoing=(Bfloat16(),))


def single(num_peers=5, **options) -> NumpyTrainer:
    return NumpyTrainer(random_shards(ring(num_peers), size=40), dtype="float32", **options)


@pytest.mark.parametrize("recipe", [SynchronousGossip(gossip_steps=2), GossipLearning()])
def test_bfloat16_takes_half_the_bytes_of_the_weights(recipe):
    plain, half = (
        make_simulator(algorithm, ring(5), single(has_statistics=True), num_rounds=6).run()
        for algorithm in (recipe, half_sized(recipe))
    )
    sent, received = (sum(bytes_of[0] for bytes_of in history.peer_bytes.values()) for history in (plain, half))
    num_messages = sum(traffic[0] for traffic in plain.link_traffic.values())
    assert sent - received == num_messages * 40 * 2


@pytest.mark.parametrize("order", ["adapt_then_combine", "combine_then_adapt"])
def test_bfloat16_keeps_the_mean_of_float32(order):
    """What rounding takes away stays with the peer: the mean is that of float32."""
    plain, half = (
        make_simulator(algorithm, ring(5), single(momentum=0.9), num_rounds=30)
        for algorithm in (SynchronousGossip(order=order), half_sized(SynchronousGossip(order=order)))
    )
    plain.run()
    half.run()
    np.testing.assert_allclose(stacked(half).mean(axis=0), stacked(plain).mean(axis=0), atol=2e-6)
    assert np.abs(stacked(half) - stacked(plain)).max() < 2**-7 * np.abs(stacked(plain)).max()
    assert stacked(half).tobytes() != stacked(plain).tobytes()


def test_bfloat16_is_sent_again_as_it_was_after_a_restart():
    first = {"weights": frozen(np.zeros(3, np.float32))}
    vectors = {"weights": frozen(np.array([1.001, 2.0, -3.003], np.float32))}
    leaving, twin = (Leaving(Chain((Bfloat16(),)), first, Randomness.of_seed(0)) for _ in range(2))
    sent = leaving.encode(vectors)
    arrays, values = leaving.snapshot()
    twin.restore(({name: np.array(array) for name, array in arrays.items()}, json.loads(json.dumps(values))))
    assert twin.again(vectors)["weights"].arrays["values"].tobytes() == sent["weights"].arrays["values"].tobytes()
    np.testing.assert_array_equal(twin.seen(vectors)["weights"], leaving.seen(vectors)["weights"])
    mixed = {"weights": frozen(np.ones(3, np.float32))}
    rest = twin.with_the_rest(vectors, mixed)["weights"]
    np.testing.assert_array_equal(rest, 1 + (vectors["weights"] - decompress(sent["weights"])))
