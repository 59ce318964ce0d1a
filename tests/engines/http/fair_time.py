"""An event loop whose clock stands still while the process is kept from running: a deadline of a moment means the same
on a machine that is busy with other things.

Its time is the processor time of this process, and what it has waited with nothing to do, which is at most until the
next timer.
"""

import asyncio
import selectors
import time
from collections.abc import Iterator
from typing import Any

import pytest


class _Waiting(selectors.DefaultSelector):
    waited = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        began = time.monotonic()
        events = super().select(timeout)
        longest = float("inf") if timeout is None else max(0.0, timeout)
        self.waited += min(time.monotonic() - began, longest)
        return events


class FairTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        return time.process_time() + self._waiting.waited


class FairTime(asyncio.DefaultEventLoopPolicy):
    """Makes `asyncio.run` use such a loop."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return FairTimeLoop()


@pytest.fixture(autouse=True)
def fair_time() -> Iterator[None]:
    """Deadlines of a fraction of a second, that a test sets on purpose, strike nobody who was kept from running."""
    asyncio.set_event_loop_policy(FairTime())
    yield
    asyncio.set_event_loop_policy(None)
