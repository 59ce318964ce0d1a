"""The dashboard as others meet it: who gets the page, who does not, and how the stream goes on."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from statuses import neighbor, status

from gossipfl.dashboard.board import Board
from gossipfl.dashboard.followed import Followed
from gossipfl.engines.http.serving.live_pages import MAX_STREAMS, LivePages
from gossipfl.errors import ConfigurationError

DEADLINE = 30.0
TOKEN = "0123456789abcdef0123"


class Scene:
    def __init__(self, session: aiohttp.ClientSession, board: Board, base: str) -> None:
        self._session = session
        self.board = board
        self.base = base

    async def get(self, path: str = "", headers: Mapping[str, str] = {}, method: str = "GET") -> tuple[int, str]:
        url = self.base + path
        async with self._session.request(method, url, headers=headers, allow_redirects=False) as answer:
            return answer.status, "" if answer.content_type == "text/event-stream" else await answer.text()

    @asynccontextmanager
    async def stream(self, **headers: str) -> AsyncIterator[aiohttp.StreamReader]:
        path = f"events?from={self.board.epoch}-{self.board.version}"
        async with self._session.get(self.base + path, headers=headers) as answer:
            assert answer.status == 200
            yield answer.content


async def event(stream: aiohttp.StreamReader) -> tuple[str, Any]:
    """The id and the data of the next event."""
    found: dict[str, str] = {}
    while (line := (await stream.readline()).decode().strip()) or not found:
        name, _, value = line.partition(": ")
        found[name] = value
    return found["id"], json.loads(found["data"])


@asynccontextmanager
async def served(token: str | None = None) -> AsyncIterator[Scene]:
    board = Followed(["http://127.0.0.1:1", "http://127.0.0.1:2"]).board
    pages = LivePages(board, token=token)
    jar = aiohttp.DummyCookieJar()
    async with asyncio.timeout(DEADLINE), aiohttp.ClientSession(cookie_jar=jar) as session:
        try:
            yield Scene(session, board, await pages.start())
        finally:
            await pages.stop()


def scene(token: str | None = None):
    """Runs a test that is given a scene."""

    def wrapped(test):
        def run() -> None:
            async def act() -> None:
                async with served(token) as made:
                    await test(made)

            asyncio.run(act())

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return wrapped


def port_of(made: Scene) -> str:
    return made.base.rstrip("/").rpartition(":")[2]


@scene()
async def test_the_page_and_its_policy(made):
    code, page = await made.get()
    assert code == 200
    assert '<script type="application/json" id="live">' in page
    async with aiohttp.ClientSession() as session, session.get(made.base) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Server"] == "gossipfl"
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy


@scene()
async def test_a_name_that_was_bound_to_this_machine_gets_nothing(made):
    """DNS rebinding: the browser believes that it talks to evil.example, whose page has asked."""
    for path in ("", "events"):
        for host in ("evil.example", f"evil.example:{port_of(made)}", "127.0.0.1.evil.example", "192.0.2.1", "", "["):
            code, text = await made.get(path, {"Host": host})
            assert code == 403, host
            assert "<html" not in text


@scene()
async def test_a_foreign_page_gets_nothing(made):
    port = port_of(made)
    foreign = [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://evil.example:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": f"http://localhost:{port}"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ]
    for path in ("", "events"):
        for headers in foreign:
            assert (await made.get(path, headers))[0] == 403, headers
        assert (await made.get(path, {"Origin": made.base.rstrip("/")}))[0] == 200
        assert (await made.get(path, {"Host": f"localhost:{port}"}))[0] == 200


@scene()
async def test_it_can_only_be_read(made):
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        assert (await made.get(method=method))[0] == 405
    assert (await made.get("status"))[0] == 404


@scene(TOKEN)
async def test_with_a_token_nobody_gets_in_without(made):
    port = port_of(made)
    for path in ("", "events", "?token=", f"?token={TOKEN}x", f"events?token={TOKEN[:-1]}"):
        assert (await made.get(path))[0] == 401
    for headers in ({"Cookie": f"gossipfl_{port}=guess"}, {"Cookie": ";;=;a"}, {"Authorization": "Bearer é"}):
        assert (await made.get("", headers))[0] == 401
    for path in ("", "events"):
        assert (await made.get(path, {"Cookie": f"gossipfl_{port}={TOKEN}"}))[0] == 200
        assert (await made.get(path, {"Authorization": f"Bearer {TOKEN}"}))[0] == 200
    assert (await made.get(f"?token={TOKEN}", {"Host": "evil.example"}))[0] == 403
    address = f"{made.base}?token={TOKEN}"
    async with aiohttp.ClientSession() as session, session.get(address, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "berlin.example.org"])
def test_where_others_can_ask_it_needs_a_token(host):
    board = Followed(["http://127.0.0.1:1"]).board
    with pytest.raises(ConfigurationError, match="--token FILE"):
        LivePages(board, host)


@scene()
async def test_a_stream_goes_on_from_what_was_seen(made):
    made.board.look(1.0, {0: status("a", neighbor("b"))})
    async with made.stream() as stream:
        made.board.look(2.0, {0: status("a", neighbor("b"), round=4)})
        seen, news = await event(stream)
        assert [card["round"] for card in news["cards"].values()] == [4]
    made.board.silent(3.0, 0, "gone")
    async with made.stream(**{"Last-Event-ID": seen}) as stream:
        seen, news = await event(stream)
        assert news["cards"]["0"]["answers"] is False
        assert [one["text"] for one in news["events"]] == ["a does not answer"]
    for nonsense in ("-", "1", "x-y", "9" * 100, "-1-1", "٣-٣"):
        async with made.stream(**{"Last-Event-ID": nonsense.encode().decode("latin-1")}) as stream:
            assert (await event(stream))[1] == {"again": True}


@scene()
async def test_more_streams_than_there_may_be_are_told_to_come_later(made):
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        streams = [await session.get(f"{made.base}events") for _ in range(MAX_STREAMS)]
        async with session.get(f"{made.base}events") as answer:
            assert answer.status == 503
        assert (await made.get())[0] == 200
        for stream in streams:
            stream.close()


def test_the_end_gives_every_stream_the_last():
    async def act() -> None:
        board = Followed(["http://127.0.0.1:1"]).board
        pages = LivePages(board)
        base = await pages.start()
        address = f"{base}events?from={board.epoch}-{board.version}"
        async with asyncio.timeout(DEADLINE), aiohttp.ClientSession() as session, session.get(address) as answer:
            board.running({"over": True})
            await pages.stop()
            assert (await event(answer.content))[1]["running"] == {"over": True}
            assert await answer.content.read() == b""

    asyncio.run(act())
