"""When messages arrive, what is lost, and when peers are woken."""

from dataclasses import replace

import numpy as np
import pytest
from federation import (
    complete,
    make_simulator,
    random_shards,
    ring,
)
from numpy_trainer import NumpyTrainer

from gossipfl.actions import LocalWork, Send, WakeAt
from gossipfl.algorithms import SERVER, FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.compression import dense
from gossipfl.engines.virtual import network as virtual_network
from gossipfl.engines.virtual.compute_model import ComputeModel
from gossipfl.engines.virtual.network import VirtualNetwork
from gossipfl.engines.virtual.network_model import Link, NetworkModel, Rates
from gossipfl.engines.virtual.simulator import Simulator, World
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.peers import LocalModel, ModelPeer, Sharing
from gossipfl.weights import ModelVectors, frozen

NOTHING = ModelVectors(frozen(np.zeros(1)), frozen(np.zeros(0)))


class Scripted(ModelPeer):
    """Sends what it is told at the start, and writes down what comes."""

    def __init__(self, peer_id, actions=(), refuses=False):
        super().__init__(LocalModel(peer_id, LocalWork(1, 1, 1), NOTHING, Sharing()))
        self.finished = True
        self.actions, self.refuses = list(actions), refuses
        self.received, self.failed, self.woken = [], [], []

    def start(self, now):
        return self.actions

    def receive(self, message, now):
        if self.refuses:
            raise RemoteProtocolError("no")
        self.received.append((now, message.sender))
        return []

    def wake(self, now):
        self.woken.append(now)
        return []

    def send_failed(self, message, now):
        self.failed.append((now, message.receiver))
        return []

    def _go_on_from(self, update, now):
        raise AssertionError

    def _go_on_without(self, now):
        raise AssertionError

    def _meet(self, neighbors):
        raise AssertionError

    def snapshot(self):
        raise AssertionError

    def restore(self, snapshot):
        raise AssertionError


SIZE = 8 + 512 + 160 + 8 * 40
"""Bytes of the messages that scripted peers send: 1,000."""


def send(sender, receiver):
    return Send(Message(sender, receiver, Kind.MODEL, vectors={"weights": dense(np.zeros(40))}))


def run_script(network, *peers, seed=0, overhead=0):
    world = World(replace(network, overhead=overhead))
    simulator = Simulator({peer.peer_id: peer for peer in peers}, NumpyTrainer({"a": [[0.0]]}), world, seed=seed)
    simulator.run()
    return simulator


def test_a_single_message_takes_latency_and_the_slower_of_both_ends():
    for up, down in ((1000.0, 4000.0), (4000.0, 1000.0), (1000.0, 1000.0)):
        receiver = Scripted("b")
        network = NetworkModel(Rates(up, down), Link(latency=0.25))
        run_script(network, Scripted("a", [send("a", "b")]), receiver)
        assert receiver.received == [(1.25, "a")]


def test_the_overhead_of_a_message_takes_time_and_counts_at_both_ends():
    receiver = Scripted("b")
    network = NetworkModel(Rates(1000.0, 4000.0))
    simulator = run_script(network, Scripted("a", [send("a", "b")] * 2), receiver, overhead=1500)
    assert receiver.received == [(2.5, "a"), (5.0, "a")]
    assert simulator.history.peer_bytes == {"a": (2 * 2500, 0), "b": (0, 2 * 2500)}
    assert simulator.history.link_traffic == {("a", "b"): (2, 2 * 2500)}
    assert simulator.history.last.num_bytes == 2 * 2500


def test_messages_queue_at_the_uplink_and_at_the_downlink():
    uplink = NetworkModel(Rates(uplink=500.0), Link(latency=1.0))
    receivers = [Scripted("b"), Scripted("c")]
    run_script(uplink, Scripted("a", [send("a", "b"), send("a", "c"), send("a", "b")]), *receivers)
    assert receivers[0].received == [(3.0, "a"), (7.0, "a")]
    assert receivers[1].received == [(5.0, "a")]

    downlink = NetworkModel(Rates(downlink=500.0), Link(latency=1.0))
    receiver = Scripted("c")
    run_script(downlink, Scripted("a", [send("a", "c")]), Scripted("b", [send("b", "c")]), receiver)
    assert receiver.received == [(3.0, "a"), (5.0, "b")]


def test_named_links_and_rates_replace_the_common_ones():
    network = NetworkModel(
        Rates(1000.0), Link(1.0), peer_rates={"b": Rates(2000.0)}, links={("b", "c"): Link(latency=5.0)}
    )
    receiver = Scripted("c")
    run_script(network, Scripted("a", [send("a", "c")]), Scripted("b", [send("b", "c")]), receiver)
    assert receiver.received == [(2.0, "a"), (5.5, "b")]


def test_the_fedavg_server_is_the_bottleneck():
    """n updates of b bytes take n b / downlink seconds, then n acknowledgements of 520 bytes."""
    graph, num_clients = complete(10), 10
    network = NetworkModel(peer_rates={SERVER: Rates(downlink=1000.0)}, overhead=0)
    trainer = NumpyTrainer(random_shards(graph, size=40))
    world = World(network, ComputeModel(0.0))
    simulator = make_simulator(FedAvg(), graph, trainer, world=world, num_rounds=3)
    history = simulator.run()
    assert [evaluation.time for evaluation in history] == pytest.approx([0.0, 10.0, 20.0, 30.0])
    assert history.peer_bytes[SERVER] == (num_clients * 4 * SIZE, num_clients * (3 * SIZE + 520))
    assert history.last.busiest_peer_bytes == num_clients * (7 * SIZE + 520)

    gossip = make_simulator(SynchronousGossip(), ring(10), NumpyTrainer(trainer.shards), world=world, num_rounds=3)
    assert gossip.run().last.time == 0.0
    assert gossip.history.last.busiest_peer_bytes == 3 * 4 * SIZE


def test_jitter_stays_within_its_bounds_and_differs_by_message():
    receiver = Scripted("b")
    run_script(NetworkModel(link=Link(1.0, jitter=0.5)), Scripted("a", [send("a", "b")] * 50), receiver)
    times = [time for time, _ in receiver.received]
    assert 1.0 <= min(times) < 1.1
    assert 1.4 < max(times) <= 1.5
    assert len(set(times)) == 50


def test_lost_messages_are_counted_as_sent_only():
    receiver = Scripted("b")
    simulator = run_script(NetworkModel(link=Link(loss=0.3)), Scripted("a", [send("a", "b")] * 400), receiver)
    assert 0.6 < len(receiver.received) / 400 < 0.8
    assert simulator.history.last.num_messages == 400
    assert simulator.history.last.num_bytes == 400 * SIZE
    assert simulator.history.peer_bytes == {"a": (400 * SIZE, 0), "b": (0, len(receiver.received) * SIZE)}
    assert simulator.history.link_traffic == {("a", "b"): (400, 400 * SIZE)}


def test_what_happens_on_one_link_does_not_depend_on_other_links():
    network = NetworkModel(link=Link(1.0, jitter=1.0, loss=0.2))
    alone, among_others = Scripted("b"), Scripted("b")
    run_script(network, Scripted("a", [send("a", "b")] * 20), alone, seed=5)
    both = [action for _ in range(20) for action in (send("a", "c"), send("a", "b"))]
    run_script(network, Scripted("a", both), among_others, Scripted("c"), seed=5)
    assert alone.received == among_others.received


def test_what_is_left_to_chance_is_uniform_and_independent():
    senders, moments = [str(k) for k in range(20)], [0.1 * k for k in range(100)]
    network = VirtualNetwork(NetworkModel(link=Link(latency=1.0, jitter=1.0)), ["0", *senders], seed=3)
    delays = np.array(
        [[network.send(Message(peer, "0", Kind.PUSH), now).first_byte - now - 1 for peer in senders] for now in moments]
    )
    assert len(np.unique(delays)) == delays.size
    assert np.abs(np.bincount((10 * delays.ravel()).astype(int), minlength=10) - 200).max() < 5 * np.sqrt(200)
    assert np.abs(np.corrcoef(delays.T) - np.eye(20)).max() < 0.5  # between senders: 0.1 is one sigma
    assert abs(np.corrcoef(delays[1:].ravel(), delays[:-1].ravel())[0, 1]) < 0.1  # and between moments: 0.02


def test_beyond_so_many_pairs_only_sums_are_kept(monkeypatch):
    monkeypatch.setattr(virtual_network, "MAX_PAIRS", 6)
    graph = ring(6)
    uncounted, over = (make_simulator(SynchronousGossip(), graph, NumpyTrainer(random_shards(graph))) for _ in range(2))
    assert uncounted.run().link_traffic is None  # 12 pairs
    monkeypatch.setattr(virtual_network, "MAX_PAIRS", 12)
    counted = over.run()
    assert len(counted.link_traffic) == 12
    assert sum(num_messages for num_messages, _ in counted.link_traffic.values()) == counted.last.num_messages
    assert sum(num_bytes for _, num_bytes in counted.link_traffic.values()) == counted.last.num_bytes
    assert list(uncounted.history.rows()) == list(counted.rows())
    assert uncounted.history.peer_bytes == counted.peer_bytes
    resumed = make_simulator(SynchronousGossip(), graph, NumpyTrainer(random_shards(graph)))
    resumed.restore(uncounted.snapshot())
    resumed.close()
    assert resumed.history.link_traffic is None


def test_offline_peers_neither_send_nor_receive():
    network = NetworkModel(link=Link(1.0), offline={"a": ((0.0, 0.5),), "c": ((0.9, 1.5),)})
    a, b, c = Scripted("a", [send("a", "b")]), Scripted("b", [send("b", "c"), send("b", "a")]), Scripted("c")
    simulator = run_script(network, a, b, c)
    assert a.failed == [(0.0, "b")]
    assert b.failed == [(1.0, "c")]
    assert a.received == [(1.0, "b")]
    assert c.received == b.received == []
    assert simulator.history.peer_bytes == {"a": (0, SIZE), "b": (2 * SIZE, 0), "c": (0, 0)}


@pytest.mark.parametrize("algorithm", [SynchronousGossip(), FedAvg(), PairwiseGossip(timeout=0.5, max_backoff=1.0)])
def test_after_an_outage_everybody_finishes_without_patience(algorithm):
    graph = ring(4)
    world = World(NetworkModel(link=Link(0.01), offline={"1": ((0.0, 5.0),), "2": ((3.0, 7.0),)}), ComputeModel(0.1))
    simulator = make_simulator(algorithm, graph, NumpyTrainer(random_shards(graph)), world=world)
    history = simulator.run()
    assert all(peer.finished and peer.round == 5 for peer in simulator.peers.values())
    assert history.last.time > 5.0 or isinstance(algorithm, PairwiseGossip)


# Wishes


def test_the_last_wish_counts():
    peers = [
        Scripted("a", [WakeAt(5.0), WakeAt(2.0)]),
        Scripted("b", [WakeAt(2.0), WakeAt(5.0)]),
        Scripted("c", [WakeAt(-3.0)]),
        Scripted("d", [WakeAt(9.0), WakeAt(1.0), WakeAt(1.0), WakeAt(4.0), WakeAt(3.0)]),
    ]
    run_script(NetworkModel(), *peers)
    assert [peer.woken for peer in peers] == [[2.0], [5.0], [0.0], [3.0]]


def test_wishes_that_are_put_off_do_not_pile_up():
    graph = ring(4)
    simulator = make_simulator(PairwiseGossip(timeout=1e6, max_backoff=1e6), graph, NumpyTrainer(random_shards(graph)))
    simulator.next()
    longest = 0
    for _ in range(60):
        simulator.step()
        longest = max(longest, len(simulator._heap))
    assert longest <= 4 * 4


def test_refused_messages_are_counted_and_harm_nobody(caplog):
    simulator = run_script(NetworkModel(), Scripted("a", [send("a", "b")] * 3), Scripted("b", refuses=True))
    assert simulator.history.num_refused == 3
    assert "peer b refused a message" in caplog.text
