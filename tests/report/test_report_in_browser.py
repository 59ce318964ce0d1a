"""The report in a real browser: no error, no request, nothing empty, nothing too wide."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from chromium import Page, chromium_page, chromium_path
from fake_run import FIVE_AND_BOUNDS, fake_run

from gossipfl.report import write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium_path() is None, reason="Chromium is not installed (Debian: apt-get install chromium)"),
]

T = TypeVar("T")

LOOK_AROUND = """(() => ({
  ready: document.documentElement.dataset.ready === "true",
  canvases: [...document.querySelectorAll("canvas")].map((canvas) => {
    const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return { title: canvas.closest(".card").querySelector("h3").textContent, colors: new Set(pixels).size };
  }),
  drawings: [...document.querySelectorAll("svg")].map((svg) => svg.querySelectorAll("line, rect, circle").length),
  empty: [...document.querySelectorAll(".empty")].map((note) => note.closest(".card").querySelector("h3").textContent),
  overflow: document.documentElement.scrollWidth - innerWidth,
  text: document.body.innerText,
}))()"""


def in_browser(visit: Callable[[Page], Awaitable[T]]) -> T:
    async def visited() -> T:
        async with chromium_page() as page:
            return await visit(page)

    return asyncio.run(visited())


async def seen(page: Page, report: Path, *, width: int = 1280, dark: bool = False) -> dict[str, Any]:
    """Open the report, fail on what must never happen, and return what is there."""
    page.requests.clear()
    await page.open(report, width=width, dark=dark)
    found: dict[str, Any] = await page.evaluate(LOOK_AROUND)
    assert page.problems == []
    assert page.requests == [report.resolve().as_uri()]
    assert found["ready"]
    assert found["overflow"] <= 0
    for canvas in found["canvases"]:
        assert canvas["colors"] > 5, f"the chart {canvas['title']!r} is empty"
    assert all(num_shapes > 0 for num_shapes in found["drawings"])
    return found


async def click(page: Page, selector: str, text: str) -> None:
    matching = f"[...document.querySelectorAll({json.dumps(selector)})]"
    await page.evaluate(f"{matching}.find((element) => element.textContent === {json.dumps(text)}).click()")
    await page.settled()


async def enter(page: Page, selector: str, value: str, event: str) -> None:
    await page.evaluate(f"""(() => {{
      const input = document.querySelector({json.dumps(selector)});
      input.value = {json.dumps(value)};
      input.dispatchEvent(new Event({json.dumps(event)}));
    }})()""")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(fake_run(tmp_path_factory.mktemp("browser") / "run"))


def test_light_dark_and_narrow(report: Path) -> None:
    async def visit(page: Page) -> None:
        for width, dark in ((1280, False), (1280, True), (360, False), (360, True)):
            found = await seen(page, report, width=width, dark=dark)
            assert [canvas["title"] for canvas in found["canvases"]] == [
                "Accuracy",
                "Spread over peers",
                "Consensus distance",
                "Loss",
            ]
            assert found["empty"] == []
            assert "Best accuracy, mean of peers: FedAvg" in found["text"]
            assert "FedAvg resets the optimizer state each round" in found["text"]
            background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, background[4:-1].split(","))) < 3 * 128) is dark

    in_browser(visit)


def test_controls_work(report: Path) -> None:
    async def visit(page: Page) -> None:
        await seen(page, report)
        names = "[...document.querySelectorAll('.comparison tbody:first-of-type th')].map(e => e.textContent)"
        order = await page.evaluate(names)
        await click(page, ".comparison thead button", "Consensus distance")
        assert (await page.evaluate(names))[0] == "FedAvg"
        await click(page, ".comparison thead button", "Algorithm")
        assert await page.evaluate(names) == order

        for against in ("Bytes", "Virtual time"):
            await click(page, ".segmented button", against)
            await click(page, ".toggle", "log x")
        for measure in ("Average model", "Worst peer", "Training"):
            await click(page, ".segmented button", measure)
        await click(page, ".toggle", "log y")
        for label in ("FedAvg", "pairwise (ring)"):
            await click(page, ".chip span", label)
        assert await page.evaluate("document.querySelectorAll('.bar-name').length") == len(FIVE_AND_BOUNDS) - 2 - 2
        await enter(page, ".drawings select", "synchronous (random-regular)", "change")
        first_fill = "document.querySelector('.drawing .peer').style.fill"
        last = await page.evaluate(first_fill)
        await enter(page, ".player input", "0", "input")
        assert await page.evaluate(first_fill) != last
        await page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        await page.settled()
        found = await page.evaluate(LOOK_AROUND)
        assert found["empty"] == []
        assert all(canvas["colors"] > 5 for canvas in found["canvases"])
        assert "dirichlet" in found["text"]
        await click(page, ".themes button", "Dark")
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 18, 23)"
        assert page.problems == []

    in_browser(visit)


def test_pointing_at_things_shows_figures(report: Path) -> None:
    async def visit(page: Page) -> None:
        await seen(page, report)
        tip = "document.getElementById('tooltip').hidden ? '' : document.getElementById('tooltip').innerText"
        await page.hover(".chart.tall .u-over")
        text = await page.evaluate(tip)
        assert text.startswith("round")
        assert all(algorithm.label in text for algorithm in FIVE_AND_BOUNDS)
        await page.hover(".drawing .peer")
        assert "accuracy" in (text := await page.evaluate(tip))
        assert "2 neighbors" in text.replace("\u00a0", " ")
        await page.hover(".hit")
        assert (await page.evaluate(tip)).startswith("peer 0")
        assert page.problems == []

    in_browser(visit)


def test_many_peers_are_shown_as_distributions(tmp_path: Path) -> None:
    report = write_report(fake_run(tmp_path, num_peers=200, num_seeds=1, num_rounds=6))

    async def visit(page: Page) -> None:
        for width in (1280, 360):
            found = await seen(page, report, width=width)
            assert "all 200 peers, the middle" in found["text"]

    in_browser(visit)


def test_sparse_runs_are_shown_all_the_same(tmp_path: Path) -> None:
    alone = fake_run(tmp_path / "alone", algorithms=FIVE_AND_BOUNDS[:1], num_seeds=1, num_rounds=1, targets=())
    interrupted = fake_run(tmp_path / "interrupted", num_seeds=1, num_rounds=5, overrides={"interrupted": True})
    history = interrupted / "history.jsonl"
    rows = [json.loads(line) for line in history.read_text().splitlines()]
    rows = [row for row in rows if row["algorithm"] in {"pairwise (ring)", "pairwise (torus)"}][:7]
    rows[-1] |= {"average_loss": None, "consensus_distance": None, "mean_accuracy": None, "peer_accuracy": {"0": None}}
    history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (interrupted / "summary.json").write_text(json.dumps({"rows": []}))
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    (nothing / "manifest.json").write_text('{"name": "<b>nothing</b>", "algorithms": [{"label": "a"}]}')
    (nothing / "summary.json").write_text('{"rows": [{"label": "a"}]}')
    (nothing / "history.jsonl").write_text("")

    async def visit(page: Page) -> None:
        found = await seen(page, write_report(alone))
        assert len(found["canvases"]) == 4
        found = await seen(page, write_report(interrupted))
        assert "The run was interrupted." in found["text"]
        assert "Nothing was measured for pairwise (random-regular)" in found["text"]
        assert len(found["canvases"]) == 4
        found = await seen(page, write_report(nothing))
        assert "<b>nothing</b>" in found["text"]
        assert found["canvases"] == []

    in_browser(visit)


def test_the_page_cannot_reach_out(report: Path) -> None:
    violation = """new Promise((done) => {
      addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
      fetch("http://127.0.0.1:9/").catch(() => {});
    })"""

    async def visit(page: Page) -> None:
        await seen(page, report)
        assert await page.evaluate(violation) == "connect-src"

    in_browser(visit)
