"""One peer as a process of its own, with the numpy trainer; goes on from a checkpoint when there is one."""

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import networkx as nx
import numpy as np
from federation import complete, make_peer, random_models, random_shards, ring
from loopback import Log, facts_for
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Train, Update
from gossipfl.algorithms import Algorithm, GoSGD, GradientTrackingGossip, PairwiseGossip, SynchronousGossip
from gossipfl.engines.ciphers import cipher_of_seed
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.training_room import TrainingRoom
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.files.checkpoints import newest_checkpoint
from gossipfl.messages import VectorSchema
from gossipfl.peers import ModelPeer, retries
from gossipfl.privacy.protection import Protection
from gossipfl.secrecy.fixed_point import FixedPoint
from gossipfl.secrecy.masked_peer import MaskedPeer
from gossipfl.secrecy.masking_plan import MaskingPlan
from gossipfl.secrecy.secret_messages import SECRET
from gossipfl.secrecy.terms import Rules
from gossipfl.topology import Neighbors

GRAPHS = {"ring of 4": ring(4), "complete of 4": complete(4), "complete of 6": complete(6)}

LARGE = 140_000
"""Numbers in a model of more than 1 MiB, on which threads work."""

ALGORITHMS: Mapping[str, Algorithm] = {
    "pairwise": PairwiseGossip(timeout=0.3, max_backoff=0.5),
    "gosgd": GoSGD(timeout=0.3, max_backoff=0.5),
    "gradient_tracking": GradientTrackingGossip(),
    "synchronous": SynchronousGossip(),
    "patient": SynchronousGossip(patience=0.3),
}


@dataclass(frozen=True)
class Settings:
    """What one peer has to know. Without `learns` training changes nothing, and all begin with different models."""

    name: str
    directory: Path
    ports: Mapping[str, int]
    graph: str
    algorithm: str
    num_rounds: int
    learns: bool
    think: float
    size: int = 3
    """Numbers in the model."""
    linger: float = 30.0
    request_seconds: float = 2.0
    defence: str = ""
    """Either "secure sums" or "noise", if any."""


NOISE = Protection(clip=1.0, noise=0.1)


def masked(algorithm: Algorithm, graph: nx.Graph, peer: ModelPeer, size: int) -> MaskedPeer:
    """The peer, whose neighbors are told sums of models alone; masks and keys come from the operating system."""
    meetings = {name: algorithm.schedule.meetings(graph, name, 0) for name in graph}
    plan = MaskingPlan({"weights": size}, lambda name, step: meetings[name](step).row, Rules(), FixedPoint(64.0))
    cipher = cipher_of_seed(0, peer.peer_id, SystemSecrets())
    return MaskedPeer(peer, plan, cipher, Neighbors.of(graph, peer.peer_id))


def make_trainer(settings: Settings) -> NumpyTrainer:
    shards = random_shards(GRAPHS[settings.graph], size=settings.size)
    return NumpyTrainer(shards, learning_rate=0.1 if settings.learns else 0.0, momentum=0.9)


def live(settings: Settings, ready: Connection) -> None:
    """Run to the end; what goes wrong is in `stderr.txt`, and what became of it in `outcome.json`."""
    os.dup2(os.open(settings.directory / "stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stderr.fileno())
    retries.RETRY_DELAY = 0.05
    asyncio.run(_live(settings, ready))


async def _live(settings: Settings, ready: Connection) -> None:
    checkpoint = newest_checkpoint(settings.directory)
    log = Log()
    host = _host(settings, log, meeting_seconds=20.0 if checkpoint is None else 0.0)
    if checkpoint is not None:
        host.restore(checkpoint)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, host.stop)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # the test holds the port
    listener.bind(("127.0.0.1", settings.ports[settings.name]))
    await host.listen(listener)
    ready.send(True)
    await host.run()
    await host.room.close()
    np.save(settings.directory / "weights.npy", host.peer.standing.weights)
    outcome = {
        "round": host.peer.round,
        "is_drained": host.peer.is_drained,
        "mass": getattr(host.peer, "mass", 1.0),
        "seconds": host.now(),
        "contacts": log.contacts,
        "uses": sum((host.peer.standing.spending or {}).values()),
    }
    (settings.directory / "outcome.json").write_text(json.dumps(outcome))


def _host(settings: Settings, log: Log, meeting_seconds: float) -> HTTPPeer:
    graph, algorithm, trainer = GRAPHS[settings.graph], ALGORITHMS[settings.algorithm], make_trainer(settings)
    initial = trainer.initial() if settings.learns else random_models(graph, size=settings.size)[settings.name]
    peer = make_peer(
        algorithm,
        graph,
        trainer,
        settings.name,
        num_rounds=settings.num_rounds,
        initial=initial,
        secret=SystemSecrets(),
        protection=NOISE if settings.defence == "noise" else None,
    )
    neighbors = tuple(algorithm.network(graph).neighbors(settings.name))
    facts = facts_for(
        trainer.initial(), num_rounds=settings.num_rounds, num_participants=len(graph), algorithm=algorithm
    )
    if settings.defence == "secure sums":
        peer = masked(algorithm, graph, peer, settings.size)
        facts = replace(facts, vectors={SECRET: VectorSchema(4 * settings.size + 20_000, "uint8")})
    room = TrainingRoom(_slowed(trainer, settings.think), 1)
    limits = Limits(request_seconds=settings.request_seconds, connect_seconds=1.0, max_backoff=0.2)
    hosting = Hosting(limits, directory=settings.directory, linger=settings.linger, meeting_seconds=meeting_seconds)
    host = HTTPPeer(peer, facts, room, neighbors, log, hosting)
    host.connect({name: f"http://127.0.0.1:{settings.ports[name]}" for name in neighbors})
    return host


def _slowed(trainer: NumpyTrainer, seconds: float) -> NumpyTrainer:
    """The trainer, whose calls take so long at least."""
    train = trainer.train

    def slow_train(jobs: Sequence[Train]) -> list[Update]:
        threading.Event().wait(seconds)
        return train(jobs)

    trainer.train = slow_train
    return trainer
