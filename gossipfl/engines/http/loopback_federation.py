"""All peers of an algorithm in one process, over real HTTP on loopback: the real engine with the simulator's face.

It gives the same history as the simulator, from real time and real bytes: one evaluation per equivalent round, of what
the peers were at the moment when that round was crossed.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gossipfl.actions import Update
from gossipfl.agreements import Agreement
from gossipfl.engines.evaluation import EvaluationPlan, epsilon_spent, evaluate, scored_average, standings_of
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.loop_reports import report
from gossipfl.engines.http.status import PeerStatus, complete_history, status_of
from gossipfl.engines.http.training_room import TrainingRoom
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.engines.progress import Rounds, Traffic, TrainingSums
from gossipfl.engines.stopping import Stopping, ended_themselves, why_ended
from gossipfl.history import Contact, Evaluation, History
from gossipfl.peers import Peer, Standing
from gossipfl.stopping.rule import StopRule
from gossipfl.training.trainer import Trainer
from gossipfl.weights import ModelVectors, PeerId

LOOPBACK = "127.0.0.1"
_LOOKS_PER_SECOND = 4


@dataclass(frozen=True, slots=True)
class Member:
    """One participant: its peer, who may talk to it, and how it is hosted."""

    peer: Peer
    neighbors: tuple[PeerId, ...]
    hosting: Hosting
    port: int = 0


@dataclass(frozen=True, slots=True)
class _Moment:
    """The models as they were when an evaluation fell due, and what else it says."""

    standings: Sequence[Standing]
    hub: ModelVectors | None
    traffic: Traffic
    training: Mapping[str, float]
    measured: Mapping[str, Any]
    is_last: bool

    def average(self, trainer: Trainer, plan: EvaluationPlan) -> ModelVectors:
        return scored_average(trainer, self.standings, plan, self.hub)

    def measured_by(self, trainer: Trainer, plan: EvaluationPlan, *, is_last: bool) -> tuple[ModelVectors, Evaluation]:
        average = self.average(trainer, plan)
        measured: dict[str, Any] = {**self.measured, "final": is_last}
        return average, evaluate(trainer, plan, self.standings, average, self.traffic, self.training, **measured)


class LoopbackFederation:
    """Runs `members` (in node order, the hub included) until all are over, or are to `stop`; iterating gives
    evaluations.

    `look` is called a few times a second with what the peers say of themselves.
    """

    def __init__(
        self,
        members: Sequence[Member],
        facts: RunFacts,
        trainer: Trainer,
        plan: EvaluationPlan | None = None,
        *,
        seed: int = 0,
        hub: PeerId | None = None,
        label: str = "",
        look: Callable[[Sequence[PeerStatus]], None] | None = None,
        stop: StopRule | None = None,
    ) -> None:
        self.peers = {member.peer.peer_id: member.peer for member in members}
        self.history = History(label, seed)
        self._members = members
        self._facts = facts
        self._trainer = trainer
        self._plan = plan or EvaluationPlan()
        self._hub = hub
        self._look = look
        self._runner: asyncio.Runner | None = asyncio.Runner()
        self._hosts: dict[PeerId, HTTPPeer] = {}
        self._work: asyncio.Task[None] | None = None
        self._room: TrainingRoom | None = None
        self._evaluations: asyncio.Queue[Evaluation | None] = asyncio.Queue()
        self._due: asyncio.Queue[_Moment | None] = asyncio.Queue()
        self.stopping = Stopping(stop, self.history)
        self._end: _Moment | None = None
        """Where the run was stopped early: the peers have gone on since."""
        self._data_peers = [peer_id for peer_id in self.peers if peer_id != hub]
        num_rounds = max(self.peers[peer_id].num_rounds for peer_id in self._data_peers)
        self._rounds = Rounds(self._data_peers, self._plan.every, num_rounds)
        self._training = TrainingSums()
        self._began = 0.0
        self._last_change = 0.0

    def run(self) -> History:
        """Run to the end."""
        for _ in self:
            pass
        return self.history

    def __iter__(self) -> Iterator[Evaluation]:
        while (evaluation := self.next()) is not None:
            yield evaluation

    def next(self) -> Evaluation | None:
        """Run until the next evaluation is made; None after the last one.

        Raises TrainingError when local training fails.
        """
        if self._runner is None:
            return None
        evaluation = self._runner.run(self._next())
        if evaluation is None:
            self.close()
        else:
            self.history.evaluations.append(evaluation)
        return evaluation

    def close(self) -> None:
        """Complete the history, and drop whatever still runs."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        runner.run(self._stop())
        runner.close()

    async def _next(self) -> Evaluation | None:
        if self._work is None:
            self._work = asyncio.create_task(self._live())
        asking = asyncio.create_task(self._evaluations.get())
        await asyncio.wait([asking, self._work], return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            asking.cancel()
            self._work.result()
            raise AssertionError("the last evaluation is None")
        return asking.result()

    async def _stop(self) -> None:
        if self._hosts:
            complete_history(self.history, self.statuses())
            standings = standings_of(self.peers.values())
            models = {standing.peer_id: standing.model for standing in standings}
            self.history.stopped = self.history.stopped or why_ended(standings)
            if self._end is not None:
                models = {standing.peer_id: standing.model for standing in self._end.standings}
                if self._hub is not None and self._end.hub is not None:
                    models[self._hub] = self._end.hub
            if models:
                average = self.average() if self._end is None else self._end.average(self._trainer, self._plan)
                self.history.end_with(models, average, self._hub)
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])

    async def _live(self) -> None:
        """Open all servers, then let all peers live at the same time."""
        asyncio.get_running_loop().set_exception_handler(report)
        self._room = TrainingRoom(self._trainer, self._trainer.num_slots)
        self._hosts = {
            member.peer.peer_id: HTTPPeer(member.peer, self._facts, self._room, member.neighbors, self, member.hosting)
            for member in self._members
        }
        try:
            await self._open()
        except OSError:
            await self._all_leave()
            raise
        self._trainer.prepare()  # in this thread, before time counts
        self._request_evaluation()
        if not self._due.empty():
            await self._evaluate_next()
        self._began = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                side = [group.create_task(self._evaluate_on()), group.create_task(self._keep_looking())]
                try:
                    await self._all_over()
                finally:
                    self._due.put_nowait(None)
                    side[1].cancel()
                    if not all(host.state == "over" for host in self._hosts.values()):
                        side[0].cancel()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        await self._room.close()
        if self._look is not None:
            self._look(self.statuses())
        self._evaluations.put_nowait(None)

    async def _open(self) -> None:
        addresses: dict[PeerId, str | None] = {}
        for member in self._members:
            name = member.peer.peer_id
            _, port = await self._hosts[name].listen((LOOPBACK, member.port))
            addresses[name] = f"http://{LOOPBACK}:{port}" if member.hosting.listens else None
        for host in self._hosts.values():
            host.connect({name: addresses[name] for name in host.neighbors})

    async def _all_leave(self) -> None:
        """Close what is open of peers that do not run."""
        for host in self._hosts.values():
            host.stop()
        await asyncio.gather(*(host.run() for host in self._hosts.values()))

    async def _all_over(self) -> None:
        """Until all peers are over; when one fails, the others leave too."""
        running = {asyncio.create_task(host.run()) for host in self._hosts.values()}
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for host in self._hosts.values():
                host.stop()
            await asyncio.wait(running)
        self._request_evaluation(final=True)

    async def _keep_looking(self) -> None:
        while self._look is not None:
            self._look(self.statuses())
            await asyncio.sleep(1 / _LOOKS_PER_SECOND)

    def statuses(self) -> list[PeerStatus]:
        """The peers' words on themselves, in node order."""
        return [status_of(host) for host in self._hosts.values()]

    # What the peers tell: a `Watcher`

    def reacted(self, host: HTTPPeer, round_before: int) -> None:
        peer = host.peer
        self._last_change = self._now()
        self._rounds.count(peer.peer_id, peer.rounds_done)
        counting = self.peers.values() if self._hub is None else [self.peers[self._hub]]
        is_over = peer.round != round_before and self._hub in (None, peer.peer_id)
        if is_over and self._rounds.is_due() and not ended_themselves(counting):
            self._request_evaluation()

    def trained(self, host: HTTPPeer, update: Update) -> None:
        self._training.add(update.metrics, update.num_examples)

    def contact(self, host: HTTPPeer, neighbor: PeerId, event: str) -> None:
        self.history.contacts.append(Contact(self._now(), host.peer.peer_id, neighbor, event))

    def agreed(self, host: HTTPPeer, agreement: Agreement) -> None:
        self.history.agree(agreement, self._now())

    # Measuring

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._began if self._began else 0.0

    def average(self) -> ModelVectors:
        """The hub's model, or else the mean of all peers' models, recalibrated where the plan says so."""
        return scored_average(self._trainer, self._standings(), self._plan, self._hub_model())

    def _hub_model(self) -> ModelVectors | None:
        hub = None if self._hub is None else self.peers[self._hub].standing
        return None if hub is None else hub.model

    def _standings(self) -> list[Standing]:
        return standings_of(self.peers[peer_id] for peer_id in self._data_peers)

    def _request_evaluation(self, *, final: bool = False) -> None:
        """Evaluate the models as they are now, as soon as may be: vectors never change, so they need not be copied."""
        standings = self._standings()
        if not standings:
            return
        hub = self._hub_model()
        measured: dict[str, Any] = {
            "round": self._rounds.reached,
            "time": self._last_change if final else self._now(),
            "has_hub": hub is not None,
            "epsilon": epsilon_spent(self._plan, self.peers.values()),
        }
        traffic, training = Traffic.of(self.statuses()), self._training.take()
        self._due.put_nowait(_Moment(standings, hub, traffic, training, measured, final))

    async def _evaluate_on(self) -> None:
        while await self._evaluate_next():
            pass

    async def _evaluate_next(self) -> bool:
        moment = None if self._end is not None else await self._due.get()
        if moment is None:
            return False
        assert self._room is not None
        measure = partial(moment.measured_by, plan=self._plan)
        average, evaluation = await self._room.evaluate(partial(measure, is_last=moment.is_last))
        reason = self.stopping.reason(evaluation, average)
        if reason is not None and not moment.is_last:
            self.history.stopped, self._end = reason, moment
            if self._plan.measures_at_end:
                _, evaluation = await self._room.evaluate(partial(measure, is_last=True))
            for host in self._hosts.values():
                host.stop()
        for peer_id in evaluation.loss.peers:
            self._hosts[peer_id].score = evaluation.score(peer_id)
        if self._hub is not None:
            self._hosts[self._hub].score = evaluation.score()
        self._evaluations.put_nowait(evaluation)
        return True
