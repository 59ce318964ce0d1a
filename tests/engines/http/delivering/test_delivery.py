"""The host of correspondences wakes them, answers polls and stops in time; what they ask for is in transcripts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from virtual_time import run_in_virtual_time

from gossipfl.engines.http.delivering.correspondence import Correspondence
from gossipfl.engines.http.delivering.delivery import GOODBYE_SECONDS, Delivery
from gossipfl.engines.http.delivering.letters import Answer, Letter, NotTaken, Parcel
from gossipfl.engines.http.delivering.meeting import meet
from gossipfl.engines.http.wire.envelope import Envelope, Purpose
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.errors import TransportError
from gossipfl.messages import Kind, Message

LOST = TransportError("cannot be reached")
SESSION = "1" * 32


def message(round: int) -> Message:
    return Message("a", "b", Kind.MODEL, round)


def envelope(purpose: Purpose, received: int = 0) -> Envelope:
    return Envelope(purpose, "0" * 64, "0" * 64, "b", 1, SESSION, "a", "2" * 32, 7, received, 0, "-")


class Scene:
    """A delivery to neighbor b, and its client: each POST ends as `outcomes` say in turn, and then well, after
    `seconds`."""

    def __init__(
        self, *outcomes: Any, polls: bool = False, url: str | None = "http://b", seconds: float = 0.01
    ) -> None:
        self.outcomes, self.seconds = list(outcomes), seconds
        self.posted: list[tuple[float, Purpose]] = []
        self.failed: list[int] = []
        self.came: list[Answer] = []
        self.events: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.neighbor = Correspondence("b", Limits(poll_seconds=20.0), lambda: 1.0, polls=polls)
        self.neighbor.url = url
        self.delivery = Delivery(
            {"b": self.neighbor},
            self.spawn,
            self.fail,
            self.come,
            lambda: None,
            lambda name, event: self.events.append(event),
        )

    async def meet(self, name: str, url: str) -> str | NotTaken:
        return self.outcomes.pop(0) if self.outcomes and self.outcomes[0] == NotTaken("not_ready") else SESSION

    async def post(self, url: str, letter: Letter, responded: Callable[[str, int], None]) -> Any:
        self.posted.append((asyncio.get_running_loop().time(), letter.parcel.purpose))
        await asyncio.sleep(self.seconds)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        responded(SESSION, 100)
        return outcome

    def spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def fail(self, parcel: Parcel) -> None:
        self.delivery.forget(parcel)
        self.failed.append(parcel.message.round)

    async def come(self, name: str, answer: Answer) -> None:
        self.came.append(answer)

    def say(self, *rounds: int) -> None:
        for round in rounds:
            self.delivery.send(self.delivery.note(message(round)))

    def play(self, act: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            self.delivery.begin(self)
            await act()
            assert not self.tasks or self.neighbor._polls

        run_in_virtual_time(run())


def times(scene: Scene) -> list[float]:
    return [pytest.approx(time) for time, _ in scene.posted]


def test_messages_are_posted_one_after_the_other_and_answers_taken_in():
    answer = Answer(envelope(Purpose.MESSAGE), message(7))
    scene = Scene(None, answer)

    async def act() -> None:
        scene.say(1, 2, 3)
        assert scene.delivery.undelivered == [message(1), message(2), message(3)]
        await asyncio.sleep(1.0)

    scene.play(act)
    assert times(scene) == [0.0, 0.01, 0.02]
    assert scene.came == [answer]
    assert scene.delivery.undelivered == []


def test_it_wakes_a_correspondence_when_a_pause_is_over(caplog):
    caplog.set_level(logging.INFO)
    scene = Scene(NotTaken("too_many_requests", delay=0.5), None, LOST, LOST, LOST)

    async def act() -> None:
        scene.say(1)
        await asyncio.sleep(0.99)
        scene.delivery.say_finished()
        await asyncio.sleep(10.0)

    scene.play(act)
    assert times(scene) == [0.0, 0.51, 0.99, 1.1, 1.31, 1.72]
    assert scene.events == ["unreachable", "reachable"]
    assert caplog.text.count("cannot be reached") == 1  # a long outage is one line


def test_a_message_that_is_refused_has_failed_and_the_log_says_why(caplog):
    scene = Scene(NotTaken("against_protocol", "no"), LOST)

    async def act() -> None:
        scene.say(1, 2)
        await asyncio.sleep(1.0)

    scene.play(act)
    assert scene.failed == [1, 2]
    assert "peer b refused it: against_protocol (no)" in caplog.text


def test_a_poll_that_is_refused_is_no_line_in_the_log(caplog):
    scene = Scene(NotTaken("unknown_sender"), polls=True)

    async def act() -> None:
        await asyncio.sleep(0.5)

    scene.play(act)
    assert len(scene.posted) == 1
    assert not caplog.text


def test_one_that_does_not_tell_its_session_is_asked_again_and_ends_nothing():
    """Whatever it says: this was once an error that ended the peer."""
    scene = Scene(NotTaken("not_ready"), NotTaken("not_ready"))

    async def act() -> None:
        await meet(scene, [scene.neighbor], 0.01, lambda: 1.0)
        scene.say(1)
        await asyncio.sleep(1.0)
        scene.say(2)
        await asyncio.sleep(1.0)

    scene.play(act)
    assert scene.failed == [1]
    assert len(scene.posted) == 1


class TestPolls:
    """Of a neighbor that cannot be reached."""

    def test_one_waits_until_there_is_something(self):
        scene = Scene(url=None)

        async def act() -> None:
            poll = asyncio.create_task(scene.delivery.fetched(scene.neighbor, envelope(Purpose.POLL)))
            await asyncio.sleep(3.0)
            assert not poll.done()
            scene.say(7)
            letter = await poll
            assert letter.parcel.message == message(7)
            confirming = envelope(Purpose.MESSAGE, received=letter.counter)
            scene.delivery.arrived(scene.neighbor, confirming)
            assert await scene.delivery.fetched(scene.neighbor, confirming) is None
            assert scene.delivery.undelivered == []

        scene.play(act)

    def test_one_does_not_wait_for_ever(self):
        scene = Scene(url=None)

        async def act() -> None:
            assert await scene.delivery.fetched(scene.neighbor, envelope(Purpose.POLL)) is None
            assert asyncio.get_running_loop().time() == pytest.approx(20.0)

        scene.play(act)

    def test_one_that_nobody_waits_for_any_more_loses_nothing(self):
        scene = Scene(url=None)

        async def act() -> None:
            poll = asyncio.create_task(scene.delivery.fetched(scene.neighbor, envelope(Purpose.POLL)))
            await asyncio.sleep(1.0)
            poll.cancel()
            await asyncio.sleep(0.0)
            scene.say(7)
            letter = await scene.delivery.fetched(scene.neighbor, envelope(Purpose.POLL))
            assert letter.parcel.message == message(7)

        scene.play(act)


@pytest.mark.parametrize(("seconds", "ends_at"), [(0.5, 1.5), (60.0, 1.0 + GOODBYE_SECONDS)])
def test_the_last_word_is_waited_for_but_not_for_long(seconds, ends_at):
    scene = Scene()

    async def act() -> None:
        scene.say(1)
        await asyncio.sleep(1.0)
        scene.delivery.end()
        scene.seconds = seconds
        await scene.delivery.say_leaving(scene)
        assert asyncio.get_running_loop().time() == pytest.approx(ends_at)
        scene.say(2)
        for task in scene.tasks:
            task.cancel()
        await asyncio.sleep(1.0)

    scene.play(act)
    assert [purpose for _, purpose in scene.posted] == [Purpose.MESSAGE, Purpose.LEAVING]
