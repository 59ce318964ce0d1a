"""Peers without a model, that come to know the mean or the sum of everybody's numbers."""

import asyncio
import json

import networkx as nx
import numpy as np
import pytest
from deadline import DEADLINE
from federation import complete, ring
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Send, Update
from gossipfl.analytics import summing_peer
from gossipfl.compression import dense
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.status import status_of
from gossipfl.engines.http.training_room import TrainingRoom
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.engines.virtual.network_model import Link, NetworkModel
from gossipfl.engines.virtual.simulator import Simulator, World
from gossipfl.errors import LocalProtocolError, RemoteProtocolError
from gossipfl.messages import Kind, NumberSchema, VectorSchema
from gossipfl.peers import Backoff
from gossipfl.randomness import PublicRandomness
from gossipfl.snapshot import messages_of_snapshot, part
from gossipfl.topology import Neighbors, canonical

SIZE, NUM_ROUNDS = 6, 90
NUMBERS = np.random.default_rng(0).normal(size=(SIZE, 3)) * 100
WANTED = {"mean": NUMBERS.mean(axis=0), "sum": NUMBERS.sum(axis=0)}
LOSSY = World(NetworkModel(link=Link(latency=0.02, jitter=0.3, loss=0.2)))


class Nobody:
    """Watches, and does nothing."""

    def reacted(self, host, round_before): ...

    def trained(self, host, update): ...

    def agreed(self, host, agreement): ...

    def contact(self, host, neighbor, event): ...


def make(graph, query="mean", num_rounds=NUM_ROUNDS, seed=0, period=1.0, peers=None):
    backoff, public = Backoff(max(1.0, 2 * period), 8.0), PublicRandomness(seed)
    return {
        name: summing_peer(name, row, graph, query, public, num_rounds=num_rounds, backoff=backoff, period=period)
        for name, row in zip(graph, NUMBERS, strict=True)
        if peers is None or name in peers
    }


def simulator_of(graph, *arguments, world=None, **options):
    return Simulator(make(graph, *arguments, **options), NumpyTrainer({}), world)


def held(peers):
    """What all peers have and have given away, and nobody has yet: sums and mass."""
    total, mass = 0.0, 0.0
    for name, peer in peers.items():
        total, mass = total + peer.sums, mass + peer.mass
        for receiver, push in messages_of_snapshot(part("open", part("pushes", peer.snapshot()))).items():
            decided = peers[receiver].snapshot()[1]["pushes"]["exchanges"]["decided"].get(name, 0)
            if decided < push.exchange.number:
                total, mass = total + push.vectors["values"].arrays["values"], mass + push.numbers["mass"]
    return total, mass


GRAPHS = [
    ring(SIZE),
    complete(SIZE),
    canonical(nx.DiGraph([(str(i), str((i + 1) % SIZE)) for i in range(SIZE)]), "one way"),
]


@pytest.mark.long
@pytest.mark.parametrize("query", ["mean", "sum"])
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)
def test_all_come_to_know_it_also_where_messages_are_lost(graph, query):
    for world in (None, LOSSY):
        simulator = simulator_of(graph, query, num_rounds=800, world=world)
        history = simulator.run()
        assert (history.evaluations, history.final, history.num_open) == ([], {}, 0)
        for peer in simulator.peers.values():
            np.testing.assert_allclose(peer.value, WANTED[query], rtol=0, atol=1e-9)
            assert (peer.standing, peer.outstanding, peer.is_drained) == (None, None, True)


@settings(max_examples=20)
@given(num_events=st.integers(0, 400), seed=st.integers(0, 99), query=st.sampled_from(["mean", "sum"]))
def test_sums_and_mass_are_conserved_at_every_moment(num_events, seed, query):
    simulator = simulator_of(ring(SIZE), query, seed=seed, world=LOSSY)
    for peer in simulator.peers.values():
        simulator._call(peer, peer.start)
    for _ in range(num_events):
        if simulator._heap:
            simulator.step()
    total, mass = held(simulator.peers)
    np.testing.assert_allclose(total, WANTED["sum"], rtol=0, atol=1e-9)
    assert mass == pytest.approx(SIZE if query == "mean" else 1, abs=1e-12)


def test_peers_that_are_replaced_by_their_snapshots_at_any_event_come_to_the_same_bits():
    graph = ring(SIZE)
    undisturbed, simulator = (simulator_of(graph, world=LOSSY) for _ in range(2))
    undisturbed.run()
    rng, step = np.random.default_rng(0), simulator.step

    def step_and_replace():
        step()
        name = str(rng.choice(list(graph)))
        arrays, values = simulator.peers[name].snapshot()
        (twin,) = make(graph, peers={name}).values()
        twin.restore(({key: np.array(array) for key, array in arrays.items()}, json.loads(json.dumps(values))))
        simulator.peers[name] = twin

    simulator.step = step_and_replace
    simulator.run()
    for name, peer in simulator.peers.items():
        assert peer.value.tobytes() == undisturbed.peers[name].value.tobytes()
        assert not peer.value.flags.writeable


def test_a_simulation_goes_on_from_its_snapshot():
    whole, begun, resumed = (simulator_of(ring(SIZE), world=LOSSY) for _ in range(3))
    whole.run()
    begun._state = "running"
    for peer in begun.peers.values():
        begun._call(peer, peer.start)
    for _ in range(60):
        begun.step()
    resumed.restore(begun.snapshot())
    resumed.run()
    for name, peer in resumed.peers.items():
        assert peer.value.tobytes() == whole.peers[name].value.tobytes()


@pytest.mark.long
def test_over_http_they_come_to_the_same_as_in_virtual_time():
    graph = ring(SIZE)
    simulator = simulator_of(graph, num_rounds=150)
    simulator.run()
    facts = RunFacts(
        {"run": "mean"}, {"values": VectorSchema(3, "float64")}, 150, numbers={"mass": NumberSchema(0, SIZE)}
    )

    async def run():
        room, peers = TrainingRoom(NumpyTrainer({}), 1), make(graph, num_rounds=150, period=0.005)
        hosts = {
            name: HTTPPeer(peer, facts, room, tuple(graph[name]), Nobody(), Hosting(meeting_seconds=5.0))
            for name, peer in peers.items()
        }
        urls = {}
        for name, host in hosts.items():
            _, port = await host.listen(("127.0.0.1", 0))
            urls[name] = f"http://127.0.0.1:{port}"
        for host in hosts.values():
            host.connect(urls)
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(host.run() for host in hosts.values()))
            assert status_of(hosts["0"]).rounds_done == 150
        await room.close()
        return peers

    for name, peer in asyncio.run(run()).items():
        np.testing.assert_allclose(peer.value, simulator.peers[name].value, rtol=0, atol=1e-9)


def test_what_breaks_a_rule_changes_nothing():
    graph = ring(SIZE)
    peers = make(graph)
    push = next(action.message for action in peers["0"].start(0.0) if isinstance(action, Send))
    receiver = peers[push.receiver]
    before = receiver.snapshot()[1]
    wrong = [
        (push._replace(sender="3"), "expects no push from peer 3"),
        (push._replace(kind=Kind.MODEL), "expects no model"),
        (push._replace(vectors={}), "carries no 3 values"),
        (push._replace(vectors={"values": dense(np.zeros(2))}), "carries no 3 values"),
        (push._replace(numbers={"mass": 6.0}), "more than all peers have"),
        (push._replace(numbers={}), "carries no mass"),
    ]
    for message, why in wrong:
        with pytest.raises(RemoteProtocolError, match=why):
            receiver.receive(message, 0.0)
    assert receiver.snapshot()[1] == before
    with pytest.raises(LocalProtocolError, match="asked for no work"):
        receiver.completed(Update("1", 0, push, push, {}, 1, 1, {}), 0.0)


def test_a_neighbor_that_is_gone_is_left_alone_and_takes_what_it_was_given():
    graph = ring(SIZE)
    (peer,) = make(graph, peers={"0"}, num_rounds=1).values()
    push, *_ = peer.start(0.0)
    gone = push.message.receiver
    assert not peer.is_drained
    peer.neighbors_changed(Neighbors.of(graph, "0").without({gone}), 0.0)
    assert (peer.is_drained, peer.awaits) == (True, ())
    again = [a for a in peer.neighbors_changed(Neighbors.of(graph, "0"), 99.0) if isinstance(a, Send)]
    assert [action.message for action in again] == [push.message]
