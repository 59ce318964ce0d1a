"""A peer says for whom it waits, and does not train alone when nobody takes it for one of their run."""

import asyncio
import logging
from dataclasses import replace

import pytest
from deadline import DEADLINE
from federation import complete, random_shards, ring
from loopback import Loopback
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.engines.http import waiting
from gossipfl.engines.http.delivering.letters import NotTaken
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.status import status_of
from gossipfl.engines.http.waiting import LongWait
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.errors import ConfigurationError

NOBODY = "http://127.0.0.1:9"
HASTY = Hosting(Limits(max_backoff=0.1), meeting_seconds=0.2, linger=0.3)


class TestLongWait:
    def test_it_warns_after_a_minute_and_when_the_wait_has_doubled(self):
        wait = LongWait()
        due = {now: wait.look(("b",), 3, float(now)) for now in range(10, 500, 10)}
        assert {now: waited for now, waited in due.items() if waited is not None} == {
            70: 60,
            130: 120,
            250: 240,
            490: 480,
        }

    def test_another_neighbor_or_round_is_another_wait(self):
        wait = LongWait()
        assert wait.look(("b", "c"), 0, 0.0) is None
        assert wait.look(("c",), 0, 59.0) is None
        assert wait.look(("c",), 0, 118.0) is None
        assert wait.look(("c",), 1, 119.0) is None
        assert wait.look(("c",), 1, 178.0) is None
        assert wait.look(("c",), 1, 179.0) == 60.0

    def test_nobody_is_not_waited_for(self):
        wait = LongWait()
        assert [wait.look((), 0, 1000.0 * k) for k in range(3)] == [None] * 3


async def until(condition) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("algorithm", "waiting_peer", "absent"),
    [(SynchronousGossip(), "0", "1"), (FedAvg(), "server", "1"), (FedAvg(), "0", "server")],
    ids=["synchronous", "server", "client"],
)
def test_the_status_and_the_log_name_the_neighbor_that_never_comes(
    algorithm, waiting_peer, absent, monkeypatch, caplog
):
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "WARN_SECONDS", 0.1)
    caplog.set_level(logging.WARNING)
    graph = complete(2)

    async def run() -> None:
        loopback = Loopback(algorithm, graph, NumpyTrainer(random_shards(graph)), hosting=lambda peer_id: HASTY)
        others = [name for name in loopback.hosts if name != absent]
        await loopback.listen(*others)
        loopback.addresses[absent] = NOBODY
        loopback.connect()
        host = loopback.hosts[waiting_peer]
        running = [asyncio.create_task(loopback.hosts[name].run()) for name in others]
        await until(lambda: host.state == "meeting" and status_of(host).awaits == (absent,))
        await until(lambda: host.state == "waiting" and absent in status_of(host).awaits)
        await until(lambda: f"{absent} (never reached at {NOBODY})" in caplog.text)
        for name in others:
            loopback.hosts[name].stop()
        await asyncio.gather(*running)
        assert status_of(host).awaits == ()
        await loopback.room.close()

    asyncio.run(run())
    assert "has waited 0 s for" in caplog.text


def of_another_run(facts: RunFacts) -> RunFacts:
    return replace(facts, agreed={**facts.agreed, "run": "another"})


@pytest.mark.parametrize("algorithm", [SynchronousGossip(), PairwiseGossip(timeout=0.2), FedAvg()], ids=str)
@pytest.mark.parametrize("meeting_seconds", [0.0, 0.3])
def test_a_peer_that_all_neighbors_refuse_as_of_another_run_ends(algorithm, meeting_seconds):
    """Whether they say so at the meeting, or to its first message."""
    graph = ring(4)
    name = "server" if isinstance(algorithm, FedAvg) and not meeting_seconds else "2"

    async def run() -> Loopback:
        hosting = replace(HASTY, meeting_seconds=meeting_seconds, linger=600.0)
        loopback = Loopback(
            algorithm, graph, NumpyTrainer(random_shards(graph)), num_rounds=10**6, hosting=lambda peer_id: hosting
        )
        odd = loopback.hosts[name]
        odd.facts = odd.gate.facts = of_another_run(loopback.facts)
        await loopback.listen()
        loopback.connect()
        others = [asyncio.create_task(host.run()) for key, host in loopback.hosts.items() if key != name]
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(ConfigurationError, match=f"refused {name} as a peer of another run"):
                await odd.run()
        assert not any(task.done() for task in others), "one that others refuse does not end them"
        for host in loopback.hosts.values():
            host.stop()
        await asyncio.gather(*others)
        await loopback.room.close()
        return loopback

    loopback = asyncio.run(run())
    if meeting_seconds:
        assert loopback.peers[name].round == 0
        assert name not in loopback.log.updates


def test_one_neighbor_that_says_so_ends_nobody():
    """Nor do all, when one of them has taken part before: it may have begun another run since."""
    graph = complete(3)

    async def run() -> Loopback:
        loopback = Loopback(
            SynchronousGossip(patience=0.05), graph, NumpyTrainer(random_shards(graph)), hosting=lambda peer_id: HASTY
        )
        odd = loopback.hosts["2"]
        odd.gate.facts = odd.facts = of_another_run(loopback.facts)
        await loopback.listen()
        loopback.connect()
        async with asyncio.timeout(DEADLINE):
            results = await asyncio.gather(*(host.run() for host in loopback.hosts.values()), return_exceptions=True)
        await loopback.room.close()
        assert [type(result) for result in results] == [type(None), type(None), ConfigurationError]
        for name in "01":
            neighbors = loopback.hosts[name].neighbors
            assert [neighbors[other].is_of_this_run for other in "012" if other != name] == [True, False]
            neighbors["01".replace(name, "")].not_met(NotTaken("other_run"))
            assert neighbors["01".replace(name, "")].is_of_this_run
        return loopback

    assert [peer.round for peer in asyncio.run(run()).peers.values()] == [5, 5, 0]


def test_who_may_give_up_does_not_wait_for_one_that_answers_as_of_another_run():
    """That one has begun another run, or will never be in this: it is as good as gone."""
    graph = complete(3)

    async def run() -> str | None:
        hosting = replace(HASTY, gives_up=True)
        loopback = Loopback(
            SynchronousGossip(), graph, NumpyTrainer(random_shards(graph)), hosting=lambda peer_id: hosting
        )
        hosts = [loopback.hosts[name] for name in "01"]
        hosts[1].gate.facts = hosts[1].facts = of_another_run(loopback.facts)
        await loopback.listen("0", "1")
        loopback.addresses["2"] = NOBODY
        loopback.connect()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(host.run() for host in hosts))
        await loopback.room.close()
        return hosts[0].gave_up

    assert asyncio.run(run()) == "in round 0: 1, 2, for whom it waited, had not answered for 0.3 s"
