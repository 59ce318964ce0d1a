"""A live peer under attack, while an honest neighbor trains with it over real HTTP in the same event loop.

"a" is the victim and "b" its honest neighbor; "d" is a neighbor of "a" too, but there is no such peer: attackers
use its certificate. Training changes nothing (learning rate 0), so gossip has to keep the sum of the weights of "a" and
"b".
"""

import asyncio
import itertools
import os
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self

import networkx as nx
import numpy as np
from attacker import Told, Wire
from deadline import DEADLINE
from federation import make_peers, random_models
from loopback import Log, facts_for
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Train, Update
from gossipfl.algorithms import PairwiseGossip
from gossipfl.codec.messages import decode, encode
from gossipfl.compression import decompress, dense
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.serving.connections import Connection
from gossipfl.engines.http.training_room import TrainingRoom
from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.engines.http.wire.envelope import NO_DIGEST, Envelope, Purpose, Sealed, digest_of
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.messages import ExchangeId, Kind, Message
from gossipfl.topology import canonical
from gossipfl.weights import frozen

PATIENT = Limits(
    connect_seconds=DEADLINE,
    request_seconds=DEADLINE,
    header_seconds=DEADLINE,
    idle_seconds=DEADLINE,
    closing_seconds=0.2,
    poll_seconds=DEADLINE,
    max_connections=16,
)
"""Nothing runs into a deadline within a test."""

HASTY = replace(PATIENT, header_seconds=0.4, request_seconds=0.8, slowest_rate=1e9, idle_seconds=0.8)
"""Whoever is slow is late within a second; the honest neighbor is not slow."""

MIB = 2**20

MESSAGES_IN_MEMORY = 8
"""Of the largest size, for both peers: two that come, two that go, and the vectors that are computed from them."""


class GatedTrainer(NumpyTrainer):
    """Leaves the weights as they are, and only works while its gate is open."""

    def __init__(self, shards: Mapping[str, np.ndarray], round_seconds: float) -> None:
        super().__init__(shards, learning_rate=0.0)
        self.round_seconds = round_seconds
        self.gate = threading.Event()
        self.gate.set()
        self.at_gate: set[str] = set()

    def train(self, jobs: Sequence[Train]) -> list[Update]:
        names = {job.peer_id for job in jobs}
        self.at_gate |= names
        self.gate.wait()
        time.sleep(self.round_seconds)  # as long as training would take
        self.at_gate -= names
        return super().train(jobs)


class Server(Protocol):
    """What "d" serves."""

    async def start(self, siege: "Siege") -> str: ...

    def stop(self) -> None: ...


class Siege:
    """Starts both peers; at the end it checks that the honest exchange went well, and that memory was bounded.

    `max_growth` is the number of bytes by which this process may grow, its attackers included.
    """

    def __init__(
        self,
        credentials: Mapping[str, Credentials],
        *,
        tls: bool = False,
        limits: Limits = PATIENT,
        size: int = 64,
        send_buffer: int = 0,
        round_seconds: float = 0.003,
        max_growth: int = 32 * MIB,
        tapped: bool = False,
        timeout: float = 30.0,
        meeting_seconds: float = 0.02,
        d_server: Server | None = None,
        d_polls: bool = False,
        revoked: frozenset[str] = frozenset(),
    ) -> None:
        graph = canonical(nx.Graph([("a", "b"), ("a", "d")]), "siege")
        self.credentials = credentials
        self.trainer = GatedTrainer({name: np.zeros((1, size)) for name in graph}, round_seconds)
        initial = random_models(graph, size=size)
        peers = make_peers(PairwiseGossip(timeout), graph, self.trainer, num_rounds=10**6, initial=initial)
        self.facts = facts_for(self.trainer.initial(), num_rounds=10**6, num_participants=3)
        self.room = TrainingRoom(self.trainer, 2)
        self.log = Log()
        self.tls = credentials["a"].server_context() if tls else None
        self.victim, self.honest = (
            HTTPPeer(
                peers[name],
                self.facts,
                self.room,
                tuple(graph.neighbors(name)),
                self.log,
                Hosting(
                    limits if name == "a" else PATIENT,
                    credentials[name],
                    meeting_seconds=meeting_seconds if name == "a" else 5.0,
                    revoked=revoked if name == "a" else frozenset(),
                ),
            )
            for name in ("a", "b")
        )
        self._listening = socket.socket()
        if send_buffer:  # of the victim's kernel, for each connection
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.port = 0
        self._d_server = d_server
        self._d_polls = d_polls
        self._is_patient = limits.request_seconds == PATIENT.request_seconds
        self._is_tapped = tapped
        self._tap: asyncio.Server | None = None
        self._tapped: tuple[asyncio.StreamWriter, ...] = ()
        self.heard = b""
        """What a tapped honest neighbor has written to the victim, connection after connection."""
        self._sum: np.ndarray | None = self._present_sum()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._nobody = socket.socket()
        self._running: list[asyncio.Task[None]] = []
        self.refusals_until_the_end: Counter[str] = Counter()
        self._memory = 0
        self._growth = 0
        self._max_growth = max_growth + MESSAGES_IN_MEMORY * self.facts.max_body_bytes
        self._counters = itertools.count(1)

    # Life

    async def __aenter__(self) -> Self:
        self._nobody.bind(("127.0.0.1", 0))  # a port at which nobody listens
        scheme = "http" if self.tls is None else "https"
        self._listening.bind(("127.0.0.1", 0))
        _, self.port = await self.victim.listen(self._listening, self.tls)
        _, port = await self.honest.listen(("127.0.0.1", 0), self.tls and self.credentials["b"].server_context())
        d_url = None if self._d_polls else f"{scheme}://127.0.0.1:{self._nobody.getsockname()[1]}"
        if self._d_server is not None:
            d_url = await self._d_server.start(self)
        self.victim.connect({"b": f"{scheme}://127.0.0.1:{port}", "d": d_url})
        self.honest_port = port
        self.honest.connect({"a": f"{scheme}://127.0.0.1:{await self._tapped_port()}"})
        self._running = [asyncio.create_task(host.run()) for host in (self.victim, self.honest)]
        if (
            self._d_server is None and self.victim.neighbors["d"].url is not None
        ):  # the victim is done with the neighbor that is not there, for many seconds
            await self.eventually(lambda: self.victim.neighbors["d"].num_failures > 0)
        await self.exchanges_go_on(1)
        self._memory = _resident_bytes()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                await self.exchanges_go_on(1)
                await self._sum_is_kept()
                assert self._growth < self._max_growth, f"memory grew by {self._growth / MIB:.0f} MiB"
                assert not self.victim.neighbors["b"].refusals
                assert not self.honest.neighbors["a"].refusals
                if self._is_patient:
                    assert {("a", "b", "unreachable"), ("b", "a", "unreachable")}.isdisjoint(self.log.contacts)
        finally:
            self.refusals_until_the_end = self.refusals
            self.trainer.gate.set()
            for host in (self.victim, self.honest):
                host.stop()
            await asyncio.gather(*self._running)
            await self.room.close()
            if self._tap is not None:
                self._tap.close()
            for writer in self._tapped:
                writer.transport.abort()
            if self._d_server is not None:
                self._d_server.stop()
            self._nobody.close()

    async def _tapped_port(self) -> int:
        """Where the victim is reached; the wire may be tapped on the way."""
        if not self._is_tapped:
            return self.port

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_heard: bool) -> None:
            while data := await reader.read(2**16):
                if is_heard:
                    self.heard += data
                writer.write(data)
            writer.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = await asyncio.open_connection("127.0.0.1", self.port)
            self._tapped += (writer, there[1])
            await asyncio.gather(relay(reader, there[1], True), relay(there[0], writer, False))

        self._tap = await asyncio.start_server(serve, "127.0.0.1", 0)
        port: int = self._tap.sockets[0].getsockname()[1]
        return port

    # What is asserted

    async def exchanges_go_on(self, number: int = 2) -> None:
        """Wait until so many more messages have come through in both directions, refusals by others left aside."""
        links = self.victim.neighbors["b"], self.honest.neighbors["a"]
        before = [link.traffic.received for link in links]
        least = number * self.facts.max_body_bytes // 4
        await self.eventually(
            lambda: all(link.traffic.received >= start + least for link, start in zip(links, before, strict=True))
        )

    async def refused(self, reason: str, number: int = 1) -> None:
        """Wait until the victim has counted so many refusals for a reason."""
        await self.eventually(lambda: self.victim.refusals[reason] >= number, lambda: f"{reason}: {self.refusals}")

    def holds(self, wire: Wire) -> bool:
        """Whether the victim still has a socket for a connection (what the kernel has left to send needs none)."""
        ports = {1: self.port, 2: wire.port}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] != "0" and all(int(fields[i].partition(":")[2], 16) == port for i, port in ports.items()):
                return True
        return False

    @property
    def honest_connections(self) -> set[Connection]:
        """Those over which the honest neighbor has brought something."""
        return {connection for connection in self.victim.server._server._open if connection.sender == "b"}

    @property
    def refusals(self) -> Counter[str]:
        return Counter(self.victim.refusals)

    async def eventually(
        self, condition: Callable[[], bool], said: Callable[[], object] = lambda: "", seconds: float = DEADLINE
    ) -> None:
        """Wait until it is so; memory is looked at meanwhile."""
        deadline = time.monotonic() + seconds
        while not condition():
            for task in self._running:
                if task.done():
                    task.result()
            assert time.monotonic() < deadline, said()
            self._growth = max(self._growth, _resident_bytes() - self._memory if self._memory else 0)
            await asyncio.sleep(0.002)

    async def _sum_is_kept(self) -> None:
        """An exchange in which a deadline struck is open for a while; one that is broken stays so."""

        def at_rest() -> bool:
            if self._sum is None:
                return True
            self.trainer.gate.clear()
            if self.trainer.at_gate != {"a", "b"}:
                return False
            if np.allclose(self._present_sum(), self._sum, rtol=0, atol=1e-12):
                return True
            self.trainer.gate.set()
            return False

        await self.eventually(at_rest, lambda: f"the sum is off by {np.abs(self._present_sum() - self._sum).max()}")

    def _present_sum(self) -> np.ndarray:
        return self.victim.peer.weights + self.honest.peer.weights

    # Weapons

    async def wire(self, name: str = "c", *, receive_buffer: int = 0) -> Wire:
        """A connection to the victim, over TLS with the certificate of a peer where the victim wants that."""
        if self.tls is not None and name not in self._contexts:
            self._contexts[name] = self.credentials[name].client_context()
        return await Wire.open(self.port, self._contexts.get(name), receive_buffer)

    def headers(self, body: bytes = b"", *, signer: str = "d", **changes: object) -> dict[str, str]:
        """The headers of a POST that is in order but for `changes` of its envelope; `signer` "" does not sign."""
        usual = {
            "purpose": Purpose.MESSAGE if body else Purpose.POLL,
            "run": self.facts.run_id,
            "schema": self.facts.schema,
            "sender": "d",
            "incarnation": 1,
            "session": "d" * 32,
            "receiver": "a",
            "addressee": self.victim.gate.session,
            "counter": next(self._counters),
            "received": 0,
            "size": len(body),
            "digest": digest_of([memoryview(body)]) if body else NO_DIGEST,
        }
        line = Envelope(**usual | changes).line()  # type: ignore[arg-type]
        sealed = Sealed(line)
        if signer:
            credentials = self.credentials[signer]
            sealed = Sealed(line, credentials.sign(line.encode()), credentials.certificate)
        return sealed.headers() | {"Content-Length": str(len(body))}

    def account_for(self, answer: Told) -> None:
        """The reply to a request of "d": what the victim's weights were moved by, and "d" would subtract."""
        reply = decode(answer.body, self.facts.vectors, self.facts.numbers)
        assert reply.kind is Kind.REPLY
        self._sum = self._sum + decompress(reply.vectors["weights"])

    def expect_nothing_of_the_sum(self) -> None:
        """An attacker has had a part in averages, and nobody knows which."""
        self._sum = None

    def request(self, number: int = 1, weights: np.ndarray | None = None, **changes: object) -> bytes:
        """The body of a message of "d" to the victim: a request to average, but for `changes`."""
        weights = np.zeros(self.victim.peer.weights.size) if weights is None else weights
        usual = {
            "sender": "d",
            "receiver": "a",
            "kind": Kind.REQUEST,
            "exchange": ExchangeId("d", "a", number),
            "vectors": {"weights": dense(frozen(weights))},
        }
        return encode(Message(**usual | changes))  # type: ignore[arg-type]


def besiege(
    assault: Callable[[Siege], Awaitable[None]], credentials: Mapping[str, Credentials], **options: Any
) -> Counter[str]:
    """Run an assault upon a live peer; gives what the peer refused. `options` are those of `Siege`."""

    async def run() -> Counter[str]:
        siege = Siege(credentials, **options)
        async with asyncio.timeout(DEADLINE), siege:
            await assault(siege)
        return siege.refusals_until_the_end

    return asyncio.run(run())


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
