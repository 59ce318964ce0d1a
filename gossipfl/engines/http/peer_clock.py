"""The clock of one peer: it never goes back, time when the peer was not running is left out, and it has one alarm."""

import asyncio
from collections.abc import Callable


class PeerClock:
    """Stands still until it is started; `on_alarm` is called when the time has come that was set last."""

    def __init__(self, on_alarm: Callable[[], object]) -> None:
        self._on_alarm = on_alarm
        self._alarm: asyncio.TimerHandle | None = None
        self._began: float | None = None
        self._earliest_now = 0.0

    @property
    def is_started(self) -> bool:
        return self._began is not None

    def go_on_from(self, time: float) -> None:
        """Take the time at which the peer stopped in an earlier life; before the start."""
        self._earliest_now = time

    def start(self) -> None:
        self._began = asyncio.get_running_loop().time() - self._earliest_now

    def now(self) -> float:
        """Seconds since the peer began."""
        if self._began is not None:
            self._earliest_now = max(self._earliest_now, asyncio.get_running_loop().time() - self._began)
        return self._earliest_now

    def set_alarm(self, time: float) -> None:
        """Ring at a time of this clock, and not at the one that was set before."""
        self.cancel_alarm()
        assert self._began is not None
        self._alarm = asyncio.get_running_loop().call_at(self._began + time, self._ring, time)

    def cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    def _ring(self, time: float) -> None:
        self._earliest_now = max(self._earliest_now, time)  # a loop may call a clock tick too early
        self._on_alarm()
