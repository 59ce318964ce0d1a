"""Neighbors that are not there, not yet there, not there any more, or not in their right mind."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from deadline import DEADLINE
from faulty_servers import FAULTS, faulty, silent_after_meeting
from federation import complete, make_simulator, random_models, random_shards, ring
from loopback import Loopback, bits
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Train, Update
from gossipfl.algorithms import FedAvg, LocalOnly, PairwiseGossip, SynchronousGossip
from gossipfl.engines.http.delivering import delivery
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.errors import TrainingError

HASTY = Hosting(
    Limits(request_seconds=0.3, connect_seconds=0.3, max_backoff=0.1, slowest_rate=1e9), linger=0.3, meeting_seconds=0.2
)


def still(graph, **options):
    """Training that changes nothing."""
    return NumpyTrainer(random_shards(graph), learning_rate=0.0, **options)


async def until(condition: Callable[[], bool]) -> None:
    """Let the peers go on until something is so."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.001)


def total(loopback: Loopback, *names: str) -> np.ndarray:
    return np.sum([loopback.peers[name].weights for name in names or loopback.peers], axis=0)


async def run_without(loopback: Loopback, missing: str, url: str) -> None:
    """All others run, and are told that the missing one is at a URL."""
    others = [name for name in loopback.hosts if name != missing]
    await loopback.listen(*others)
    loopback.addresses[missing] = url
    loopback.connect()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(loopback.hosts[name].run() for name in others))
    await loopback.room.close()


@pytest.mark.parametrize("serve", FAULTS, ids=lambda serve: serve.__name__)
class TestFaultyNeighbor:
    """Peers 0 and 1 are sane, peer 2 is not."""

    def test_pairwise_gossip_goes_on_without_it(self, serve):
        graph = complete(3)
        models = random_models(graph)

        async def run() -> Loopback:
            algorithm = PairwiseGossip(timeout=0.1, max_backoff=0.5)
            loopback = Loopback(
                algorithm, graph, still(graph), num_rounds=20, initial=models, hosting=lambda peer_id: HASTY
            )
            async with faulty(serve) as url:
                await run_without(loopback, "2", url)
            return loopback

        loopback = asyncio.run(run())
        for name in "01":
            host = loopback.hosts[name]
            assert host.peer.round == 20
            assert host.neighbors["2"].num_failures > 0
            assert host.neighbors["01".replace(name, "")].contact == "reachable"
            assert not host.refusals
        np.testing.assert_allclose(total(loopback, "0", "1"), models["0"].weights + models["1"].weights, atol=1e-12)
        assert not np.array_equal(loopback.peers["0"].weights, models["0"].weights)

    def test_synchronous_gossip_with_patience_goes_on_without_it(self, serve):
        graph = complete(3)

        async def run() -> Loopback:
            trainer = NumpyTrainer(random_shards(graph))
            algorithm = SynchronousGossip(patience=0.05)
            loopback = Loopback(algorithm, graph, trainer, num_rounds=5, hosting=lambda peer_id: HASTY)
            async with faulty(serve) as url:
                await run_without(loopback, "2", url)
            return loopback

        loopback = asyncio.run(run())
        assert {loopback.peers[name].round for name in "01"} == {5}
        # Nobody was lost that was ever there; one that tells a session was.
        expected = {"unreachable"} if serve is silent_after_meeting else set()
        assert {event for _, _, event in loopback.log.contacts} == expected


@pytest.mark.parametrize("algorithm", [SynchronousGossip(), FedAvg()], ids=["synchronous", "fedavg"])
def test_one_that_comes_late_is_waited_for(algorithm, monkeypatch, caplog):
    caplog.set_level("INFO", "gossipfl.engines.http")
    monkeypatch.setattr("gossipfl.peers.retries.RETRY_DELAY", 0.02)
    graph = ring(4)
    simulator = make_simulator(algorithm, graph, NumpyTrainer(random_shards(graph)))
    simulator.run()

    async def run() -> Loopback:
        hosting = replace(HASTY, meeting_seconds=0.0, linger=600.0)
        loopback = Loopback(algorithm, graph, NumpyTrainer(random_shards(graph)), hosting=lambda peer_id: hosting)
        others = [name for name in loopback.hosts if name != "2"]
        await loopback.listen(*others)
        async with faulty(FAULTS[0]) as url:
            loopback.addresses["2"] = url
            loopback.connect()
            running = [asyncio.create_task(loopback.hosts[name].run()) for name in others]
            await until(lambda: any(host.neighbors["2"].num_failures > 2 for host in neighbors_of_2(loopback)))
            await loopback.listen("2")
            loopback.connect()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*running, loopback.hosts["2"].run())
        await loopback.room.close()
        return loopback

    loopback = asyncio.run(run())
    assert bits(loopback.peers) == bits(simulator.peers)
    assert "going on without" not in caplog.text, "who waits for nobody does not know who is missing"
    assert loopback.undisturbed


def neighbors_of_2(loopback: Loopback) -> list[HTTPPeer]:
    return [host for host in loopback.hosts.values() if "2" in host.neighbors]


@pytest.mark.parametrize(
    "algorithm", [PairwiseGossip(timeout=0.2), SynchronousGossip(patience=0.1)], ids=["pairwise", "synchronous"]
)
def test_one_that_leaves_is_routed_around(algorithm):
    graph = complete(4)

    async def run() -> Loopback:
        loopback = Loopback(algorithm, graph, still(graph), num_rounds=12, hosting=lambda peer_id: HASTY)
        running = asyncio.create_task(loopback.run())
        await until(lambda: loopback.peers["3"].round >= 3)
        loopback.hosts["3"].stop()
        await until(lambda: loopback.hosts["3"].state == "over")
        async with asyncio.timeout(DEADLINE):
            await running
        return loopback

    loopback = asyncio.run(run())
    assert {loopback.peers[name].round for name in "012"} == {12}
    assert loopback.peers["3"].round < 12
    assert {peer_id for peer_id, neighbor, event in loopback.log.contacts if (neighbor, event) == ("3", "left")} == {
        *"012"
    }


def test_leaving_does_not_take_longer_than_a_goodbye(monkeypatch):
    """Its only neighbor takes everything and never answers: the goodbye alone would take longer than the test may."""
    monkeypatch.setattr(delivery, "GOODBYE_SECONDS", 0.2)
    graph = complete(2)

    async def run() -> None:
        hosting = Hosting(Limits(request_seconds=10 * DEADLINE), meeting_seconds=0.1)
        loopback = Loopback(PairwiseGossip(), graph, still(graph), hosting=lambda peer_id: hosting)
        host = loopback.hosts["0"]
        async with faulty(silent_after_meeting) as url:
            await loopback.listen("0")
            loopback.addresses["1"] = url
            loopback.connect()
            running = asyncio.create_task(host.run())
            await until(lambda: host.state == "waiting")
            host.stop()
            async with asyncio.timeout(DEADLINE):
                await running
        await loopback.room.close()

    asyncio.run(run())


class FailingTrainer(NumpyTrainer):
    def train(self, jobs: list[Train]) -> list[Update]:
        for job in jobs:
            if (job.peer_id, job.job) == ("1", 2):
                raise TrainingError("NaN", peer_id="1", round=2)
        return super().train(jobs)


def test_training_that_fails_ends_its_peer_and_no_other():
    graph = ring(4)

    async def run() -> Loopback:
        loopback = Loopback(
            PairwiseGossip(timeout=0.2),
            graph,
            FailingTrainer(random_shards(graph)),
            hosting=lambda peer_id: HASTY,
        )
        await loopback.listen()
        loopback.connect()
        async with asyncio.timeout(DEADLINE):
            results = await asyncio.gather(*(host.run() for host in loopback.hosts.values()), return_exceptions=True)
        await loopback.room.close()
        assert [type(result) for result in results] == [type(None), TrainingError, type(None), type(None)]
        return loopback

    loopback = asyncio.run(run())
    assert {loopback.peers[name].round for name in "023"} == {5}
    assert {("0", "1", "left"), ("2", "1", "left")} <= set(loopback.log.contacts)


@pytest.mark.parametrize("moment", ["meeting", "training", "lingering"])
def test_a_cancelled_peer_leaves_nothing_open(moment):
    """Warnings about what is open are errors here."""
    graph = complete(2)

    async def run() -> None:
        hosting = Hosting(meeting_seconds=60.0 if moment == "meeting" else 0.0)
        rounds = 1 if moment == "lingering" else 10**9
        loopback = Loopback(
            PairwiseGossip(timeout=0.01), graph, still(graph), num_rounds=rounds, hosting=lambda peer_id: hosting
        )
        async with faulty(FAULTS[0]) as url:
            await loopback.listen("0")
            loopback.addresses["1"] = url
            loopback.connect()
            running = asyncio.create_task(loopback.hosts["0"].run())
            await until(lambda: loopback.hosts["0"].state == moment)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        await loopback.room.close()
        assert loopback.hosts["0"].state == "over"
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_a_peer_that_is_told_to_stop_before_it_runs_ends_at_once():
    graph = complete(2)

    async def run() -> Mapping[str, str]:
        loopback = Loopback(PairwiseGossip(), graph, still(graph))
        await loopback.listen()
        loopback.connect()
        for host in loopback.hosts.values():
            host.stop()
        await loopback.run()
        return {name: host.state for name, host in loopback.hosts.items()}

    assert asyncio.run(run()) == {"0": "over", "1": "over"}


def test_a_peer_without_neighbors_needs_nobody():
    graph = complete(2)

    async def run() -> Loopback:
        loopback = Loopback(LocalOnly(), graph, NumpyTrainer(random_shards(graph)))
        await loopback.run()
        return loopback

    assert {peer.round for peer in asyncio.run(run()).peers.values()} == {5}
