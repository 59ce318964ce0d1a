"""Others may take so much of this peer: deadlines, connections, requests, sizes."""

from collections.abc import Callable
from dataclasses import dataclass, fields

from gossipfl.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines in seconds and caps, for server and client.

    `connect_seconds`: to open a connection, TLS included. Higher: tolerates slow networks, at the expense of noticing
    a dead host later. `request_seconds`: from the headers of a request to its answer, beside the time that the body
    takes at `slowest_rate` (bytes per second). `header_seconds`: for the headers of a request; `idle_seconds`: until a
    silent connection is closed; `closing_seconds`: for a client to read its last answer, while what it still sends is
    thrown away, so that it sees the answer and not a reset. `poll_seconds`: how long a poll waits for a message.
    `max_connections`: when one more comes, the oldest that has not carried a valid request is closed.
    `requests_per_second` (in bursts of twice as many): what one neighbor may ask; more is answered with 429.
    `failures_per_connection`: refusals after which a connection is closed.
    `max_backoff`: the longest pause before an unreachable neighbor is tried again; it is tried for ever.
    `outbox_messages`: kept for a neighbor that takes them more slowly than they are said; then the newest.
    """

    connect_seconds: float = 5.0
    request_seconds: float = 30.0
    slowest_rate: float = 100e3
    header_seconds: float = 10.0
    idle_seconds: float = 75.0
    closing_seconds: float = 1.0
    poll_seconds: float = 20.0
    max_connections: int = 256
    requests_per_second: float = 500.0
    failures_per_connection: int = 20
    max_backoff: float = 15.0
    outbox_messages: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ConfigurationError(f"{field.name} must be above 0, got {getattr(self, field.name)}")

    def transfer_seconds(self, num_bytes: int) -> float:
        """The seconds that a request with a body of so many bytes may take."""
        return self.request_seconds + num_bytes / self.slowest_rate


class TokenBucket:
    """Allows `rate` events per second on average, in bursts of at most twice that; `clock` gives seconds."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, max(1.0, 2 * rate), clock
        self._tokens, self._time = self._burst, clock()

    def take(self) -> float:
        """0 when the event is allowed; else the seconds until the next one is."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._time) * self._rate)
        self._time = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0
