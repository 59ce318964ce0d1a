"""What a message costs on the wire beside its body is what is counted for it."""

import asyncio
from pathlib import Path

import pytest
from counting_proxy import CountingProxy
from deadline import DEADLINE
from federation import random_shards, ring
from issued import new_run
from loopback import Loopback
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import Algorithm, FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.codec.sizes import MESSAGE_OVERHEAD
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.trust.credentials import load_credentials

GRAPH = ring(3)
ALGORITHMS = {"synchronous": SynchronousGossip(), "pairwise": PairwiseGossip(), "fedavg": FedAvg()}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_run(tmp_path_factory.mktemp("certificates"), *GRAPH, "server")


async def traffic(algorithm: Algorithm, num_rounds: int, certificates: Path | None) -> tuple[int, int, int]:
    """Messages, bytes that were counted, and bytes that went over the wire both ways."""

    def hosting(peer_id: str) -> Hosting:
        credentials = None if certificates is None else load_credentials(certificates, peer_id)
        return Hosting(credentials=credentials, linger=20.0, meeting_seconds=5.0)

    trainer = NumpyTrainer(random_shards(GRAPH, size=325, num_rows=1))
    loopback = Loopback(algorithm, GRAPH, trainer, num_rounds=num_rounds, hosting=hosting)
    await loopback.listen()
    proxy = CountingProxy()
    ways = {
        (sender, receiver): await proxy.open(str(loopback.addresses[receiver]))
        for edge in loopback.network.edges
        for sender, receiver in (edge, edge[::-1])
    }
    loopback.connect(lambda sender, receiver, url: ways.get((sender, receiver), url))
    async with asyncio.timeout(DEADLINE):
        await loopback.run()
        await proxy.close()
    assert loopback.undisturbed
    links = [neighbor for host in loopback.hosts.values() for neighbor in host.neighbors.values()]
    return sum(link.traffic.num_messages for link in links), sum(link.traffic.sent for link in links), proxy.num_bytes


async def overhead(algorithm: Algorithm, certificates: Path | None) -> tuple[float, float]:
    """Bytes beside the body of a message, as they are counted and as they are, once connections stand."""
    short, long = [await traffic(algorithm, num_rounds, certificates) for num_rounds in (4, 24)]
    messages, counted, wire = (more - less for less, more in zip(short, long, strict=True))
    bodies = counted - messages * MESSAGE_OVERHEAD
    return (counted - bodies) / messages, (wire - bodies) / messages


@pytest.mark.parametrize("name", ALGORITHMS)
def test_with_mutual_tls_it_is_what_is_counted(name, certificates):
    counted, real = asyncio.run(overhead(ALGORITHMS[name], certificates))
    assert counted == MESSAGE_OVERHEAD
    assert real == pytest.approx(counted, rel=0.15)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_without_tls_it_is_about_half_of_that(name):
    _, real = asyncio.run(overhead(ALGORITHMS[name], None))
    assert 0.3 * MESSAGE_OVERHEAD < real < 0.55 * MESSAGE_OVERHEAD
