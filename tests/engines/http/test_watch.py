"""What a running peer shows of itself on its port for watching."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

import aiohttp
import numpy as np
import pytest
from deadline import DEADLINE
from federation import complete, random_shards
from loopback import Loopback
from numpy_trainer import NumpyTrainer
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from gossipfl.agreements import Agreement
from gossipfl.algorithms import PairwiseGossip
from gossipfl.codec.messages import decode
from gossipfl.compression import decompress
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.status import status_of
from gossipfl.engines.http.watch import STATES, Watch
from gossipfl.peers import Peer, Standing
from gossipfl.scores import LOSS, Metric, Score

GRAPH = complete(3)


class Scene:
    """Peer 0 of three is watched, while all train for ever."""

    def __init__(self, loopback: Loopback, session: aiohttp.ClientSession, base: str) -> None:
        self.loopback = loopback
        self.host = loopback.hosts["0"]
        self._session = session
        self._base = base

    async def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        async with self._session.request(method, self._base + path, data=b"x" if method == "POST" else None) as answer:
            return answer.status, await answer.read()

    async def metrics(self) -> dict[str, Family]:
        status, body = await self.get("/metrics")
        assert status == 200
        return {family.name: family for family in text_string_to_metric_families(body.decode())}


@asynccontextmanager
async def watched() -> AsyncIterator[Scene]:
    trainer = NumpyTrainer(random_shards(GRAPH), has_statistics=True)
    loopback = Loopback(
        PairwiseGossip(), GRAPH, trainer, num_rounds=10**6, hosting=lambda peer_id: Hosting(meeting_seconds=5.0)
    )
    watch = Watch(loopback.hosts["0"], gives_weights=True)
    async with asyncio.timeout(DEADLINE), aiohttp.ClientSession() as session:
        address, port = await watch.start("127.0.0.1", 0)
        scene = Scene(loopback, session, f"http://{address}:{port}")
        running = asyncio.create_task(loopback.run())
        try:
            while min(peer.round for peer in loopback.peers.values()) < 5:
                await asyncio.sleep(0.001)
            yield scene
        finally:
            for host in loopback.hosts.values():
                host.stop()
            await running
            await watch.stop()


def watching(test):
    """Runs a test that is given a scene."""

    def run() -> None:
        async def act() -> None:
            async with watched() as scene:
                await test(scene)

        asyncio.run(act())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@watching
async def test_health_is_that_of_the_peer(scene):
    status, body = await scene.get("/healthz")
    assert status == 200
    assert json.loads(body)["state"] in ("training", "waiting")
    for host in scene.loopback.hosts.values():
        host.stop()
    while scene.host.state != "over":
        await asyncio.sleep(0.001)
    assert await scene.get("/healthz") == (503, b'{"state": "over"}')


@watching
async def test_the_status_is_strict_json_of_all_that_is_known(scene):
    scene.host.score = Score(float("nan"), {"accuracy": 0.5})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    status, body = await scene.get("/status")
    told = json.loads(body, parse_constant=refuse)
    known = asdict(status_of(scene.host))
    assert status == 200
    assert told.keys() == known.keys()
    assert (told["peer"], told["run"], told["rounds"]) == ("0", scene.loopback.facts.run_id, 10**6)
    assert (told["loss"], told["metrics"]) == (None, {"accuracy": 0.5})
    assert 5 <= told["round"] <= known["round"]
    assert [neighbor["name"] for neighbor in told["neighbors"]] == ["1", "2"]
    assert all(neighbor["contact"] == "reachable" for neighbor in told["neighbors"])
    assert all(neighbor["seconds_since_contact"] < 10.0 for neighbor in told["neighbors"])
    assert told["sent"] == sum(neighbor["sent"] for neighbor in told["neighbors"]) > 0


@watching
async def test_metrics_can_be_read_by_prometheus(scene):
    scene.host.score = Score(0.25, {"accuracy": 0.5, "round": 0.75})
    metrics = await scene.metrics()
    assert metrics["gossipfl_accuracy"].samples[0].value == 0.5
    assert metrics["gossipfl_metric_round"].samples[0].value == 0.75  # the name is taken
    assert all(name.startswith("gossipfl_") for name in metrics)
    assert all(sample.labels["peer"] == "0" for family in metrics.values() for sample in family.samples)
    (loss,) = metrics["gossipfl_loss"].samples
    assert loss.value == 0.25
    states = {sample.labels["state"]: sample.value for sample in metrics["gossipfl_state"].samples}
    assert list(states) == list(STATES)
    assert sum(states.values()) == 1.0
    assert metrics["gossipfl_sent_bytes"].type == "counter"
    later = await scene.metrics()
    for name in ("gossipfl_round", "gossipfl_sent_bytes", "gossipfl_received_bytes", "gossipfl_run_seconds"):
        for before, after in zip(metrics[name].samples, later[name].samples, strict=True):
            assert before.labels == after.labels
            assert before.value <= after.value


class Knowing:
    """A peer that knows how good all are, and has ended for it."""

    def __init__(self, peer: Peer, agreement: Agreement) -> None:
        self._peer = peer
        self._agreement = agreement

    @property
    def standing(self) -> Standing:
        assert self._peer.standing is not None
        return replace(self._peer.standing, agreement=self._agreement, stopped="in round 5")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)


@watching
async def test_what_all_know_is_told_by_each(scene):
    assert "gossipfl_agreed" not in await scene.metrics()
    agreement = Agreement(3, 5, 3, ("0", "2"), (LOSS, Metric("accuracy")), np.array([[0.5, 0.75], [np.nan, 0.25]]))
    scene.host.peer = Knowing(scene.host.peer, agreement)
    told = json.loads((await scene.get("/status"))[1])
    assert (told["agreed"]["num_peers"], told["agreed"]["of_peers"], told["stopped"]) == (2, 3, "in round 5")
    assert (told["agreed"]["mean_accuracy"], told["agreed"]["mean_loss"]) == (0.5, None)
    samples = (await scene.metrics())["gossipfl_agreed"].samples
    values = {sample.labels["aspect"]: sample.value for sample in samples}
    assert (values["worst_accuracy"], values["known_in"], values["num_peers"]) == (0.25, 5.0, 2.0)


@watching
async def test_strangers_cannot_make_up_labels(scene):
    """Nor can neighbors, by the reasons that they give for refusing something: see `test_delivery`."""
    async with aiohttp.ClientSession() as stranger:
        for number in range(30):
            async with stranger.post(f"{scene.loopback.addresses['0']}/{number}", data=b"?") as answer:
                assert answer.status == 404
    (sample,) = (await scene.metrics())["gossipfl_refused"].samples
    assert sample.labels == {"peer": "0", "reason": "not_found"}
    assert sample.value == 30.0


@watching
async def test_the_weights_are_a_message_to_oneself(scene):
    status, body = await scene.get("/weights")
    assert status == 200
    message = decode(body, scene.loopback.facts.vectors)
    assert message.sender == message.receiver == "0"
    assert message.round >= 5
    assert decompress(message.vectors["weights"]).shape == scene.host.peer.weights.shape
    np.testing.assert_array_equal(decompress(message.vectors["statistics"]) > 0, True)


@watching
async def test_there_is_nothing_else(scene):
    assert (await scene.get("/"))[0] == 404
    assert (await scene.get("/v1/messages", "POST"))[0] == 404
    for path in ("/healthz", "/status", "/metrics", "/weights"):
        assert (await scene.get(path, "POST"))[0] == 405
        assert (await scene.get(path, "HEAD"))[0] == 200


def test_a_peer_that_is_new_can_be_watched():
    async def run() -> None:
        loopback = Loopback(PairwiseGossip(), GRAPH, NumpyTrainer(random_shards(GRAPH)))
        host = loopback.hosts["0"]
        status = status_of(host)
        assert (status.state, status.seconds, status.num_failures) == ("new", 0.0, 0)
        assert all(neighbor.seconds_since_contact is None for neighbor in status.neighbors)
        watch = Watch(host, gives_weights=True)
        address, port = await watch.start("127.0.0.1", 0)
        async with aiohttp.ClientSession() as session:
            scene = Scene(loopback, session, f"http://{address}:{port}")
            for path in ("/healthz", "/status", "/metrics", "/weights"):
                assert (await scene.get(path))[0] == 200
        await watch.stop()
        assert host.now() == 0.0  # asking it has not started its clock

    asyncio.run(run())


def test_a_port_that_is_taken_is_an_error():
    async def run() -> None:
        loopback = Loopback(PairwiseGossip(), GRAPH, NumpyTrainer(random_shards(GRAPH)))
        first, second = Watch(loopback.hosts["0"]), Watch(loopback.hosts["1"])
        where = await first.start("127.0.0.1", 0)
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            await second.start(*where)
        await second.stop()
        await first.stop()

    asyncio.run(run())
