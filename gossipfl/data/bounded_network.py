"""Time limits for downloads by libraries that set none."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

NETWORK_TIMEOUT = 20.0
"""Seconds to wait for a connection, or for the next bytes of a download; tensorflow-datasets itself waits for ever."""

NETWORK_RETRIES = 2
"""Further attempts per file (tensorflow-datasets: 10, with pauses that add up to minutes when there is no network)."""


@contextlib.contextmanager
def bounded_network(seconds: float = NETWORK_TIMEOUT, retries: int = NETWORK_RETRIES) -> Iterator[None]:
    """Within this block every request of the `requests` library in this process has a timeout and few retries.

    `seconds` bounds connecting and each read, so a download that keeps moving is never cut. tensorflow-datasets has no
    setting for either, and a thread that waits in a socket for ever would also keep the process from ending: the limit
    has to be at the socket. A timeout that the caller of `requests` set itself stays.
    """
    from requests.adapters import HTTPAdapter  # late: comes with tensorflow-datasets, and only downloads need it

    original = HTTPAdapter.send

    def bounded_send(adapter: Any, request: Any, **options: Any) -> Any:
        options["timeout"] = options.get("timeout") or seconds
        adapter.max_retries = adapter.max_retries.new(total=min(retries, adapter.max_retries.total or 0))
        return original(adapter, request, **options)

    socket_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)  # for ftp, which tensorflow-datasets opens with urllib
    HTTPAdapter.send = bounded_send  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        HTTPAdapter.send = original  # type: ignore[method-assign]
        socket.setdefaulttimeout(socket_timeout)
