"""A small language for conversations with one neighbor, and what plays them to a `Correspondence`.

A transcript is a story in its first lines (`#`), and then what happens at a time, in seconds: peer a hosts the
correspondence, its neighbor is b. Indented lines say what the correspondence asks to be done; they, and the lines in
which an alarm rings, are written by playing the transcript (`python test_transcripts.py --rewrite`), and read by you.

Pauses are not shortened by chance. What a is told to do with its peer and its disk is done at once, unless it is busy.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from gossipfl.engines.http.delivering.asks import Ask, Fail, Hand, Meet, Post, TakeIn, Tell
from gossipfl.engines.http.delivering.correspondence import Correspondence
from gossipfl.engines.http.delivering.letters import Answer, Letter, NotTaken, Parcel
from gossipfl.engines.http.wire.envelope import Envelope, Purpose
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.messages import Kind, Message

ALARM = "(the alarm rings)"
JUMP = "the clock has jumped"
INDENT = 8
SIZE = 100
"""Bytes of every message."""


class Player:
    """Plays one transcript; `lines` are its lines as they should be."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now = 0.0
        self.limits = Limits(max_backoff=15.0)
        self.url: str | None = "http://b"
        self.polls = False
        self.session = "B1"
        self.names: dict[Parcel, str] = {}
        self.letters: dict[int, Letter] = {}
        self.waiting_for_session: Parcel | None = None
        self.is_busy = False
        self.pending: list[Fail | TakeIn] = []
        self.num_polls = 0
        self.counter = 100  # of b's letters
        self.open()

    def open(self) -> None:
        self.correspondence = Correspondence("b", self.limits, lambda: 1.0, polls=self.polls)
        self.correspondence.url = self.url

    def play(self, text: str) -> str:
        for line in text.splitlines():
            if line.startswith(" ") or line.endswith(ALARM):
                continue
            if line.startswith("#") or not line:
                self.lines.append(line)
                continue
            time, words = re.fullmatch(r"([\d.]+) +(.*)", line).groups()
            if words == JUMP:
                self.now = float(time)
            self.wait(float(time))
            self.lines.append(f"{time:<{INDENT}}{words}")
            self.do(words)
            self.carry_on()
        return "\n".join(self.lines) + "\n"

    def wait(self, until: float) -> None:
        """Let the time pass: the host wakes the correspondence whenever that asks for it."""
        while (wake_at := self.correspondence.wake_at) <= until:
            self.now = max(self.now, wake_at)
            self.lines.append(f"{f'{self.now:.6g}':<{INDENT}}{ALARM}")
            self.carry_on()
        self.now = until

    def do(self, words: str) -> None:
        for pattern, command in COMMANDS.items():
            if (match := re.fullmatch(pattern, words)) is not None:
                command(self, *match.groups())
                return
        raise ValueError(f"no command is called {words!r}")

    def carry_on(self) -> None:
        while asks := self.correspondence.drain(self.now):
            for ask in asks:
                self.say(self.told(ask))
                if isinstance(ask, Meet):
                    self.waiting_for_session = ask.parcel
                elif isinstance(ask, Post) or (isinstance(ask, Hand) and ask.letter is not None):
                    self.letters[ask.letter.counter] = ask.letter
                elif isinstance(ask, Fail | TakeIn):
                    self.pending.append(ask)
            if not self.is_busy:
                self.finish()

    def finish(self) -> None:
        for done in self.pending:
            if isinstance(done, Fail):
                self.correspondence.forget(done.parcel)
            else:
                self.correspondence.taken_in(done.parcel, done.answer, self.now)
        self.pending.clear()

    def say(self, text: str) -> None:
        self.lines.append(" " * INDENT + text)

    def told(self, ask: Ask) -> str:
        match ask:
            case Meet():
                return f"ask b for its session, to address {self.name(ask.parcel)}"
            case Post():
                return f"post {self.addressed(ask.letter)}"
            case Hand():
                what = "nothing" if ask.letter is None else self.addressed(ask.letter)
                return f"answer {ask.poll} with {what}"
            case Fail():
                return f"tell the peer that {self.name(ask.parcel)} may not have arrived"
            case TakeIn():
                message = ask.answer.message
                return f"take in {ask.answer.envelope.purpose if message is None else message_name(message)}"
            case Tell():
                return f"report that b {'has left' if ask.event == 'left' else f'is {ask.event}'}"

    def addressed(self, letter: Letter) -> str:
        received = f", having received up to {letter.received}" if letter.received else ""
        return f"{self.name(letter.parcel)} to {letter.session or '?'} as letter {letter.counter}{received}"

    def name(self, parcel: Parcel) -> str:
        return str(parcel.purpose) if parcel.message is None else message_name(parcel.message)

    def names_of(self, parcels: "Iterator[Parcel]") -> str:
        return " ".join(self.name(parcel) for parcel in parcels) or "nothing"

    def envelope(self, purpose: Purpose, counter: int | None = None, received: int = 0) -> Envelope:
        self.counter += 1
        size = SIZE if purpose is Purpose.MESSAGE else 0
        return Envelope(
            purpose, "run", "schema", "b", 1, self.session, "a", "A", counter or self.counter, received, size, "-"
        )

    # What happens

    def setting(self, name: str, value: str) -> None:
        self.limits = replace(self.limits, **{name: type(getattr(self.limits, name))(float(value))})
        self.open()

    def cannot_be_reached(self, who: str) -> None:
        if who == "a":
            self.polls = True
        else:
            self.url = None
        self.open()

    def begins(self) -> None:
        self.correspondence.begin(self.now)

    def says(self, names: str) -> None:
        for name in names.split():
            self.correspondence.send(self.correspondence.note(message(name)))

    def notes(self, name: str) -> None:
        self.noted = self.correspondence.note(message(name))

    def sends_noted(self) -> None:
        self.correspondence.send(self.noted)

    def tells_session(self, session: str) -> None:
        self.session = session
        assert self.waiting_for_session is not None
        self.correspondence.met(session, self.now, self.waiting_for_session)

    def does_not_meet(self, reason: str | None) -> None:
        assert self.waiting_for_session is not None
        if reason is None:
            self.correspondence.unreachable(self.waiting_for_session, self.now)
        else:
            self.correspondence.not_taken(self.waiting_for_session, NotTaken(reason), self.now)

    def answers(self, letter: str, answer: str, counter: str | None) -> None:
        taken = self.begin_answer(letter)
        back = None
        if answer != "taken":
            purpose = Purpose(answer) if answer in ("finished", "leaving") else Purpose.MESSAGE
            back_message = message(answer) if purpose is Purpose.MESSAGE else None
            back = Answer(self.envelope(purpose, int(counter) if counter else None), back_message)
        self.correspondence.arrived(taken.parcel, back, self.now)

    def begin_answer(self, letter: str) -> Letter:
        posted = self.letters[int(letter)]
        size = 0 if posted.parcel.message is None else SIZE
        self.correspondence.responded(posted, self.session, size, self.now)
        return posted

    def refuses(self, letter: str, reason: str, delay: str | None) -> None:
        posted = self.begin_answer(letter)
        self.correspondence.not_taken(posted.parcel, NotTaken(reason, delay=float(delay or 1.0)), self.now)

    def no_answer(self, letter: str) -> None:
        self.correspondence.unreachable(self.letters[int(letter)].parcel, self.now)

    def posts(self, what: str, received: str | None) -> None:
        purpose = Purpose(what) if what in ("finished", "leaving") else Purpose.MESSAGE
        envelope = self.envelope(purpose, received=int(received or 0))
        self.correspondence.came(envelope, self.now)

    def b_polls(self, received: str | None) -> None:
        self.num_polls += 1
        envelope = self.envelope(Purpose.POLL, received=int(received or 0))
        self.correspondence.came(envelope, self.now)
        self.correspondence.polled(f"poll {self.num_polls}", self.now)

    def restarts_b(self, session: str) -> None:
        self.session = session

    def rides(self, name: str, outcome: str) -> None:
        parcel = self.correspondence.note(message(name))
        self.correspondence.letter(parcel)
        self.correspondence.rode(parcel, SIZE, outcome == "and is written")

    def finished(self) -> None:
        self.correspondence.say_finished()

    def leaves(self) -> None:
        self.correspondence.leave(self.now)

    def revoked(self) -> None:
        self.correspondence.revoke()
        self.correspondence.url = None

    def busy(self, how: str) -> None:
        self.is_busy = how == "busy"
        if not self.is_busy:
            self.finish()

    def resumes(self) -> None:
        """All that a checkpoint holds, and nothing else, is in the next life of a."""
        before = self.correspondence
        self.open()
        self.letters.clear()
        self.pending.clear()
        has_finished = before.contact == "finished"
        self.correspondence.restore(before.traffic, has_finished=has_finished, was_told=before.was_told)
        for parcel in before.undelivered:
            assert parcel.message is not None
            self.correspondence.send(self.correspondence.note(parcel.message))

    def state(self) -> None:
        b = self.correspondence
        self.say(f"b is {b.contact}{', and settled' if b.is_settled else ''}; {b.num_failures} failures in a row")
        self.say(f"outbox: {self.names_of(iter(b.parcels))}; undelivered: {self.names_of(iter(b.undelivered))}")
        refused = " ".join(f"{reason} ({count})" for reason, count in sorted(b.refusals.items()))
        goodbye = "has heard" if b.was_told else "has not heard"
        run = {None: "may be", True: "is", False: "is not"}[b.is_of_this_run]
        self.say(f"b {goodbye} our goodbye; {run} of this run; has refused: {refused or 'nothing'}")
        self.say(f"sent: {b.traffic.num_messages} messages")


RECEIVED = r"(?:, having received up to (\d+))?"
COMMANDS: dict[str, Callable[..., None]] = {
    r"(\w+) is ([\d.]+)": Player.setting,
    r"(a|b) cannot be reached, and polls": Player.cannot_be_reached,
    r"a begins": Player.begins,
    r"a says ([\w ]+)": Player.says,
    r"a notes (\w+), which is not on disk yet": Player.notes,
    r"it is on disk": Player.sends_noted,
    r"b tells its session (\w+)": Player.tells_session,
    r"b does not answer(?: but with (\w+))?": Player.does_not_meet,
    r"b answers letter (\d+): (\w+)(?: as its letter (\d+))?": Player.answers,
    r"b refuses letter (\d+): (\w+)(?:, until in ([\d.]+) s)?": Player.refuses,
    r"letter (\d+) gets no answer": Player.no_answer,
    r"b posts (\w+)" + RECEIVED: Player.posts,
    r"b polls" + RECEIVED: Player.b_polls,
    r"b is restarted, in its life (\w+)": Player.restarts_b,
    r"a's (\w+) rides in the answer to a request, (and is written|which breaks)": Player.rides,
    r"a has finished": Player.finished,
    r"a leaves": Player.leaves,
    r"b is revoked": Player.revoked,
    r"a is (busy|free)": Player.busy,
    r"a is killed, and resumes": Player.resumes,
    r"how does it stand\?": Player.state,
    rf"time passes|{JUMP}": lambda player: None,
}


def message(name: str) -> Message:
    """The message that a transcript calls so; its round is all that tells it from others."""
    return Message("a", "b", Kind.MODEL, int.from_bytes(name.encode()))


def message_name(message: Message) -> str:
    return message.round.to_bytes(16).lstrip(b"\0").decode()
