"""What asyncio stumbles over itself is one line of a log; an error of ours keeps its traceback."""

import asyncio
import logging
import socket
from collections.abc import Callable

import pytest

from gossipfl.engines.http.loop_reports import report


def told_twice(loop: asyncio.AbstractEventLoop) -> None:
    """Lose a connection as asyncio does when the other end resets it while it is closed."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport = loop._make_socket_transport(ours, asyncio.Protocol())
    for _ in range(2):
        loop.call_soon(transport._call_connection_lost, BrokenPipeError(32, "Broken pipe"))
    loop.call_soon(loop._remove_reader, ours.fileno())
    theirs.close()


def raises(loop: asyncio.AbstractEventLoop) -> None:
    def ours() -> None:
        raise ValueError("of ours")

    loop.call_soon(ours)


def is_called_with_wrong_arguments(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon(lambda: None, "one too many")


def sets_a_result_twice(loop: asyncio.AbstractEventLoop) -> None:
    future = loop.create_future()
    future.set_result(None)
    loop.call_soon(future.set_result, None)


def says_only_a_word(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_exception_handler({"message": "Unclosed connection"})


def lines(caplog: pytest.LogCaptureFixture, cause: Callable[[asyncio.AbstractEventLoop], None]) -> list[str]:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report)
        cause(loop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(run())
    formatter = logging.Formatter("%(name)s: %(message)s")
    return [formatter.format(record) for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_connection_that_is_lost_twice_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = lines(caplog, told_twice)
    assert line.startswith("gossipfl.engines.http.loop_reports: Exception in callback _Selector")
    assert line.endswith("AttributeError: 'NoneType' object has no attribute 'close'")
    assert "\n" not in line


def test_its_traceback_is_there_on_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="gossipfl"):
        (line,) = lines(caplog, told_twice)
    assert "Traceback" in line
    assert "selector_events.py" in line


@pytest.mark.parametrize("cause", [raises, is_called_with_wrong_arguments, sets_a_result_twice])
def test_an_error_of_ours_keeps_its_traceback(cause: Callable, caplog: pytest.LogCaptureFixture) -> None:
    (line,) = lines(caplog, cause)
    assert line.startswith("asyncio: ")
    assert "Traceback" in line


def test_a_word_without_an_error_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, says_only_a_word) == ["asyncio: Unclosed connection"]
