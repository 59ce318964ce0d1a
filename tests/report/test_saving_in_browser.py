"""In Chromium: charts are saved as SVG and tables as CSV from the page itself; bounds, smoothing, names of peers."""

import asyncio
import csv
import json
from collections.abc import Awaitable, Callable
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from chromium import Page, chromium_page, chromium_path
from fake_run import FIVE_AND_BOUNDS, fake_classes, fake_events, fake_run

from gossipfl.report import write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium_path() is None, reason="needs Debian's chromium"),
]

CAUGHT = """(() => {
  window.saved = [];
  const made = new Map();
  const create = URL.createObjectURL;
  URL.createObjectURL = (blob) => { const url = create(blob); made.set(url, blob); return url; };
  HTMLAnchorElement.prototype.click = function () { window.saved.push([this.download, made.get(this.href)]); };
})()"""
SAVE_ALL = """(async () => {
  document.querySelectorAll(".save button").forEach((button) => button.click());
  return Promise.all(window.saved.map(async ([name, blob]) => [name, await blob.text()]));
})()"""


def on_page(report: Path, look: Callable[[Page], Awaitable[Any]]) -> tuple[Any, Page]:
    async def run() -> tuple[Any, Page]:
        async with chromium_page() as page:
            await page.open(report, dark=True)
            return await look(page), page

    return asyncio.run(run())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = [FIVE_AND_BOUNDS[0], *FIVE_AND_BOUNDS[4:]]
    directory = fake_run(tmp_path_factory.mktemp("saving") / "run", algorithms=chosen, num_peers=9, num_rounds=8)
    fake_events(directory, ("pairwise (ring)", 0, 1.0, "0", "1", "unreachable"))
    write_report(fake_classes(directory, "FedAvg"))
    return directory


def test_every_chart_and_table_is_saved_in_light_colors_and_nothing_is_asked_for(run: Path) -> None:
    async def look(page: Page) -> Any:
        await page.evaluate(CAUGHT)
        return await page.evaluate(SAVE_ALL)

    saved, page = on_page(run / "report.html", look)
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith(("file:", "blob:"))] == []
    pictures = [text for name, text in saved if name.endswith(".svg")]
    tables = {name: list(csv.reader(StringIO(text))) for name, text in saved if name.endswith(".csv")}
    matrix = next(rows for rows in tables.values() if rows[0][0] == "true")
    counts = json.loads((run / "classes.json").read_text())["models"][2]["counts"]
    assert [list(map(int, row[1:])) for row in matrix[1:]] == counts
    assert len(pictures) >= 9  # accuracy, spread, distance, loss, traffic, two drawings, contact, data, classes
    for text in pictures:
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert float(root.attrib["width"]) > 100
        assert all(f not in text for f in ("var(", "oklab", "NaN", "undefined", "class="))
    summary = {row["label"]: row for row in json.loads((run / "summary.json").read_text())["rows"]}
    head, *rows = next(rows for rows in tables.values() if rows[0][:2] == ["algorithm", "bound"])
    column = head.index("Accuracy on held-out data: Deployed, mean")
    assert {row[0]: float(row[column]) for row in rows} == {
        label: row["deployed_accuracy"]["mean"] for label, row in summary.items()
    }
    for rows in tables.values():
        assert len({len(row) for row in rows}) == 1, rows[0]


def test_a_real_download_passes_the_policy_of_the_page(run: Path, tmp_path: Path) -> None:
    async def look(page: Page) -> None:
        await page.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        await page.evaluate("document.querySelector('.card .save button').click()")
        for _ in range(200):
            if any(path.suffix in (".svg", ".csv") for path in tmp_path.iterdir()):
                return
            await page.settled()

    _, page = on_page(run / "report.html", look)
    assert page.problems == []
    assert [path.suffix for path in tmp_path.iterdir()] == [".csv"]


def test_bounds_go_and_come_back_in_charts_and_tables(run: Path) -> None:
    bounds = "getComputedStyle(document.querySelector('tbody.bounds')).display"
    shown = "[...visible]"
    press = "[...document.querySelectorAll('.legend .toggle')].find((one) => one.textContent === 'Bounds').click()"

    async def look(page: Page) -> list[Any]:
        seen = []
        for _ in range(2):
            await page.evaluate(press)
            seen.append([await page.evaluate(bounds), await page.evaluate(shown)])
        return seen

    (off, on), page = on_page(run / "report.html", look)
    assert off == ["none", ["pairwise (ring)", "FedAvg"]]
    assert on[0] != "none"
    assert len(on[1]) == 4
    assert page.problems == []


def test_smoothed_curves_end_where_they_ended_and_say_so(run: Path) -> None:
    last = "algorithmLines('deployed_accuracy', 'round', {})[0].points.map((point) => point.y)"

    async def look(page: Page) -> list[Any]:
        before = await page.evaluate(last)
        await page.evaluate("setSmoothing(5)")
        captions = await page.evaluate("document.querySelector('.chart.tall + .caption').textContent")
        return [before, await page.evaluate(last), captions]

    (before, after, caption), _ = on_page(run / "report.html", look)
    assert (after[0], after[-1]) == (before[0], before[-1])
    assert after[3] == pytest.approx(sum(before[1:6]) / 5)
    assert "mean of 5 evaluations around each; tables are not" in caption


def test_long_names_stand_beside_the_peers_of_small_graphs(run: Path, tmp_path: Path) -> None:
    names = ["north-sea", "berlin-mitte", "a-very-long-name-of-a-peer", "x"]
    links = [[names[k], names[(k + 1) % 4]] for k in range(4)]
    overrides = {"topologies": {"ring": {"nodes": names, "links": links}}}
    directory = fake_run(
        tmp_path / "run", algorithms=FIVE_AND_BOUNDS[:1], num_peers=4, num_rounds=2, overrides=overrides
    )

    async def look(page: Page) -> Any:
        return await page.evaluate("[...document.querySelectorAll('.node-name')].map((one) => one.textContent)")

    found, _ = on_page(write_report(directory), look)
    assert found == ["north-sea", "berlin-mitte", "a-very-long-nam…"]
