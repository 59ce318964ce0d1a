"""Before a peer runs as a process: ports that are taken, and being told to stop while it is still starting."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from gossipfl.deploy.addresses import Where
from gossipfl.errors import ConfigurationError
from gossipfl.weights import PeerId


class StoppedError(BaseException):
    """SIGTERM, before there is a run that could be stopped."""


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """SIGTERM ends the block early, and in order. (In the event loop of a peer it means to leave the run.)

    Gives whether there was one: it may come while a library is imported that swallows whatever is raised.
    """
    stops = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stops
        stops += 1
        raise StoppedError

    def was_stopped() -> bool:
        return stops > 0

    if threading.current_thread() is not threading.main_thread():
        yield was_stopped
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield was_stopped
    finally:
        signal.signal(signal.SIGTERM, before)


def check_free(where: Where | None, name: PeerId) -> None:
    """Raise ConfigurationError when a port is taken: before anything is made that would stay behind."""
    if where is None or where[1] == 0:
        return
    try:
        for family, _, _, _, address in socket.getaddrinfo(*where, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            socket.create_server(address[:2], family=family).close()
    except OSError as error:
        raise taken(where, name, error) from error


def taken(where: Where, name: PeerId, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot listen on {shown(where)} ({error.strerror}); is {name} running already? Give another port otherwise"
    )


def shown(where: Where | None) -> str:
    return "no port (it polls)" if where is None else f"{where[0]}:{where[1]}"
