"""The report in a real browser: no error, no request, nothing empty, nothing too wide."""

import asyncio
import itertools
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from chromium import Page, chromium_page, chromium_path
from fake_run import FIVE_AND_BOUNDS, JSON, OVER_HTTP, FakeAlgorithm, change_rows, fake_events, fake_run

from gossipfl.report import payload, write_report
from gossipfl.report.html import report_html
from gossipfl.runs.laid_over import laid_over, read_runs

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
            assert "Best accuracy of what is deployed: FedAvg" in found["text"]
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


WINNERS = """[...document.querySelectorAll(".winners tbody tr")].map((row) =>
  [...row.querySelectorAll("td .winner")].map((cell) => cell.textContent))"""


def test_who_reached_a_target_with_the_least_is_shown(report: Path, tmp_path: Path) -> None:
    summary = json.loads((report.parent / "summary.json").read_text())
    contests = ("num_bytes", "time", "busiest_peer_bytes", "spread")
    earlier = fake_run(tmp_path)
    fields = ("busiest_peer_bytes", "spread")
    rows = [
        row | {"targets": [{k: v for k, v in target.items() if k not in fields} for target in row["targets"]]}
        for row in summary["rows"]
    ]
    (earlier / "summary.json").write_text(json.dumps({"rows": rows}))

    async def visit(page: Page) -> None:
        text = (await seen(page, report))["text"].replace("\u00a0", " ")
        shown = await page.evaluate(WINNERS)
        assert shown == [[winner[contest] for contest in contests] for winner in summary["winners"]]
        assert "with all 3 seeds" in text
        assert re.search(r"peers \d+\.\d\d ± \d+\.\d\d pp apart", text)
        titles = "[...document.querySelectorAll('.comparison thead tr:last-child th')].map(e => e.textContent)"
        assert (await page.evaluate(titles)).count("Peers apart") == 2
        for contest, column in zip(contests, (4, 3, 5, 6), strict=True):  # the best of a column is who won it
            best = f"[...document.querySelectorAll('.comparison')].at(-1).querySelector('td.best:nth-child({column})')"
            name = await page.evaluate(f"{best}.closest('tr').querySelector('th').textContent")
            assert name == summary["winners"][0][contest]

        text = (await seen(page, write_report(earlier)))["text"]
        assert "Cheapest way" not in text
        assert "Peers apart" not in await page.evaluate(titles)
        assert (await page.evaluate(titles)).count("Rounds") == 2

    in_browser(visit)


def test_nobody_is_the_cheapest_where_some_did_fewer_rounds_and_one_number_per_peer_is_no_class(tmp_path: Path) -> None:
    without_classes = {"name": "iid", "digest": "same", "label_counts": {str(peer): [108] for peer in range(16)}}
    overrides = {"partition": without_classes, "targets": {}, "seeds": [0, 1, 2]}
    for name, num_rounds in (("short", 6), ("long", 12)):
        fake_run(tmp_path / name, algorithms=FIVE_AND_BOUNDS[:2], num_rounds=num_rounds, overrides=overrides)
    path = tmp_path / "report.html"
    path.write_text(report_html(laid_over(read_runs([tmp_path / "short", tmp_path / "long"]))))

    async def visit(page: Page) -> None:
        text = (await seen(page, path))["text"]
        assert "best accuracy of what is deployed" in text.lower()
        assert "fewest bytes" not in text.lower()
        assert "Data of each peer" not in text
        assert await page.evaluate("document.querySelectorAll('td.best').length") == 4

    in_browser(visit)


def dozen() -> list[FakeAlgorithm]:
    """Twelve competitors with long names, some of which bring their own links, and the bounds."""
    kinds = ("synchronous", "gradient_tracking", "quasi_global_momentum")
    made = [
        FakeAlgorithm(f"{kind} ({topology}, random_matchings)", kind, topology, 0.9 + 0.01 * i, 0.3, 0.02, 2.0, 1.0)
        for i, (kind, topology) in enumerate(itertools.product(kinds, ("ring", "torus", "random-regular")))
    ]
    made += [
        FakeAlgorithm(f"synchronous ({own})", "synchronous", None, 0.93, 0.25, 0.03, 1.0, 0.9)
        for own in ("one_peer_exponential", "base_graph k=2")
    ]
    return [*made, *FIVE_AND_BOUNDS[4:]]


def test_a_dozen_algorithms_are_told_apart_and_fit(tmp_path: Path) -> None:
    report = write_report(fake_run(tmp_path, algorithms=dozen(), num_seeds=2, num_rounds=8))
    room = "[...document.querySelectorAll('.card.scroll')].map(card => card.scrollWidth - card.clientWidth)"
    looks = """[...document.querySelectorAll(".chip line")].map((line) =>
      `${line.style.stroke} ${line.getAttribute("stroke-dasharray")}`)"""

    async def visit(page: Page) -> None:
        found = await seen(page, report, width=1280)
        assert max(await page.evaluate(room)) <= 0
        shown = await page.evaluate(looks)
        assert len(set(shown)) == len(shown) == 14
        assert "whom they meet is up to the algorithm" in found["text"].replace("\u00a0", " ")
        await page.hover("article:last-child > .drawing .peer")
        assert "neighbor" not in await page.evaluate("document.getElementById('tooltip').innerText")
        await seen(page, report, width=360, dark=True)

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
            text = found["text"].replace("\u00a0", " ")
            assert "all 200 peers, the middle" in text
            assert "Median of the peers, and range: examples " in text
            assert "400 links · mean " in text
        bars = """[...document.querySelectorAll(".histogram")].map((histogram) =>
          [...histogram.querySelectorAll("rect")].map((bar) => bar.getAttribute("height")).join())"""
        last = await page.evaluate(bars)
        assert len(last) == 4
        await enter(page, ".player input", "0", "input")
        assert all(before != after for before, after in zip(last, await page.evaluate(bars), strict=True))
        await page.hover(".histogram .hit")
        tip = await page.evaluate("document.getElementById('tooltip').innerText")
        assert "accuracy up to " in tip
        assert page.problems == []

    in_browser(visit)


def test_too_many_peers_to_draw_are_shown_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MAX_DRAWN_PEERS", 50)
    run = fake_run(tmp_path, algorithms=FIVE_AND_BOUNDS[3:5], num_peers=100, num_seeds=1, num_rounds=3)

    def of_a_sample(row: JSON) -> JSON:
        return row | {"peer_accuracy": {str(peer): row["peer_accuracy"][str(peer)] for peer in range(70)}}

    report = write_report(change_rows(run, of_a_sample))

    async def visit(page: Page) -> None:
        text = (await seen(page, report))["text"].replace("\u00a0", " ")
        assert "100 peers, 200 links, too many to be drawn · 70 peers evaluated: mean" in text
        assert "100 clients and the server, too many to be drawn" in text
        assert "100 peers (70 evaluated)" in text
        assert "all 70 peers evaluated, the middle" in text
        assert "Point at a peer" not in text
        assert await page.evaluate("document.querySelectorAll('.drawing').length") == 0

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
    (nothing / "manifest.json").write_text(
        '{"format": 1, "mode": {"command": "simulate"}, "name": "<b>nothing</b>", "algorithms": [{"label": "a"}]}'
    )
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


def test_contact_between_peers_is_drawn_and_told(tmp_path: Path) -> None:
    ring, fedavg = FIVE_AND_BOUNDS[0], FIVE_AND_BOUNDS[4]
    run = fake_run(tmp_path, algorithms=(ring, fedavg), num_peers=60, num_seeds=2, overrides=OVER_HTTP)
    lost = [(ring.label, 0, 1.0 + number / 10, str(number), str(number + 1), "unreachable") for number in range(45)]
    back = [(ring.label, 0, 12.0, str(number), str(number + 1), "reachable") for number in range(1, 45)]
    report = write_report(fake_events(run, *lost, *back, (ring.label, 0, 20.0, "5", "6", "left")))

    async def visit(page: Page) -> None:
        for width, dark in ((1280, False), (1280, True), (360, False), (360, True)):
            text = (await seen(page, report, width=width, dark=dark))["text"].replace("\u00a0", " ")
            assert "45 of 60 links were interrupted. The longest: peer 0 could not reach peer 1 from 1.000 s" in text
            assert "1 peer left before the end: peer 6 at 20.00 s." in text
            assert "… and 5 more links." in text
            assert "seed 0, the first of 2" in text
            assert "No link was interrupted." in text
            bars = await page.evaluate("document.querySelectorAll('.timeline .outage').length")
            assert bars == 40
            colors = await page.evaluate(
                "['.outage', '.card'].map(s => getComputedStyle(document.querySelector('#contact ' + s)))"
                ".map((style, index) => index ? style.backgroundColor : style.fill)"
            )
            assert colors[0] != colors[1]
        described = "document.querySelector('.timeline svg').querySelector('desc').textContent"
        assert "6 left: at" in await page.evaluate(described)
        await page.evaluate("document.querySelector('#contact details').open = true")
        assert await page.evaluate("document.querySelectorAll('#contact tbody tr').length") == 41
        await page.hover(".timeline .hit")
        tip = await page.evaluate("document.getElementById('tooltip').innerText")
        assert tip.startswith("0 → 1")
        assert "peer 0 could not reach peer 1" in tip
        assert page.problems == []

    in_browser(visit)


def test_nothing_is_said_of_contact_without_events(report: Path) -> None:
    async def visit(page: Page) -> None:
        found = await seen(page, report)
        assert "Contact between peers" not in found["text"]
        assert "virtual time" in found["text"]

    in_browser(visit)


EVERYTHING = """[...document.querySelectorAll("details")].forEach((details) => { details.open = true; });
  [document.body.innerText, ...[...document.querySelectorAll("[aria-label], [title], option")].map(
    (element) => `${element.getAttribute("aria-label")} ${element.title ?? ""} ${element.value ?? ""}`)].join(" ")"""

PIXELS_OF_THE_FIRST_HUE = """(() => {
  const canvas = document.querySelector(".chart.tall canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let i = 0; i < data.length; i += 4) found += data[i] === 0 && data[i + 1] === 114 && data[i + 2] === 178;
  return found;
})()"""


def test_a_run_in_real_time_claims_no_other(tmp_path: Path) -> None:
    run = fake_run(tmp_path, num_seeds=1, overrides=OVER_HTTP)
    report = write_report(fake_events(run, (FIVE_AND_BOUNDS[0].label, 0, 1.0, "0", "1", "unreachable")))

    async def visit(page: Page) -> None:
        await seen(page, report)
        text = await page.evaluate(EVERYTHING)
        assert "virtual" not in text.lower()
        assert "real time, over HTTP" in text
        assert "Least real time to accuracy 90" in text.replace("\u00a0", " ")
        assert "get the same numbers" not in text
        assert "The network and the speeds in it are the simulator\u2019s" in text
        await click(page, ".segmented button", "Real time")
        assert page.problems == []

    in_browser(visit)


def test_epsilon_is_a_column_and_an_axis_where_there_is_any(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", algorithms=FIVE_AND_BOUNDS[:1], num_seeds=1)
    summary = json.loads((run / "summary.json").read_text())
    summary["rows"][0]["epsilon"] = {"mean": 7.5, "std": None}
    (run / "summary.json").write_text(json.dumps(summary))

    async def visit(page: Page) -> None:
        await seen(page, write_report(change_rows(run, lambda row: row | {"epsilon": row["round"] / 10})))
        assert "Epsilon\n" in await page.evaluate("document.querySelector('.comparison').innerText")
        await click(page, ".segmented button", "Epsilon")
        assert "epsilon spent" in await page.evaluate("document.body.innerHTML")
        assert page.problems == []

    in_browser(visit)


def as_gathered(row: JSON) -> JSON:
    """As from separate hosts: no average model, and the distance in the last row only."""
    last = {} if row["round"] == 20 else {"consensus_distance": None}
    return row | {"average_loss": None, "average_accuracy": None} | last


def test_what_was_not_measured_is_a_gap_and_never_a_number(tmp_path: Path) -> None:
    gathered = fake_run(tmp_path / "gathered", algorithms=FIVE_AND_BOUNDS[:1], num_seeds=1, overrides=OVER_HTTP)
    summary = json.loads((gathered / "summary.json").read_text())
    summary["rows"][0]["average_accuracy"] = {"mean": None, "std": None}
    (gathered / "summary.json").write_text(json.dumps(summary))
    sparse = fake_run(tmp_path / "sparse", algorithms=FIVE_AND_BOUNDS[:2], num_seeds=1)
    unmeasured = {"average_loss": None, "average_accuracy": None, "consensus_distance": None}
    never = fake_run(tmp_path / "never", algorithms=FIVE_AND_BOUNDS[:1], num_seeds=1)

    async def visit(page: Page) -> None:
        found = await seen(page, write_report(change_rows(gathered, as_gathered)))
        assert [canvas["title"] for canvas in found["canvases"]] == [
            "Accuracy",
            "Spread over peers",
            "Consensus distance",
            "Loss",
        ]
        assert "exactly zero" not in found["text"].lower()
        average = "document.querySelector('.comparison tbody td:nth-of-type(4)').innerText"
        assert await page.evaluate(average) == "\u2013"
        await click(page, ".segmented button", "Average model")
        assert "No accuracy was measured" in await page.evaluate("document.body.innerText")
        shown = await page.evaluate("document.body.innerText")
        assert not [word for word in ("NaN", "Infinity", "null", "undefined") if word in shown]

        # Every second value alone, between gaps: dots.
        change_rows(sparse, lambda row: row | (unmeasured if row["round"] % 2 else {}))
        found = await seen(page, write_report(sparse))
        await click(page, ".segmented button", "Average model")
        assert len(found["canvases"]) == 4
        assert await page.evaluate(PIXELS_OF_THE_FIRST_HUE) > 10 * 9

        change_rows(never, lambda row: row | unmeasured)
        found = await seen(page, write_report(never))
        assert found["empty"] == ["Consensus distance"]
        assert "No consensus distance was measured" in found["text"]
        assert page.problems == []

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
