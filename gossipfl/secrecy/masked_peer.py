"""A peer whose models are added up in secret: it wraps another one, whose protocol stays as it is.

Where that one sends its model of a step to a neighbor, the wrapper takes part in the neighbor's secure sum with the
term w x, w being what the neighbor's row of the mixing matrix gives it. Where it would receive models, the wrapper adds
up, and then gives it, in place of each model of the survivors S, the same one:

    (sum_{j in S} w_ij x_j) / (sum_{j in S} w_ij)

so that a mean by the row is, to the bound of the fixed point, the mean of what they had sent. Who is not in S counts as
silent. With patience, each of the five phases of a sum has its part of it, and what is too late by then is left out.
Without it there are two, keys and terms, and all wait for all. With a server, updates take the place of models: clients
contribute, and the server adds up.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from gossipfl.actions import Action, Job, Outcome, Send, WakeAt
from gossipfl.compression.dense_floats import encoded
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Encoded, Kind, Message
from gossipfl.peers import ModelPeer, Standing
from gossipfl.peers.retries import RETRY_DELAY, wake_at_first
from gossipfl.secrecy.aggregator import Aggregator, Note
from gossipfl.secrecy.cipher import Cipher
from gossipfl.secrecy.contributor import Contributor
from gossipfl.secrecy.masking_plan import MaskingPlan
from gossipfl.secrecy.secret_messages import Place, phase_of, place_of, secret_message
from gossipfl.secrecy.step_keys import StepKeys
from gossipfl.secrecy.terms import Phase, SumId
from gossipfl.secrecy.waiting_terms import WaitingTerms
from gossipfl.secrecy.whole_contributor import WholeContributor
from gossipfl.snapshot import Snapshot, compose, messages_of_snapshot, part, snapshot_of_messages
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId, Vector


class MaskedPeer:
    """A `Peer` around another one, by the plan of their run; `neighbors` are those that it may talk to."""

    def __init__(
        self, inner: ModelPeer, plan: MaskingPlan, cipher: Cipher, neighbors: Neighbors, run: str = ""
    ) -> None:
        self.peer_id = inner.peer_id
        self.inner = inner
        self._plan, self._cipher = plan, cipher
        self._neighbors, self._run = neighbors, run
        self._sums: dict[int, Aggregator] = {}  # by step
        self._numbers: dict[int, dict[PeerId, Mapping[str, float]]] = {}  # of the terms of each step
        self._parts: dict[tuple[PeerId, int], Contributor | WholeContributor] = {}
        self._keys: dict[int, StepKeys] = {}  # by step, without patience
        self._terms = WaitingTerms(plan)
        self._step = -1  # the newest one in which the inner peer has sent
        self._since: dict[int, float] = {}  # when it did, with patience
        self._said: dict[Place, Message] = {}  # the newest of each sum to each peer in each role
        self._failed: set[Place] = set()
        self._retry: float | None = None
        self._wish: float | None = None  # of the inner peer, to be woken
        self._dtype = inner.local.weights.dtype

    @property
    def value(self) -> Vector:
        return self.inner.value

    @property
    def standing(self) -> Standing:
        return self.inner.standing

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
        return self.inner.is_drained and not self._open()

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        if self.finished:
            return tuple(dict.fromkeys([*self.inner.awaits, *(name for name, _ in self._open())]))
        current = self._sums.get(self._step)
        return self.inner.awaits if current is None or current.is_over else current.awaits

    @property
    def num_open(self) -> int:
        return self.inner.num_open

    @property
    def outstanding(self) -> Job | None:
        return self.inner.outstanding

    def _open(self) -> list[tuple[PeerId, int]]:
        """The sums of others that are not over for it."""
        return [key for key, one in self._parts.items() if not one.is_over]

    # Inputs

    def start(self, now: float) -> list[Action]:
        self._failed, self._retry = set(), None
        again = [Send(message) for message in self._said.values()]
        return [*again, *self._carried(self.inner.start(now), now), *self._wakes()]

    def receive(self, message: Message, now: float) -> list[Action]:
        if message.kind is self._plan.kind:
            raise RemoteProtocolError(f"peer {message.sender} sent vectors that everybody on their way can read")
        if message.kind is not Kind.SECRET:
            return [*self._carried(self.inner.receive(message, now), now), *self._wakes()]
        phase, payload = phase_of(message)
        if phase % 2:
            actions = self._added(message, phase, payload, now)
        else:
            actions = self._told(message.sender, message.round, phase, payload)
        return [*actions, *self._wakes()]

    def completed(self, outcome: Outcome, now: float) -> list[Action]:
        return [*self._carried(self.inner.completed(outcome, now), now), *self._wakes()]

    def wake(self, now: float) -> list[Action]:
        if self._wish is not None and self._wish <= now:
            self._wish = None
        actions: list[Action] = []
        if self._retry is not None and self._retry <= now:
            actions += [Send(self._said[key]) for key in sorted(self._failed) if key in self._said]
            self._failed, self._retry = set(), None
        actions += self._close_late(now)
        return [*actions, *self._carried(self.inner.wake(now), now), *self._wakes()]

    def send_failed(self, message: Message, now: float) -> list[Action]:
        if message.kind is not Kind.SECRET:
            return [*self._carried(self.inner.send_failed(message, now), now), *self._wakes()]
        self._failed.add(place_of(message))
        self._retry = now + RETRY_DELAY if self._retry is None else self._retry
        return self._wakes()

    def neighbors_changed(self, neighbors: Neighbors, now: float) -> list[Action]:
        if neighbors == self._neighbors:
            return [*self._carried(self.inner.neighbors_changed(neighbors, now), now), *self._wakes()]
        raise ConfigurationError(
            f"peer {self.peer_id} cannot go on with other neighbors: in a secure sum everybody has to know who is in "
            "it; begin a new run without those who are shut out"
        )

    # As who contributes

    def _carried(self, actions: Sequence[Action], now: float) -> list[Action]:
        """The actions for what the inner peer wants, its models as terms of secure sums."""
        carried: list[Action] = []
        for action in actions:
            match action:
                case Send(message) if message.kind is self._plan.kind:
                    self._begin(message.round, now)
                    carried += self._contribute(message)
                case Send(message) if message.kind is Kind.MODEL:  # of a server, which wants updates
                    self._begin(message.round, now)
                    carried.append(action)
                case WakeAt():
                    self._wish = action.time
                case _:
                    carried.append(action)
        return carried

    def _begin(self, step: int, now: float) -> None:
        if step > self._step:
            self._step = step
            self._forget_before(step - 2 - 2 * self._plan.lead)
        if self._plan.patience is not None:
            self._since.setdefault(step, now)

    def _contribute(self, message: Message) -> list[Action]:
        step, key = message.round, (message.receiver, message.round)
        if key in self._parts:
            return []  # it takes part already, and says the same again where it is asked
        share = self._plan.rows(message.receiver, step)[self.peer_id]
        self._terms.add(message, share)
        one = self._parts[key] = self._part(*key)
        return [self._to(message.receiver, step, Phase.ADVERT, one.advert())]

    def _part(self, aggregator: PeerId, step: int) -> Contributor | WholeContributor:
        members, sum_id = self._plan.members(aggregator, step), SumId(self._run, aggregator, step)
        if (keys := self._keys_of(step)) is not None:
            return WholeContributor(sum_id, members, keys, self._cipher)
        return Contributor(self.peer_id, sum_id, members, self._plan.rules, self._cipher)

    def _told(self, aggregator: PeerId, step: int, phase: Phase, payload: bytes) -> list[Action]:
        one = self._parts.get((aggregator, step))
        if one is None or one.is_over:
            return []
        answer: bytes | None = None
        match phase:
            case Phase.ROSTER:
                answer = one.take_roster(payload)
            case _ if isinstance(one, WholeContributor):
                return []
            case Phase.INBOX:
                one.take_inbox(payload)
            case Phase.SURVIVORS:
                answer = one.take_survivors(payload)
            case _:
                answer = one.take_signatures(payload)
        if one.is_ready:
            term, numbers = self._terms.take(aggregator, step)
            masked = one.masked(term).astype("<u4", copy=False).tobytes()
            if step in self._keys and not any(other == step for _, other in self._open()):
                self._keys.pop(step).forget()
            return [self._to(aggregator, step, Phase.MASKED, masked, numbers)]
        return [] if answer is None else [self._to(aggregator, step, Phase(phase + 1), answer)]

    # As who adds up

    def _added(self, message: Message, phase: Phase, payload: bytes, now: float) -> list[Action]:
        step = message.round
        if step < self._step:
            return []
        if self._plan.patience is None and step > self._step + 2 + 2 * self._plan.lead:
            raise RemoteProtocolError(f"peer {message.sender} cannot be in gossip step {step}: it waits for this peer")
        if step not in self._sums:
            self._sums[step] = self._sum(step)
        before = self._sums[step].is_over
        notes = self._sums[step].receive(message.sender, phase, payload)
        if phase is Phase.MASKED:
            self._numbers.setdefault(step, {}).setdefault(message.sender, message.numbers)
        actions = self._told_all(step, notes)
        if self._sums[step].is_over and not before:
            actions += self._give(step, now)
        if self._plan.patience is not None:
            self._make_room()
        return actions

    def _sum(self, step: int) -> Aggregator:
        members, sum_id = self._plan.members(self.peer_id, step), SumId(self._run, self.peer_id, step)
        keys = self._keys_of(step)
        return Aggregator(sum_id, members, self._plan.rules, self._cipher, self._plan.size, keys)

    def _keys_of(self, step: int) -> StepKeys | None:
        """Its keys of a step, where everybody takes part; those of two steps are never the same."""
        if self._plan.patience is not None:
            return None
        if step not in self._keys:
            self._keys[step] = StepKeys(self.peer_id, self._run, step, self._cipher)
        return self._keys[step]

    def _make_room(self) -> None:
        """Keep the sums of the 2 + lead newest later steps of each neighbor: somebody who is slow skips ahead by them,
        and somebody who lies takes no room from the others."""
        later = [step for step in sorted(self._sums) if step > self._step]
        names = {name for step in later for name in self._sums[step].heard}
        newest = {
            step for name in names for step in [s for s in later if name in self._sums[s].heard][-2 - self._plan.lead :]
        }
        for step in {*later} - newest:
            del self._sums[step]
            self._numbers.pop(step, None)

    def _told_all(self, step: int, notes: Sequence[Note]) -> list[Action]:
        return [self._to(note.receiver, step, note.phase, note.payload) for note in notes]

    def _give(self, step: int, now: float) -> list[Action]:
        """Give the inner peer the mean of the survivors in place of the model of each."""
        done = self._sums[step]
        total, done.total = done.total, None
        if total is None:
            return []
        row = self._plan.rows(self.peer_id, step)
        weight = sum(row[name] for name in done.survivors)
        mean = self._plan.fixed_point.decode(total, weight, self._dtype)
        ends = np.cumsum([0, *self._plan.sizes.values()]).tolist()
        vectors: dict[str, Encoded] = encoded(
            {name: mean[begin:end] for name, (begin, end) in zip(self._plan.sizes, pairwise(ends), strict=True)}
        )
        actions: list[Action] = []
        for name in done.survivors:
            numbers = self._numbers[step].get(name, {})
            given = Message(name, self.peer_id, self._plan.kind, step, None, vectors, numbers)
            actions += self._carried(self.inner.receive(given, now), now)
        return actions

    def _close_late(self, now: float) -> list[Action]:
        """Go on without those who are too late for their phase."""
        actions: list[Action] = []
        for step, one in list(self._sums.items()):
            while not one.is_over and (due := self._due(step)) is not None and due <= now:
                actions += self._told_all(step, one.close())
                if one.is_over:
                    actions += self._give(step, now)
        if self._plan.patience is not None:
            for key in self._open():
                if now >= self._since.get(key[1], now) + 2 * self._plan.patience:
                    self._parts[key].forget()
                    self._terms.forget(*key)
        return actions

    def _due(self, step: int) -> float | None:
        """When the phase of a sum is over for those who are late."""
        one, since = self._sums.get(step), self._since.get(step)
        return None if one is None or one.is_over or since is None else self._plan.due(one.phase, since)

    # Messages and times

    def _to(
        self, receiver: PeerId, step: int, phase: Phase, payload: bytes, numbers: Mapping[str, float] | None = None
    ) -> Send:
        message = secret_message(self.peer_id, receiver, step, phase, payload, numbers or {})
        self._said[place_of(message)] = message
        return Send(message)

    def _wakes(self) -> list[Action]:
        dues = [self._due(step) for step in self._sums]
        ends: list[float | None] = []
        if self._plan.patience is not None:
            ends = [self._since[step] + 2 * self._plan.patience for _, step in self._open() if step in self._since]
        return wake_at_first(self._wish, self._retry, *dues, *ends)

    def _forget_before(self, step: int) -> None:
        """Forget sums of steps that nobody can need any more."""
        self._sums = {one: sum_ for one, sum_ in self._sums.items() if one >= step}
        self._numbers = {one: numbers for one, numbers in self._numbers.items() if one >= step}
        waiting = {one for _, one in self._open()}  # for their patience, which later steps may outrun
        self._since = {one: since for one, since in self._since.items() if one >= step or one in waiting}
        self._parts = {key: one for key, one in self._parts.items() if key[1] >= step or not one.is_over}
        kept = {one for _, one in self._open()}
        self._keys = {one: keys for one, keys in self._keys.items() if one >= step or one in kept}
        self._said = {
            key: said for key, said in self._said.items() if key[1] >= step or (key[2] and key[:2] in self._parts)
        }

    # Persistence

    def snapshot(self) -> Snapshot:
        sums = {str(step): one.snapshot() for step, one in self._sums.items()}
        parts = {f"{name}/{step}": one.snapshot() for (name, step), one in self._parts.items()}
        # A key without a term has not been shown, and might come to mask two: who goes on from here trains anew.
        shown = {step for _, step in self._parts}
        values = {
            "step": self._step,
            "since": {str(step): since for step, since in self._since.items()},
            "numbers": {str(step): {name: dict(of) for name, of in by.items()} for step, by in self._numbers.items()},
            "steps": list(sums),
            "private": {str(step): keys.private.hex() for step, keys in self._keys.items() if step in shown},
            "keys": [[name, step] for name, step in self._parts],
        }
        return compose(
            values,
            {
                "inner": self.inner.snapshot(),
                "sums": compose({}, sums),
                "parts": compose({}, parts),
                "terms": self._terms.snapshot(),
                "said": snapshot_of_messages({str(k): one for k, one in enumerate(self._said.values())}),
            },
        )

    def restore(self, snapshot: Snapshot) -> None:
        values = snapshot[1]
        self.inner.restore(part("inner", snapshot))
        self._step = values["step"]
        self._since = {int(step): since for step, since in values["since"].items()}
        self._numbers = {int(step): by for step, by in values["numbers"].items()}
        for text, private in values["private"].items():
            keys = StepKeys(self.peer_id, self._run, int(text), self._cipher, bytes.fromhex(private))
            self._keys[int(text)] = keys
        sums, parts = part("sums", snapshot), part("parts", snapshot)
        for text in values["steps"]:
            step = int(text)
            self._sums[step] = self._sum(step)
            self._sums[step].restore(part(text, sums))
        for name, step in values["keys"]:
            self._parts[name, step] = self._part(name, step)
            self._parts[name, step].restore(part(f"{name}/{step}", parts))
        self._terms.restore(part("terms", snapshot))
        said = messages_of_snapshot(part("said", snapshot)).values()
        self._said = {place_of(message): message for message in said}
