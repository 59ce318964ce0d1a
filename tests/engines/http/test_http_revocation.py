"""A peer that was shut out of a run knocks on; the others refuse it, and go on without it."""

import asyncio
from pathlib import Path

import pytest
from deadline import DEADLINE
from exam import CANDIDATES
from federation import make_peer, ring, unequal_shards
from issued import new_run
from loopback import Loopback, bits
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import PairwiseGossip
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.trust.credentials import load_credentials
from gossipfl.engines.virtual.simulator import Simulator

GRAPH = ring(5)
GONE = "2"
REVOKED = frozenset({GONE})

GO_ON = ["synchronous", "synchronous, three gossip steps", "sgp", "fedavg", "pairwise", "gosgd", "gossip_learning"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_run(tmp_path_factory.mktemp("certificates"), *GRAPH, "server")


def trainer(size: int = 3) -> NumpyTrainer:
    return NumpyTrainer(unequal_shards(GRAPH, size=size), momentum=0.9, batch_size=2)


@pytest.mark.parametrize("size", [3, 150_000])
@pytest.mark.parametrize("has_tls", [False, True])
@pytest.mark.parametrize("name", GO_ON)
def test_the_others_refuse_it_and_end_with_the_bits_of_a_run_without_it(name, has_tls, size, certificates):
    if size > 3 and name not in ("synchronous", "fedavg"):
        pytest.skip("two of them say it")
    recipe = CANDIDATES[name].recipe
    speaks_first = has_tls or name != "fedavg"  # a client of a server has nothing to say before it is asked
    others = [peer_id for peer_id in recipe.network(GRAPH) if peer_id != GONE]

    async def run() -> Loopback:
        def hosting(peer_id: str) -> Hosting:
            credentials = load_credentials(certificates, peer_id) if has_tls else None
            return Hosting(
                credentials=credentials,
                meeting_seconds=0.5 if peer_id == GONE else 5.0,
                linger=20.0,
                revoked=frozenset() if peer_id == GONE else REVOKED,
            )

        loopback = Loopback(recipe, GRAPH, trainer(size), hosting=hosting, revoked=REVOKED)
        await loopback.listen()
        loopback.connect()
        gone = asyncio.create_task(loopback.hosts[GONE].run())
        while speaks_first and not any(loopback.hosts[other].refusals["revoked"] for other in others):
            await asyncio.sleep(0.01)
        await asyncio.gather(*(loopback.hosts[other].run() for other in others))
        loopback.hosts[GONE].stop()
        await gone
        await loopback.room.close()
        return loopback

    loopback = asyncio.run(asyncio.wait_for(run(), DEADLINE))
    refused = [loopback.hosts[other].refusals for other in others]
    assert all(set(reasons) <= {"revoked"} for reasons in refused)
    knocked_at = loopback.hosts[GONE].neighbors.values()
    assert sum(neighbor.traffic.received for neighbor in knocked_at) == 0
    for other in others:
        host = loopback.hosts[other]
        assert (host.peer.round, host.peer.is_drained, host.state) == (5, True, "over")
        if GONE in host.neighbors:
            assert host.neighbors[GONE].contact == "revoked"
            assert host.neighbors[GONE].traffic == (0, 0, 0)
    if CANDIDATES[name].waits:
        first = trainer(size)
        peers = {other: make_peer(recipe, GRAPH, first, other, revoked=REVOKED) for other in others}
        simulator = Simulator(peers, first, hub=recipe.hub)
        simulator.run()
        assert bits({other: loopback.peers[other] for other in others}) == bits(simulator.peers)


def test_those_who_know_and_those_who_do_not_yet_go_on_talking():
    """Whom a peer shuts out is its own affair, and no part of the run."""
    recipe = PairwiseGossip(timeout=0.3, max_backoff=0.5)
    knowing = {"0", "1"}

    async def run() -> Loopback:
        def hosting(peer_id: str) -> Hosting:
            return Hosting(meeting_seconds=5.0, linger=20.0, revoked=REVOKED if peer_id in knowing else frozenset())

        loopback = Loopback(recipe, GRAPH, trainer(), num_rounds=20, hosting=hosting)
        for peer_id in knowing:
            peer = make_peer(recipe, GRAPH, trainer(), peer_id, num_rounds=20, revoked=REVOKED)
            host = loopback.hosts[peer_id]
            loopback.hosts[peer_id] = HTTPPeer(
                peer, loopback.facts, loopback.room, tuple(host.neighbors), loopback.log, host.hosting
            )
        await loopback.run()
        return loopback

    loopback = asyncio.run(asyncio.wait_for(run(), DEADLINE))
    assert all(host.peer.round == 20 for host in loopback.hosts.values())
    assert loopback.hosts["0"].neighbors["4"].traffic.num_messages > 0
    assert loopback.hosts["3"].neighbors[GONE].traffic.num_messages > 0
    assert loopback.hosts["1"].neighbors[GONE].traffic.num_messages == 0
    assert set(loopback.hosts["1"].refusals) <= {"revoked"}
