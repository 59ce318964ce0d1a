"""Work on large vectors, off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

SMALL = 2**20
"""Bytes that are worked on at once: a digest, a check and an average of them take about a millisecond; a thread's
hand-over takes 0.1 ms and delays whoever waits for an answer."""


class Offloading:
    """Runs work on many bytes in a thread, and work on few at once."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="vectors")

    async def run(
        self,
        num_bytes: int,
        work: Callable[Parameters, Result],
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Result:
        """The result of `work`, which touches so many bytes."""
        if num_bytes <= SMALL:
            return work(*arguments, **options)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*arguments, **options))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
