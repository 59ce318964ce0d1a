"""`gossipfl stop`: whoever has the token ends a peer, and nobody else does."""

import asyncio
import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from gossipfl.cli.app import app
from gossipfl.deploy.checked_peer import CheckedPeer
from gossipfl.deploy.peer_options import PeerOptions
from gossipfl.deploy.stop_over_http import ask_to_stop, checked_urls
from gossipfl.deploy.token_files import read_token
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.watch import Watch
from gossipfl.errors import ConfigurationError, TransportError
from gossipfl.scenario import load_scenario

TOKEN = "f00dcafe" * 8


@contextmanager
def watched(stop_token: str | None = TOKEN) -> Iterator[tuple[str, int, list[str]]]:
    """Host and port of a peer's watching port in a thread of its own, and who was stopped there."""
    stopped: list[str] = []
    fake: Any = SimpleNamespace(
        peer=SimpleNamespace(peer_id="berlin"), state="training", stop=lambda: stopped.append("berlin")
    )
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()

    async def serve() -> tuple[Watch, str, int]:
        watch = Watch(cast(HTTPPeer, fake), stop_token=stop_token)
        return watch, *await watch.start("127.0.0.1", 0)

    watch, host, port = asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
    try:
        yield host, port, stopped
    finally:
        asyncio.run_coroutine_threadsafe(watch.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def asked(host: str, port: int, headers: Mapping[str, str], method: str = "POST", path: str = "/stop") -> int:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    connection.request(method, path, headers=dict(headers))
    status = connection.getresponse().status
    connection.close()
    return status


def token_file(path: Path, mode: int = 0o600, content: str = TOKEN + "\n") -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


def test_with_the_token_it_stops():
    with watched() as (host, port, stopped):
        assert ask_to_stop(f"http://{host}:{port}", TOKEN) == "berlin"
        assert stopped == ["berlin"]


def test_without_the_token_or_from_elsewhere_it_goes_on():
    right = {"Authorization": f"Bearer {TOKEN}"}
    with watched() as (host, port, stopped):
        for headers in (
            {},
            {"Authorization": f"Bearer {TOKEN[:-1]}"},
            {"Authorization": TOKEN},
            {"Authorization": "é"},
        ):
            assert asked(host, port, headers) == 401
        for foreign in (
            {"Host": "evil.example"},
            {"Host": f"evil.example:{port}"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://localhost:{port + 1}"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            assert asked(host, port, right | foreign) == 403
            assert asked(host, port, foreign, "GET", "/status") == 403
            assert asked(host, port, foreign, "GET", "/healthz") == 403
        for method in ("GET", "PUT", "HEAD", "DELETE"):
            assert asked(host, port, right, method) == 405
        assert asked(host, port, {"Host": f"localhost:{port}"}, "GET", "/healthz") == 200
        assert stopped == []


def test_it_is_off_unless_it_was_asked_for():
    with watched(None) as (host, port, stopped):
        assert asked(host, port, {"Authorization": f"Bearer {TOKEN}"}) == 404
        with pytest.raises(TransportError, match="--stop-token FILE"):
            ask_to_stop(f"http://{host}:{port}", TOKEN)
        assert stopped == []


def test_the_command_stops_all_and_says_who_did_not(tmp_path):
    token = token_file(tmp_path / "token")
    with watched() as (host, port, stopped), watched("b" * 20) as (_, other, _):
        urls = [f"{host}:{port}", f"http://{host}:{other}", "http://127.0.0.1:1"]
        result = CliRunner().invoke(app, ["stop", *urls, "--token", str(token)])
    assert result.exit_code == 1
    assert result.output.splitlines()[:2] == ["berlin stops", f"http://{host}:{other} has another token than this"]
    assert "cannot be reached" in result.output
    assert stopped == ["berlin"]


def test_the_token_does_not_leave_the_machine_in_the_clear(tmp_path):
    with pytest.raises(ConfigurationError, match="in the clear"):
        checked_urls(["http://127.0.0.1:9100", "http://berlin.example.org:9100"])
    assert checked_urls(["http://192.0.2.1:9100"], insecure=True) == ["http://192.0.2.1:9100"]
    for nonsense in ("ftp://127.0.0.1:1", "http://", "http://127.0.0.1", "http://127.0.0.1:x", "http://a@127.0.0.1:1"):
        with pytest.raises(ConfigurationError, match="http://HOST:PORT"):
            checked_urls([nonsense])
    options = PeerOptions(
        "berlin", tmp_path / "run", "", watch=("0.0.0.0", 0), stop_token=token_file(tmp_path / "token")
    )
    with pytest.raises(ConfigurationError, match="in the clear"):
        CheckedPeer.of(load_scenario("four_terminals"), options)


@pytest.mark.parametrize(
    ("mode", "content", "why"),
    [(0o640, TOKEN, "0640"), (0o604, TOKEN, "0604"), (0o600, "short", "16 or more"), (0o600, "a b" * 20, "letters")],
)
def test_a_token_that_others_know_or_can_guess_is_refused(mode, content, why, tmp_path):
    path = token_file(tmp_path / "token", mode, content)
    with pytest.raises(ConfigurationError, match=why) as raised:
        read_token(path)
    assert content not in str(raised.value)
    with pytest.raises(ConfigurationError, match="umask 077"):
        read_token(tmp_path / "missing")


def test_who_answers_something_else_gets_no_second_chance():
    """A redirection is not followed: it would take the token to somebody else."""

    async def moved(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/stop\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def act() -> None:
        server = await asyncio.start_server(moved, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TransportError, match="answers 307"):
            await asyncio.to_thread(ask_to_stop, f"http://127.0.0.1:{port}", TOKEN)
        server.close()
        await server.wait_closed()

    asyncio.run(act())
