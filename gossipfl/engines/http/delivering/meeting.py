"""Before a peer starts: its neighbors may start later than it does."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from errno import ECONNREFUSED

from gossipfl.engines.http.delivering.client import Client
from gossipfl.engines.http.delivering.correspondence import Correspondence
from gossipfl.errors import TransportError

_LOGGER = logging.getLogger(__name__)

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


async def meet(
    client: Client, neighbors: Iterable[Correspondence], seconds: float, jitter: Callable[[], float]
) -> None:
    """Wait for `seconds` at most until all neighbors are there."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_meet_one(client, neighbor, jitter) for neighbor in neighbors))


async def answers(client: Client, neighbor: Correspondence, seconds: float) -> bool:
    """Ask a neighbor for a sign of life in this run, which it does not give while it is in another, or has shut out who
    asks; one that polls has given one in the last so many seconds, or not."""
    if neighbor.url is None:
        last = neighbor.last_contact
        return last is not None and asyncio.get_running_loop().time() - last < seconds
    try:
        return isinstance(await client.meet(neighbor.name, neighbor.url), str)
    except TransportError:
        return False


async def _meet_one(client: Client, neighbor: Correspondence, jitter: Callable[[], float]) -> None:
    pause, said = _FIRST_PAUSE, ""
    while not neighbor.session:
        assert neighbor.url is not None
        text = ""
        try:
            told = await client.meet(neighbor.name, neighbor.url)
            if isinstance(told, str):
                neighbor.met(told, asyncio.get_running_loop().time())
                return
            neighbor.not_met(told)
            text = told.by(neighbor.name)
        except TransportError as error:
            if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == ECONNREFUSED):
                text = str(error)  # else it is not there yet
        if text not in ("", said):
            said = text
            _LOGGER.warning("%s", said)
        await asyncio.sleep(pause * jitter())
        pause = min(2 * pause, _LONGEST_PAUSE)
