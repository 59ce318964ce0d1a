"""TLS that says why it hangs up, and what was said by the other side in a sentence.

When a handshake fails, OpenSSL writes an alert with the reason, and asyncio throws it away with the connection: the
other side would see a reset, and an honest peer with an expired certificate would search for a fault of the network.
"""

import re
import socket
import ssl
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

OPENING: ContextVar[socket.socket | None] = ContextVar("OPENING", default=None)
"""The socket of the connection that is being opened here."""

_ALERT = re.compile(r"ALERT_([A-Z_]+)")

_MEANINGS = {
    "CERTIFICATE_EXPIRED": "the certificate of this peer has expired, or the clock of one of the two is wrong",
    "CERTIFICATE_REQUIRED": "this peer has presented no certificate",
    "UNKNOWN_CA": "the certificate of this peer is of another authority: ca.pem is not the same at both",
    "PROTOCOL_VERSION": "this peer does not speak TLS 1.3",
}
"""Alerts of RFC 8446 that tell the one who gets them what to mend."""


class _Telling(ssl.SSLObject):
    """Sends what is left to say when a handshake has failed; past asyncio, which would never do so."""

    outgoing: ssl.MemoryBIO
    connection: socket.socket | None

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if self.connection is not None:
                with suppress(OSError):  # it has gone, or has taken nothing of what was said before
                    self.connection.send(self.outgoing.read())
            raise


class TellingContext(ssl.SSLContext):
    """A context whose failed handshakes end with an alert, where `OPENING` is known."""

    sslobject_class = _Telling

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *rest: Any, **named: Any) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, *rest, **named)
        assert isinstance(made, _Telling)
        made.outgoing, made.connection = outgoing, OPENING.get()
        return made


def alert_in(error: BaseException) -> str:
    """The meaning of the other side's alert for this one, or "" when the error is about something else."""
    found = _ALERT.search(str(error))
    if found is None:
        return ""
    name = found[1]
    return f"it refused the TLS connection: {_MEANINGS.get(name, name.lower().replace('_', ' '))}"
