"""Reports of an event loop: what asyncio's own connections stumble over takes one line, everything else stays as it is.

A transport whose other end leaves at the wrong moment may be told of it twice, and raises (Python 3.11 to 3.13:
"'NoneType' object has no attribute 'close'" in `_SelectorTransport._call_connection_lost`). Nothing is lost by it, as
what was not confirmed is sent again, and its traceback shows no line of ours.
"""

import asyncio
import logging
import traceback
from typing import Any

_LOGGER = logging.getLogger(__name__)


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that only asyncio and ssl have a part in as one line, with the traceback at level debug.

    For `set_exception_handler` of an event loop; leaves all other reports to the loop's own handler.
    """
    error = context.get("exception")
    if error is None or not _is_of_asyncio_alone(error):
        loop.default_exception_handler(context)
        return
    told = error if _LOGGER.isEnabledFor(logging.DEBUG) else None
    _LOGGER.warning("%s: %s: %s", context["message"], type(error).__name__, error, exc_info=told)


def _is_of_asyncio_alone(error: BaseException) -> bool:
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not modules or modules[-1] == "asyncio.events":
        return False  # a callback of ours that is not Python's, or was called with wrong arguments, leaves no frame
    return all(module.partition(".")[0] in ("asyncio", "ssl") for module in modules)
