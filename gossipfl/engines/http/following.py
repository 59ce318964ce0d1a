"""Follows running peers by their watching ports: each page is asked for again and again, whatever becomes of it."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import aiohttp

from gossipfl.errors import ConfigurationError

LOOK_SECONDS = 1.0
"""Between two questions to a peer. Together with the deadline of a question it says how soon a silent one is noticed: a
process that is killed within one second, a machine that vanishes within three. Longer: less traffic."""

ANSWER_SECONDS = 1.5
"""For an answer, all of it."""

MAX_BYTES = 2**20
"""The size of a status, at most: of 2,000 neighbors and more. Whoever says more is taken for no peer."""

_AT_ONCE = 64
"""Questions that are open at the same time; more peers wait for their turn."""

T = TypeVar("T")


async def follow_pages(pages: Sequence[str], read: Callable[[bytes], T], tell: Callable[[int, T | str], None]) -> None:
    """Ask for these pages for ever; whoever serves them may be there or not, come and go. `tell` is given the place of
    a page among them, and what `read` makes of it, or why there is none."""
    connector = aiohttp.TCPConnector(limit=_AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    ) as session:
        turns = asyncio.Semaphore(_AT_ONCE)  # so that waiting for a turn does not count as waiting for an answer
        async with asyncio.TaskGroup() as group:
            for place, page in enumerate(pages):
                group.create_task(_follow_one(session, turns, page, read, partial(tell, place)))


async def _follow_one(
    session: aiohttp.ClientSession,
    turns: asyncio.Semaphore,
    page: str,
    read: Callable[[bytes], T],
    tell: Callable[[T | str], None],
) -> None:
    while True:
        async with turns:
            answer = await _ask(session, page, read)
        tell(answer)
        await asyncio.sleep(LOOK_SECONDS)


async def _ask(session: aiohttp.ClientSession, page: str, read: Callable[[bytes], T]) -> T | str:
    try:
        async with session.get(page, allow_redirects=False) as response:
            content = bytearray()
            async for piece in response.content.iter_chunked(2**16):
                content += piece
                if len(content) > MAX_BYTES:
                    return "says more than any peer does"
            return read(bytes(content))
    except ConfigurationError as error:
        return str(error)
    except TimeoutError:
        return f"does not answer within {ANSWER_SECONDS:g} s"
    except aiohttp.ClientConnectorError as error:
        return f"cannot be reached: {error.os_error.strerror or error.os_error}"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"cannot be reached: {error or type(error).__name__}"
