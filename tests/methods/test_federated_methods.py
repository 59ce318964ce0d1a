"""FedProx, SCAFFOLD and FedNova: their fixed points in closed form, and where they are FedAvg.

Client i has f_i(x) = h_i ||x - b_i||^2 / 2 and takes K_i steps of length eta a round: y_i - x = -A_i (x - b_i) with
A_i = 1 - (1 - eta h_i)^K_i. FedAvg is at rest where sum_i p_i A_i (x - b_i) = 0.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from conversation import Conversation
from federation import final_weights, identical, make_peers, make_simulator, ring
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Update
from gossipfl.algorithms import (
    SERVER,
    FedAvg,
    FedNova,
    FedProx,
    LocalSGD,
    Scaffold,
)
from gossipfl.compression import dense
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Kind
from gossipfl.methods import GradientTracking, NormalizedSteps
from gossipfl.methods import Scaffold as ScaffoldMethod
from gossipfl.methods.server_optimizers import ServerAdam
from gossipfl.peers import Sharing

H = np.array([0.5, 1.0, 2.0, 4.0])
B = np.random.default_rng(7).normal(size=(4, 3))
SAME_STEPS = np.full(4, 5)
UNEQUAL_STEPS = np.array([1, 2, 5, 12])

of_each = pytest.mark.parametrize("recipe", [FedAvg(), FedProx(mu=0.5), Scaffold(), FedNova()], ids=repr)


def at_rest(weights):
    """The x with sum_i weights_i (x - b_i) = 0."""
    return weights @ B / weights.sum()


def contraction(h, steps, learning_rate):
    return 1 - (1 - learning_rate * h) ** steps


def moved_by_momentum(h, steps, learning_rate, momentum):
    """A_i, by the steps of a scalar quadratic."""
    moved = []
    for num_steps in steps:
        y, velocity = 1.0, 0.0
        for _ in range(num_steps):
            velocity = momentum * velocity - learning_rate * h * y
            y += velocity
        moved.append(1 - y)
    return np.array(moved)


def norms(steps, momentum):
    """||a_i||_1 by its definition: the gradient of the k-th of tau steps moves y_i by sum_{j <= tau - k} b^j in all."""
    return np.array([sum(momentum**j for k in range(1, tau + 1) for j in range(tau - k + 1)) for tau in steps])


def quadratics(steps, h=H, *, learning_rate=0.1, **options):
    """Client i holds the row b_i as many times as it takes steps, one a step."""
    shards = {str(i): np.repeat(B[i : i + 1], steps[i], axis=0) for i in range(4)}
    curvature = {str(i): h[i] for i in range(4)}
    return NumpyTrainer(shards, learning_rate=learning_rate, batch_size=1, curvature=curvature, **options)


def talk(recipe, trainer, num_rounds=3):
    peers = make_peers(recipe, ring(4), trainer, num_rounds=num_rounds)
    return Conversation(peers, lambda job: trainer.train([job])[0])


def end(algorithm, trainer, num_rounds=150):
    simulator = make_simulator(algorithm, ring(4), trainer, num_rounds=num_rounds)
    simulator.run()
    return np.array(simulator.peers[SERVER].weights)


# Fixed points


def test_fedavg_is_biased_by_curvature():
    x = end(FedAvg(), quadratics(SAME_STEPS))
    np.testing.assert_allclose(x, at_rest(contraction(H, 5, 0.1)), atol=1e-12)
    assert np.linalg.norm(x - at_rest(H)) > 0.1


@pytest.mark.parametrize("mu", [0.3, 3.0])
def test_fedprox_is_biased_less_than_fedavg(mu):
    # y_i goes to (h_i b_i + mu x) / (h_i + mu), by the factor 1 - eta (h_i + mu) a step.
    weights = contraction(H + mu, 5, 0.1) * H / (H + mu)
    x = end(FedProx(mu=mu), quadratics(SAME_STEPS))
    np.testing.assert_allclose(x, at_rest(weights), atol=1e-12)
    bias, that_of_fedavg = (np.linalg.norm(at_rest(w) - at_rest(H)) for w in (weights, contraction(H, 5, 0.1)))
    assert bias < that_of_fedavg


@pytest.mark.long
@pytest.mark.parametrize(("momentum", "learning_rate"), [(0.0, 0.1), (0.9, 0.02)])
@pytest.mark.parametrize("steps", [SAME_STEPS, UNEQUAL_STEPS], ids=["same steps", "unequal steps"])
def test_scaffold_reaches_the_optimum(steps, momentum, learning_rate):
    trainer = quadratics(steps, learning_rate=learning_rate, momentum=momentum)
    np.testing.assert_allclose(end(Scaffold(), trainer, 250), at_rest(H), atol=1e-10)


@pytest.mark.parametrize(("momentum", "learning_rate"), [(0.0, 0.1), (0.9, 0.02)])
def test_scaffold_by_examples_reaches_the_optimum_by_examples(momentum, learning_rate):
    trainer = quadratics(UNEQUAL_STEPS, learning_rate=learning_rate, momentum=momentum)  # every step is an example
    x = end(Scaffold(weighting="examples", examples_bound=False), trainer, 300)
    np.testing.assert_allclose(x, at_rest(UNEQUAL_STEPS * H), atol=1e-10)


def test_scaffold_by_examples_needs_all_clients_in_every_round():
    with pytest.raises(ConfigurationError, match=r"use client_fraction = 1 \(now 0\.5\), or weighting = 'uniform'"):
        Scaffold(client_fraction=0.5, weighting="examples")


def test_scaffold_reaches_the_optimum_with_some_of_the_clients():
    x = end(Scaffold(client_fraction=0.5), quadratics(SAME_STEPS), 500)
    np.testing.assert_allclose(x, at_rest(H), atol=1e-10)


@pytest.mark.long
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weighting", ["uniform", "examples"])
def test_fednova_divides_by_the_number_of_steps(weighting, momentum):
    trainer = quadratics(UNEQUAL_STEPS, np.ones(4), learning_rate=0.05, momentum=momentum)
    shares = UNEQUAL_STEPS if weighting == "examples" else np.ones(4)  # every step is an example
    moved = shares * moved_by_momentum(1.0, UNEQUAL_STEPS, 0.05, momentum)
    normalized = moved / norms(UNEQUAL_STEPS, momentum)
    np.testing.assert_allclose(end(FedAvg(weighting=weighting), trainer), at_rest(moved), atol=1e-12)
    fednova = FedNova(weighting=weighting, sgd=LocalSGD(momentum=momentum))
    np.testing.assert_allclose(end(fednova, trainer), at_rest(normalized), atol=1e-12)
    bias, that_of_fedavg = (np.linalg.norm(at_rest(w) - at_rest(shares)) for w in (normalized, moved))
    assert bias < 0.7 * that_of_fedavg


@pytest.mark.parametrize("weighting", ["uniform", "examples"])
def test_fednova_counts_weight_decay_as_it_counts_gradients(weighting):
    """Gradients -h_i b_i that hardly change: the minimiser of the weighted mean of -h_i b_i x + lambda |x|^2 / 2."""
    h, weight_decay = np.full(4, 1e-9), 2.0
    trainer = quadratics(UNEQUAL_STEPS, h, weight_decay=weight_decay)
    trainer.shards = {peer_id: 1e9 * rows for peer_id, rows in trainer.shards.items()}
    fednova = FedNova(weighting=weighting, sgd=LocalSGD(decay=0.1 * weight_decay))
    shares = UNEQUAL_STEPS if weighting == "examples" else np.ones(4)
    optimum = at_rest(shares) / weight_decay
    np.testing.assert_allclose(end(fednova, trainer), optimum, rtol=1e-7)
    assert np.linalg.norm(end(FedAvg(weighting=weighting), trainer) - optimum) > 0.01


@given(decay=st.floats(1e-9, 0.99), num_steps=st.integers(1, 50))
def test_masses_with_weight_decay_are_those_of_a_proximal_term(decay, num_steps):
    update = Update("0", 0, B[0], B[0], {}, 10, num_steps, {})
    mass = NormalizedSteps(decay=decay).answer(update, {}).step_weight
    assert 1 / num_steps <= mass <= 1
    assert mass == pytest.approx(decay / -np.expm1(num_steps * np.log1p(-decay)), rel=1e-7)


def test_weight_decay_beside_momentum_is_refused():
    with pytest.raises(ConfigurationError, match=r"leave out one of them, or decay by a kernel_regularizer"):
        FedNova(sgd=LocalSGD(momentum=0.9, decay=1e-4))


@given(momentum=st.floats(0, 1, exclude_max=True), num_steps=st.integers(1, 50))
def test_masses_are_at_most_one_over_the_steps(momentum, num_steps):
    update = Update("0", 0, B[0], B[0], {}, 10, num_steps, {})
    mass = NormalizedSteps(momentum).answer(update, {}).step_weight
    assert 0 < mass <= 1 / num_steps
    assert mass == pytest.approx(1 / norms([num_steps], momentum)[0], rel=1e-9)


def test_steps_that_mixed_precision_skipped_do_not_count():
    some = Update("0", 0, B[0], B[0], {}, 10, 5, {}, {"gradient_sum": B[1]}, num_skipped=3)
    none = replace(some, vectors={"gradient_sum": np.zeros(3)}, num_skipped=5)
    assert NormalizedSteps().answer(some, {}).step_weight == 1 / 2
    assert NormalizedSteps().answer(none, {}).step_weight == 1
    answer = ScaffoldMethod().answer(some, {"control": B[2]})
    np.testing.assert_array_equal(answer.memory["control"], B[1] / 2)
    np.testing.assert_array_equal(answer.extra["control"], B[1] / 2 - B[2])
    for memory in ({}, {"control": B[2]}):
        unchanged = ScaffoldMethod().answer(none, memory)
        assert unchanged.memory is memory
        assert not unchanged.extra["control"].any()
    np.testing.assert_array_equal(GradientTracking().emit(B[3], some, {"c": B[2]})["tracker"], B[1] / 2 + B[2])
    np.testing.assert_array_equal(GradientTracking().emit(B[3], none, {"c": B[2]})["tracker"], B[2])


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_small_steps_by_their_weight_are_all_one_gradient_step(momentum):
    trainer = quadratics(UNEQUAL_STEPS, learning_rate=1e-8, momentum=momentum)
    conversation = talk(FedNova(sgd=LocalSGD(momentum=momentum)), trainer, num_rounds=1)
    conversation.start()
    conversation.settle()
    updates = {message.sender: message for message in conversation.sent if message.kind is Kind.UPDATE}
    masses = np.array([updates[str(i)].numbers["step_weight"] for i in range(4)])
    np.testing.assert_allclose(masses, 1 / norms(UNEQUAL_STEPS, momentum), rtol=1e-12)
    steps = [updates[str(i)].vectors["weights"].arrays["values"] for i in range(4)]
    np.testing.assert_allclose(masses[:, None] * steps, 1e-8 * H[:, None] * B, rtol=1e-5)


def test_fednova_averages_statistics_plainly():
    trainer = quadratics(UNEQUAL_STEPS)
    trainer.has_statistics = True  # of batches without variance: 1 becomes 0.9^K_i
    simulator = make_simulator(FedNova(weighting="uniform"), ring(4), trainer, num_rounds=1)
    simulator.run()
    np.testing.assert_allclose(simulator.peers[SERVER].local.statistics, np.mean(0.9**UNEQUAL_STEPS), atol=1e-15)


# Controls


@pytest.mark.parametrize("fraction", [0.5, 1.0])
def test_the_control_of_the_server_is_the_mean_of_all_clients(fraction):
    conversation = talk(Scaffold(client_fraction=fraction), quadratics(UNEQUAL_STEPS, momentum=0.5), num_rounds=6)
    peers = conversation.peers
    server = peers[SERVER]
    conversation.start()
    for round in range(1, 7):
        while server.round < round:
            conversation.deliver_all() if conversation.in_flight else conversation.train(next(iter(conversation.jobs)))
            own = [peers[str(i)].snapshot()[0].get("memory/control", np.zeros(3)) for i in range(4)]
        control = server.snapshot()[0]["extra/control"]
        np.testing.assert_allclose(control, np.mean(own, axis=0), atol=1e-14)
        assert np.linalg.norm(control) > 1e-3
        messages = [message for message in conversation.in_flight if message.sender == SERVER]
        assert all(message.vectors["control"].arrays["values"] is control for message in messages)


# Reductions


@pytest.mark.parametrize("weighting", ["uniform", "examples"])
@pytest.mark.parametrize(
    "recipe",
    [FedProx(mu=0.0), FedNova(), FedNova(sgd=LocalSGD(momentum=0.9))],
    ids=["mu = 0", "equal steps", "with momentum"],
)
def test_they_are_fedavg_bit_for_bit(recipe, weighting):
    def run(recipe):
        shards = {str(i): np.random.default_rng(i).normal(size=(5 + i % 2, 3)) for i in range(5)}
        trainer = NumpyTrainer(shards, momentum=0.9, batch_size=2, has_statistics=True)  # 3 steps each
        recipe = replace(recipe, client_fraction=0.6, weighting=weighting)
        simulator = make_simulator(recipe, ring(5), trainer, num_rounds=7)
        simulator.run()
        return final_weights(simulator)

    assert identical(run(recipe), run(FedAvg()))


def test_scaffold_is_fedavg_in_the_first_round():
    ends = [end(algorithm, quadratics(SAME_STEPS), 1) for algorithm in (Scaffold(), FedAvg(weighting="uniform"))]
    assert ends[0].tobytes() == ends[1].tobytes()


# The network


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), duplicates=st.floats(0, 0.4), failures=st.floats(0, 0.3))
@of_each
def test_order_repetition_and_failed_messages_do_not_change_a_bit(recipe, seed, duplicates, failures):
    recipe = replace(recipe, client_fraction=0.5, server_optimizer=ServerAdam())
    orderly, unruly = (talk(recipe, quadratics(UNEQUAL_STEPS), num_rounds=4) for _ in range(2))
    orderly.start()
    orderly.settle()
    unruly.start()
    unruly.play(np.random.default_rng(seed), duplicates=duplicates, failures=failures)
    unruly.settle()
    for peer_id, peer in orderly.peers.items():
        assert bits(peer)[0] == bits(unruly.peers[peer_id])[0]


def bits(peer):
    arrays, values = peer.snapshot()
    return {name: array.tobytes() for name, array in arrays.items()}, json.dumps(values)


def check_refused(peer, message, reason):
    before = bits(peer)
    with pytest.raises(RemoteProtocolError, match=reason):
        peer.receive(message, 0.0)
    assert bits(peer) == before


@of_each
@pytest.mark.parametrize("step_weight", [0.0, -1.0, 1e-12, 1.5, float("nan")])
def test_step_weights_that_no_number_of_steps_has_are_refused(recipe, step_weight):
    conversation = talk(recipe, quadratics(UNEQUAL_STEPS))
    conversation.start()
    conversation.deliver_all()
    conversation.train("0")
    (update,) = conversation.in_flight
    check_refused(
        conversation.peers[SERVER],
        update._replace(numbers={**update.numbers, "step_weight": step_weight}),
        "has the step weight",
    )


def test_messages_without_their_control_are_refused():
    conversation = talk(Scaffold(), quadratics(UNEQUAL_STEPS))
    conversation.start()
    models = [*conversation.in_flight]
    conversation.deliver_all()
    conversation.train("0")
    (update,) = conversation.in_flight
    for message in (models[1], update):
        peer = conversation.peers[message.receiver]
        weights = {"weights": message.vectors["weights"]}
        check_refused(peer, message._replace(vectors=weights), "carries no control")
        for wrong, reason in [(np.ones(2), "2 elements"), (np.ones(3, np.float32), "is float32")]:
            check_refused(peer, message._replace(vectors=weights | {"control": dense(wrong)}), reason)


# Options


def test_scaffold_has_no_patience():
    assert Scaffold().patience is None
    with pytest.raises(TypeError):
        Scaffold(patience=1.0)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (FedProx, {"mu": -0.1}),
        (FedProx, {"mu": float("nan")}),
        (FedProx, {"patience": 0.0}),
        (Scaffold, {"client_fraction": 0.0}),
        (LocalSGD, {"momentum": 1.0}),
        (FedNova, {"client_fraction": 2.0}),
    ],
)
def test_impossible_options_are_refused(kind, options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        kind(**options)


def test_fednova_counts_momentum_from_zero():
    with pytest.raises(ConfigurationError, match="optimizer_state = 'reset', not 'keep'"):
        FedNova(sgd=LocalSGD(momentum=0.9), sharing=Sharing(optimizer_state="keep"))
    FedNova(sharing=Sharing(optimizer_state="keep"))
