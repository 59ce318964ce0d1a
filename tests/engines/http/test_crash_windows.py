"""At every moment at which a peer may be killed, its checkpoint knows of all that its neighbors still wait for.

With models above 1 MiB, on which threads work: while they do, deliveries fail, answers come and checkpoints are taken.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from deadline import DEADLINE
from federation import complete, make_peer, random_shards
from loopback import Log, Loopback, facts_for
from numpy_trainer import NumpyTrainer
from one_peer import LARGE

from gossipfl.actions import Send
from gossipfl.algorithms import (
    FedAvg,
    GoSGD,
    GradientTrackingGossip,
    PairwiseGossip,
    SynchronousGossip,
)
from gossipfl.compression import encoded
from gossipfl.engines.http.delivering.client import Client
from gossipfl.engines.http.delivering.letters import Letter, NotTaken
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.training_room import TrainingRoom
from gossipfl.engines.http.wire.envelope import Purpose
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.engines.http.wire.offloading import Offloading
from gossipfl.errors import TransportError
from gossipfl.files.checkpoints import newest_checkpoint
from gossipfl.messages import Kind, Message
from gossipfl.peers import Peer, retries
from gossipfl.snapshot import Snapshot, messages_of_snapshot, part
from gossipfl.weights import frozen


def held(snapshot: Snapshot, peer: Peer) -> set[tuple[Any, ...]]:
    """What a peer that goes on from a checkpoint says by itself, sooner or later: its mail, what it repeats, what it
    says when it starts, and what is open between two."""
    peer.restore(part("peer", snapshot))
    repeated = list(peer._retries._messages.values()) if hasattr(peer, "_retries") else []
    said = [action.message for action in peer.start(0.0) if isinstance(action, Send)]
    messages = [*messages_of_snapshot(part("mail", part("delivery", snapshot))).values(), *repeated, *said]
    exchanges = getattr(getattr(peer, "_pushes", peer), "_exchanges", None)
    return {key(message) for message in messages} | {
        exchanges.open(neighbor) for neighbor in (exchanges.unresolved() if exchanges is not None else ())
    }


def key(message: Message) -> tuple[Any, ...]:
    """What two messages have in common that say the same."""
    return message.exchange or (message.sender, message.receiver, message.kind, message.round)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("how", ["unreachable", "refused", "too many"])
def test_a_message_that_fails_while_the_peer_works_is_in_the_checkpoint(tmp_path, how):
    """A reaction works in a thread, a commit waits for its end, and now a delivery fails."""
    graph = complete(3)
    trainer = NumpyTrainer(random_shards(graph, size=LARGE))

    def model(sender: str, step: int) -> Message:
        vectors = encoded({"weights": frozen(np.full(LARGE, float(step)))})
        return Message(sender, "0", Kind.MODEL, step, None, vectors, {"num_examples": 4})

    async def run() -> set[tuple[Any, ...]]:
        facts = facts_for(trainer.initial(), num_rounds=5, num_participants=3)
        limits = Limits(outbox_messages=2)
        host = HTTPPeer(
            make_peer(SynchronousGossip(), graph, trainer, "0"),
            facts,
            TrainingRoom(trainer, 1),
            ("1", "2"),
            Log(),
            Hosting(limits, directory=tmp_path),
        )
        host.connect({"1": "http://127.0.0.1:9", "2": "http://127.0.0.1:9"})
        host._clock.start()
        await host._react(host.peer.start)
        host._started.set()
        await until(lambda: len(host.neighbors["1"].parcels) == 1)
        await host._receive(model("1", 0))
        await host._receive(model("2", 0))
        await until(lambda: len(host.neighbors["1"].parcels) == 2)

        gate, work = asyncio.Event(), host._offloading.run

        async def held_up(*arguments: Any) -> Any:
            result = await work(*arguments)
            await gate.wait()
            return result

        host._offloading.run = held_up
        reaction = asyncio.create_task(host._receive(model("2", 1)))
        await asyncio.sleep(0.02)
        commit = asyncio.create_task(host._commit())
        await asyncio.sleep(0.02)
        host._offloading.run = work
        neighbor = host.neighbors["1"]
        if how == "too many":
            neighbor.parcels.reverse()  # the first is on its way
            host._delivery.send(host._delivery.note(Message("0", "1", Kind.ACKNOWLEDGE)))
        else:

            class Failing:
                async def post(self, *_: object) -> NotTaken:
                    if how == "unreachable":
                        raise TransportError("cut")
                    return NotTaken("against_protocol")

            neighbor.session = "1" * 32
            host._delivery.begin(Failing())
        await asyncio.sleep(0.02)
        host._delivery.end()
        gate.set()
        await commit
        checkpoint = newest_checkpoint(tmp_path)
        again = make_peer(SynchronousGossip(), graph, trainer, "0")
        known = held((checkpoint.arrays, checkpoint.values), again)
        await reaction
        await host._tasks.cancel()
        await host.room.close()
        return known

    assert asyncio.run(run()) >= {
        ("0", receiver, Kind.MODEL, step) for receiver, step in (("1", 0), ("1", 1), ("2", 1))
    }


class Troubled:
    """In the place of `Client.post`: of ten deliveries two do not arrive, and of two more nobody learns that they
    have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        generator, post = np.random.default_rng(seed), Client.post

        async def troubled(client: Client, url: str, letter: Letter, responded: Any) -> Any:
            luck = generator.random() if self.is_on and letter.parcel.message is not None else 1.0
            if luck < 0.2:
                await asyncio.sleep(generator.uniform(0.0, 0.01))
                raise TransportError("lost")
            answer = await post(client, url, letter, responded)
            if luck < 0.4:
                raise TransportError("the answer is lost")
            return answer

        self.is_on = True
        monkeypatch.setattr(Client, "post", troubled)


@pytest.mark.parametrize("size", [3, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "algorithm",
    [
        SynchronousGossip(),
        GradientTrackingGossip(),
        FedAvg(),
        PairwiseGossip(timeout=0.2, max_backoff=0.3),
        GoSGD(timeout=0.2, max_backoff=0.3),
    ],
    ids=lambda algorithm: type(algorithm).__name__,
)
def test_every_checkpoint_knows_of_all_that_has_not_arrived(tmp_path, monkeypatch, algorithm, seed, size):
    """Else a peer that is killed after it, and resumed, would never say it again: a neighbor would wait for ever."""
    graph = complete(3)
    trainer = NumpyTrainer(random_shards(graph, size=size))
    troubled = Troubled(monkeypatch, seed)
    slow_down(monkeypatch, seed)
    monkeypatch.setattr(retries, "RETRY_DELAY", 0.02)
    said: dict[str, dict[tuple[Any, ...], None]] = {}
    arrived: set[tuple[Any, ...]] = set()
    lost: list[tuple[Any, ...]] = []
    num_checked = 0

    def watch(name: str, host: HTTPPeer) -> None:
        note, receive, take, mine = host._delivery.note, host.peer.receive, host._take, said.setdefault(name, {})

        def noting(message: Message) -> Any:
            if message.kind in NEEDED:
                mine[key(message)] = None
            return note(message)

        def receiving(message: Message, now: float) -> Any:
            actions = receive(message, now)
            arrived.add(key(message))
            return actions

        async def taking() -> Any:
            nonlocal num_checked
            snapshot = await take()
            num_checked += 1
            known = held(snapshot, make_peer(algorithm, graph, trainer, name))
            lost.extend(one for one in mine if one not in arrived and one not in known)
            return snapshot

        host._delivery.note, host.peer.receive, host._take = noting, receiving, taking
        host._journal._take = taking

    async def run() -> None:
        limits = Limits(request_seconds=2.0, connect_seconds=1.0, max_backoff=0.05)

        def hosting(name: str) -> Hosting:
            (tmp_path / name).mkdir()
            return Hosting(limits, directory=tmp_path / name, linger=2.0, meeting_seconds=5.0)

        loopback = Loopback(algorithm, graph, trainer, num_rounds=4, hosting=hosting)
        for name, host in loopback.hosts.items():
            watch(name, host)

        def calm_when_finished(*_: object) -> None:
            troubled.is_on = not all(peer.finished for peer in loopback.peers.values())

        loopback.log.reacted = calm_when_finished
        async with asyncio.timeout(DEADLINE):
            await loopback.run()
        assert all(peer.finished for peer in loopback.peers.values())

    asyncio.run(run())
    assert num_checked > 20
    assert not lost


def slow_down(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Reactions take as long as those of models of 100 MiB do."""
    generator, run = np.random.default_rng(seed), Offloading.run

    async def slow(offloading: Offloading, num_bytes: int, work: Any, *arguments: Any, **options: Any) -> Any:
        result = await run(offloading, num_bytes, work, *arguments, **options)
        await asyncio.sleep(generator.uniform(0.0, 0.02))
        return result

    monkeypatch.setattr(Offloading, "run", slow)


NEEDED = {Kind.MODEL, Kind.UPDATE, Kind.FINAL, Kind.REQUEST, Kind.PUSH}
"""What others wait for, or what has to be applied once; answers come again when they are asked for again."""


@pytest.mark.parametrize(
    "algorithm", [PairwiseGossip(), SynchronousGossip(), FedAvg()], ids=lambda algorithm: type(algorithm).__name__
)
def test_a_goodbye_leaves_when_it_is_on_disk_that_nothing_is_left_to_say(tmp_path, monkeypatch, algorithm):
    """Else a peer that is killed after it, and resumed, says something again to neighbors that have ended."""
    graph, post = complete(3), Client.post
    left: list[dict[str, Message]] = []

    async def checking(client: Client, url: str, letter: Letter, responded: Any) -> Any:
        if letter.parcel.purpose is Purpose.FINISHED:
            checkpoint = newest_checkpoint(tmp_path / client._gate.own)
            snapshot = checkpoint.arrays, checkpoint.values
            left.append(messages_of_snapshot(part("mail", part("delivery", snapshot))))
        return await post(client, url, letter, responded)

    monkeypatch.setattr(Client, "post", checking)

    async def run() -> None:
        def hosting(name: str) -> Hosting:
            (tmp_path / name).mkdir()
            return Hosting(directory=tmp_path / name, meeting_seconds=5.0)

        loopback = Loopback(algorithm, graph, NumpyTrainer(random_shards(graph)), num_rounds=4, hosting=hosting)
        async with asyncio.timeout(DEADLINE):
            await loopback.run()

    asyncio.run(run())
    assert len(left) >= 2 * len(graph) - 2
    assert not any(left)
