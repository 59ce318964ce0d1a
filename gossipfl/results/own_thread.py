"""An engine over HTTP for a program whose own thread has a running loop already, as a notebook's has."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from gossipfl.engines.http.loopback_federation import LoopbackFederation
from gossipfl.history import Evaluation, History


def loop_is_running() -> bool:
    """True if this thread runs an event loop, so that it cannot run another one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class InOwnThread:
    """Lets a federation live in a thread and a loop of its own; who iterates is told of evaluations in theirs.

    Models were built before, in the thread that asks: what Keras knows, such as a dtype policy, is of a thread.
    """

    def __init__(self, federation: LoopbackFederation) -> None:
        self._federation = federation
        self._thread = ThreadPoolExecutor(1, "gossipfl")

    @property
    def history(self) -> History:
        return self._federation.history

    def __iter__(self) -> Iterator[Evaluation]:
        while (evaluation := self._thread.submit(self._federation.next).result()) is not None:
            yield evaluation
        self._thread.shutdown()

    def close(self) -> None:
        """Complete the history; after an interruption, when the next evaluation is made."""
        self._thread.submit(self._federation.close).result()
        self._thread.shutdown()
