"""Couriers, polls and pauses, with a client that is told what happens and a clock that jumps."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from virtual_time import run_in_virtual_time

from gossipfl.engines.http.delivering.client import Answer, Refused
from gossipfl.engines.http.delivering.delivery import GONE_AFTER, POLLS_PER_SECOND, Delivery
from gossipfl.engines.http.delivering.neighbor import Neighbor, Parcel
from gossipfl.engines.http.wire.envelope import Envelope, Purpose
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.errors import TransportError
from gossipfl.messages import Kind, Message

LOST = TransportError("cannot be reached")


def message(round: int = 0, receiver: str = "b") -> Message:
    return Message("a", receiver, Kind.MODEL, round)


def envelope(purpose: Purpose, received: int = 0) -> Envelope:
    return Envelope(purpose, "0" * 64, "0" * 64, "b", 1, "0" * 32, "a", "1" * 32, 1, received, 0, "-")


@dataclass
class Scene:
    """A delivery to neighbor "b", whose client does what `outcomes` say, one after the other, and then succeeds."""

    limits: Limits = field(default_factory=Limits)
    outcomes: list[Any] = field(default_factory=list)
    url: str | None = "http://b"
    seconds_to_tell: float = 0.0
    """How long it takes to tell the peer that a message has failed."""

    def __post_init__(self) -> None:
        self.tries: list[tuple[float, Purpose, int | None]] = []
        self.failed: list[int] = []
        self.came: list[Answer] = []
        self.undelivered_when_came: list[list[int]] = []
        self.events: list[str] = []
        self.num_settled = 0
        self.neighbor = Neighbor("b", self.url, lambda neighbor, event: self.events.append(event))
        self.delivery = Delivery(
            {"b": self.neighbor}, self.limits, np.random.default_rng(0), self._fail, self._come, self._settle
        )

    async def deliver(self, neighbor: Neighbor, parcel: Parcel) -> Answer | None:
        now = asyncio.get_running_loop().time()
        self.tries.append((now, parcel.purpose, None if parcel.message is None else parcel.message.round))
        await asyncio.sleep(0.001)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        neighbor.heard("0" * 32, now)
        return outcome

    async def _fail(self, parcel: Parcel) -> None:
        assert parcel in self.delivery.undelivered  # until the peer knows
        await asyncio.sleep(self.seconds_to_tell)
        del self.delivery.undelivered[parcel]
        self.failed.append(parcel.message.round)

    async def _come(self, neighbor: Neighbor, answer: Answer) -> None:
        self.came.append(answer)
        self.undelivered_when_came.append([parcel.message.round for parcel in self.delivery.undelivered])

    def _settle(self) -> None:
        self.num_settled += 1

    async def say(self, *rounds: int) -> list[Parcel]:
        parcels = self.delivery.note([message(round) for round in rounds])
        for parcel in parcels:
            await self.delivery.send(parcel)
        return parcels

    @property
    def rounds_tried(self) -> list[int | None]:
        return [round for _, _, round in self.tries]


def play(scene: Scene, act: Callable[[], Awaitable[None]], *, polls: bool = False, seconds: float = 60.0) -> None:
    """Let the courier (or the poll) run beside `act`, and on until `seconds` have passed."""

    async def run() -> None:
        loop = scene.delivery.poll if polls else scene.delivery.courier
        work = asyncio.create_task(loop(scene, scene.neighbor))
        await act()
        await asyncio.wait([work], timeout=seconds)
        work.cancel()

    run_in_virtual_time(run())


class TestCourier:
    def test_parcels_are_delivered_in_order_and_then_forgotten(self):
        scene = Scene()
        play(scene, lambda: scene.say(1, 2, 3))
        assert scene.rounds_tried == [1, 2, 3]
        assert not scene.failed
        assert not scene.delivery.undelivered
        assert not scene.neighbor.parcels

    def test_an_answer_is_passed_on(self):
        answer = Answer(envelope(Purpose.MESSAGE), message())
        scene = Scene(outcomes=[answer])
        play(scene, lambda: scene.say(1))
        assert scene.came == [answer]
        assert scene.undelivered_when_came == [[1]]  # its answer is not on disk yet
        assert not scene.delivery.undelivered

    @pytest.mark.parametrize("outcome", [LOST, Refused("b", "against_protocol", "")], ids=["lost", "refused"])
    def test_what_has_failed_is_undelivered_until_the_peer_knows(self, outcome):
        scene = Scene(outcomes=[outcome], seconds_to_tell=1.0)

        async def act() -> None:
            await scene.say(1)
            await asyncio.sleep(0.5)
            assert [parcel.message.round for parcel in scene.delivery.undelivered] == [1]
            assert not scene.failed

        play(scene, act)
        assert scene.failed == [1]
        assert not scene.delivery.undelivered

    def test_everything_that_waits_for_one_that_is_lost_has_failed(self):
        scene = Scene(outcomes=[LOST])
        play(scene, lambda: scene.say(1, 2, 3))
        assert scene.rounds_tried == [1]
        assert scene.failed == [1, 2, 3]
        assert not scene.delivery.undelivered

    def test_messages_fail_at_once_while_a_neighbor_is_left_alone(self):
        scene = Scene(outcomes=[LOST] * 5)

        async def act() -> None:
            await scene.say(1)
            await asyncio.sleep(0.01)
            assert scene.failed == [1]
            await scene.say(2)
            await asyncio.sleep(0.001)
            assert scene.failed == [1, 2]

        play(scene, act)
        assert scene.rounds_tried == [1]

    def test_pauses_double_with_jitter_up_to_the_longest(self):
        scene = Scene(Limits(max_backoff=2.0), [LOST] * 200)

        async def act() -> None:
            scene.neighbor.add(Parcel(Purpose.FINISHED))  # is tried again for ever, since no goodbye came

        play(scene, act, seconds=200.0)
        pauses = np.diff([time for time, _, _ in scene.tries]) - 0.001
        longest = np.minimum(0.1 * 2.0 ** np.arange(len(pauses)), 2.0)
        assert len(pauses) > 100
        assert (pauses >= 0.5 * longest - 1e-9).all()
        assert (pauses <= longest + 1e-9).all()
        assert np.std(pauses[10:]) > 0.2

    def test_one_that_is_heard_again_is_not_left_alone_any_longer(self):
        scene = Scene(Limits(max_backoff=1000.0), [LOST] * 12)

        async def act() -> None:
            scene.neighbor.add(Parcel(Purpose.FINISHED))
            while scene.outcomes:
                await asyncio.sleep(1.0)
            now = asyncio.get_running_loop().time()
            assert scene.neighbor.not_before - now > 20.0
            scene.neighbor.heard("0" * 32, now)
            await asyncio.sleep(0.01)

        play(scene, act, seconds=1.0)
        assert len(scene.tries) == 13
        assert scene.neighbor.was_told

    def test_losing_and_finding_a_neighbor_are_events(self):
        scene = Scene(outcomes=[None, LOST, None])

        async def act() -> None:
            await scene.say(1)
            await asyncio.sleep(0.1)
            await scene.say(2)
            await asyncio.sleep(1.0)
            await scene.say(3)

        play(scene, act)
        assert scene.events == ["unreachable", "reachable"]
        assert scene.failed == [2]

    def test_one_that_was_never_there_is_not_lost(self):
        scene = Scene(outcomes=[LOST])
        play(scene, lambda: scene.say(1))
        assert scene.events == []
        assert scene.neighbor.contact == "unknown"

    def test_what_is_refused_has_failed_and_the_next_is_delivered(self):
        scene = Scene(outcomes=[Refused("b", "against_protocol", ""), Refused("b", "made-up", "")])
        play(scene, lambda: scene.say(1, 2, 3))
        assert scene.rounds_tried == [1, 2, 3]
        assert scene.failed == [1, 2]
        assert scene.neighbor.refusals == {"against_protocol": 1, "other": 1}

    def test_a_message_that_fails_elsewhere_while_it_is_on_its_way_is_no_trouble(self):
        """A peer that polls may find out by its poll that the neighbor is gone, while its courier delivers."""
        scene = Scene(outcomes=[None, Refused("b", "stopping", "")])

        async def act() -> None:
            for round in (1, 2):
                await scene.say(round)
                await asyncio.sleep(0.0005)
                scene.neighbor.taken((Purpose.MESSAGE,))
                await asyncio.sleep(0.1)
            await scene.say(3)

        play(scene, act)
        assert scene.rounds_tried == [1, 2, 3]

    def test_the_newest_messages_are_kept_and_the_one_on_its_way(self):
        scene = Scene(Limits(outbox_messages=3))

        async def act() -> None:
            await scene.say(0)
            await asyncio.sleep(0.0005)
            await scene.say(1, 2, 3, 4)

        play(scene, act)
        assert scene.failed == [1, 2]
        assert scene.rounds_tried == [0, 3, 4]


class TestGoodbye:
    def test_it_is_said_once_to_each(self):
        scene = Scene()

        async def act() -> None:
            scene.delivery.say_finished()
            scene.delivery.say_finished()
            await asyncio.sleep(1.0)
            scene.delivery.say_finished()

        play(scene, act)
        assert [purpose for _, purpose, _ in scene.tries] == [Purpose.FINISHED]
        assert scene.neighbor.was_told

    def test_one_that_has_finished_and_does_not_answer_is_gone(self):
        scene = Scene(outcomes=[LOST] * 100)

        async def act() -> None:
            scene.neighbor.goodbye(Purpose.FINISHED)
            scene.delivery.say_finished()

        play(scene, act)
        assert len(scene.tries) == GONE_AFTER
        assert scene.neighbor.is_settled

    def test_one_that_has_finished_is_tried_more_than_once(self):
        scene = Scene(outcomes=[LOST])

        async def act() -> None:
            scene.neighbor.goodbye(Purpose.FINISHED)
            scene.delivery.say_finished()

        play(scene, act)
        assert len(scene.tries) == 2
        assert scene.neighbor.is_settled


class TestPoll:
    def test_a_message_is_asked_for_again_at_once(self):
        answers = [Answer(envelope(Purpose.MESSAGE), message(round)) for round in range(50)]
        scene = Scene(outcomes=list(answers))
        play(scene, lambda: asyncio.sleep(0.06), polls=True, seconds=0.0)
        assert scene.came == answers

    def test_one_that_has_nothing_and_does_not_wait_is_not_asked_all_the_time(self):
        scene = Scene()
        play(scene, lambda: asyncio.sleep(0), polls=True, seconds=10.0)
        assert len(scene.tries) == pytest.approx(10 * POLLS_PER_SECOND, abs=2)

    def test_one_that_is_lost_is_asked_again_after_pauses(self):
        scene = Scene(Limits(max_backoff=1.0), [LOST] * 1000)
        play(scene, lambda: asyncio.sleep(0), polls=True, seconds=100.0)
        assert 100 < len(scene.tries) < 220

    def test_one_that_refuses_is_asked_again_a_little_later(self):
        scene = Scene(outcomes=[Refused("b", "unknown_sender", "")] * 1000)
        play(scene, lambda: asyncio.sleep(0), polls=True, seconds=100.0)
        assert 100 < len(scene.tries) < 220


class TestFetching:
    """What goes in the answers to a neighbor that polls."""

    def fetch(self, scene: Scene, received: int = 0, purpose: Purpose = Purpose.POLL) -> Any:
        return run_in_virtual_time(scene.delivery.fetched(scene.neighbor, envelope(purpose, received)))

    def scene(self, *rounds: int) -> Scene:
        scene = Scene(url=None)
        run_in_virtual_time(scene.say(*rounds))
        return scene

    def wrap(self, scene: Scene, parcel: Parcel) -> None:
        parcel.counter = scene.neighbor.next_counter()

    def answer(self, scene: Scene, parcel: Parcel, is_written: bool = True) -> None:
        self.wrap(scene, parcel)
        scene.delivery.answered(scene.neighbor, parcel, 100, is_written)

    def test_the_oldest_comes_until_its_arrival_is_confirmed(self):
        scene = self.scene(1, 2)
        first = self.fetch(scene)
        for _ in range(3):
            self.answer(scene, first)
            assert self.fetch(scene) is first
        second = self.fetch(scene, received=first.counter)
        assert second.message.round == 2
        assert list(scene.delivery.undelivered) == [second]

    def test_only_its_newest_delivery_confirms_it(self):
        """Or else the arrival of a late double of an older message could confirm one that was lost."""
        scene = self.scene(1, 2)
        first = self.fetch(scene)
        self.wrap(scene, first)
        second = self.fetch(scene, received=1)
        self.wrap(scene, second)
        self.wrap(scene, first)  # another poll had it in its hands
        assert self.fetch(scene, received=3) is second

    def test_a_confirmation_in_any_envelope_counts_and_nothing_rides_but_in_polls(self):
        scene = self.scene(1, 2)
        first = self.fetch(scene)
        self.wrap(scene, first)
        assert self.fetch(scene, received=1, purpose=Purpose.MESSAGE) is None
        assert [parcel.message.round for parcel in scene.neighbor.parcels] == [2]

    def test_a_poll_waits_for_something(self):
        scene = self.scene()

        async def run() -> tuple[Parcel | None, float]:
            poll = asyncio.create_task(scene.delivery.fetched(scene.neighbor, envelope(Purpose.POLL)))
            await asyncio.sleep(3.0)
            assert not poll.done()
            await scene.say(7)
            return await poll, asyncio.get_running_loop().time()

        parcel, seconds = run_in_virtual_time(run())
        assert parcel is not None
        assert parcel.message == message(7)
        assert seconds == pytest.approx(3.0)

    def test_a_poll_does_not_wait_for_ever(self):
        scene = self.scene()

        async def run() -> tuple[Parcel | None, float]:
            return await scene.delivery.fetched(scene.neighbor, envelope(Purpose.POLL)), (
                asyncio.get_running_loop().time()
            )

        assert run_in_virtual_time(run()) == (None, pytest.approx(20.0))

    def test_a_goodbye_is_confirmed_as_messages_are(self):
        scene = self.scene()
        scene.delivery.say_finished()
        goodbye = self.fetch(scene)
        self.answer(scene, goodbye)
        assert not scene.neighbor.was_told
        assert self.fetch(scene) is goodbye
        assert self.fetch(scene, received=1, purpose=Purpose.FINISHED) is None
        assert scene.neighbor.was_told

    def test_what_could_not_be_written_to_one_that_can_be_reached_goes_by_courier(self):
        scene = Scene()
        for is_written, waiting in ((True, 0), (False, 1)):
            (parcel,) = scene.delivery.note([message()])
            self.answer(scene, parcel, is_written)
            assert len(scene.neighbor.parcels) == len(scene.delivery.undelivered) == waiting

    def test_what_could_not_be_written_does_not_pile_up(self):
        """It rode in the answer to a request, and comes again when that is repeated."""
        scene = Scene(Limits(outbox_messages=3))
        for _ in range(10):
            (parcel,) = scene.delivery.note([message()])
            self.answer(scene, parcel, False)
        assert len(scene.neighbor.parcels) == len(scene.delivery.undelivered) == 3

    def test_a_new_poll_ends_the_one_before(self):
        """Its connection is gone, as far as the neighbor knows."""
        scene = self.scene()

        async def run() -> list[Parcel | None]:
            polls = []
            for _ in range(3):
                polls.append(asyncio.create_task(scene.delivery.fetched(scene.neighbor, envelope(Purpose.POLL))))
                await asyncio.sleep(1.0)
            assert [poll.done() for poll in polls] == [True, True, False]
            await scene.say(7)
            return await asyncio.gather(*polls)

        assert [parcel and parcel.message.round for parcel in run_in_virtual_time(run())] == [None, None, 7]
