"""Neighbors that go and come while a run goes on: whom a peer awaits, sends to and hears then."""

import numpy as np
import pytest
from exam import CANDIDATES
from federation import make_peer, make_simulator, random_models, random_shards, ring
from numpy_trainer import NumpyTrainer
from test_revocation import GOES_ON, leave
from test_snapshots import through_a_file

from gossipfl.actions import Send
from gossipfl.algorithms import SERVER, FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.engines.virtual.compute_model import ComputeModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Kind
from gossipfl.topology import Neighbors

GONE, SIZE = "2", 8
UNEVEN = World(compute=ComputeModel(0.02, {"1": 0.5, "4": 0.8}))


def tell_all(simulator, network, gone):
    """All but those who are `gone` hear of it, in the middle of whatever they do."""
    for peer_id, peer in simulator.peers.items():
        if peer_id not in gone:
            present = Neighbors.of(network, peer_id).without(gone)
            simulator._call(peer, lambda now, peer=peer, present=present: peer.neighbors_changed(present, now))


def run_to(simulator, num_events):
    simulator.next()
    for _ in range(num_events):
        if simulator._heap:
            simulator.step()


@pytest.mark.parametrize("num_events", [1, 17, 40])
@pytest.mark.parametrize("name", GOES_ON)
def test_the_others_go_on_at_once_without_one_that_falls_silent(name, num_events):
    """Restored from a snapshot on the way, where the same bits come of it."""
    candidate = CANDIDATES[name]
    algorithm, graph = candidate.recipe, candidate.graph(SIZE)
    network, ends = algorithm.network(graph), []
    for is_restored in (False, True):
        trainer = NumpyTrainer(random_shards(graph))
        simulator = make_simulator(algorithm, graph, trainer, world=UNEVEN, initial=random_models(graph))
        run_to(simulator, num_events)
        silent = simulator.peers[GONE]
        silent.receive = silent.completed = silent.wake = silent.send_failed = lambda *_: []
        tell_all(simulator, network, {GONE})
        if is_restored:
            for peer_id in simulator.peers.keys() - {GONE}:
                twin = make_peer(algorithm, graph, trainer, peer_id)
                twin.restore(through_a_file(simulator.peers[peer_id].snapshot()))
                simulator.peers[peer_id] = twin
        while simulator._heap:
            simulator.step()
        others = [peer for peer_id, peer in simulator.peers.items() if peer_id != GONE]
        assert all(peer.is_drained and GONE not in peer.awaits for peer in others)
        assert {peer.round for peer in others} == {5}
        ends.append([peer.weights.tobytes() for peer in others])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", [name for name in CANDIDATES if CANDIDATES[name].recipe.needs_everybody])
def test_who_needs_everybody_says_why(name):
    candidate = CANDIDATES[name]
    graph = candidate.graph(SIZE)
    network = candidate.recipe.network(graph)
    neighbors = {name: Neighbors.of(network, name) for name in network}
    peer_id = SERVER if SERVER in network else next(name for name in network if GONE in neighbors[name])
    peer = make_peer(candidate.recipe, graph, NumpyTrainer(random_shards(graph)), peer_id)
    before = peer.snapshot()[1]
    with pytest.raises(ConfigurationError, match=candidate.recipe.needs_everybody):
        leave(peer, network, {GONE}, 0.0)
    assert peer.snapshot()[1] == before
    peer.neighbors_changed(neighbors[peer_id], 0.0)


@pytest.mark.parametrize("name", ["pairwise", "gosgd", "gossip_learning"])
def test_who_never_waits_takes_newcomers_at_once(name):
    candidate = CANDIDATES[name]
    graph = ring(SIZE)
    peer = make_peer(candidate.recipe, graph, NumpyTrainer(random_shards(graph)), "0", num_rounds=400)
    peer.start(0.0)
    both = {"1": 1, "5": 5}
    peer.neighbors_changed(Neighbors(both, both), 0.0)
    trainer, receivers, now = NumpyTrainer(random_shards(graph)), set(), 0.0
    for _ in range(60):
        now += 1000.0
        actions = peer.completed(trainer.train([peer.outstanding])[0], now) if peer.outstanding else peer.wake(now)
        receivers |= {action.message.receiver for action in actions if isinstance(action, Send)}
    assert receivers == {"1", "5"}


def test_one_that_comes_back_to_patient_peers_counts_from_the_next_step_on():
    graph = ring(SIZE)
    recipe = SynchronousGossip(patience=0.2)
    simulator = make_simulator(recipe, graph, NumpyTrainer(random_shards(graph)), world=UNEVEN, num_rounds=12)
    run_to(simulator, 20)
    tell_all(simulator, graph, {GONE})
    run_to(simulator, 0)
    peer = simulator.peers["1"]
    step = peer._step
    assert GONE not in peer._meeting.row
    for _ in range(10):
        simulator.step()
    tell_all(simulator, graph, set())
    while simulator._heap:
        simulator.step()
    assert peer._step > step
    assert GONE in peer._meeting_of(peer._step).row
    assert all(peer.finished for peer in simulator.peers.values())


def test_peers_that_wait_for_ever_take_nobody_back():
    """One would wait for a model of a step that the other never sent."""
    graph = ring(SIZE)
    peer = make_peer(SynchronousGossip(), graph, NumpyTrainer(random_shards(graph)), "1")
    leave(peer, graph, {GONE}, 0.0)
    with pytest.raises(ConfigurationError, match="give the algorithm a patience"):
        leave(peer, graph, set(), 0.0)
    with pytest.raises(ConfigurationError, match="cannot mix with 5, to whom its schedule gives no share"):
        peer.neighbors_changed(Neighbors({"0": 0, "5": 5}, {"0": 0, "5": 5}), 0.0)


def test_an_exchange_that_was_open_is_repeated_when_the_neighbor_is_back():
    graph = ring(3)
    trainer = NumpyTrainer(random_shards(graph))
    peer = make_peer(PairwiseGossip(timeout=1.0, max_backoff=1.0), graph, trainer, "0", num_rounds=1)
    (job,) = peer.start(0.0)
    request = peer.completed(trainer.train([job])[0], 0.0)[0].message
    actions = leave(peer, graph, {request.receiver}, 0.5)
    assert (peer.finished, peer.is_drained, peer.awaits, actions) == (True, True, (), [])
    with pytest.raises(RemoteProtocolError, match="is not a neighbor"):
        peer.receive(request._replace(sender=request.receiver, receiver="0", kind=Kind.DECLINE), 0.5)
    again = leave(peer, graph, set(), 9.0)[0].message
    assert (again.exchange, peer.awaits) == (request.exchange, (request.receiver,))


def test_a_server_samples_newcomers_and_sends_them_the_final_model():
    graph = ring(4)
    recipe = FedAvg()
    server = make_peer(recipe, graph, NumpyTrainer(random_shards(graph)), SERVER, num_rounds=1)
    everybody = Neighbors.of(recipe.network(graph), SERVER)
    server.neighbors_changed(everybody.without({"1", "2"}), 0.0)
    assert {action.message.receiver for action in server.start(0.0)} == {"0", "3"}
    actions = leave(server, recipe.network(graph), {"0", "3"}, 0.0)
    assert {action.message.receiver for action in actions} == {"1", "2"}
    with pytest.raises(ConfigurationError, match="without any client"):
        server.neighbors_changed(Neighbors({}, {}), 0.0)
    server.finished, before = True, np.array(server.weights)
    actions = server.neighbors_changed(everybody, 0.0)
    assert {(action.message.kind, action.message.receiver) for action in actions} == {
        (Kind.FINAL, "0"),
        (Kind.FINAL, "3"),
    }
    assert np.array_equal(before, server.weights)


def test_rounds_that_are_done_stay_as_many_when_clients_are_gone():
    graph = ring(4)
    recipe = FedAvg()
    simulator = make_simulator(recipe, graph, NumpyTrainer(random_shards(graph)), initial=random_models(graph))
    server = simulator.peers[SERVER]
    simulator.next()
    while server.rounds_done < 2:
        simulator.step()
    leave(server, recipe.network(graph), {"1", "2", "3"}, 0.0)
    assert server.rounds_done == 2
    twin = make_peer(recipe, graph, NumpyTrainer(random_shards(graph)), SERVER)
    twin.restore(through_a_file(server.snapshot()))
    assert twin.rounds_done == 2
