"""The live page in a real browser, with peers that are made up: who dies is red, who comes back is green."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from chromium import Page, chromium_page, chromium_path
from fake_peers import FakePeers
from statuses import neighbor, status

from gossipfl.dashboard.followed import Followed
from gossipfl.engines.http.serving.live_pages import LivePages
from gossipfl.engines.http.status import PeerStatus

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium_path() is None, reason="Chromium is not installed (Debian: apt-get install chromium)"),
]


@asynccontextmanager
async def dashboard(urls: list[str]) -> AsyncIterator[str]:
    followed = Followed(urls)
    pages = LivePages(followed.board)
    following = asyncio.create_task(followed.run())
    try:
        yield await pages.start()
    finally:
        following.cancel()
        await asyncio.wait([following])
        await pages.stop()


def in_browser(visit: Callable[[Page], Awaitable[None]]) -> None:
    async def visited() -> None:
        async with asyncio.timeout(120), chromium_page() as page:
            await visit(page)

    asyncio.run(visited())


async def until(page: Page, condition: str) -> None:
    """Wait for a condition in the page, which may load itself again meanwhile."""
    while True:
        try:
            if await page.evaluate(f"document.documentElement.dataset.ready === 'true' && ({condition})"):
                return
        except RuntimeError:  # between two pages
            pass
        await page.evaluate("new Promise(done => setTimeout(() => done(true), 50))")


HEALTH = "[...document.querySelectorAll('#network circle')].map(dot => dot.dataset.health)"
OUTSIDE = """(() => {
  const inside = document.querySelector("svg.drawing").getBoundingClientRect();
  return [...document.querySelectorAll(".drawing text")].filter((name) => {
    const { left, right, top, bottom } = name.getBoundingClientRect();
    return left < inside.left || right > inside.right || top < inside.top || bottom > inside.bottom;
  }).map((name) => name.textContent);
})()"""
"""The names at the nodes that are cut off."""

CELLS = "[...document.querySelectorAll('#peers tbody tr')].map(row => row.innerText)"


def ring(names: list[str], place: int, round_number: int, **changes: Any) -> PeerStatus:
    """A peer of a ring that has done so many rounds."""
    others = [names[(place + step) % len(names)] for step in (1, -1)]
    links = [neighbor(other, num_messages=2 * round_number) for other in others]
    usual = {"round": round_number, "rounds": 1_000, "rounds_done": round_number, "sent": 1_000 * round_number}
    return status(names[place], *links, **(usual | changes))


def test_a_killed_peer_is_red_within_three_seconds_and_a_healed_one_green() -> None:
    names = ["amsterdam", "berlin", "cairo", "delhi"]
    began = time.monotonic()

    def tell(place: int) -> PeerStatus:
        return ring(names, place, int(4 * (time.monotonic() - began)), awaits=("delhi",) if place == 0 else ())

    async def visit(page: Page) -> None:
        peers, berlin = FakePeers(tell), FakePeers(lambda place: tell(1))
        await peers.start()
        await berlin.start()
        urls = peers.urls(4)
        urls[1] = berlin.urls(1)[0]
        async with dashboard(urls) as address:
            await page.visit(address)
            await until(
                page, f"{HEALTH}.join() === 'waiting,up,up,up' && document.querySelectorAll('canvas').length > 2"
            )
            rows = await page.evaluate(CELLS)
            assert "training for delhi" in rows[0].replace("\n", " ")
            assert "75.00" in rows[1]
            empty = "[...document.querySelectorAll('.empty')].map(note => note.textContent)"
            assert await page.evaluate(empty) == []
            assert len((await page.evaluate("document.querySelector('.links.all').getAttribute('d')")).split("M")) == 5

            assert await page.evaluate(OUTSIDE) == []

            died = time.monotonic()
            await berlin.kill()
            await until(page, f"{HEALTH}.join() === 'waiting,down,up,up'")
            assert time.monotonic() - died < 3.0
            assert "cannot be reached" in (await page.evaluate(CELLS))[1]
            assert "3 of 4" in await page.evaluate("document.querySelector('#tiles').innerText")

            await berlin.start()
            await until(page, f"{HEALTH}.join() === 'waiting,up,up,up'")
            events = await page.evaluate("document.querySelector('.events').innerText")
            assert "berlin does not answer" in events
            assert "berlin answers again" in events
        await until(page, "document.documentElement.hasAttribute('data-stale')")  # the dashboard itself has gone
        assert [one for one in page.problems if "ERR_" not in one] == []
        await peers.kill()
        await berlin.kill()

    in_browser(visit)


def test_what_a_hostile_peer_says_is_text() -> None:
    nasty = "<img src=x onerror='window.bad=1'>\x1b[2J\u202e</script><script>window.bad=1</script>"

    async def visit(page: Page) -> None:
        told = status(
            nasty, neighbor(nasty, "unreachable"), state=nasty, stopped=nasty, refusals={nasty: 3}, awaits=(nasty,)
        )
        peers = FakePeers(lambda place: told if place == 0 else status("honest", neighbor("b")))
        await peers.start()
        async with dashboard(peers.urls(2)) as address:
            for _ in range(2):  # what comes in the stream, and what comes with the page
                await page.visit(address)
                await until(page, f"{CELLS}.some(row => row.includes('honest'))")
                await until(page, "document.querySelector('.events').children.length === 2")
                assert "<img src=x" in (await page.evaluate(CELLS))[0]
                assert await page.evaluate("window.bad === undefined && document.querySelector('img') === null")
            assert page.problems == []
            assert all(one.startswith(address) for one in page.requests)
        await peers.kill()

    in_browser(visit)


FRAMES = """new Promise((done) => {
  const frames = [];
  let last = performance.now();
  const began = last;
  const step = (now) => {
    frames.push(now - last);
    last = now;
    if (now - began < %d) requestAnimationFrame(step);
    else done(frames.slice(1));
  };
  requestAnimationFrame(step);
})"""


def test_two_hundred_peers_stay_smooth() -> None:
    names = [str(place) for place in range(200)]
    began = time.monotonic()

    async def visit(page: Page) -> None:
        peers = FakePeers(lambda place: ring(names, place, int(3 * (time.monotonic() - began)) + place % 3))
        await peers.start()
        async with dashboard(peers.urls(200)) as address:
            await page.visit(address)
            await until(page, f"{HEALTH}.filter(one => one === 'up').length === 200")
            frames = sorted(await page.evaluate(FRAMES % 4_000))
            median, most = frames[len(frames) // 2], frames[len(frames) * 95 // 100]
            assert median < 40, "half of the frames are as fast as the screen"
            assert most < 100, "and hardly any can be seen to stutter"
            assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        await peers.kill()

    in_browser(visit)
