"""Where the network drops, cuts, delays and repeats, pairwise gossip keeps the sum and synchronous gossip its bits."""

import asyncio
from collections.abc import Iterable

import numpy as np
import pytest
from deadline import DEADLINE
from federation import complete, make_simulator, random_models, random_shards, ring
from loopback import Loopback, bits
from meddling_proxy import HARSH, MeddlingProxy, meddled
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.peers import Peer

HASTY = Hosting(Limits(request_seconds=2.0, connect_seconds=1.0, max_backoff=0.1), meeting_seconds=5.0)


async def run_meddled(loopback: Loopback, proxy: MeddlingProxy) -> None:
    """Run to the end; the network calms down when all have done their rounds."""

    def calm_when_finished(*_: object) -> None:
        if all(peer.finished for peer in loopback.peers.values()):
            proxy.calm()

    loopback.log.reacted = calm_when_finished
    async with asyncio.timeout(DEADLINE), meddled(loopback, proxy):
        await loopback.run()


def total(peers: Iterable[Peer]) -> np.ndarray:
    return np.sum([peer.weights for peer in peers], axis=0)


def refused(loopback: Loopback) -> set[str]:
    return {reason for host in loopback.hosts.values() for reason in host.refusals}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("graph", [complete(4), ring(6)], ids=["complete", "ring"])
def test_pairwise_gossip_keeps_the_sum(graph, seed):
    models = random_models(graph, seed=seed)
    proxy = MeddlingProxy(seed)

    async def run() -> Loopback:
        loopback = Loopback(
            PairwiseGossip(timeout=0.05, max_backoff=0.1),
            graph,
            NumpyTrainer(random_shards(graph), learning_rate=0.0),
            num_rounds=50,
            seed=seed,
            initial=models,
            hosting=lambda peer_id: HASTY,
        )
        await run_meddled(loopback, proxy)
        return loopback

    loopback = asyncio.run(run())
    assert proxy.fates.keys() == HARSH.keys()
    assert {peer.round for peer in loopback.peers.values()} == {50}
    assert all(peer.is_drained for peer in loopback.peers.values())
    before = np.sum([model.weights for model in models.values()], axis=0)
    np.testing.assert_allclose(total(loopback.peers.values()), before, atol=1e-12)
    # A request that was repeated is refused, one that was cut off is noticed, and no rule was broken.
    assert {"replayed"} <= refused(loopback) <= {"replayed", "broken_body", "malformed_http", "too_many_requests"}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("algorithm", [SynchronousGossip(), FedAvg()], ids=["synchronous", "fedavg"])
def test_synchronous_algorithms_keep_their_bits(algorithm, seed, monkeypatch):
    monkeypatch.setattr("gossipfl.peers.retries.RETRY_DELAY", 0.02)
    graph = ring(4)
    proxy = MeddlingProxy(seed)
    simulator = make_simulator(algorithm, graph, NumpyTrainer(random_shards(graph), momentum=0.9), num_rounds=8)
    simulator.run()

    async def run() -> Loopback:
        trainer = NumpyTrainer(random_shards(graph), momentum=0.9)
        loopback = Loopback(algorithm, graph, trainer, num_rounds=8, hosting=lambda peer_id: HASTY)
        await run_meddled(loopback, proxy)
        return loopback

    loopback = asyncio.run(run())
    assert bits(loopback.peers) == bits(simulator.peers)
    assert sum(proxy.fates.values()) - proxy.fates["pass"] > 20
