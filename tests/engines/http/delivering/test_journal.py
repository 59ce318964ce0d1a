"""Checkpoints on disk: whole or not there, and there before anything is said that depends on them."""

import asyncio
import errno
import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deadline import DEADLINE
from federation import complete, make_peers, random_models, random_shards
from loopback import Loopback, bits
from numpy_trainer import NumpyTrainer
from one_peer import LARGE

from gossipfl.algorithms import FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.engines.http.delivering.client import Client
from gossipfl.engines.http.delivering.journal import Journal, next_incarnation
from gossipfl.engines.http.delivering.letters import Letter
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.errors import ConfigurationError
from gossipfl.files.checkpoints import Checkpoint, CheckpointWriter, newest_checkpoint
from gossipfl.messages import Kind, Message
from gossipfl.snapshot import part

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


class Disk:
    """Between the journals and the disk: waits at a gate, and fails when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.fails_at: tuple[str, int] | None = None
        """The name of a directory, and the number of the first write there that fails."""
        self.begun: list[tuple[str, int]] = []
        self.written: list[Checkpoint] = []
        write = CheckpointWriter.write
        monkeypatch.setattr(
            CheckpointWriter, "write", lambda writer, arrays, values: self.write(write, writer, arrays, values)
        )

    def write(self, write: Any, writer: CheckpointWriter, arrays: Any, values: Any) -> None:
        name, number = writer.directory.name, writer.number + 1
        self.begun.append((name, number))
        assert self.gate.wait(20.0)
        if self.error is not None:
            raise self.error
        if self.fails_at is not None and name == self.fails_at[0] and number >= self.fails_at[1]:
            raise NO_SPACE
        self.written.append(write(writer, arrays, values))


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.001)


class TestJournal:
    def journal(self, directory: Path) -> Journal:
        self.state = 0

        async def take() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
            return {}, {"state": self.state}

        return Journal(directory, take)

    def test_a_commit_ends_when_all_that_had_happened_is_on_disk(self, tmp_path, disk):
        async def run() -> None:
            journal = self.journal(tmp_path)
            for self.state in range(1, 4):
                await journal.commit()
                assert newest_checkpoint(tmp_path).values == {"state": self.state}
            await journal.close()

        asyncio.run(run())
        assert [checkpoint.number for checkpoint in disk.written] == [1, 2, 3]

    def test_those_who_come_while_one_is_written_share_the_next(self, tmp_path, disk):
        async def run() -> None:
            journal = self.journal(tmp_path)
            disk.gate.clear()
            first = asyncio.create_task(journal.commit())
            await until(lambda: disk.begun)
            later = []
            for self.state in range(1, 6):
                later.append(asyncio.create_task(journal.commit()))
                await asyncio.sleep(0)
            assert not first.done()
            disk.gate.set()
            await asyncio.gather(first, *later)
            await journal.close()

        asyncio.run(run())
        assert [checkpoint.values["state"] for checkpoint in disk.written] == [0, 5]

    @pytest.mark.parametrize("error", [NO_SPACE, KeyError("object")], ids=["no space", "a bug"])
    def test_all_who_wait_learn_that_it_cannot_be_written(self, tmp_path, disk, error):
        async def run() -> None:
            journal = self.journal(tmp_path)
            disk.error = error
            results = await asyncio.gather(*(journal.commit() for _ in range(3)), return_exceptions=True)
            assert results == [error] * 3
            disk.error = None
            await journal.commit()
            await journal.close()

        asyncio.run(run())
        assert newest_checkpoint(tmp_path).number == 1

    def test_who_does_not_wait_any_more_stops_nobody(self, tmp_path, disk):
        async def run() -> None:
            journal = self.journal(tmp_path)
            disk.gate.clear()
            tasks = [asyncio.create_task(journal.commit()) for _ in range(2)]
            await until(lambda: disk.begun)
            tasks[0].cancel()
            disk.gate.set()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert tasks[1].exception() is None
            await journal.close()

        asyncio.run(run())

    def test_closing_waits_for_what_is_being_written(self, tmp_path, disk):
        async def run() -> None:
            journal = self.journal(tmp_path)
            disk.gate.clear()
            committing = asyncio.create_task(journal.commit())
            await until(lambda: disk.begun)
            closing = asyncio.create_task(journal.close())
            await asyncio.sleep(0)
            assert not closing.done()
            disk.gate.set()
            await closing
            await committing

        asyncio.run(run())
        assert newest_checkpoint(tmp_path).number == 1


class TestIncarnation:
    def test_it_increases_with_every_start(self, tmp_path):
        assert [next_incarnation(tmp_path) for _ in range(4)] == [1, 2, 3, 4]

    def test_it_is_on_disk_before_it_is_given(self, tmp_path, monkeypatch):
        synced = []
        monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(descriptor))
        assert next_incarnation(tmp_path) == 1
        assert len(synced) == 2  # the file and its name
        assert (tmp_path / "incarnation").read_text() == "1\n"

    def test_a_full_disk_gives_none(self, tmp_path, monkeypatch):
        next_incarnation(tmp_path)

        def full(descriptor: int) -> None:
            raise NO_SPACE

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(OSError, match="No space left"):
                next_incarnation(tmp_path)
        assert next_incarnation(tmp_path) == 2

    @pytest.mark.parametrize("content", [b"", b"x", b"1.5", b"0x1", b"-3", b"9" * 16, b"9" * 5000, b"\xff", None])
    def test_garbage_is_not_guessed_at(self, tmp_path, content):
        if content is None:  # of a peer whose neighbors know a higher number than 1
            CheckpointWriter(tmp_path).write({}, {})
        else:
            (tmp_path / "incarnation").write_bytes(content)
        with pytest.raises(ConfigurationError, match="write there a number higher than any before"):
            next_incarnation(tmp_path)


# Peers with journals

SIZES = pytest.mark.parametrize("size", [3, LARGE], ids=["small", "large"])

QUICK = {"linger": 600.0, "meeting_seconds": 2.0}


def journalled(tmp_path: Path, algorithm: Any, graph: Any, trainer: NumpyTrainer, **options: Any) -> Loopback:
    for peer_id in algorithm.network(graph):
        (tmp_path / peer_id).mkdir(exist_ok=True)
    return Loopback(
        algorithm,
        graph,
        trainer,
        hosting=lambda peer_id: Hosting(directory=tmp_path / peer_id, **QUICK),
        **options,
    )


def is_known(message: Message, side: str, directory: Path) -> bool:
    """Whether the newest checkpoint of the "sender" or "receiver" of a message knows that it was said, or has come."""
    checkpoint = newest_checkpoint(directory)
    if checkpoint is None:
        return False
    arrays, values = part("peer", (checkpoint.arrays, checkpoint.values))
    if message.kind is Kind.MODEL:
        if side == "sender":
            return values["round"] + ("in_the_mix/weights" in arrays) > message.round
        return message.sender in values["received"].get(str(message.round), {}) or values["round"] > message.round
    exchanges = values["exchanges"]
    names = {Kind.REQUEST: ("opened", "decided"), Kind.ACKNOWLEDGE: ("resolved", None)}
    name = names.get(message.kind, ("decided", "resolved"))[side == "receiver"]
    if name is None:
        return (
            message.sender not in exchanges["answers"] or exchanges["decided"][message.sender] > message.exchange.number
        )
    other = message.receiver if side == "sender" else message.sender
    return exchanges[name].get(other, 0) >= message.exchange.number


@SIZES
@pytest.mark.parametrize("algorithm", [PairwiseGossip(), SynchronousGossip()], ids=["pairwise", "synchronous"])
def test_nothing_is_said_or_confirmed_before_it_is_on_disk(tmp_path, algorithm, size, monkeypatch):
    graph = complete(3)
    unknown: list[tuple[str, Message]] = []
    num_checked = 0

    def check(message: Message, side: str) -> None:
        nonlocal num_checked
        num_checked += 1
        if not is_known(message, side, tmp_path / getattr(message, side)):
            unknown.append((side, message))

    post = Client.post

    async def checking(self: Client, url: str, letter: Letter, responded: Any) -> Any:
        answer = await post(self, url, letter, responded)
        if letter.parcel.message is not None:
            check(letter.parcel.message, "receiver")
        return answer

    monkeypatch.setattr(Client, "post", checking)

    async def run() -> None:
        loopback = journalled(tmp_path, algorithm, graph, NumpyTrainer(random_shards(graph, size=size)))
        for host in loopback.hosts.values():
            receive = host.peer.receive
            monkeypatch.setattr(
                host.peer,
                "receive",
                lambda message, now, receive=receive: (check(message, "sender"), receive(message, now))[1],
            )
        async with asyncio.timeout(DEADLINE):
            await loopback.run()
        assert loopback.undisturbed

    asyncio.run(run())
    assert num_checked > 40
    assert not unknown


@SIZES
def test_while_the_disk_is_slow_nothing_is_said_and_nothing_confirmed(tmp_path, disk, size):
    graph = complete(2)

    async def run() -> Loopback:
        loopback = journalled(tmp_path, SynchronousGossip(), graph, NumpyTrainer(random_shards(graph, size=size)))
        first, second = loopback.hosts.values()
        disk.gate.clear()
        running = asyncio.create_task(loopback.run())
        await until(lambda: len(disk.begun) == 2 and loopback.log.updates == {"0": 1, "1": 1})
        for host in (first, second):
            assert all(neighbor.traffic == (0, 0, 0) for neighbor in host.neighbors.values())
        disk.gate.set()
        async with asyncio.timeout(DEADLINE):
            await running
        return loopback

    assert asyncio.run(run()).undisturbed


@SIZES
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize(
    "algorithm", [PairwiseGossip(timeout=0.3), SynchronousGossip(patience=0.3)], ids=["pairwise", "synchronous"]
)
def test_a_full_disk_ends_the_peer_and_it_says_nothing_more(tmp_path, disk, algorithm, number, size):
    """Whether it reacted to a message, to the end of training, or to an answer."""
    graph = complete(2)
    disk.fails_at = ("0", number)
    received: list[Message] = []

    async def run() -> None:
        loopback = journalled(tmp_path, algorithm, graph, NumpyTrainer(random_shards(graph, size=size)))
        await loopback.listen()
        loopback.connect()
        first, second = loopback.hosts.values()
        receive = second.peer.receive
        second.peer.receive = lambda message, now: (received.append(message), receive(message, now))[1]
        running = asyncio.create_task(second.run())
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(OSError, match="No space left"):
                await first.run()
        assert first.state == "over"
        for message in received:
            assert is_known(message, "sender", tmp_path / "0")
        await until(lambda: ("1", "0", "left") in loopback.log.contacts)
        second.stop()
        await running
        await loopback.room.close()

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("algorithm", [PairwiseGossip(), FedAvg()], ids=["pairwise", "fedavg"])
def test_the_last_checkpoint_of_a_peer_that_was_stopped_is_what_it_was(tmp_path, algorithm, seed):
    """At any moment; and its model is large, so that threads work on it."""
    graph = complete(3)
    generator = np.random.default_rng(seed)

    def trainer() -> NumpyTrainer:
        return NumpyTrainer(random_shards(graph, size=LARGE), momentum=0.9)

    async def run() -> Loopback:
        loopback = journalled(
            tmp_path, algorithm, graph, trainer(), num_rounds=10**9, initial=random_models(graph, size=LARGE)
        )
        running = asyncio.create_task(loopback.run())
        await until(lambda: sum(peer.round for peer in loopback.peers.values()) >= 3)
        await asyncio.sleep(float(generator.uniform(0, 0.05)))
        for host in loopback.hosts.values():
            host.stop()
        async with asyncio.timeout(DEADLINE):
            await running
        return loopback

    loopback = asyncio.run(run())
    resumed = make_peers(algorithm, graph, trainer(), num_rounds=10**9)
    for peer_id, peer in resumed.items():
        checkpoint = newest_checkpoint(tmp_path / peer_id)
        peer.restore(part("peer", (checkpoint.arrays, checkpoint.values)))
    assert bits(resumed) == bits(loopback.peers)


def test_a_resumed_peer_knows_what_it_had_heard_and_sent(tmp_path):
    graph = complete(2)

    async def run() -> None:
        loopback = journalled(tmp_path, SynchronousGossip(), graph, NumpyTrainer(random_shards(graph)))
        await loopback.run()
        before = loopback.hosts["0"]
        again = HTTPPeer(
            make_peers(SynchronousGossip(), graph, NumpyTrainer(random_shards(graph)))["0"],
            loopback.facts,
            loopback.room,
            ("1",),
            loopback.log,
            replace(before.hosting, limits=Limits(max_backoff=0.05), meeting_seconds=0.0),
        )
        again.restore(newest_checkpoint(tmp_path / "0"))
        assert again.incarnation == before.incarnation + 1
        assert 0 < again.now() <= before.now()
        assert again.neighbors["1"].contact == "finished"
        assert again.neighbors["1"].traffic == before.neighbors["1"].traffic
        again.connect({"1": loopback.addresses["1"]})
        async with asyncio.timeout(DEADLINE):  # its neighbor is gone, and it knows that this is no reason to linger
            await again.run()
        assert again.state == "over"

    asyncio.run(run())


def test_values_of_a_checkpoint_are_strict_json(tmp_path):
    """So that other programs can read them."""
    graph = complete(2)

    async def run() -> None:
        await journalled(tmp_path, PairwiseGossip(), graph, NumpyTrainer(random_shards(graph))).run()

    asyncio.run(run())
    content = next((tmp_path / "0").glob("*.safetensors")).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(header["__metadata__"]["gossipfl"], parse_constant=refuse)["values"]["run"]
