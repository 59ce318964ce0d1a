"""Synchronous gossip in rounds: train, send to the neighbors of the step, mix with what they have sent.

A round is local training and `gossip_steps` steps of the schedule, in which vectors are mixed: x_i <- sum_j w_ij x_j.
The method says what is mixed beside the weights, how gradients are corrected, and what becomes of the mix; without
one it is D-PSGD (Lian et al., 2017), in the order

    adapt, then combine:   x_i <- sum_j w_ij y_j,                y_j = x_j after the local work of the round
    combine, then adapt:   x_i <- sum_j w_ij x_j + (y_i - x_i),  x_j is sent before training, and travels meanwhile

A peer mixes when the messages of the step have come from everybody it hears from; the order and repetition of messages
do not matter. With `patience`, it mixes at the latest that many seconds after its own training with whoever answered:
the mean over peers is then not kept, and a peer that was overtaken skips ahead to the round of the others. It goes no
further than two of its neighbors have come (or its only one), and than others can have come who wait for it with their
patience: (1 + lead) (1 + seconds in this step / patience) steps. Higher patience: fewer broken means, at the expense of
waiting for the dead.

Of each neighbor it keeps a message of its own step and, with patience, the 2 + lead newest of later ones. Without it,
whoever it sends to cannot be further than their next meeting, of which one is kept; along one-way links, the neighbor
is within the lead.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from gossipfl.actions import Action, Refused, Send, Update
from gossipfl.aggregators import Context
from gossipfl.compression import Leaving
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.methods import GossipMethod, Memory
from gossipfl.mixing import Encode, Mixing
from gossipfl.peers.absence import Absence
from gossipfl.peers.local_model import LocalModel
from gossipfl.peers.model_peer import ModelPeer
from gossipfl.peers.retries import Retries, wake_at_first
from gossipfl.peers.standing import Standing
from gossipfl.schedules import Meeting, Meetings, without
from gossipfl.snapshot import Snapshot, compose, messages_of_snapshot, part, read_only, snapshot_of_messages
from gossipfl.topology import Neighbors
from gossipfl.weights import NOTHING, PeerId, Vector, frozen

_MODEL = Kind.MODEL  # looked up once: in Python 3.11 that takes 0.2 microseconds

_MAX_AHEAD = 2  # with patience, messages that are kept of each neighbor that is further ahead than the lead


class SynchronousGossipPeer(ModelPeer):
    """A peer of synchronous gossip; `lead` is that of its schedule, `combine_first` the order of D-PSGD.

    Of neighbors that changed, those who are gone count as silent at once. Those who come back count from the next step
    on, which takes patience: the others may be steps away. `everybody` gives all with whom the schedule has it ever
    meet, and `needs_everybody` says why none may be gone; None: they may.
    """

    def __init__(
        self,
        local: LocalModel,
        meetings: Meetings,
        everybody: Callable[[], Neighbors],
        method: GossipMethod,
        mixing: Mixing,
        leaving: Leaving,
        *,
        gossip_steps: int = 1,
        combine_first: bool = False,
        lead: int = 0,
        patience: float | None = None,
        num_voices: int = 1,
        needs_everybody: str | None = None,
    ) -> None:
        super().__init__(local)
        self._meetings = meetings
        self._absence = Absence(everybody, needs_everybody)
        self._method = method
        self._mixing = mixing
        self._leaving = leaving
        self._gossip_steps = gossip_steps
        self._combine_first = combine_first
        self._lead = lead
        self._patience = patience
        self._num_voices = num_voices
        self._num_steps = gossip_steps * local.work.num_rounds
        self._memory: Memory = {}
        self._memory_before: Memory = {}  # what it was before the last mix
        self._num_skipped = 0  # rounds of others that it did not take part in
        self._step = 0  # the gossip step that comes next, or is under way
        self._meeting: Meeting = meetings(0)
        self._emitted: dict[str, Vector] = {}  # what the round has put into the mix
        self._in_the_mix: dict[str, Vector] | None = None  # it, or what earlier steps of the round have made of it
        self._trained: Vector | None = None  # weights after training; one's own stay the last mixed ones
        self._mixed_local: Vector = NOTHING  # and what of the model is the peer's own, as it was before training
        self._received: dict[int, dict[PeerId, Message]] = {}  # by step, none older than one's own
        self._deadline: float | None = None
        self._since = 0.0  # when this step began
        self._retries = Retries()

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        if self._trained is None:
            return ()
        arrived = self._received.get(self._step, {})
        return tuple(sender for sender in self._meeting.row if sender != self.peer_id and sender not in arrived)

    @property
    def rounds_done(self) -> int:
        return self.round - self._num_skipped

    @property
    def standing(self) -> Standing:
        # Until weights are mixed again, all of the model is of that moment, or it would depend on who was how fast.
        standing = super().standing
        if self._trained is None or not self._mixed_local.size:
            return standing
        return replace(standing, model=replace(standing.model, local=self._mixed_local))

    def start(self, now: float) -> list[Action]:
        return [*self._go_on(now), *wake_at_first(self._deadline, self._retries.time)]

    def _go_on(self, now: float) -> list[Action]:
        sends = [] if self._in_the_mix is None else self._parcels(self._in_the_mix, self._leaving.again)
        if self.local.outstanding is not None:
            return [self.local.outstanding, *sends]
        if self._in_the_mix is not None:
            return [*sends, *self._mix_if_complete(now)]
        return self._train_on()

    # Rounds

    def _train_on(self) -> list[Action]:
        if not self._goes_on():
            return []
        job = self.local.train(self._method.begin(self.local.weights, self._memory))
        return [job, *self._put_in(self.local.shared())] if self._combine_first else [job]

    def _go_on_from(self, update: Update, now: float) -> list[Action]:
        self._mixed_local = self.local.own
        self.local.finish(update)
        emitted = {**self.local.trained(update), **self._method.emit(self.local.weights, update, self._memory)}
        self._trained = emitted["weights"] = self._scaled(emitted["weights"])
        skipped = self._patience is not None and self._skip_ahead(now, self._patience)
        if self._combine_first and self._in_the_mix is not None:
            # Others have what was there before training. Statistics cannot be corrected by a difference, so one's own
            # share is of the trained ones.
            self._in_the_mix = emitted | {"weights": self._in_the_mix["weights"]}
            sends = self._send(self._in_the_mix) if skipped else []
        else:
            sends = self._put_in(emitted)
        if self._patience is not None:
            self._deadline = now + self._patience
        return [*sends, *wake_at_first(self._deadline, self._retries.time), *self._mix_if_complete(now)]

    def _scaled(self, trained: Vector) -> Vector:
        scale = self._mixing.step_scale
        if scale == 1.0:
            return trained
        return frozen(self.local.weights + scale * (trained - self.local.weights))

    def _put_in(self, emitted: dict[str, Vector]) -> list[Action]:
        self._emitted = self._in_the_mix = emitted
        return self._send(emitted)

    def _send(self, own: Mapping[str, Vector]) -> list[Action]:
        return self._parcels(own, self._leaving.encode)

    def _parcels(self, own: Mapping[str, Vector], encode: Encode) -> list[Action]:
        return [
            # By position: reading keywords takes as long as making the message.
            Send(Message(self.peer_id, receiver, _MODEL, self._step, None, vectors, numbers))
            for receiver, (vectors, numbers) in self._mixing.contents(own, self._meeting, encode).items()
        ]

    def _mix_if_complete(self, now: float) -> list[Action]:
        """Mix as soon as one's own training and the messages of the step are there."""
        if self._trained is None or len(self._received.get(self._step, ())) < len(self._meeting.row) - 1:
            return []
        return self._mix(now)

    def _mix(self, now: float) -> list[Action]:
        assert self._in_the_mix is not None
        own = self._in_the_mix
        received, refusals = self._taken_in(own, self._received.pop(self._step, {}))
        context = Context(self._step, self._num_steps)
        mixed = self._mixing.mix(self._leaving.seen(own), self._meeting, received, context)
        mixed = self._leaving.with_the_rest(own, mixed)
        self._deadline, self._since = None, now
        self._go_to_step(self._step + 1)
        if self._step % self._gossip_steps:
            self._in_the_mix = mixed
            self._deadline = None if self._patience is None else now + self._patience
            sends = self._send(mixed)
            wakes = wake_at_first(self._deadline, self._retries.time)
            return [*refusals, *sends, *wakes, *self._mix_if_complete(now)]
        self._memory_before = self._memory
        if self._combine_first:
            assert self._trained is not None
            weights = frozen(mixed["weights"] + (self._trained - self.local.weights))
        else:
            weights, self._memory = self._method.absorb(self.local.weights, self._emitted, mixed, self._memory)
        self.local.replace({**mixed, "weights": weights})
        self._emitted, self._in_the_mix, self._trained = {}, None, None
        self.round += 1
        return [*refusals, *self._train_on()]

    def _taken_in(
        self, own: Mapping[str, Vector], received: Mapping[PeerId, Message]
    ) -> tuple[Mapping[PeerId, Message], list[Refused]]:
        """The messages of the step, those beyond the bound without their vectors. It is asked when all have come, so
        that the answer does not depend on who came first."""
        taken, mixed, refusals = received, list[PeerId](), list[Refused]()
        for sender in self._meeting.row:
            message = received.get(sender)
            if message is None:
                continue
            refused = self.local.refusal(message, own, self._mixing.num_models(message))
            if refused is None:
                mixed.append(sender)
            else:
                taken = {**taken, sender: message._replace(vectors={})}
                refusals.append(refused)
        self.local.last_sound.mixed(mixed)
        return taken, refusals

    def _train_anew(self, undone: tuple[PeerId, ...]) -> list[Action]:
        self._memory = self._memory_before = self._memory_before if undone else {}
        self._mixing.go_back()
        job = self.local.train(self._method.begin(self.local.weights, self._memory))
        if self._combine_first:  # others have what was there before; it cannot be taken back
            self._emitted = self._in_the_mix = self.local.shared()
        return [job]

    def _go_to_step(self, step: int) -> None:
        self._step = step
        if step < self._num_steps:
            self._meeting = self._meeting_of(step)

    def _meeting_of(self, step: int) -> Meeting:
        meeting = self._meetings(step)
        absent = self._absence.absent
        return without(meeting, self.peer_id, absent) if absent else meeting

    # Messages

    def receive(self, message: Message, now: float) -> list[Action]:
        step, sender = message.round, message.sender
        if message.kind is not _MODEL or sender == self.peer_id:
            raise RemoteProtocolError(
                f"peer {self.peer_id} expects models of its neighbors, got a {message.kind} from peer {sender}"
            )
        last = self._num_steps - 1
        if self._patience is None:  # then nobody goes on without this peer's vectors
            last = min(last, self._step + 1 + 2 * self._lead)  # twice: the lead of a random schedule is a likely one
        if step > last:
            raise RemoteProtocolError(
                f"peer {sender} cannot be in gossip step {step}: step {last} is the last possible one"
            )
        if sender not in (self._meeting if step == self._step else self._meeting_of(step)).row:
            raise RemoteProtocolError(f"peer {self.peer_id} does not hear from peer {sender} in gossip step {step}")
        self.local.received(message)
        if self._mixing.number not in message.numbers:
            message.number(self._mixing.number)  # says that it is missing
        if step < self._step:
            return []
        if step > self._step and not self._has_room(sender, step):
            return []
        self._received.setdefault(step, {}).setdefault(sender, message)
        return self._mix_if_complete(now)

    def _has_room(self, sender: PeerId, step: int) -> bool:
        """True if to keep a message of a later step; makes room for it. Raises RemoteProtocolError where it cannot
        be."""
        ahead = sorted(t for t, messages in self._received.items() if t > self._step and sender in messages)
        if not ahead or step in ahead:
            return True
        first, *later = steps = sorted([step, *ahead])
        waits = sender in self._meeting_of(first).receivers
        if self._patience is not None:
            dropped = steps[: -_MAX_AHEAD - self._lead]
        elif waits and step > first:
            raise RemoteProtocolError(
                f"peer {sender} cannot be in gossip step {step}: it waits for this peer's model of step {first}"
            )
        else:
            dropped = later if waits else []
        for t in {*dropped} - {step}:
            del self._received[t][sender]
        self._received = {t: messages for t, messages in self._received.items() if messages}
        return step not in dropped

    def wake(self, now: float) -> list[Action]:
        # A neighbor may still need a step that we have mixed; two steps later it cannot, or has skipped it.
        actions = self._retries.due(now, lambda message: message.round >= self._step - 1 - self._lead)
        if self._deadline is not None and now >= self._deadline:
            actions += self._mix(now)
        return [*actions, *wake_at_first(self._deadline, self._retries.time)]

    def send_failed(self, message: Message, now: float) -> list[Action]:
        self._retries.add(message, now)
        return wake_at_first(self._deadline, self._retries.time)

    def _skip_ahead(self, now: float, patience: float) -> bool:
        """Go to the round of those who have gone on without this peer; whether there are any."""
        newest_of = {sender: step for step in sorted(self._received) for sender in self._received[step]}
        voices = sorted(newest_of.values(), reverse=True)[: self._num_voices]
        possible = self._step + int((1 + self._lead) * (1 + (now - self._since) / patience))
        newest = min(voices[-1] if len(voices) == self._num_voices else 0, possible) - self._lead
        overtaken = newest // self._gossip_steps > self.round
        if overtaken:
            self._num_skipped += newest // self._gossip_steps - self.round
            self.round = newest // self._gossip_steps
            self._since = now
            self._go_to_step(self.round * self._gossip_steps)
            self._received = {step: kept for step, kept in self._received.items() if step >= self._step}
        return overtaken

    # Neighbors

    def _meet(self, neighbors: Neighbors) -> None:
        self._absence.change(self.peer_id, neighbors, may_return=self._patience is not None)
        absent = self._absence.absent
        self._num_voices = 1 if len(neighbors.senders) == 1 else 2
        self._meeting = without(self._meeting, self.peer_id, absent)
        self._received = {
            step: {sender: message for sender, message in messages.items() if sender not in absent}
            for step, messages in self._received.items()
        }

    def _go_on_without(self, now: float) -> list[Action]:
        return self._mix_if_complete(now)

    # Persistence

    def snapshot(self) -> Snapshot:
        values = {"step": self._step, "skipped": self._num_skipped, "deadline": self._deadline, "since": self._since}
        received = {str(step): snapshot_of_messages(messages) for step, messages in self._received.items()}
        # In the first step of a round, what was emitted is what is in the mix: no need to keep it twice.
        emitted = {} if self._emitted is self._in_the_mix else self._emitted
        parts = {
            "mixing": self._mixing.snapshot(),
            "leaving": self._leaving.snapshot(),
            "memory": (self._memory, {}),
            "memory_before": ({} if self._memory_before is self._memory else self._memory_before, {}),
            "emitted": (emitted, {}),
            "in_the_mix": (self._in_the_mix or {}, {}),
            "trained": (self._before_the_mix(), {}),
            "received": compose({}, received),
            "retries": self._retries.snapshot(),
        }
        return self._snapshot_with(values, parts)

    def _before_the_mix(self) -> dict[str, Vector]:
        return {} if self._trained is None else {"weights": self._trained, "local": self._mixed_local}

    def restore(self, snapshot: Snapshot) -> None:
        def vectors(name: str) -> dict[str, Vector]:
            return read_only(part(name, snapshot)[0])

        super().restore(snapshot)
        _, values = snapshot
        self._mixing.restore(part("mixing", snapshot))
        self._leaving.restore(part("leaving", snapshot))
        self._retries.restore(part("retries", snapshot))
        self._deadline, self._since, self._num_skipped = values["deadline"], values["since"], values["skipped"]
        self._go_to_step(values["step"])
        self._memory = vectors("memory")
        self._memory_before = vectors("memory_before")
        self._in_the_mix = vectors("in_the_mix") or None
        self._emitted = vectors("emitted") or self._in_the_mix or {}
        trained = vectors("trained")
        self._trained, self._mixed_local = trained.get("weights"), trained.get("local", NOTHING)
        received = part("received", snapshot)
        self._received = {int(step): messages_of_snapshot(part(step, received)) for step in received[1]}
