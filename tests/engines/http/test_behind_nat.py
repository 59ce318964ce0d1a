"""Peers that nobody can reach take part like all others: they deliver themselves, and poll for what is for them."""

import asyncio

import numpy as np
import pytest
from deadline import DEADLINE
from federation import complete, make_simulator, random_models, random_shards, ring
from loopback import Loopback, bits, run_loopback
from meddling_proxy import MeddlingProxy, meddled
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.wire.limits import Limits

LIMITS = Limits(max_backoff=0.1, poll_seconds=0.5)

UNREACHABLE = {
    "synchronous": (SynchronousGossip(), ring(6), {"0", "2", "4"}),
    "fedavg": (FedAvg(), ring(4), {"0", "1", "2", "3"}),
    "fedavg of some": (FedAvg(client_fraction=0.5), ring(4), {"1", "2"}),
}


def hosting(behind_nat):
    return lambda peer_id: Hosting(LIMITS, meeting_seconds=5.0, listens=peer_id not in behind_nat)


def momentum_trainer(graph):
    return NumpyTrainer(random_shards(graph), momentum=0.9, has_statistics=True)


@pytest.mark.parametrize("name", UNREACHABLE)
def test_unreachable_peers_take_part_in_every_round(name):
    algorithm, graph, behind_nat = UNREACHABLE[name]
    simulator = make_simulator(algorithm, graph, momentum_trainer(graph))
    simulator.run()
    loopback = run_loopback(algorithm, graph, momentum_trainer(graph), hosting=hosting(behind_nat))
    assert [loopback.addresses[peer_id] is None for peer_id in graph] == [peer_id in behind_nat for peer_id in graph]
    assert bits(loopback.peers) == bits(simulator.peers)
    assert loopback.undisturbed


@pytest.mark.parametrize("seed", range(3))
def test_pairwise_gossip_with_unreachable_peers_keeps_the_sum(seed):
    graph = ring(6)
    models = random_models(graph, seed=seed)
    loopback = run_loopback(
        PairwiseGossip(),
        graph,
        NumpyTrainer(random_shards(graph), learning_rate=0.0),
        num_rounds=10,
        seed=seed,
        initial=models,
        hosting=hosting({"1", "3", "5"}),
        timeout=15.0,
    )
    before = np.sum([model.weights for model in models.values()], axis=0)
    after = np.sum([peer.weights for peer in loopback.peers.values()], axis=0)
    np.testing.assert_allclose(after, before, atol=1e-12)
    assert loopback.undisturbed
    for peer_id, host in loopback.hosts.items():  # everybody was asked, and answered
        assert all(
            neighbor.traffic.num_messages > 5 and neighbor.traffic.received for neighbor in host.neighbors.values()
        ), peer_id


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", UNREACHABLE)
def test_what_is_lost_in_the_answer_to_a_poll_comes_again(name, seed, monkeypatch):
    monkeypatch.setattr("gossipfl.peers.retries.RETRY_DELAY", 0.02)
    algorithm, graph, behind_nat = UNREACHABLE[name]
    simulator = make_simulator(algorithm, graph, momentum_trainer(graph))
    simulator.run()
    proxy = MeddlingProxy(
        seed,
        {"pass": 0.4, "drop answer": 0.3, "cut answer": 0.3},
        spared=lambda request: b" poll " not in request.partition(b"\r\n\r\n")[0],
    )

    async def run() -> Loopback:
        loopback = Loopback(algorithm, graph, momentum_trainer(graph), hosting=hosting(behind_nat))

        def calm_when_finished(*_: object) -> None:
            if all(peer.finished for peer in loopback.peers.values()):
                proxy.calm()

        loopback.log.reacted = calm_when_finished
        async with asyncio.timeout(DEADLINE), meddled(loopback, proxy):
            await loopback.run()
        return loopback

    loopback = asyncio.run(run())
    assert bits(loopback.peers) == bits(simulator.peers)
    assert proxy.fates["drop answer"] + proxy.fates["cut answer"] > 5


def test_no_more_than_the_newest_messages_are_kept_for_one_that_does_not_poll():
    graph = complete(2)
    limits = Limits(outbox_messages=3)
    most_waiting = 0

    async def run() -> Loopback:
        loopback = Loopback(
            SynchronousGossip(patience=0.01),
            graph,
            NumpyTrainer(random_shards(graph)),
            num_rounds=12,
            hosting=lambda peer_id: Hosting(limits, linger=0.1, listens=peer_id == "0"),
        )
        await loopback.listen()
        loopback.connect()
        host = loopback.hosts["0"]  # the other one never comes

        def count(*_: object) -> None:
            nonlocal most_waiting
            most_waiting = max(most_waiting, len(host.neighbors["1"].parcels))

        loopback.log.reacted = count
        async with asyncio.timeout(DEADLINE):
            await host.run()
        await loopback.room.close()
        return loopback

    loopback = asyncio.run(run())
    assert loopback.peers["0"].round == 12
    assert most_waiting == 3
    rounds = [parcel.message.round for parcel in loopback.hosts["0"].neighbors["1"].parcels]
    assert rounds == [0, 10, 11]  # the first might be on its way


@pytest.mark.parametrize("leaving", ["server", "1"])
def test_one_that_leaves_is_known_to_have_left(leaving):
    """Peer 1 polls; that the server leaves rides in the answer to the poll that waits."""
    graph = complete(2)

    async def run() -> Loopback:
        loopback = Loopback(
            FedAvg(), graph, NumpyTrainer(random_shards(graph)), num_rounds=10**9, hosting=hosting({"1"})
        )
        left = asyncio.Event()
        note = loopback.log.contact

        def contact(host, neighbor, event):
            note(host, neighbor, event)
            if (neighbor, host.peer.peer_id) in {("server", "1"), ("1", "server")} and event == "left":
                left.set()

        loopback.log.contact = contact
        running = asyncio.create_task(loopback.run())
        async with asyncio.timeout(DEADLINE):
            while loopback.peers["server"].round < 2:
                await asyncio.sleep(0)
            loopback.hosts[leaving].stop()
            await left.wait()
            for host in loopback.hosts.values():
                host.stop()
            await running
        return loopback

    loopback = asyncio.run(run())
    told = {peer_id for peer_id, neighbor, event in loopback.log.contacts if (neighbor, event) == (leaving, "left")}
    assert told >= ({"1"} if leaving == "server" else {"server"})
