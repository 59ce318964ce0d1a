"""Peers inside of a program of one's own, without TensorFlow: two of them, in the event loop of a test."""

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from deadline import DEADLINE
from softmax_trainer import SoftmaxTrainer, run_without_tensorflow

import gossipfl
from gossipfl.actions import Train, Update
from gossipfl.data.sources import load
from gossipfl.deploy.addresses import checked_address
from gossipfl.deploy.peer_events import MOST_WAITING, EventStream, Measured, Missed, RoundOver, Trained
from gossipfl.errors import ConfigurationError, TopologyError, TrainingError
from gossipfl.runs.peer_records import read_peer

EXAMPLES = {"source": "digits", "max_train": 80, "max_test": 40}


@pytest.fixture(autouse=True)
def trainers(monkeypatch):
    return run_without_tensorflow(monkeypatch)


def pair(**fields: Any) -> gossipfl.Scenario:
    return gossipfl.Scenario(
        **{
            "model": "softmax",
            "rounds": 4,
            "data": EXAMPLES,
            "topology": {"peers": {"a": {}, "b": {}}, "links": [["a", "b"]]},
            "algorithms": ["synchronous"],
            "http": {"linger": 20, "meeting_seconds": 20},
            **fields,
        }
    )


def free_port() -> int:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Two:
    """The peers a and b of a scenario, each with a port."""

    def __init__(self, where: Path, scenario: gossipfl.Scenario) -> None:
        ports = {name: free_port() for name in "ab"}
        addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self.scenario = scenario.with_changes(http=scenario.http.model_copy(update={"addresses": addresses}))
        self.where = where

    def peer(self, name: str, **options: Any) -> gossipfl.HostedPeer:
        return gossipfl.HostedPeer(self.scenario, name, self.where / name, **options)


def in_loop(test: Callable[[Two], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """Runs a test with two peers that train in rounds."""

    def run(tmp_path: Path) -> None:
        async def act() -> None:
            async with asyncio.timeout(DEADLINE):
                await test(Two(tmp_path, pair()))

        asyncio.run(act())

    return run


@in_loop
async def test_two_end_as_a_simulation_does_and_leave_loop_and_signals_alone(two):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with two.peer("a") as a, two.peer("b", watch=("127.0.0.1", 0)) as b:
        assert a.run_id == b.run_id
        seen: list[Any] = []
        reading = asyncio.create_task(_read(b.events(), seen))
        assert {status.state for status in await asyncio.gather(a.run(), b.run())} == {"over"}
        await reading
        assert a.status().rounds_done == b.status().rounds_done == 4
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        assert asyncio.get_running_loop().get_exception_handler() is None
        models = {peer.status().peer: peer._entered().host.peer.value.tobytes() for peer in (a, b)}
    assert [event.round for event in seen if isinstance(event, RoundOver)] == [1, 2, 3, 4]
    assert next(event.round for event in seen if isinstance(event, Measured)) == 0
    assert sum(isinstance(event, Trained) for event in seen) == 4
    simulation = gossipfl.initialize(two.scenario)
    simulation.run()
    assert models == {name: simulation._model(name).weights.tobytes() for name in "ab"}
    assert [row.round for row in read_peer(two.where / "a").rows][-1] == 4


async def _read(events: EventStream, seen: list[Any]) -> None:
    seen.extend([event async for event in events])


@in_loop
async def test_one_that_is_cancelled_says_goodbye_and_a_later_life_goes_on(two):
    async with two.peer("b") as b:
        living = asyncio.create_task(b.run())
        async with two.peer("a") as a:
            running = asyncio.create_task(a.run())
            async for event in a.events():
                if event == RoundOver(1):
                    break
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert a.status().state == "over"
        assert b.status().neighbors[0].contact == "left"
        with pytest.raises(ConfigurationError, match="holds a run already"):
            await two.peer("a").__aenter__()
        async with two.peer("a", resume=True) as a:
            assert 1 <= a.status().round < 4
            assert (await a.run()).round == 4
        await living


@in_loop
async def test_a_later_life_of_a_peer_that_is_over_adds_nothing(two):
    async with two.peer("a") as a, two.peer("b") as b:
        await asyncio.gather(a.run(), b.run())
    history = two.where / "a" / "history.jsonl"
    before = history.read_text()
    async with two.peer("a", resume=True) as a:
        assert (await a.run()).round == 4
    assert history.read_text() == before


@in_loop
async def test_leaving_the_block_ends_a_peer_that_still_runs(two):
    async with two.peer("a") as a:
        running = asyncio.create_task(a.run())
        await asyncio.sleep(0)
    assert (await running).state == "over"
    async with two.peer("b") as b:
        events = b.events()  # never run: its port and its directory are free again
    assert [event async for event in events] == []
    async with two.peer("b"):
        pass


@in_loop
async def test_their_endpoints_are_routes_of_an_application(two):
    """Both in one application, each below a path of its own, next to a page of somebody else's."""
    port = free_port()
    addresses = {name: f"http://127.0.0.1:{port}/gossip/{name}" for name in "ab"}
    two.scenario = two.scenario.with_changes(http=two.scenario.http.model_copy(update={"addresses": addresses}))
    peers = {name: two.peer(name) for name in "ab"}
    application = web.Application()

    async def mine(request: web.Request) -> web.Response:
        return web.Response(text="mine")

    application.router.add_get("/", mine)
    for name, peer in peers.items():
        application.add_routes(peer.routes(f"/gossip/{name}"))
        application.add_routes(peer.watch_routes(f"/gossip/{name}"))
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

            async def get(path: str, method: str = "GET", **given: Any) -> tuple[int, str]:
                async with session.request(method, path, **given) as answer:
                    return answer.status, await answer.text()

            assert (await get("/gossip/a/v1/session"))[0] == 503
            assert (await get("/gossip/a/status"))[0] == 503
            async with peers["a"] as a, peers["b"] as b:
                assert a.address is b.address is None
                running = asyncio.gather(a.run(), b.run())
                assert await get("/") == (200, "mine")
                status, text = await get("/gossip/a/status")
                assert (status, json.loads(text)["peer"]) == (200, "a")
                assert (await get("/gossip/a/healthz"))[0] == 200
                assert "gossipfl_round" in (await get("/gossip/a/metrics"))[1]
                refused, why = await get("/gossip/b/v1/messages", "POST", data=b"anything")
                assert (refused, "no_envelope" in why) == (400, True)
                assert [status.round for status in await running] == [4, 4]
            assert (await get("/gossip/b/v1/session"))[0] == 503
    finally:
        await runner.cleanup()


@in_loop
async def test_a_peer_without_certificates_is_not_served_beyond_its_machine(two):
    port = free_port()
    addresses = {"a": f"http://127.0.0.1:{port}", "b": two.scenario.http.addresses["b"]}
    two.scenario = two.scenario.with_changes(http=two.scenario.http.model_copy(update={"addresses": addresses}))
    peer = two.peer("a")
    application = web.Application()
    application.add_routes(peer.routes())
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gossipfl.engines.http.mounting.ip_address", lambda address: _Elsewhere())
        async with peer, aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/v1/session") as got:
            assert (got.status, (await got.json())["reason"]) == (404, "not_found")
            assert peer.status().refusals == {"not_found": 1}
    await runner.cleanup()


class _Elsewhere:
    is_loopback = False


@in_loop
async def test_what_training_fails_of_comes_out_of_run(two):
    class Failing(SoftmaxTrainer):
        def _train_one(self, job: Train) -> Update:
            raise TrainingError("no more", peer_id=job.peer_id, round=job.job)

    with pytest.MonkeyPatch.context() as patch:
        run_without_tensorflow(patch, Failing)
        alone = two.scenario.http.model_copy(update={"meeting_seconds": 0.0})
        two.scenario = two.scenario.with_changes(http=alone)
        async with two.peer("a") as a:
            with pytest.raises(TrainingError, match="no more"):
                await a.run()


def own_examples() -> gossipfl.Dataset:
    dataset = load("digits")
    part = slice(0, 40)
    return gossipfl.Dataset("own", dataset.train.take(part), dataset.test.take(part), num_classes=10)


def with_questions(two: Two) -> None:
    """A run of peers with examples of their own, who have to ask each other how many there are of each class."""
    two.scenario = two.scenario.with_changes(
        data=two.scenario.data.model_copy(update={"classes": 10}),
        training=two.scenario.training.model_copy(update={"class_weight": "balanced"}),
    )


@in_loop
async def test_they_ask_each_other_before_the_run_in_the_loop_of_the_program(two):
    with_questions(two)
    examples = own_examples()
    async with AsyncExitStack() as stack:
        entering = [stack.enter_async_context(two.peer(name, shard=examples)) for name in "ab"]
        peers = await asyncio.gather(*entering)
        assert peers[0].run_id == peers[1].run_id
        assert [status.round for status in await asyncio.gather(*(peer.run() for peer in peers))] == [4, 4]
        assert asyncio.get_running_loop().get_exception_handler() is None


@in_loop
async def test_one_that_is_cancelled_while_it_asks_leaves_nothing_behind(two):
    with_questions(two)
    entering = asyncio.create_task(two.peer("a", shard=own_examples()).__aenter__())
    port = int(two.scenario.http.addresses["a"].rpartition(":")[2])
    while True:  # until it asks
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        await asyncio.sleep(0.001)
    writer.close()
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert not (two.where / "a").exists()


@in_loop
async def test_a_mounted_peer_cannot_be_asked_before_the_run(two):
    with_questions(two)
    peer = two.peer("a", shard=own_examples())
    peer.routes()
    with pytest.raises(ConfigurationError, match="at a port of their own: give it one"):
        await peer.__aenter__()


@in_loop
async def test_a_wrong_use_is_a_sentence(two):
    peer = two.peer("a")
    with pytest.raises(ConfigurationError, match="has not begun: `async with` it first"):
        peer.status()
    with pytest.raises(ConfigurationError, match="has a port of its own: mount it before it is entered"):
        two.peer("a", listen=("127.0.0.1", 0)).routes()
    with pytest.raises(ConfigurationError, match="there is no peer 'c'"):
        await two.peer("c").__aenter__()
    async with peer:
        with pytest.raises(ConfigurationError, match="has been entered before"):
            await peer.__aenter__()


@pytest.mark.parametrize("address", ["http://h:1/../x", "http://h:1/a?b", "http://h:1//", "http://h:1/a b"])
def test_the_path_of_an_address_is_a_plain_one(address):
    assert checked_address("a", "http://h:1/gossip/a/") == "http://h:1/gossip/a"
    with pytest.raises(TopologyError, match=r"is http\(s\)://HOST:PORT\[/PATH\], got"):
        checked_address("a", address)


def test_a_slow_reader_is_told_of_what_it_has_missed():
    async def act() -> None:
        stream = EventStream()
        for number in range(MOST_WAITING + 5):
            stream.put(RoundOver(number))
        stream.end()
        seen: list[Any] = []
        await _read(stream, seen)
        assert seen[:2] == [Missed(5), RoundOver(5)]
        assert len(seen) == MOST_WAITING + 1

    asyncio.run(act())
