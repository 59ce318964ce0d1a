"""`gossipfl peer`: one peer of a scenario as a process, until its rounds or its time are done."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gossipfl.actions import Update
from gossipfl.deploy.deployment import addresses, checked_address, host_and_port, is_loopback, revoked, run_facts
from gossipfl.deploy.process_start import StoppedError, Where, check_free, shown, stoppable, taken
from gossipfl.engines.evaluation import TrainingMetrics, standings_of
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.serving.descriptors import Caps, caps_of_peer
from gossipfl.engines.http.training_room import TrainingRoom
from gossipfl.engines.http.trust.credentials import Credentials, load_credentials
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.engines.http.watch import Watch
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Cast, Experiment, load_data
from gossipfl.experiments.mode import Command, EngineKind, Mode
from gossipfl.files.checkpoints import Checkpoint, has_checkpoints, newest_checkpoint
from gossipfl.runs.constant_files import write_constants
from gossipfl.runs.manifest import run_manifest
from gossipfl.runs.peer_directory import WAY_ON, PeerDirectory
from gossipfl.scenario import Scenario
from gossipfl.scores import Score
from gossipfl.topology import Neighbors, all_neighbors
from gossipfl.training.trainer import Trainer
from gossipfl.weights import PeerId, Vector

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class PeerOptions:
    """What the command line says of one peer, beyond the scenario."""

    name: PeerId
    run_directory: Path
    command: str
    algorithm: str | None = None
    seed: int | None = None
    listen: Where | None = None
    listen_fd: int | None = None
    addresses: Mapping[PeerId, str] = field(default_factory=dict)
    watch: Where = ("127.0.0.1", 0)
    certificates: Path | None = None
    behind_proxy: bool = False
    insecure: bool = False
    shard: str | None = None
    initial: Path | None = None
    resume: bool = False
    seconds: float | None = None
    download: bool = False
    gives_weights: bool = False


def run_peer(scenario: Scenario, options: PeerOptions, when_possible: Callable[[], None] = lambda: None) -> int:
    """Run the peer to its end; gives the exit status: 0, or 130 after Ctrl-C.

    `when_possible` is called after what can be checked quickly, before TensorFlow is needed.

    Raises ConfigurationError, DataError or TopologyError before anything runs, TrainingError when training fails.
    """
    if options.seed is not None:
        scenario = scenario.with_seed(options.seed)
    credentials = None
    if options.certificates is not None:
        credentials = load_credentials(options.certificates, options.name)
    section = scenario.section(options.algorithm)
    absent = revoked(scenario, section)
    if options.name in absent:
        raise ConfigurationError(f"{options.name} has been shut out of the run: http.revoked names it")
    where = _addresses(scenario, options)
    listen = _listening_address(options, where[options.name])
    _check_exposure(options, where, listen, credentials)
    caps_of_peer(len(where) - 1, scenario.http.max_connections)  # and again when TensorFlow has opened what it opens
    for port in (listen, options.watch):
        check_free(port, options.name)
    try:
        with (
            stoppable() as was_stopped,
            PeerDirectory.opened(options.run_directory, resume=options.resume) as directory,
        ):
            _LOGGER.info("starting %s of %s in %s", options.name, scenario.name, directory.path)
            when_possible()
            experiment = _experiment(scenario, options)
            cast = experiment.cast(section)
            if options.initial is not None:
                experiment.begin_with(experiment.read_model(options.initial, section))
            facts = run_facts(cast, has_own_examples=options.shard is not None)
            process = _Process(options, cast, facts, credentials, where, listen, directory)
            return asyncio.run(process.live(was_stopped))
    except StoppedError:
        _LOGGER.info("stopped before the run began")
        return 0


def _addresses(scenario: Scenario, options: PeerOptions) -> dict[PeerId, str | None]:
    """Addresses of the peer itself and of its neighbors."""
    section = scenario.section(options.algorithm)
    graph = scenario.graph(section)
    network = scenario.recipe(section, graph).network(graph)
    if options.name not in network:
        raise ConfigurationError(f"there is no peer {options.name!r}; there are {', '.join(network)}")
    where = addresses(scenario, network)
    for name, address in options.addresses.items():
        if name not in network:
            raise ConfigurationError(f"--address names {name!r}; there are {', '.join(network)}")
        where[name] = checked_address(name, address)
    neighbors = all_neighbors(network, options.name)
    missing = [name for name in neighbors if where[name] == "" and name not in scenario.http.revoked]
    if missing:
        raise ConfigurationError(
            f"nothing says where {', '.join(missing)} can be reached: give peers an address in the topology, or "
            f"--address {missing[0]}=http://HOST:PORT"
        )
    return {name: where[name] for name in (options.name, *neighbors)}


def _listening_address(options: PeerOptions, own: str | None) -> Where | None:
    """Where to listen; None for a peer that cannot be reached and polls."""
    if own is None:
        return None
    if options.listen is not None:
        return options.listen
    if options.listen_fd is not None:
        return None
    if not own:
        raise ConfigurationError(
            f"nothing says where {options.name} listens: give it an address in the topology, or --listen HOST:PORT"
        )
    host, port = host_and_port(own)
    return (host if is_loopback(host) else "0.0.0.0", port)


def _check_exposure(
    options: PeerOptions,
    where: Mapping[PeerId, str | None],
    listen: Where | None,
    credentials: Credentials | None,
) -> None:
    """Raise ConfigurationError where words would leave this machine in the clear, or could not be understood."""
    serves_tls = credentials is not None and not options.behind_proxy
    for name, address in where.items():
        if not address:
            continue
        if address.startswith("https:") and credentials is None:
            raise ConfigurationError(
                f"{name} is at {address}: TLS needs certificates (gossipfl certs init, gossipfl certs issue {name}, "
                "then --certs DIRECTORY)"
            )
        host, _ = host_and_port(address)
        if address.startswith("http:") and not is_loopback(host) and not options.insecure:
            raise ConfigurationError(
                f"{name} is at {address}, in the clear and not on this machine: use https:// and --certs, or say "
                "--insecure"
            )
    own = where[options.name]
    if own and serves_tls and own.startswith("http:"):
        raise ConfigurationError(
            f"the address of {options.name} is {own}, but with --certs it serves https://: change the address, or say "
            "--behind-proxy where a proxy ends TLS"
        )
    if listen is not None and not serves_tls and not is_loopback(listen[0]) and not options.insecure:
        raise ConfigurationError(
            f"listening on {listen[0]}:{listen[1]} without TLS would be open to the network: give --certs, listen on "
            "127.0.0.1, or say --insecure"
        )


def _experiment(scenario: Scenario, options: PeerOptions) -> Experiment:
    if options.shard is None:
        return Experiment(scenario, load_data(scenario, download=options.download), slots=1)
    data = scenario.data.model_copy(update={"source": options.shard, "digest": None})
    dataset = load_data(scenario.with_changes(data=data), download=options.download)
    shards = {options.name: np.arange(len(dataset.train_y), dtype=np.int64)}
    return Experiment(scenario, dataset, slots=1, shards=shards)


class _Process:
    """The event loop's side of `gossipfl peer`, and the `Watcher` that records it."""

    def __init__(
        self,
        options: PeerOptions,
        cast: Cast,
        facts: RunFacts,
        credentials: Credentials | None,
        where: Mapping[PeerId, str | None],
        listen: Where | None,
        directory: PeerDirectory,
    ) -> None:
        self._options = options
        self._cast = cast
        self._facts = facts
        self._credentials = credentials
        self._where = where
        self._listen = listen
        self._directory = directory
        self._trainer: Trainer = cast.trainer
        self._training = TrainingMetrics()
        self._due: asyncio.Queue[Callable[[], Any] | None] = asyncio.Queue()
        self._status = 0
        self._last_row = -1  # the newest round of which there is a row, and the weights in it
        self._last_weights: Vector | None = None
        self._last_open = 0
        self._last_traffic = dict.fromkeys(_TRAFFIC, 0)
        self._rounds_done = 0

    async def live(self, was_stopped: Callable[[], bool]) -> int:
        options, experiment = self._options, self._cast.experiment
        checkpoint = newest_checkpoint(self._directory.path, WAY_ON) if options.resume else None
        caps = caps_of_peer(len(self._where) - 1, experiment.scenario.http.max_connections)
        host = self._host(checkpoint, caps)
        manifest = self._manifest()
        self._last_row = self._directory.begin(manifest, host.peer.round)
        write_constants(self._directory.path / "weights", experiment.seed, self._cast.trainer.constants)
        self._last_weights, self._rounds_done = host.peer.value, host.peer.rounds_done
        self._cast.trainer.forget_initial()
        watch = Watch(host, gives_weights=options.gives_weights, max_connections=caps.watching)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, host.stop)
        if was_stopped():
            host.stop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt, host)
        if options.seconds is not None:
            loop.call_later(options.seconds, host.stop)
        try:
            try:
                watched = await watch.start(*options.watch)
            except OSError as error:
                raise taken(options.watch, options.name, error) from error
            listening = await self._open(host)
            self._directory.addresses(listening, watched)
            _LOGGER.info(
                "listening on %s, status at http://%s:%d/status, run %s",
                shown(listening),
                *watched,
                self._facts.run_id[:12],
            )
            await loop.run_in_executor(None, self._trainer.prepare)
            recording = asyncio.create_task(self._record(host))
            recording.add_done_callback(lambda task: host.stop())  # a disk that takes no rows takes no checkpoints
            if self._last_row != host.peer.round:
                self._request_row(host)
            await host.run()
            seen = self._last_row == host.peer.round and self._last_weights is host.peer.value
            has_begun = has_checkpoints(self._directory.path)
            is_told = seen and self._last_open == host.peer.num_open and self._last_traffic == _traffic(host)
            if has_begun and not is_told:
                self._request_row(host)  # exchanges and messages after the last round count, too
            self._due.put_nowait(None)
            await recording
        finally:
            await host.room.close()
            await watch.stop()
        if not has_begun:
            _LOGGER.info("stopped before the run began")
            return self._status
        (standing,) = standings_of([host.peer])
        path = self._directory.finish(standing.model, manifest["constants"].get(str(experiment.seed)))
        rounds = self._facts.num_rounds
        if host.peer.finished:
            _LOGGER.info("done after round %d of %d: %s", host.peer.round, rounds, path)
        else:
            _LOGGER.info("stopped after round %d of %d: %s; go on with --resume", host.peer.round, rounds, path)
        return self._status

    def _host(self, checkpoint: Checkpoint | None, caps: Caps) -> HTTPPeer:
        http = self._cast.experiment.scenario.http
        hosting = Hosting(
            replace(http.limits(), max_connections=caps.messages),
            self._credentials,
            self._directory.path,
            http.linger,
            0.0 if checkpoint is not None else http.meeting_seconds,
            listens=self._where[self._options.name] is not None,
            revoked=frozenset(http.revoked),
        )
        neighbors = {name: address for name, address in self._where.items() if name != self._options.name}
        peer = self._cast.make_peer(self._options.name, SystemSecrets())
        host = HTTPPeer(peer, self._facts, TrainingRoom(self._trainer, 1), tuple(neighbors), self, hosting)
        host.connect(neighbors)
        if checkpoint is not None:
            if checkpoint.values["run"] != self._facts.run_id:
                raise ConfigurationError(
                    f"{self._directory.path} holds the run of another scenario, model or seed; give another "
                    "--run-directory"
                )
            host.restore(checkpoint)
        present = Neighbors.of(self._cast.network, self._options.name).without(http.revoked)
        peer.neighbors_changed(present, host.now())
        return host

    async def _open(self, host: HTTPPeer) -> Where | None:
        tls = None
        if self._credentials is not None and not self._options.behind_proxy:
            tls = self._credentials.server_context()
        if self._options.listen_fd is not None:
            return await host.listen(socket.socket(fileno=self._options.listen_fd), tls)
        if self._listen is None:
            return None
        try:
            return await host.listen(self._listen, tls)
        except OSError as error:
            raise taken(self._listen, self._options.name, error) from error

    def _interrupt(self, host: HTTPPeer) -> None:
        self._status = 130
        host.stop()

    def _manifest(self) -> dict[str, Any]:
        options, cast = self._options, self._cast
        experiment = cast.experiment
        mode = Mode(Command.PEER, EngineKind.PROCESSES)
        manifest = run_manifest(experiment.scenario, experiment, [experiment.seed], mode, options.command)
        label = experiment.scenario.label_of(cast.section)
        counts = manifest["partition"]["label_counts"]
        manifest["partition"]["label_counts"] = {name: row for name, row in counts.items() if name == options.name}
        return manifest | {
            "peer": options.name,
            "run_id": self._facts.run_id,
            "agreed": self._facts.agreed,
            "algorithms": [entry for entry in manifest["algorithms"] if entry["label"] == label],
        }

    # What the peer tells: a `Watcher`

    def reacted(self, host: HTTPPeer, round_before: int) -> None:
        every, before = self._cast.plan.every, self._rounds_done
        self._rounds_done = host.peer.rounds_done
        if self._rounds_done // every > before // every:
            self._request_row(host)

    def trained(self, host: HTTPPeer, update: Update) -> None:
        self._training.add(update)

    def contact(self, host: HTTPPeer, neighbor: PeerId, event: str) -> None:
        self._directory.event(host.peer.peer_id, neighbor, event, host.now())

    # Rows of the history

    def _request_row(self, host: HTTPPeer) -> None:
        """Evaluate the peer's own model as it is now, when the trainer is free."""
        (standing,) = standings_of([host.peer])
        num_examples = self._training.num_examples
        training_loss, training_accuracy = self._training.take()
        self._last_row, self._last_weights, self._last_open = host.peer.round, host.peer.value, host.peer.num_open
        self._last_traffic = _traffic(host)
        row: dict[str, Any] = {
            "round": host.peer.round,
            "rounds_done": host.peer.rounds_done,
            "examples_seen": standing.examples_seen,
            "time": host.now() if host.state != "new" else 0.0,
            "wall": time.time(),
            "training_loss": training_loss,
            "training_accuracy": training_accuracy,
            "training_examples": num_examples,
            **self._last_traffic,
            "num_open": host.peer.num_open,
        }

        def scored(trainer: Trainer) -> tuple[Score, dict[str, Any]]:
            (score,) = trainer.evaluate([standing.model])
            return score, row

        self._due.put_nowait(lambda: host.room.evaluate(scored))

    async def _record(self, host: HTTPPeer) -> None:
        rounds = self._facts.num_rounds
        while (evaluate := await self._due.get()) is not None:
            score, row = await evaluate()
            host.scores = {"loss": score.loss, **score.metrics}
            self._directory.row(row | host.scores)
            _LOGGER.info(
                "after round %d of %d: loss %.4f, accuracy %.4f on held-out data",
                row["round"],
                rounds,
                score.loss,
                score.metrics["accuracy"],
            )


_TRAFFIC = ("num_messages", "sent", "received")


def _traffic(host: HTTPPeer) -> dict[str, int]:
    """Messages and bytes that a peer has sent, and bytes that it has received, over all its neighbors."""
    links = [link.traffic for link in host.neighbors.values()]
    return {name: sum(link[position] for link in links) for position, name in enumerate(_TRAFFIC)}
