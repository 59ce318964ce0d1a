import gc
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engines" / "http"))  # for loopback.py and issued.py

from fair_time import fair_time
from issued import new_run

from gossipfl.engines.http.trust.credentials import Credentials, load_credentials

__all__ = ["fair_time"]


@pytest.fixture(scope="session")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Credentials]:
    """Of "a", "b" and "d" (peers of the graph), of "c" (certified, but no neighbor of theirs), and of "stranger", which
    another authority has certified as "d"."""
    run = new_run(tmp_path_factory.mktemp("run"), "a", "b", "c", "d")
    other = new_run(tmp_path_factory.mktemp("other-run"), "d")
    own = {name: load_credentials(run, name) for name in ("a", "b", "c", "d")}
    return {**own, "stranger": load_credentials(other, "d")}


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    """Whether the victim ends TLS itself, or stands behind a proxy that does."""
    return request.param == "tls"


@pytest.fixture(scope="session", autouse=True)
def _what_was_there_before() -> Iterator[None]:
    """Taken out of the garbage collector's sight, which then takes 5 ms after each test and not 60."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _nothing_breaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No attack may make this program, asyncio or aiohttp report an error of theirs."""
    caplog.set_level(logging.DEBUG)
    yield
    gc.collect()  # what was never retrieved or closed says so now
    broken = [record for record in caplog.records if record.levelno >= _too_loud(record) or record.exc_info]
    assert not broken, "\n".join(caplog.handler.format(record) for record in broken)


def _too_loud(record: logging.LogRecord) -> int:
    """asyncio warns of a program that writes on and on to a connection that has ended."""
    return logging.WARNING if record.name == "asyncio" else logging.ERROR
