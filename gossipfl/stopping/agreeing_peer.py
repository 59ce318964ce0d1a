"""A peer with a model that agrees with all others on how good their models are, and on when to end.

It wraps another peer, whose protocol it leaves as it is. Where that one begins to train after a round in which a score
is due, the training, and whatever it sends from then on, is held back until the model is scored: its score, with the
newest of all others that the peer knows of, is on board of every message with vectors, and taken off before the wrapped
peer sees it.

Where peers wait for each other, what comes on board of a message of step t is read when the peer is beyond step t. So
what is on board of its own messages depends on the schedule alone, and so does the round in which the scores of round r
are known to all: in it all judge by the same scores, and end alike. Where they do not wait, each judges by the newest
scores that it has, when one of its own is due and more than half of the peers are in them; who finds that the run ends
calls its neighbors, who call theirs, and each begins no more rounds. With a hub, that one judges, whenever newer scores
have come.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import nan
from typing import cast

from gossipfl.actions import Action, Agreed, Evaluate, Job, Outcome, Scores, Send, Train, WakeAt
from gossipfl.agreements import Agreement
from gossipfl.compression import dense
from gossipfl.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError, TrainingError
from gossipfl.messages import Kind, Message
from gossipfl.peers import ModelPeer, Standing
from gossipfl.peers.retries import wake_at_first
from gossipfl.snapshot import Snapshot, compose, messages_of_snapshot, part, read_only, snapshot_of_messages
from gossipfl.stopping.board import Board
from gossipfl.stopping.calls import StopCalls
from gossipfl.stopping.plan import AgreementPlan
from gossipfl.stopping.rule import Judge
from gossipfl.stopping.table import End
from gossipfl.topology import Neighbors
from gossipfl.weights import NOTHING, ModelVectors, PeerId, Vector

SCORES = "scores"
"""The name of the vector on board of messages."""


class AgreeingPeer:
    """A `Peer` around another one, by the plan of their run; `neighbors` are those that it may talk to."""

    def __init__(self, inner: ModelPeer, plan: AgreementPlan, neighbors: Neighbors) -> None:
        self.peer_id = inner.peer_id
        self.inner = inner
        inner.may_go_on = self._may_go_on
        self._plan = plan
        self._layout = layout = plan.layout
        self._position = layout.peers.index(self.peer_id) if self.peer_id in layout.peers else None
        self._all_neighbors = self._neighbors = neighbors
        self._board = Board(plan, self._position)
        self._held: list[Message] | None = None  # what is sent after the score that it waits for; None: it does not
        self._next_due = 0  # rounds of local work, when it is scored next; of a hub, when it looks next
        self._next_read = 0  # the round whose scores are known to all next
        self._agreement: Agreement | None = None
        self._judge = None if plan.rule is None or plan.hub not in (None, self.peer_id) else Judge(plan.rule)
        self._why: str | None = None  # one's own reason to end
        self._stopped: str | None = None
        self._news: list[Action] = []
        self._calls = StopCalls(self._call_to)
        self._wish: float | None = None  # of the inner peer, to be woken

    @property
    def value(self) -> Vector:
        return self.inner.value

    @property
    def standing(self) -> Standing:
        return replace(self.inner.standing, agreement=self._agreement, stopped=self._stopped)

    @property
    def num_rounds(self) -> int:
        return self.inner.num_rounds

    @property
    def round(self) -> int:
        return self.inner.round

    @property
    def rounds_done(self) -> int:
        return self.inner.rounds_done

    @property
    def finished(self) -> bool:
        return self.inner.finished

    @property
    def is_drained(self) -> bool:
        return self.inner.is_drained and not self._calls.unconfirmed

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        calls = self._calls.unconfirmed if self.finished else []
        return tuple(dict.fromkeys([*self.inner.awaits, *calls]))

    @property
    def num_open(self) -> int:
        return self.inner.num_open

    @property
    def outstanding(self) -> Job | None:
        return self.inner.outstanding if self._held is None else self._evaluation()

    # Inputs

    def start(self, now: float) -> list[Action]:
        self._held = None
        return self._carried(self.inner.start(now), now)

    def receive(self, message: Message, now: float) -> list[Action]:
        if SCORES not in message.vectors:
            return self._receive_plain(message, now)
        theirs = self._layout.received(message.vectors[SCORES], message.sender)
        before = self._board.take(message, theirs)
        try:
            if message.kind is Kind.STOP:
                actions = self._receive_call(message)
            else:
                actions = self.inner.receive(_without_scores(message), now)
        except RemoteProtocolError:
            self._board.put_back(message, before)
            raise
        if self._layout.end(theirs) is None:
            self._calls.does_not_know(message.sender)
        else:
            self._calls.settle(message.sender)
        return self._carried(actions, now)

    def _receive_call(self, message: Message) -> list[Action]:
        if not self._calls_others or message.sender not in self._neighbors.senders:
            raise RemoteProtocolError(f"peer {self.peer_id} expects no {message.kind} from peer {message.sender}")
        return [Send(Message(self.peer_id, message.sender, Kind.ACKNOWLEDGE))]

    def _receive_plain(self, message: Message, now: float) -> list[Action]:
        if message.vectors or message.kind is Kind.STOP:
            raise RemoteProtocolError(f"a {message.kind} from peer {message.sender} carries no {SCORES}")
        if self._calls_others and message.kind is Kind.ACKNOWLEDGE and message.exchange is None:
            self._calls.settle(message.sender)
            return []
        return self._carried(self.inner.receive(message, now), now)

    def completed(self, outcome: Outcome, now: float) -> list[Action]:
        if self._held is None:
            return self._carried(self.inner.completed(outcome, now), now)
        if isinstance(outcome, TrainingError):
            raise outcome
        asked = self._evaluation()
        if not isinstance(outcome, Scores) or (outcome.peer_id, outcome.job) != (asked.peer_id, asked.job):
            raise LocalProtocolError(f"peer {self.peer_id} waits for its score of job {asked.job}, got {outcome}")
        (score,) = outcome.scores
        self._note_score([score.value(metric) for metric in self._plan.metrics])
        held, self._held = self._held, None
        assert self.inner.outstanding is not None
        return self._carried([self.inner.outstanding, *map(Send, held)], now)

    def wake(self, now: float) -> list[Action]:
        if self._wish is not None and self._wish <= now:
            self._wish = None
        calls = self._calls.due(now)
        return [*self._carried([*self.inner.wake(now), *calls], now), *self._wakes()]

    def send_failed(self, message: Message, now: float) -> list[Action]:
        if message.kind is Kind.STOP:
            return []  # a call that is not confirmed is repeated anyway
        if self._plan.known_in is None:
            message = _without_scores(message)  # newer ones go on board of it; else those that its step has
        return self._carried(self.inner.send_failed(message, now), now)

    def neighbors_changed(self, neighbors: Neighbors, now: float) -> list[Action]:
        if self._plan.known_in is not None and self._judge is not None:
            everybody = self._all_neighbors
            gone = [one for one in (*everybody.receivers, *everybody.senders) if one not in neighbors]
            if gone:
                raise ConfigurationError(
                    f"peer {self.peer_id} cannot go on without {gone[0]}: all peers end with the same round, because "
                    "each hears of all scores by way of everybody else; give the algorithm a patience (seconds), or "
                    "leave stop out"
                )
        actions = self.inner.neighbors_changed(neighbors, now)
        self._neighbors = neighbors
        for neighbor in self._calls.unconfirmed:
            if neighbor not in neighbors.receivers:
                self._calls.settle(neighbor)
        return self._carried(actions, now)

    def end(self, why: str, now: float) -> list[Action]:
        """Have the run end for a reason of this peer's own, a clause such as "its budget is spent": all peers end as
        they do by a rule. Where they wait for each other, that is in one and the same round."""
        self._why = why
        round = self.round
        if self._plan.known_in is not None:
            round = self._plan.known_in[min(round + 1, self._layout.num_rounds)]
        if round <= self._layout.num_rounds and not self.finished:
            self._set_end(round, by_rule=False)
        return self._carried([], now)

    # What the inner peer wants

    def _carried(self, actions: Sequence[Action], now: float) -> list[Action]:
        """The actions for what the inner peer wants, with the scores on board of what it sends."""
        carried: list[Action] = []
        held: list[Message] | None = None
        wishes = False
        for action in actions:
            match action:
                case Train() if self._position is not None and self._is_due():
                    if self._plan.hub is not None:
                        self._look_at_newest()
                    if self._plan.shares is not None and self.peer_id not in self._plan.shares:
                        self._note_score(None)
                        carried.append(action)
                    else:
                        self._held = held = []
                        carried.append(self._evaluation())
                case Send() if held is not None:
                    held.append(action.message)
                case Send():
                    carried.append(Send(self._with_scores(action.message)))
                case WakeAt():
                    self._wish, wishes = action.time, True
                case _:
                    carried.append(action)
        if self._calls_others and self._board.end is not None:
            # Who had done all rounds before may have neighbors that are gone, because they had, too.
            calls = self._calls.call(self._neighbors.receivers, now, once=self.round >= self._layout.num_rounds)
            carried, wishes = [*carried, *calls], wishes or bool(calls)
        if self.inner.finished:
            self._ends()  # of a client, who does not decide it
        self._board.all_left()
        news, self._news = self._news, []
        return [*news, *carried, *(self._wakes() if wishes else [])]

    def _with_scores(self, message: Message) -> Message:
        if not message.vectors or SCORES in message.vectors:
            return message
        return message._replace(vectors={**message.vectors, SCORES: self._board.of_message(message)})

    def _call_to(self, neighbor: PeerId) -> Message:
        return Message(self.peer_id, neighbor, Kind.STOP, vectors={SCORES: dense(self._board.table)})

    @property
    def _calls_others(self) -> bool:
        """True if whoever finds that the run ends says so by calls: others may not wait for its next message."""
        return self._plan.known_in is None and self._plan.hub is None

    def _wakes(self) -> list[Action]:
        return wake_at_first(self._wish, self._calls.time)

    # Scores

    def _is_due(self) -> bool:
        return self.rounds_done >= self._next_due

    def _evaluation(self) -> Evaluate:
        """Ask how good the model is that the held training begins from."""
        job, shares = self.inner.outstanding, self._plan.shares
        assert isinstance(job, Train)
        local = cast(Vector, job.state.get("local", NOTHING))
        model = ModelVectors(job.weights, job.statistics, local)
        own = None if shares is None else shares[self.peer_id]
        return Evaluate(self.peer_id, job.job, (model,), part=self._plan.part, examples=own)

    def _note_score(self, values: Sequence[float] | None) -> None:
        assert self._position is not None
        self._board.table = self._layout.with_row(self._board.table, self._position, self.inner.model_round, values)
        self._put_off()

    def _put_off(self) -> None:
        every = self._layout.every
        self._next_due = (self.rounds_done // every + 1) * every

    # Judging

    def _may_go_on(self) -> bool:
        known_in = self._plan.known_in
        if known_in is None:
            if self._is_due():
                self._look_at_newest()
        else:
            self._board.read_before(self.round * self._plan.gossip_steps)
            while self._next_read < len(known_in) and known_in[self._next_read] <= self.round:
                self._look(self._layout.agreement(self._board.table, self._next_read, self.round))
                self._next_read += self._layout.every
        return not self._ends()

    def _look_at_newest(self) -> None:
        agreement = self._layout.agreement(self._board.table, None, self.round)
        if agreement is not None and agreement != self._agreement and self._position is None:
            self._put_off()
        self._look(agreement)

    def _look(self, agreement: Agreement | None) -> None:
        """Judge by scores that are known now."""
        before = self._agreement
        if agreement is None or agreement == before:
            return
        self._agreement = agreement
        self._news.append(Agreed(agreement))
        rule, judge = self._plan.rule, self._judge
        if rule is None or judge is None or 2 * agreement.num_peers <= agreement.of_peers:
            return
        if before is not None and agreement.peers != before.peers:
            judge.begin_again()  # a mean over others is no better and no worse
        mean = agreement.measured(rule.metric).mean
        value = nan if mean is None else mean
        judge.look(value, agreement.round)
        of = f"the {rule.metric.name} in the mean over {agreement.who}, on {rule.metric.on},"
        verdict = judge.verdict(value, of)
        is_first = self._plan.known_in is not None or self._board.end is None
        if verdict is not None and is_first and self.round < self._layout.num_rounds:
            self._why = f"by the scores of round {agreement.round}, {verdict}"
            self._set_end(self.round, by_rule=True)

    def _set_end(self, round: int, *, by_rule: bool) -> None:
        position = len(self._layout.peers) if self._position is None else self._position
        self._board.table = self._layout.with_end(self._board.table, End(round, position, by_rule))

    def _ends(self) -> bool:
        """True if the run ends with the round that is over."""
        end = self._board.end
        if end is None or (self._plan.known_in is not None and self.round < end.round):
            return False
        if self._stopped is None and self.round < self._layout.num_rounds:
            peers = (*self._layout.peers, self._plan.hub)
            said = f"{peers[end.position]} said so, {'by the rule' if end.by_rule else 'for a reason of its own'}"
            self._stopped = f"in round {self.round}: {self._why or said}"
        return True

    # Persistence

    def snapshot(self) -> Snapshot:
        judge, agreement = self._judge, self._agreement
        values = {
            "is_held": self._held is not None,
            "next_due": self._next_due,
            "next_read": self._next_read,
            "why": self._why,
            "stopped": self._stopped,
            "wish": self._wish,
            "judge": None if judge is None else judge.snapshot(),
            "agreement": None if agreement is None else agreement.values() | {"scores": None, "columns": None},
        }
        parts = {
            "inner": self.inner.snapshot(),
            "held": snapshot_of_messages({str(i): message for i, message in enumerate(self._held or [])}),
            "board": self._board.snapshot(),
            "scores": ({} if agreement is None else {"scores": agreement.scores}, {}),
            "calls": self._calls.snapshot(),
        }
        return compose(values, parts)

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        self.inner.restore(part("inner", snapshot))
        self._calls.restore(part("calls", snapshot))
        held = list(messages_of_snapshot(part("held", snapshot)).values())
        self._held = held if values["is_held"] else None
        self._next_due, self._next_read, self._wish = values["next_due"], values["next_read"], values["wish"]
        self._why, self._stopped = values["why"], values["stopped"]
        if self._judge is not None:
            self._judge.restore(values["judge"])
        self._board.restore(part("board", snapshot))
        self._agreement = None
        if values["agreement"] is not None:
            scores = read_only(part("scores", snapshot)[0])["scores"]
            known = {**values["agreement"], "peers": tuple(values["agreement"]["peers"])}
            self._agreement = Agreement(**{**known, "columns": self._layout.columns, "scores": scores})


def _without_scores(message: Message) -> Message:
    return message._replace(vectors={name: vector for name, vector in message.vectors.items() if name != SCORES})
