"""All peers of an algorithm as processes of this machine: `gossipfl peer` for each, watched from here.

Every process listens on a socket that was bound here, so ports need not be agreed on. The launcher takes no part: it
asks each peer for its status, and for its weights when an equivalent round was crossed.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from gossipfl.agreements import agreement_of
from gossipfl.codec.messages import decode
from gossipfl.compression import decompress
from gossipfl.deploy.addresses import addresses
from gossipfl.engines.evaluation import average_model, evaluate
from gossipfl.engines.http.status import NeighborStatus, PeerStatus, complete_history
from gossipfl.engines.progress import Rounds, Traffic, TrainingSums
from gossipfl.errors import GossipFLError, RemoteProtocolError
from gossipfl.experiments.experiment import Experiment
from gossipfl.files.strict_json import strict_json
from gossipfl.files.whole_files import write_whole
from gossipfl.history import Contact, Evaluation, History, stopped_by
from gossipfl.messages import VectorSchema
from gossipfl.peers import Standing
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.topology import all_neighbors
from gossipfl.weights import ModelVectors, PeerId

LOOK_SECONDS = 0.1
STOP_SECONDS = 10.0
"""A peer that was asked to stop should end within 5 s; one that does not is killed."""

_COUNTED = ("round", "rounds_done", "examples_seen", "sent", "received", "num_messages")
"""What a peer's status and its rows both have, and what only grows."""


@dataclass(slots=True)
class _Child:
    """One process, and the newest that is known of its peer."""

    name: PeerId
    directory: Path
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    model: ModelVectors
    num_examples: int
    status: PeerStatus | None = None
    watch: str = ""
    rows_read: int = 0

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    @property
    def shown(self) -> PeerStatus:
        """The newest status of the peer, and in it what has become of its process since."""
        assert self.status is not None
        ended = self.process.poll()
        return self.status if ended is None else replace(self.status, state="failed" if ended else "over")


class ProcessFederation:
    """Runs one algorithm of an experiment as processes; iterating gives evaluations, as a simulator's does.

    `directory` gets a run directory for every peer; `look` is called several times a second with their statuses.
    """

    def __init__(
        self,
        experiment: Experiment,
        section: AlgorithmSection,
        directory: Path,
        look: Callable[[Sequence[PeerStatus]], None] | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        self._experiment = experiment
        self._cast = experiment.cast(section)
        self._directory = directory
        self._look = look
        self._extra = extra
        self._label = experiment.scenario.label_of(section)
        self.history = History(self._label, experiment.seed)
        self._hub = self._cast.recipe.hub
        data_peers = [name for name in self._cast.network if name != self._hub]
        self._rounds = Rounds(data_peers, self._cast.plan.every, experiment.rounds)
        self._children: dict[PeerId, _Child] = {}
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="look")
        self._began = 0.0
        self._is_closed = False

    def __iter__(self) -> Iterator[Evaluation]:
        self._start()
        yield self._evaluate(0, 0.0)
        while any(child.is_running for child in self._children.values()):
            time.sleep(LOOK_SECONDS)
            self._refresh()
            reached = self._reached()
            if self._rounds.is_due():
                at = self._now()
                self._fetch_models()
                yield self._evaluate(reached, at)
        self._read_final()
        yield self._evaluate(self._reached(), self._now(), final=True)
        self.close()

    def close(self) -> None:
        """Stop whatever still runs, and complete the history."""
        if self._is_closed:
            return
        self._is_closed = True
        self._stop()
        if not self._children:
            return
        self._read_final()
        failures = [self._failure(child) for child in self._children.values() if child.process.returncode != 0]
        history = self.history
        history.failure = history.failure or "; ".join(failures) or None
        complete_history(history, self._statuses().values())
        history.contacts = sorted(self._contacts(), key=lambda contact: contact.time)
        self._read_agreed()
        history.end_with({name: child.model for name, child in self._children.items()}, self._average(), self._hub)

    # Processes

    def _start(self) -> None:
        scenario = self._experiment.scenario
        network = self._cast.network
        self._directory.mkdir(parents=True)
        scenario_file = self._directory / "scenario.json"
        write_whole(scenario_file, strict_json(scenario.model_dump(mode="json", exclude_none=True), indent=1))
        reachable = {name: address is not None for name, address in addresses(scenario, network).items()}
        sockets = {name: _bound() for name, is_reachable in reachable.items() if is_reachable}
        urls = {name: f"http://127.0.0.1:{listener.getsockname()[1]}" for name, listener in sockets.items()}
        initial = self._experiment.initial()
        for name in network:
            directory = self._directory / name
            directory.mkdir()
            words = [sys.executable, "-m", "gossipfl", "peer", str(scenario_file), "--name", name]
            words += ["--algorithm", self._label, "--seed", str(self._experiment.seed)]
            words += ["--run-directory", str(directory / "run"), "--log-format", "json", "--give-weights"]
            words += self._extra
            for neighbor in all_neighbors(network, name):
                if neighbor in urls:
                    words += ["--address", f"{neighbor}={urls[neighbor]}"]
            listener = sockets.get(name)
            if listener is not None:
                words += ["--listen-fd", str(listener.fileno())]
            log = (directory / "log.jsonl").open("wb")
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[] if listener is None else [listener.fileno()],
                start_new_session=True,  # Ctrl-C comes here, and from here to them
            )
            work = self._experiment.work(name, self._cast.recipe)
            self._children[name] = _Child(name, directory / "run", process, log, initial, work.num_examples)
        for listener in sockets.values():
            listener.close()
        self._cast.trainer.prepare()
        while any(child.status is None and child.is_running for child in self._children.values()):
            time.sleep(LOOK_SECONDS)
            self._refresh()
        self._began = time.time()

    def _stop(self) -> None:
        running = [child for child in self._children.values() if child.is_running]
        for child in running:
            child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in running:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        for child in self._children.values():
            child.log.close()
        self._threads.shutdown()

    def _failure(self, child: _Child) -> str:
        status = child.process.returncode
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        lines = (child.directory.parent / "log.jsonl").read_text("utf-8", "replace").splitlines()
        last = next((line.removeprefix("Error: ") for line in reversed(lines) if line.startswith("Error: ")), "")
        return f"peer {child.name} {how}{last and f': {last}'}"

    # Looking

    def _now(self) -> float:
        return time.time() - self._began

    def _refresh(self) -> None:
        list(self._threads.map(self._ask, [child for child in self._children.values() if child.is_running]))
        if self._look is not None:
            self._look([child.shown for child in self._children.values() if child.status is not None])

    def _ask(self, child: _Child) -> None:
        content = self._get(child, "/status")
        if content is not None:
            child.status = _status(json.loads(content))

    def _get(self, child: _Child, path: str) -> bytes | None:
        """What a peer answers; None when it does not, or not yet."""
        try:
            if not child.watch:
                host, port = json.loads((child.directory / "addresses.json").read_text("utf-8"))["watch"]
                child.watch = f"http://{host}:{port}"
            with urllib.request.urlopen(child.watch + path, timeout=2.0) as response:
                content: bytes = response.read()
                return content
        except (OSError, urllib.error.URLError, ValueError):
            return None

    def _fetch_models(self) -> None:
        list(self._threads.map(self._fetch_model, [child for child in self._children.values() if child.is_running]))

    def _fetch_model(self, child: _Child) -> None:
        initial = self._experiment.initial()
        parts = {"weights": initial.weights, "statistics": initial.statistics, "local": initial.local}
        expected = {name: VectorSchema(vector.size) for name, vector in parts.items()}
        content = self._get(child, "/weights")
        if content is None:
            return
        try:
            vectors = {name: decompress(vector) for name, vector in decode(content, expected).vectors.items()}
        except RemoteProtocolError as error:
            raise GossipFLError(f"peer {child.name} does not give its weights: {error}") from error
        child.model = ModelVectors(**{**parts, **vectors})

    def _read_final(self) -> None:
        """What the peers have left: final weights, and rows that are newer than the last look at them."""
        for child in self._children.values():
            path = child.directory / "weights" / "final.safetensors"
            if path.exists():
                child.model = self._experiment.read_model(path, self._cast.section).vectors
            rows = _lines(child.directory / "history.jsonl")
            if rows and child.status is not None:
                newest = {name: rows[-1][name] for name in _COUNTED}
                seen = {name: getattr(child.status, name) for name in newest}
                newest = {name: max(newest[name], seen[name]) for name in newest}
                child.status = replace(
                    child.status, num_open=rows[-1]["num_open"], stopped=rows[-1].get("stopped"), **newest
                )

    def _statuses(self) -> Mapping[PeerId, PeerStatus]:
        return {name: child.status for name, child in self._children.items() if child.status is not None}

    # Measuring

    def _reached(self) -> int:
        for name, status in self._statuses().items():
            self._rounds.count(name, status.rounds_done)
        return self._rounds.reached

    def _standings(self) -> list[Standing]:
        return [
            Standing(name, child.model, child.num_examples, 0 if child.status is None else child.status.examples_seen)
            for name, child in self._children.items()
            if name != self._hub
        ]

    def _average(self) -> ModelVectors:
        hub = None if self._hub is None else self._children[self._hub].model
        return average_model(self._standings(), self._cast.plan, hub)

    def _evaluate(self, round: int, at: float, *, final: bool = False) -> Evaluation:
        evaluation = evaluate(
            self._cast.trainer,
            self._cast.plan,
            self._standings(),
            self._average(),
            Traffic.of(self._statuses().values()),
            self._training(),
            round=round,
            time=at,
            has_hub=self._hub is not None,
            final=final,
            epsilon=max((one.privacy["epsilon"] for one in self._statuses().values() if one.privacy), default=None),
        )
        self.history.evaluations.append(evaluation)
        return evaluation

    def _training(self) -> Mapping[str, float]:
        """Means over the examples of the local training that the peers have written down since last time."""
        sums = TrainingSums()
        for child in self._children.values():
            lines = _lines(child.directory / "history.jsonl")
            for row in lines[child.rows_read :]:
                sums.add(row["training"], row["training_examples"])
            child.rows_read = len(lines)
        return sums.take()

    def _read_agreed(self) -> None:
        """Note what the peers have agreed on, as each came to know it, and why they ended before their time."""
        read = [row for child in self._children.values() for row in _lines(child.directory / "agreed.jsonl")]
        for row in sorted(read, key=lambda row: row["wall"]):
            self.history.agree(agreement_of(row), max(0.0, row["wall"] - self._began))
        self.history.stopped = stopped_by({status.peer: status.stopped for status in self._statuses().values()})

    def _contacts(self) -> Iterator[Contact]:
        for child in self._children.values():
            for row in _lines(child.directory / "events.jsonl"):
                yield Contact(max(0.0, row["wall"] - self._began), row["peer"], row["neighbor"], row["event"])


def _bound() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    os.set_inheritable(listener.fileno(), True)
    return listener


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSONL file that another process is writing."""
    if not path.exists():
        return []
    text = path.read_text("utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _status(content: dict[str, Any]) -> PeerStatus:
    neighbors = tuple(NeighborStatus(**neighbor) for neighbor in content.pop("neighbors"))
    return PeerStatus(**content, neighbors=neighbors)
