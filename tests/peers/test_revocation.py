"""A peer that is shut out of a run: the others go on as if it were silent, and wait for it nowhere."""

import networkx as nx
import numpy as np
import pytest
from exam import CANDIDATES
from federation import final_weights, make_peer, make_simulator, random_models, random_shards, ring
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Send
from gossipfl.algorithms import POOL, SynchronousGossip
from gossipfl.engines.virtual.simulator import Simulator
from gossipfl.errors import RemoteProtocolError
from gossipfl.schedules import SCHEDULES, mixing_matrix_at, without
from gossipfl.topology import Neighbors, canonical

GONE = "2"
REVOKED = frozenset({GONE})
SIZE = 8

GOES_ON = [
    name
    for name, candidate in CANDIDATES.items()
    if candidate.recipe.needs_everybody is None and not candidate.recipe.pools_data
]


def test_those_whose_sums_need_everybody_say_why():
    why = {name: candidate.recipe.needs_everybody for name, candidate in CANDIDATES.items()}
    needy = {name.partition(",")[0] for name, reason in why.items() if reason is not None}
    assert needy == {"d2", "exact_diffusion", "gradient_tracking", "relay_sum", "scaffold"}


def leave(peer, network, gone, now):
    """A peer hears who is gone."""
    return peer.neighbors_changed(Neighbors.of(network, peer.peer_id).without(gone), now)


def peers_without(name, revoked=REVOKED, learning_rate=0.1, num_rounds=5):
    candidate = CANDIDATES[name]
    algorithm, graph = candidate.recipe, candidate.graph(SIZE)
    trainer = NumpyTrainer(random_shards(graph), learning_rate=learning_rate)
    models = random_models(graph)
    peers = {
        peer_id: make_peer(
            algorithm, graph, trainer, peer_id, num_rounds=num_rounds, initial=models.get(peer_id), revoked=revoked
        )
        for peer_id in algorithm.network(graph)
        if peer_id not in revoked
    }
    return Simulator(peers, trainer, hub=algorithm.hub)


@pytest.mark.parametrize("name", GOES_ON)
def test_the_others_do_all_their_rounds(name):
    simulator = peers_without(name)
    simulator.run()  # a message to whom there is not would end it with an error
    assert all(peer.round == 5 and peer.is_drained for peer in simulator.peers.values())
    assert GONE not in simulator.peers


ONE_WAY = ("one_peer_exponential", "epidemic_oracle", "epidemic_learning")
"""Who is heard is not who is sent to, so that only masses can keep the mean."""

KEEPS_THE_MEAN = [
    name
    for name in GOES_ON
    if CANDIDATES[name].conserves and CANDIDATES[name].recipe.hub is None
    if name.startswith("sgp") or not name.endswith(ONE_WAY)
]


@pytest.mark.parametrize("name", KEEPS_THE_MEAN)
def test_the_mean_of_those_who_stay_is_kept(name):
    """Each times its mass, where there are masses."""
    simulator = peers_without(name, learning_rate=0.0)
    begin = sum(getattr(getattr(p, "_mixing", p), "mass", 1.0) * p.weights for p in simulator.peers.values())
    simulator.run()
    end = sum(getattr(getattr(p, "_mixing", p), "mass", 1.0) * p.weights for p in simulator.peers.values())
    np.testing.assert_allclose(end, begin, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_what_is_left_of_a_symmetric_matrix_is_doubly_stochastic(name):
    graph = ring(SIZE)
    schedule = SCHEDULES[name]()
    links = schedule.links(graph)
    position = {peer_id: index for index, peer_id in enumerate(links)}
    for step in range(6):
        W = mixing_matrix_at(schedule, links, step, 0)
        left = np.zeros_like(W)
        sent = np.zeros_like(W, dtype=bool)
        for peer_id, index in position.items():
            if peer_id == GONE:
                continue
            row, receivers = without(schedule.meetings(links, peer_id, 0)(step), peer_id, REVOKED)
            assert GONE not in receivers
            assert list(row) == [other for other in links if other in row]
            for other, share in row.items():
                left[index, position[other]] = share
            for receiver in receivers:
                sent[position[receiver], index] = True
        others = [index for peer_id, index in position.items() if peer_id != GONE]
        left, sent = left[np.ix_(others, others)], sent[np.ix_(others, others)]
        np.testing.assert_allclose(left.sum(axis=1), 1, rtol=0, atol=1e-15)
        assert ((left > 0) & ~np.eye(len(others), dtype=bool) == sent).all()
        if np.allclose(W, W.T):
            np.testing.assert_allclose(left.sum(axis=0), 1, rtol=0, atol=1e-15)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", GOES_ON)
def test_a_peer_that_is_resumed_without_a_neighbor_says_nothing_to_it_and_awaits_nothing(name, seed):
    """Stopped at any event of a run with all, with messages of the one that is gone received, open and under way."""
    candidate = CANDIDATES[name]
    graph = candidate.graph(SIZE)
    trainer = NumpyTrainer(random_shards(graph))
    simulator = make_simulator(candidate.recipe, graph, trainer)
    simulator.next()
    rng = np.random.default_rng(seed)
    for _ in range(int(rng.integers(1, 60))):
        if simulator._heap:
            simulator.step()
    for peer_id, peer in simulator.peers.items():
        if peer_id in (GONE, POOL):
            continue
        twin = make_peer(candidate.recipe, graph, trainer, peer_id)
        twin.restore(peer.snapshot())
        leave(twin, candidate.recipe.network(graph), REVOKED, simulator.now)
        for time in (simulator.now, 1e6, 2e6, 3e6):
            for action in twin.start(time) if time == simulator.now else twin.wake(time):
                if isinstance(action, Send) and action.message.receiver == GONE:
                    # what was open when it was stopped: it fails at once, and is not waited for
                    more = twin.send_failed(action.message, time)
                    assert not any(isinstance(one, Send) and one.message.receiver == GONE for one in more)
        assert GONE not in twin.awaits


def test_a_model_that_came_before_is_not_mixed_afterwards():
    """It would be counted as one of those that are awaited, and another neighbor's would be missing."""
    graph = ring(4)
    trainer = NumpyTrainer(random_shards(graph))
    models = random_models(graph)
    simulator = make_simulator(SynchronousGossip(), graph, trainer, initial=models)
    simulator.next()
    sender, peer = simulator.peers["1"], make_peer(SynchronousGossip(), graph, trainer, "0", initial=models["0"])
    peer.start(0.0)
    message = next(
        action.message
        for action in sender.completed(trainer.train([sender.local.outstanding])[0], 0.0)
        if isinstance(action, Send) and action.message.receiver == "0"
    )
    peer.receive(message, 0.0)
    twin = make_peer(SynchronousGossip(), graph, trainer, "0", initial=models["0"])
    twin.restore(peer.snapshot())
    leave(twin, graph, {"1"}, 0.0)
    twin.completed(trainer.train([twin.local.outstanding])[0], 0.0)
    assert (twin.round, twin.awaits) == (0, ("3",))
    with pytest.raises(RemoteProtocolError, match="does not hear from peer 1"):
        twin.receive(message, 0.0)


def test_without_its_only_neighbor_a_peer_trains_alone():
    graph = canonical(nx.path_graph(2), "pair")
    trainer = NumpyTrainer(random_shards(graph))
    for name in ("synchronous", "pairwise", "gosgd", "gossip_learning"):
        recipe = CANDIDATES[name].recipe
        peer = make_peer(recipe, graph, trainer, "0", revoked=frozenset({"1"}))
        simulator = Simulator({"0": peer}, trainer)
        simulator.run()
        assert (peer.round, peer.is_drained) == (5, True)
        assert final_weights(simulator)["0"].shape == (3,)
