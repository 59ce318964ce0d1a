"""`gossipfl peer`: one peer of a scenario as a process, until its rounds or its time are done."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from gossipfl.actions import Update
from gossipfl.agreements import Agreement
from gossipfl.algorithms import ALGORITHMS
from gossipfl.deploy.addresses import Where
from gossipfl.deploy.agreement import run_facts
from gossipfl.deploy.exposure import (
    addresses_of_peer,
    check_exposure,
    listening_address,
    network_of,
    opened,
)
from gossipfl.deploy.numbers_over_http import NumbersOverHTTP
from gossipfl.deploy.peer_options import PeerOptions, check_secure
from gossipfl.deploy.process_start import StoppedError, check_free, shown, stoppable, taken
from gossipfl.deploy.revocation import revoked
from gossipfl.engines.evaluation import own_score
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.loop_reports import report
from gossipfl.engines.http.serving.descriptors import Caps, caps_of_peer
from gossipfl.engines.http.training_room import TrainingRoom
from gossipfl.engines.http.trust.certified_cipher import certified_cipher
from gossipfl.engines.http.trust.credentials import Credentials, load_credentials
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.engines.http.watch import Watch
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.engines.progress import TrainingSums
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.agreed_numbers import needs_numbers
from gossipfl.experiments.experiment import Agree, Cast, Experiment
from gossipfl.experiments.loaded_data import load_data
from gossipfl.files.checkpoints import Checkpoint, has_checkpoints, newest_checkpoint
from gossipfl.files.parked import parked
from gossipfl.runs.beginning import peer_manifest
from gossipfl.runs.constant_files import write_constants
from gossipfl.runs.numbers_file import NumbersFile
from gossipfl.runs.peer_directory import NUMBERS, WAY_ON, PeerDirectory
from gossipfl.scenario import Scenario
from gossipfl.scenario.between_processes import between_processes
from gossipfl.scores import Score
from gossipfl.topology import Neighbors
from gossipfl.training.trainer import Trainer
from gossipfl.weights import PeerId, Vector

_LOGGER = logging.getLogger(__name__)


def run_peer(scenario: Scenario, options: PeerOptions, when_possible: Callable[[], None] = lambda: None) -> int:
    """Run the peer to its end; gives the exit status: 0, or 130 after Ctrl-C.

    `when_possible` is called after what can be checked quickly, before TensorFlow is needed.

    Raises ConfigurationError, DataError or TopologyError before anything runs, TrainingError when training fails.
    """
    if options.seed is not None:
        scenario = scenario.with_seed(options.seed)
    scenario = between_processes(scenario, [scenario.section(options.algorithm)])
    credentials = None
    if options.certificates is not None:
        credentials = load_credentials(options.certificates, options.name)
    section = scenario.section(options.algorithm)
    _check_key(scenario, options, ALGORITHMS[section.name].hub)
    absent = revoked(scenario, section)
    if options.name in absent:
        raise ConfigurationError(f"{options.name} has been shut out of the run: http.revoked names it")
    network = network_of(scenario, options.algorithm)
    where = addresses_of_peer(scenario, network, options)
    listen = listening_address(options, where[options.name])
    check_exposure(options, where, listen, credentials)
    if scenario.privacy.secure_aggregation is not None:
        check_secure(options)
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
            hub, file = ALGORITHMS[section.name].hub, NumbersFile(directory.path / NUMBERS)
            agree = NumbersOverHTTP(scenario, network, hub, options, where, listen, credentials, file, was_stopped)
            experiment = _experiment(scenario, options, agree)
            cast = experiment.cast(section)
            if options.initial is not None:
                experiment.begin_with(experiment.read_model(options.initial, section))
            facts = run_facts(cast, has_own_examples=options.shard is not None)
            for sentence in () if experiment.encryption is None else experiment.encryption.sentences:
                _LOGGER.info("%s", sentence)
            process = _Process(options, cast, facts, credentials, where, listen, directory)
            return asyncio.run(process.live(was_stopped))
    except StoppedError:
        _LOGGER.info("stopped before the run began")
        return 0


def _check_key(scenario: Scenario, options: PeerOptions, hub: PeerId | None) -> None:
    """Raises ConfigurationError unless those, and only those, have a key who encrypt."""
    if scenario.privacy.encryption is None:
        if options.key is not None:
            raise ConfigurationError("--key is for privacy.encryption, and the scenario has none; leave it out")
        return
    if options.certificates is None:
        raise ConfigurationError(
            "privacy.encryption takes ciphertexts from peers with certificates only: give --certs (`gossipfl certs`)"
        )
    if options.gives_weights:
        raise ConfigurationError(
            "--give-weights would give whoever asks the model that privacy.encryption hides; leave one out"
        )
    if (options.key is None) != (options.name == hub):
        raise ConfigurationError(
            f"{hub} must never have the key of its clients: leave --key out"
            if options.key is not None
            else f"{options.name} needs the key that clients share: --key FILE (`gossipfl privacy key`)"
        )


def _experiment(scenario: Scenario, options: PeerOptions, agree: Agree | None = None) -> Experiment:
    if options.shard is None:
        return Experiment(scenario, load_data(scenario, download=options.download), slots=1, key_file=options.key)
    if scenario.data.skew is not None:
        raise ConfigurationError(
            "data.skew changes the examples that peers share, and a peer with examples of its own (--shard) sees those "
            "as they are: leave one of the two out"
        )
    if scenario.data.categorical:
        raise ConfigurationError(
            "data.categorical numbers the values that a host sees, and hosts with examples of their own (--shard) "
            "would number them each in its own way: number them in the files"
        )
    if scenario.data.digest is not None and needs_numbers(scenario):
        raise ConfigurationError(
            "hosts that share the data work out numbers over all examples (data.normalize, training.class_weight = "
            "'balanced', rounds in epochs) by themselves, and those with examples of their own (--shard) ask each "
            "other: leave data.digest out, so that all have their own, or share the data"
        )
    privacy = scenario.privacy.differential_privacy
    if privacy is not None and privacy.level == "example" and None not in (privacy.noise, privacy.epsilon):
        raise ConfigurationError(
            "privacy.differential_privacy: how many rounds a budget allows depends on the number of examples of each "
            "peer, and hosts with examples of their own (--shard) do not know those of others: leave one of noise and "
            "epsilon out"
        )
    data = scenario.data.model_copy(update={"source": options.shard, "digest": None})
    dataset = load_data(scenario.with_changes(data=data), download=options.download)
    shards = {options.name: np.arange(len(dataset.train), dtype=np.int64)}
    return Experiment(scenario, dataset, slots=1, shards=shards, agree=agree, key_file=options.key)


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
        self._training = TrainingSums()
        self._due: asyncio.Queue[Callable[[], Any] | None] = asyncio.Queue()
        self._status = 0
        self._last_row = -1  # the newest round of which there is a row, and the weights in it
        self._last_weights: Vector | None = None
        self._last_open = 0
        self._last_stopped: str | None = None
        self._last_traffic = dict.fromkeys(_TRAFFIC, 0)
        self._rounds_done = 0

    async def live(self, was_stopped: Callable[[], bool]) -> int:
        options, experiment = self._options, self._cast.experiment
        caps = caps_of_peer(len(self._where) - 1, experiment.scenario.http.max_connections)
        host = self._host(newest_checkpoint(self._directory.path, WAY_ON) if options.resume else None, caps)
        manifest = peer_manifest(self._cast, options.name, self._facts.run_id, self._facts.agreed, options.command)
        self._last_row = self._directory.begin(manifest, host.peer.round, host.now())
        write_constants(self._directory.path / "weights", experiment.seed, self._cast.trainer.constants)
        self._last_weights, self._rounds_done = host.peer.value, host.peer.rounds_done
        experiment.forget_initial()
        watch = Watch(host, gives_weights=options.gives_weights, max_connections=caps.watching)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report)
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
            listening = await opened(host, options, self._listen, self._credentials)
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
            standing = host.peer.standing
            seen = self._last_row == host.peer.round and self._last_weights is host.peer.value
            stopped = (None if standing is None else standing.stopped) or host.gave_up
            seen = seen and self._last_stopped == stopped
            has_begun = has_checkpoints(self._directory.path)
            is_told = seen and self._last_open == host.peer.num_open and self._last_traffic == _traffic(host)
            is_over = host.peer.finished and any(place.at_end for place in self._cast.plan.places)
            if has_begun and (is_over or not is_told):
                self._request_row(host, final=is_over)  # exchanges and messages after the last round count, too
            self._due.put_nowait(None)
            await recording
        finally:
            await self._room.close()
            await watch.stop()
        if not has_begun:
            _LOGGER.info("stopped before the run began")
            return self._status
        path = self._directory.path
        if standing is not None:
            path = self._directory.finish(standing.model, manifest.constants.get(str(experiment.seed)))
        rounds = self._facts.num_rounds
        if stopped is not None:
            going_on = "" if host.peer.finished else "; go on with --resume"
            _LOGGER.info("stopped early %s: %s%s", stopped, path, going_on)
        elif host.peer.finished:
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
            gives_up=self._cast.experiment.scenario.peers_stop,
        )
        neighbors = {name: address for name, address in self._where.items() if name != self._options.name}
        put_away = partial(parked, directory=self._directory.path)
        cipher = None if self._credentials is None else certified_cipher(self._credentials, SystemSecrets())
        peer = self._cast.make_peer(self._options.name, SystemSecrets(), put_away, cipher, self._facts.run_id)
        self._room = TrainingRoom(self._trainer, 1, put_away)
        host = HTTPPeer(peer, self._facts, self._room, tuple(neighbors), self, hosting)
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

    def _interrupt(self, host: HTTPPeer) -> None:
        self._status = 130
        host.stop()

    # What the peer tells: a `Watcher`

    def reacted(self, host: HTTPPeer, round_before: int) -> None:
        every, before = self._cast.plan.every, self._rounds_done
        self._rounds_done = host.peer.rounds_done
        if self._rounds_done // every > before // every:
            self._request_row(host)

    def trained(self, host: HTTPPeer, update: Update) -> None:
        self._training.add(update.metrics, update.num_examples)

    def contact(self, host: HTTPPeer, neighbor: PeerId, event: str) -> None:
        self._directory.event(host.peer.peer_id, neighbor, event, host.now())

    def agreed(self, host: HTTPPeer, agreement: Agreement) -> None:
        self._directory.agreed(agreement, host.now())
        _LOGGER.info("agreed: %s", agreement)

    # Rows of the history

    def _request_row(self, host: HTTPPeer, *, final: bool = False) -> None:
        """Evaluate the peer's own model as it is now, when the trainer is free."""
        standing = host.peer.standing
        training_examples = self._training.num_examples
        self._last_row, self._last_weights, self._last_open = host.peer.round, host.peer.value, host.peer.num_open
        self._last_traffic, self._last_stopped = _traffic(host), host.gave_up
        if standing is not None:
            self._last_stopped = standing.stopped or host.gave_up
        row: dict[str, Any] = {
            "round": host.peer.round,
            "rounds_done": host.peer.rounds_done,
            "examples_seen": 0 if standing is None else standing.examples_seen,
            "time": host.now() if host.state != "new" else 0.0,
            "wall": time.time(),
            "training": self._training.take(),
            "training_examples": training_examples,
            **self._last_traffic,
            "num_open": host.peer.num_open,
            **({} if self._last_stopped is None else {"stopped": self._last_stopped}),
        }

        def scored(trainer: Trainer) -> tuple[Score | None, dict[str, Any]]:
            if standing is None:  # a server that reads nothing
                return None, row
            peer_id = None if standing.peer_id == self._cast.recipe.hub else standing.peer_id
            return own_score(trainer, self._cast.plan, peer_id, standing.model, final=final), row

        self._due.put_nowait(lambda: self._room.evaluate(scored))

    async def _record(self, host: HTTPPeer) -> None:
        rounds = self._facts.num_rounds
        while (evaluate := await self._due.get()) is not None:
            score, row = await evaluate()
            host.score = score
            if score is None:
                self._directory.row(row)
                _LOGGER.info("after round %d of %d", row["round"], rounds)
                continue
            self._directory.row(row | asdict(score))
            shown = ", ".join(f"{name} {value:.4f}" for name, value in {"loss": score.loss, **score.metrics}.items())
            where = self._cast.plan.places[0].words
            _LOGGER.info("after round %d of %d: %s on %s", row["round"], rounds, shown, where)


_TRAFFIC = ("num_messages", "sent", "received")


def _traffic(host: HTTPPeer) -> dict[str, int]:
    """Messages and bytes that a peer has sent, and bytes that it has received, over all its neighbors."""
    return {name: sum(getattr(neighbor.traffic, name) for neighbor in host.neighbors.values()) for name in _TRAFFIC}
