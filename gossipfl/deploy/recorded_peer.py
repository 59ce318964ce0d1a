"""One peer over HTTP that keeps a directory: its model is measured as it goes, and everything is written down.

It is the `Watcher` of the engine around it, and leaves signals, and the event loop, to whoever runs it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Protocol

from gossipfl.actions import Job, Scores, Update
from gossipfl.agreements import Agreement, agreement_row
from gossipfl.deploy.addresses import Where
from gossipfl.deploy.checked_peer import CheckedPeer
from gossipfl.deploy.exposure import opened
from gossipfl.deploy.peer_events import CameToKnow, ContactChanged, Measured, PeerEvent, RoundOver, Trained
from gossipfl.deploy.process_start import shown, taken
from gossipfl.deploy.token_files import read_token
from gossipfl.engines.evaluation import own_score
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.serving.descriptors import Caps, caps_of_peer
from gossipfl.engines.http.training_room import Result, TrainingRoom
from gossipfl.engines.http.trust.certified_cipher import certified_cipher
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.engines.http.watch import Watch
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.engines.progress import TrainingSums
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Cast
from gossipfl.files.checkpoints import Checkpoint, has_checkpoints, newest_checkpoint
from gossipfl.files.parked import parked
from gossipfl.runs.beginning import peer_manifest
from gossipfl.runs.constant_files import write_constants
from gossipfl.runs.peer_directory import WAY_ON, PeerDirectory
from gossipfl.scores import LOSS, Score
from gossipfl.topology import Neighbors
from gossipfl.training.trainer import Trainer
from gossipfl.weights import PeerId, Vector

_LOGGER = logging.getLogger(__name__)


class WorkRoom(Protocol):
    """The place where the jobs of the peer are done, and its model is evaluated."""

    async def prepare(self) -> None:
        """Build what jobs need, before the peer begins."""
        ...

    async def run(self, job: Job) -> Update | Scores:
        """Run a job. Raises TrainingError."""
        ...

    async def evaluate(self, work: Callable[[Trainer], Result]) -> Result:
        """The result of `work`, which is given the trainer."""
        ...

    async def close(self) -> None: ...


class RecordedPeer:
    """The peer of `checked` in its `directory`; `open` it, then `run` it, then `close` it, in one event loop.

    `tell` is told what happens. Jobs are done in `room`; None: by the trainer of the cast.

    Raises ConfigurationError when the directory holds another run.
    """

    def __init__(
        self,
        checked: CheckedPeer,
        cast: Cast,
        facts: RunFacts,
        directory: PeerDirectory,
        tell: Callable[[PeerEvent], None] = lambda event: None,
        room: WorkRoom | None = None,
    ) -> None:
        options, experiment = checked.options, cast.experiment
        self._checked = checked
        self._options = options
        self._cast = cast
        self._facts = facts
        self._directory = directory
        self._tell = tell
        self._put_away = partial(parked, directory=directory.path)
        self._room: WorkRoom = room or TrainingRoom(cast.trainer, 1, self._put_away)
        self._training = TrainingSums()
        self._due: asyncio.Queue[Callable[[], Any] | None] = asyncio.Queue()
        self._has_run = False
        self.listens = ""
        """Where it does, and where it can be watched, in words."""
        caps = caps_of_peer(len(self._checked.where) - 1, experiment.scenario.http.max_connections)
        self.host = self._host(newest_checkpoint(directory.path, WAY_ON) if options.resume else None, caps)
        self._manifest = peer_manifest(cast, options.name, facts.run_id, facts.agreed, options.command)
        # What the newest row says: a later life of a peer that is over adds nothing to it.
        last = directory.begin(self._manifest, self.host.peer.round, self.host.now())
        self._last_row = -1 if last is None else last.round
        self._last_open = 0 if last is None else last.num_open
        self._last_stopped = None if last is None else last.stopped
        self._last_traffic = {name: 0 if last is None else getattr(last, name) for name in _TRAFFIC}
        self._last_metrics: Collection[str] = () if last is None else last.metrics
        self._last_weights: Vector | None = self.host.peer.value
        self._rounds_done = self.host.peer.rounds_done
        write_constants(directory.path / "weights", experiment.seed, cast.trainer.constants)
        experiment.forget_initial()
        self.watch = Watch(
            self.host,
            gives_weights=options.gives_weights,
            max_connections=caps.watching,
            stop_token=None if options.stop_token is None else read_token(options.stop_token),
        )

    async def open(self) -> Where | None:
        """Listen, and be watched where the options say so; gives where it listens. Neighbors are heard from `run` on.

        Raises ConfigurationError when a port is taken.
        """
        watch, watched = self._options.watch, None
        if watch is not None:
            try:
                watched = await self.watch.start(*watch)
            except OSError as error:
                raise taken(watch, self._options.name, error) from error
        listening = await opened(self.host, self._options, self._checked.listen, self._checked.credentials)
        self._directory.addresses(listening, watched)
        at = "" if watched is None else f", status at http://{watched[0]}:{watched[1]}/status"
        on = "the port of an application" if self._options.mounted else shown(listening)
        self.listens = f"{on}{at}"
        _LOGGER.info("listening on %s, run %s", self.listens, self._facts.run_id[:12])
        return listening

    async def run(self) -> None:
        """Live until all rounds are done and the neighbors know, or until the host is told to stop.

        Raises TrainingError when local training fails, OSError when the disk takes nothing, ConfigurationError when all
        neighbors say that this peer is of another run.
        """
        host = self.host
        await self._room.prepare()
        recording = asyncio.create_task(self._record(host))
        recording.add_done_callback(lambda task: host.stop())  # a disk that takes no rows takes no checkpoints
        if self._last_row != host.peer.round:
            self._request_row(host)
        self._has_run = True
        try:
            await host.run()
        except BaseException:
            recording.cancel()
            raise
        standing = host.peer.standing
        seen = self._last_row == host.peer.round and self._last_weights is host.peer.value
        stopped = (None if standing is None else standing.stopped) or host.gave_up
        seen = seen and self._last_stopped == stopped
        has_begun = has_checkpoints(self._directory.path)
        is_told = seen and self._last_open == host.peer.num_open and self._last_traffic == _traffic(host)
        at_end = {place.metric(LOSS).name for place in self._cast.plan.places if place.at_end}
        is_over = host.peer.finished and bool(at_end)
        if has_begun and ((is_over and not at_end <= set(self._last_metrics)) or not is_told):
            self._request_row(host, final=is_over)  # exchanges and messages after the last round count, too
        self._due.put_nowait(None)
        await recording
        self._say_the_end(stopped, has_begun=has_begun)

    async def close(self) -> None:
        """Listen no more, and wait for work that runs."""
        if not self._has_run:  # its server is closed by a life that ends at once
            self.host.stop()
            await self.host.run()
        await self._room.close()
        await self.watch.stop()

    def _say_the_end(self, stopped: str | None, *, has_begun: bool) -> None:
        if not has_begun:
            _LOGGER.info("stopped before the run began")
            return
        path, peer = self._directory.path, self.host.peer
        if peer.standing is not None:
            constants = self._manifest.constants.get(str(self._cast.experiment.seed))
            path = self._directory.finish(peer.standing.model, constants)
        facts = {"after_round": peer.round, "rounds": self._facts.num_rounds, "directory": str(path)}
        if stopped is not None:
            going_on = "" if peer.finished else "; go on with --resume"
            _LOGGER.info(
                "stopped early %(stopped)s: %(directory)s%(way_on)s", facts | {"stopped": stopped, "way_on": going_on}
            )
        elif peer.finished:
            _LOGGER.info("done after round %(after_round)d of %(rounds)d: %(directory)s", facts)
        else:
            _LOGGER.info("stopped after round %(after_round)d of %(rounds)d: %(directory)s; go on with --resume", facts)

    def _host(self, checkpoint: Checkpoint | None, caps: Caps) -> HTTPPeer:
        http = self._cast.experiment.scenario.http
        hosting = Hosting(
            replace(http.limits(), max_connections=caps.messages),
            self._checked.credentials,
            self._directory.path,
            http.linger,
            0.0 if checkpoint is not None else http.meeting_seconds,
            listens=self._checked.where[self._options.name] is not None,
            revoked=frozenset(http.revoked),
            gives_up=self._cast.experiment.scenario.peers_stop,
        )
        neighbors = {name: address for name, address in self._checked.where.items() if name != self._options.name}
        cipher = (
            None if self._checked.credentials is None else certified_cipher(self._checked.credentials, SystemSecrets())
        )
        peer = self._cast.make_peer(self._options.name, SystemSecrets(), self._put_away, cipher, self._facts.run_id)
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

    # What the peer tells: a `Watcher`

    def reacted(self, host: HTTPPeer, round_before: int) -> None:
        every, before = self._cast.plan.every, self._rounds_done
        self._rounds_done = host.peer.rounds_done
        if self._rounds_done // every > before // every:
            self._request_row(host)

        if host.peer.round != round_before:
            self._tell(RoundOver(host.peer.round))

    def trained(self, host: HTTPPeer, update: Update) -> None:
        self._training.add(update.metrics, update.num_examples)
        self._tell(Trained(host.peer.round, update.num_examples, update.metrics))

    def contact(self, host: HTTPPeer, neighbor: PeerId, event: str) -> None:
        self._directory.event(host.peer.peer_id, neighbor, event, host.now())
        self._tell(ContactChanged(neighbor, event))

    def agreed(self, host: HTTPPeer, agreement: Agreement) -> None:
        self._directory.agreed(agreement, host.now())
        row = {f"agreed_{name}": value for name, value in agreement_row(agreement).items()}
        _LOGGER.info("agreed: %(agreement)s", {"agreement": str(agreement), **row})
        self._tell(CameToKnow(agreement))

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
        told: dict[str, float] = {}
        while (evaluate := await self._due.get()) is not None:
            score, row = await evaluate()
            host.score = score
            done = {"after_round": row["round"], "rounds": self._facts.num_rounds}
            self._tell(Measured(row["round"], score))
            if score is None:
                self._directory.row(row)
                _LOGGER.info("after round %(after_round)d of %(rounds)d", done)
                continue
            self._directory.row(row | asdict(score))
            measured = {"loss": score.loss, **score.metrics}
            shown = ", ".join(f"{name} %({name}).4f" for name in measured)
            where = self._cast.plan.places[0].words
            if measured | done != told:  # the row of the end may have the traffic of the goodbyes alone
                _LOGGER.info(f"after round %(after_round)d of %(rounds)d: {shown} on {where}", measured | done)
            told = measured | done


_TRAFFIC = ("num_messages", "sent", "received")


def _traffic(host: HTTPPeer) -> dict[str, int]:
    """Messages and bytes that a peer has sent, and bytes that it has received, over all its neighbors."""
    return {name: sum(getattr(neighbor.traffic, name) for neighbor in host.neighbors.values()) for name in _TRAFFIC}
