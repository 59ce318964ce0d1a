"""The section of a scenario on peers over HTTP: how long they wait, and how much others may take of them."""

from typing import Any

from gossipfl.engines.http.wire.limits import Limits
from gossipfl.scenario.section import Count, NonNegative, Positive, Section


class HTTPSection(Section):
    """Peers over HTTP; without meaning in virtual time."""

    linger: NonNegative = 600.0
    """Seconds that a finished peer serves on while its neighbors have not finished, and that a peer waits for neighbors
    of whom none answers, where peers end their run themselves (`stop`). Higher: fewer exchanges left open, at the
    expense of waiting for the dead."""
    meeting_seconds: NonNegative = 30.0
    """Seconds that a peer waits at its start for neighbors that are not there yet."""
    connect_seconds: Positive = 5.0
    """Seconds to open a connection. Higher: tolerates slow networks, at the expense of noticing a dead host later."""
    request_seconds: Positive = 30.0
    """Seconds for the answer to a request, beside the time that its body takes at `slowest_rate`."""
    slowest_rate: Positive = 100e3
    """Bytes per second that a body must at least make."""
    max_backoff: Positive = 15.0
    """Seconds after which an unreachable neighbor is tried again at the latest; it is tried for ever."""
    poll_seconds: Positive = 20.0
    """Seconds that a poll of a peer with `listen = false` is held until there is a message for it."""
    max_connections: Count = 256
    """Connections to one peer, but 16 more than its neighbors need, and no more than its process may have open files;
    beyond, the oldest that has not carried a valid request is closed."""
    requests_per_second: Positive = 500.0
    """Requests of one neighbor, in bursts of twice as many; more is answered with 429."""
    revoked: list[str] = []
    """Participants that are shut out of the run from now on: refused by the name in their certificate, waited for by
    nobody, and sent nothing. They keep their part of the data, and the run stays the same: say it on all hosts, and
    restart the peers with `--resume`."""
    addresses: dict[str, str] = {}
    """Addresses of participants that are not in the topology, such as FedAvg's `server`, or in place of those there."""

    def limits(self) -> Limits:
        names = self.model_fields_set & set(Limits.__dataclass_fields__)
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        return Limits(**given)
