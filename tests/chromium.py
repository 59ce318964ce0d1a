"""Headless Chromium for tests and screenshots, over the DevTools protocol: what a page logs, loads and draws."""

import asyncio
import base64
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

JSON = dict[str, Any]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)

DEADLINE = 60.0
"""Seconds for any one answer of the browser: only a browser that hangs comes near it."""


def chromium_path() -> str | None:
    """Where Chromium is installed, if it is."""
    return next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)


@dataclass
class Page:
    """One tab. `problems` collects console errors, warnings and exceptions, `requests` every address it asked for."""

    socket: aiohttp.ClientWebSocketResponse
    session: str = ""
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    loaded: bool = False

    async def send(self, method: str, **parameters: Any) -> JSON:
        """Call a DevTools method and wait for its result, noting the events that come before it."""
        number = next(self.numbers)
        call: JSON = {"id": number, "method": method, "params": parameters}
        if self.session:
            call["sessionId"] = self.session
        await self.socket.send_json(call)
        while True:
            answer = await self.message()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: JSON = answer["result"]
                return result

    async def message(self) -> JSON:
        message: JSON = await asyncio.wait_for(self.socket.receive_json(), DEADLINE)
        self.note(message)
        return message

    def note(self, event: JSON) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                self.problems.append(details.get("exception", {}).get("description", details["text"]))
            case "Runtime.consoleAPICalled" if parameters["type"] in {"error", "warning", "assert"}:
                self.problems.append(" ".join(str(part.get("value", part)) for part in parameters["args"]))
            case "Log.entryAdded" if parameters["entry"]["level"] in {"error", "warning"}:
                self.problems.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Page.loadEventFired":
                self.loaded = True

    async def open(self, file: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load `file` in a window of the given size and color scheme, and wait until it is drawn."""
        await self.visit(file.resolve().as_uri(), width=width, height=height, dark=dark)

    async def visit(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load a page in a window of the given size and color scheme, and wait until it is drawn."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])
        await self.resize(width, height)
        self.loaded = False
        await self.send("Page.navigate", url=url)
        while not self.loaded:
            await self.message()
        await self.settled()

    async def resize(self, width: int, height: int) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def settled(self) -> None:
        """Wait for two animation frames: observers of sizes have then run."""
        await self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        result = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", "evaluation failed"))
        return result["result"].get("value")

    async def hover(self, selector: str) -> None:
        """Move the mouse to the middle of the first element that matches, after scrolling it into view."""
        box = await self.evaluate(f"""(() => {{
          const target = document.querySelector({json.dumps(selector)});
          target.scrollIntoView({{ block: "center", behavior: "instant" }});
          const box = target.getBoundingClientRect();
          return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        await self.send("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] - 3, y=box[1])
        await self.send("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
        await self.settled()

    async def screenshot(self, png: Path, *, full_page: bool = True) -> None:
        """Save what the page shows, as a whole or just the window."""
        parameters: JSON = {"format": "png"}
        if full_page:
            size = (await self.send("Page.getLayoutMetrics"))["cssContentSize"]
            await self.resize(int(size["width"]), int(size["height"]))
            await self.settled()
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            parameters |= {"captureBeyondViewport": True, "clip": clip}
        shot = await self.send("Page.captureScreenshot", **parameters)
        png.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def chromium_page() -> AsyncIterator[Page]:
    """A fresh tab of a fresh browser with an empty profile; both are gone afterwards."""
    program = chromium_path()
    if program is None:
        raise RuntimeError("Chromium is not installed (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program,
            *FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        draining: asyncio.Task[bytes] | None = None
        try:
            address = await asyncio.wait_for(devtools_address(process.stderr), DEADLINE)
            draining = asyncio.create_task(process.stderr.read())
            async with (
                aiohttp.ClientSession(trust_env=False) as session,
                session.ws_connect(address, max_msg_size=0) as socket,
            ):
                page = Page(socket)
                target = (await page.send("Target.createTarget", url="about:blank"))["targetId"]
                attached = await page.send("Target.attachToTarget", targetId=target, flatten=True)
                page.session = attached["sessionId"]
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.send(f"{domain}.enable")
                yield page
                page.session = ""
                await page.send("Browser.close")
            await asyncio.wait_for(process.wait(), DEADLINE)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            if draining is not None:
                await draining


async def devtools_address(stderr: asyncio.StreamReader) -> str:
    """The address that Chromium prints once it listens."""
    async for line in stderr:
        if b"DevTools listening on " in line:
            return line.decode().split("DevTools listening on ")[1].strip()
    raise RuntimeError("Chromium ended before it listened for DevTools")


def save_screenshot(
    report: Path, png: Path, *, width: int = 1280, height: int = 900, dark: bool = False, full_page: bool = True
) -> None:
    """Save a picture of `report` as it looks in a window of `width` pixels."""

    async def save() -> None:
        async with chromium_page() as page:
            await page.open(report, width=width, height=height, dark=dark)
            await page.screenshot(png, full_page=full_page)

    asyncio.run(save())
