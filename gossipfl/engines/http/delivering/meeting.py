"""Before a peer starts: its neighbors may start later than it does."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from errno import ECONNREFUSED

import numpy as np

from gossipfl.engines.http.delivering.client import Client
from gossipfl.engines.http.delivering.neighbor import Neighbor
from gossipfl.errors import TransportError

_LOGGER = logging.getLogger(__name__)

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


async def meet(client: Client, neighbors: Iterable[Neighbor], seconds: float, generator: np.random.Generator) -> None:
    """Wait for `seconds` at most until all neighbors are there; `generator` is for jitter."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_meet_one(client, neighbor, generator) for neighbor in neighbors))


async def _meet_one(client: Client, neighbor: Neighbor, generator: np.random.Generator) -> None:
    pause, said = _FIRST_PAUSE, ""
    while not neighbor.session:
        try:
            await client.meet(neighbor)
        except TransportError as error:
            is_not_there_yet = isinstance(error.__cause__, OSError) and error.__cause__.errno == ECONNREFUSED
            if not is_not_there_yet and str(error) != said:
                said = str(error)
                _LOGGER.warning("%s", said)
        else:
            return
        await asyncio.sleep(pause * generator.uniform(0.5, 1.0))
        pause = min(2 * pause, _LONGEST_PAUSE)
