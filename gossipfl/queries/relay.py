"""Peers without a model, which answer questions together, along a tree (see `tree`).

In each pass a peer waits for the summaries of those below it, makes one of theirs and its own, in node order, and sends
that to the peer above it. What the root makes is the total, which goes back to everybody. The laws:

* Totals do not depend on what is lost, doubled, late or overtaken: only asking again waits for a time.
* Whoever waits for a total asks again, by its summary or by a request, and whoever has it says it again; nothing else
  is confirmed. Along links that go one way, only such requests go backward.
* A summary is merged only if all totals before were the same for its sender, and if its sender's summary of the pass
  before was merged. So those who are in a total may only become fewer, also where a peer has forgotten everything.
* After its `patience`, a peer goes on without those below it who are silent.
* Whoever knows that no total will come, or has waited too long for one, leaves its questions unanswered, and says so to
  those who would have it from here. So nobody waits for ever, and nobody gets a number of which it is not known how
  many peers it is over.

The peer above sees one's summary; that of a peer with nobody below it is of its own values alone.
"""

from collections.abc import Sequence
from dataclasses import asdict
from math import inf

import numpy as np

from gossipfl.actions import Action, Job, Refused, Send
from gossipfl.actions import Outcome as JobOutcome
from gossipfl.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.peers.random_neighbors import Backoff
from gossipfl.peers.retries import wake_at_first
from gossipfl.peers.standing import Standing
from gossipfl.queries.inquiry import Inquiry, Outcome, Question
from gossipfl.queries.masked_inquiry import MaskedInquiry, Masking
from gossipfl.queries.relay_messages import (
    AGREED,
    SILENT,
    SUMMARY,
    Total,
    digest,
    most_passes,
    request,
    summary_in,
    summary_message,
)
from gossipfl.queries.tree import Place
from gossipfl.queries.values import Values
from gossipfl.snapshot import (
    Snapshot,
    compose,
    encoded_of_snapshot,
    messages_of_snapshot,
    part,
    snapshot_of_encoded,
    snapshot_of_messages,
)
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId, Vector, frozen

PATIENCE = 60.0
"""Seconds for each link of the way, which a message and what its receiver has to do with it surely take no longer."""


class RelayPeer:
    """A `Peer` without a model that answers questions together with the others of a tree.

    `values` are its own for each question, empty where it has none. A pass should be over within the timeout of
    `backoff`, after which it asks again. `patience`: seconds for which it waits for a summary or a total, for each link
    of the way that it has to come; higher: fewer slow peers are left out, at the expense of waiting for the dead. It
    begins when `all_are_there`, seconds on the engine's clock: before, one for whom a neighbor waits may be starting.
    Of neighbors that changed, those who are gone count as silent at once. With a `masking`, nobody sees a summary
    that is not of all.

    Raises DataError when `values` are not what a question is about, and ConfigurationError for a patience that is none,
    and for questions, or too few peers, that no masks can hide.
    """

    standing: Standing | None = None
    outstanding: Job | None = None
    num_open = 0

    def __init__(
        self,
        place: Place,
        questions: Sequence[Question],
        values: Sequence[Values],
        *,
        backoff: Backoff,
        generator: np.random.Generator,
        patience: float = PATIENCE,
        all_are_there: float = 0.0,
        masking: Masking | None = None,
    ) -> None:
        if not 0 < patience < inf:
            raise ConfigurationError(f"patience is above 0 seconds and finite, got {patience}")
        self.peer_id = place.peer_id
        self.num_rounds = most_passes(questions, len(place.positions), is_masked=masking is not None)
        self.value: Vector = frozen(np.zeros(0))
        self._place = place
        self._inquiry = (
            Inquiry(questions, values)
            if masking is None
            else MaskedInquiry(questions, values, self.peer_id, [*place.positions], masking)
        )
        self._backoff = backoff
        self._generator = generator
        self._patience = patience
        self._all_are_there = all_are_there
        self._changed: Neighbors | None = None
        self._gone: frozenset[PeerId] = frozenset()
        self._totals: list[Total] = []
        self._agreed = 0  # a digest of all totals
        self._silent: int | None = None  # the first who was
        self._is_in = True  # in the totals, as far as it knows
        self._below = dict.fromkeys(place.below, 0)  # those who are still in, with a digest of what was merged of each
        self._received: dict[PeerId, Message] = {}  # the newest summary of each
        self._summary: Message | None = None  # of this pass, once it is made
        self._made = 0  # a digest of the newest summary that it made
        self._since: float | None = None  # when the pass began; None before the start
        self._num_repeats = 0
        self._repeat_at = 0.0

    @property
    def round(self) -> int:
        return len(self._totals)

    @property
    def rounds_done(self) -> int:
        return self.round

    @property
    def answers(self) -> tuple[Outcome, ...] | None:
        """The answers in the order of the questions, or why there are none; None: they are not all known yet."""
        return self._inquiry.outcomes

    @property
    def finished(self) -> bool:
        return self.answers is not None

    @property
    def is_drained(self) -> bool:
        return self.finished

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        source = self._place.source
        if self.finished:
            return ()
        return self._missing() or (() if source is None else (source,))

    # Passes

    def start(self, now: float) -> list[Action]:
        if self._since is None:
            self._begin_pass(now)
            return self._go_on(now)
        again = [] if self.finished or self._summary is None else self._again()
        return [*again, *self._go_on(now)]

    def wake(self, now: float) -> list[Action]:
        if self._since is None or self.finished:
            return []
        actions: list[Action] = []
        if self._place.source is not None and now >= self._repeat_at:
            actions = self._again()
            self._num_repeats += 1
            self._repeat_at = now + self._backoff.delay(self._num_repeats + 1, self._generator)
        return [*actions, *self._go_on(now)]

    def _begin_pass(self, now: float) -> None:
        self._summary, self._since, self._num_repeats = None, max(now, self._all_are_there), 0
        if self._place.source is not None:
            self._repeat_at = now + self._backoff.delay(1, self._generator)

    def _deadline(self, num_links: int) -> float:
        """When patience ends with what has so many links to come."""
        assert self._since is not None
        return self._since + self._patience * num_links

    def _arrived(self) -> dict[PeerId, Message]:
        """The summaries of this pass that are there."""
        return {one: message for one, message in self._received.items() if message.round == 2 * self.round}

    def _missing(self) -> tuple[PeerId, ...]:
        """Those below whose summary is waited for."""
        if self._summary is not None or not self._is_in:
            return ()
        arrived = self._arrived()
        return tuple(one for one in self._below if one not in arrived and one not in self._gone)

    def _go_on(self, now: float) -> list[Action]:
        """Do what can be done by now, and ask to be woken for the rest."""
        place, actions = self._place, list[Action]()
        if place.above in self._gone:
            self._is_in = False
        while not (self.finished or self._summary is not None or not self._is_in):
            if self._missing() and now < self._deadline(place.height):
                break
            actions += self._pass_on(now)
        if self.finished:
            return actions
        times = [self._deadline(place.height)] if self._missing() else []
        if place.source is not None:
            give_up = self._deadline(place.way + 1)
            if now >= give_up or place.source in self._gone:
                return [*actions, *self._take(Total(None, self._agreed, place.positions[place.source]), now)]
            times += [give_up, self._repeat_at]
        return [*actions, *wake_at_first(*times)]

    def _pass_on(self, now: float) -> list[Action]:
        """Make one summary of those that are there: for the peer above, or the total."""
        place, arrived = self._place, self._arrived()
        silent = [place.positions[one] for one in self._below if one not in arrived]
        silent += [int(message.numbers[SILENT]) for message in arrived.values() if SILENT in message.numbers]
        first = min(silent, default=None)
        parts = {one: summary_in(message) for one, message in arrived.items()}
        self._below = {one: digest(vector) for one, vector in parts.items()}
        parts[self.peer_id] = self._inquiry.own
        vector = self._inquiry.merged([parts[one] for one in sorted(parts, key=place.positions.__getitem__)])
        encoded = self._inquiry.encoded(vector)
        if place.above is None:
            is_total = first is None or not self._inquiry.needs_all
            return self._take(Total(encoded if is_total else None, self._agreed, first), now)
        tie = digest(self._agreed, self._made)
        self._made = digest(vector)
        self._summary = summary_message(self.peer_id, place.above, self.round, encoded, tie, first)
        return [Send(self._summary)]

    def _take(self, total: Total, now: float) -> list[Action]:
        """End the pass with its total, or with the word that there is none, and hand it on."""
        if self._summary is None and self._place.above is not None:
            self._is_in = False
        self._learn(total)
        # Those of passes that are over would make every arrival a reason to look who is missing.
        self._received = {one: message for one, message in self._received.items() if message.round >= 2 * self.round}
        self._begin_pass(now)
        handed_on = [self._final(self.round - 1, receiver) for receiver in self._place.receivers]
        misfits = {one: why for one, message in self._arrived().items() if (why := self._misfit(message)) is not None}
        for sender in misfits:
            del self._received[sender]
        return [*handed_on, *(Refused(sender, why) for sender, why in misfits.items()), *self._go_on(now)]

    def _learn(self, total: Total) -> None:
        self._totals.append(total)
        self._silent = total.silent if self._silent is None else self._silent
        everybody = self._place.positions
        name = None if self._silent is None else [*everybody][self._silent]
        if total.vector is None:
            self._inquiry.give_up(
                f"there is no answer: no total of pass {self.round} came, because peer {name} was silent or is gone; "
                "ask again, without it or with more patience"
            )
            return
        notes = () if name is None else (f"not all {len(everybody)} peers are in it: peer {name} was silent",)
        self.value = total.vector.arrays["values"]
        self._agreed = digest(self._agreed, self.value)
        self._inquiry.go_on(self.value, notes)

    # Messages

    def receive(self, message: Message, now: float) -> list[Action]:
        place, kind, sender, number = self._place, message.kind, message.sender, message.round // 2
        talks = {Kind.PUSH: place.below, Kind.FINAL: (place.source,), Kind.REQUEST: place.receivers}
        if sender not in talks.get(kind, ()) or sender in self._gone or message.round % 2 != (kind is not Kind.PUSH):
            raise RemoteProtocolError(f"peer {self.peer_id} expects no such {kind} from peer {sender}")
        if number < self.round:  # whoever is still in that pass has missed its total
            return [self._final(number, sender)] if kind is not Kind.FINAL and sender in place.receivers else []
        if self.finished or kind is Kind.REQUEST or (kind is Kind.FINAL and number > self.round):
            return []  # a later total is asked for in its time
        is_of_this_pass = number == self.round
        has_gone_on = is_of_this_pass and (self._summary is not None or not self._is_in)
        if kind is Kind.PUSH and (has_gone_on or sender not in self._below):
            return []
        if is_of_this_pass and (why := self._misfit(message)) is not None:
            raise RemoteProtocolError(f"peer {sender} {why}")
        if kind is Kind.FINAL:
            return self._take(Total.of(message), now)
        if sender not in self._received or self._received[sender].round < message.round:
            self._received[sender] = message
        # Of thousands below, not every one is a reason to look who is missing.
        return [] if len(self._received) + len(self._gone) < len(self._below) else self._go_on(now)

    def _misfit(self, message: Message) -> str | None:
        """The fault of a summary or a total of this pass, as the end of a sentence."""
        if message.kind is Kind.PUSH:
            agreed = digest(self._agreed, self._below.get(message.sender, 0))
        elif SUMMARY not in message.vectors:
            return None  # there is no total, whatever was before
        else:
            agreed = self._agreed
        if (fault := self._inquiry.fault(summary_in(message), self.round + 1)) is not None:
            return fault
        if message.number(AGREED) != agreed:
            return f"goes by other passes before pass {self.round + 1} than this peer"
        return None

    def _again(self) -> list[Action]:
        """Ask again for the total: by one's summary, or by a request where the source does not get that."""
        place, actions = self._place, list[Action]()
        if self._summary is not None:
            actions.append(Send(self._summary))
        if place.source is not None and (self._summary is None or place.above != place.source):
            actions.append(Send(request(self.peer_id, place.source, self.round)))
        return actions

    def _final(self, number: int, receiver: PeerId) -> Send:
        return Send(self._totals[number].message(self.peer_id, receiver, number))

    def completed(self, outcome: JobOutcome, now: float) -> list[Action]:
        raise LocalProtocolError(f"peer {self.peer_id} has asked for no work")

    def send_failed(self, message: Message, now: float) -> list[Action]:
        return []  # whoever misses it asks again

    def neighbors_changed(self, neighbors: Neighbors, now: float) -> list[Action]:
        self._meet(neighbors)
        return [] if self._since is None else self._go_on(now)

    def _meet(self, neighbors: Neighbors) -> None:
        self._changed = neighbors
        self._gone = frozenset(one for one in self._place.neighbors if one not in neighbors)

    # Persistence

    def snapshot(self) -> Snapshot:
        values = {
            "changed": None if self._changed is None else asdict(self._changed),
            "is_in": self._is_in,
            "below": dict(self._below),
            "made": self._made,
            "since": self._since,
            "num_repeats": self._num_repeats,
            "repeat_at": self._repeat_at,
            "generator": self._generator.bit_generator.state,
            "secret": self._inquiry.secret,
            "totals": [[total.agreed, total.silent] for total in self._totals],
        }
        vectors = {str(number): total.vector for number, total in enumerate(self._totals) if total.vector is not None}
        parts = {
            "vectors": snapshot_of_encoded(vectors),
            "received": snapshot_of_messages(self._received),
            "summary": snapshot_of_messages({} if self._summary is None else {SUMMARY: self._summary}),
        }
        return compose(values, parts)

    def restore(self, snapshot: Snapshot) -> None:
        _, values = snapshot
        if values["changed"] is not None:
            self._meet(Neighbors(**values["changed"]))
        self._inquiry.restore(values["secret"])
        vectors = encoded_of_snapshot(part("vectors", snapshot))
        for number, (agreed, silent) in enumerate(values["totals"]):
            self._learn(Total(vectors.get(str(number)), agreed, silent))
        self._is_in, self._below, self._made = values["is_in"], dict(values["below"]), values["made"]
        self._since, self._num_repeats = values["since"], values["num_repeats"]
        self._repeat_at = values["repeat_at"]
        self._generator.bit_generator.state = values["generator"]
        self._received = messages_of_snapshot(part("received", snapshot))
        self._summary = messages_of_snapshot(part("summary", snapshot)).get(SUMMARY)
