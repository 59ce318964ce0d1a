"""The report shows what the peers know themselves, beside what the engine has measured of the same round."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import chromium_page, chromium_path
from fake_run import fake_run
from test_report_in_browser import click, seen

from gossipfl.agreements import Agreement
from gossipfl.files.strict_json import json_lines
from gossipfl.history import Known, agreed_row
from gossipfl.report import write_report
from gossipfl.report.payload import page_payload
from gossipfl.runs.files import read_run
from gossipfl.scores import LOSS, Metric

COLUMNS = (LOSS, Metric("accuracy"))
LABEL = "synchronous (random-regular)"


def agreed(round: int, accuracies: list[float], known_to: int, time: float, seed: int = 0) -> dict[str, Any]:
    peers = tuple(str(k) for k in range(len(accuracies)))
    scores = np.array([[1.0, accuracy] for accuracy in accuracies])
    return agreed_row(LABEL, seed, Agreement(round, round + 2, 16, peers, COLUMNS, scores), Known(time, known_to))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = fake_run(tmp_path_factory.mktemp("agreed") / "run", num_seeds=1, num_rounds=4)
    rows = [agreed(0, [0.125] * 16, 16, 0.0), agreed(2, [0.5] * 16, 15, 5.0), agreed(2, [0.75] * 15, 16, 4.0)]
    (run / "agreed.jsonl").write_text(json_lines([*rows, agreed(2, [0.25] * 16, 1, 4.5)]))
    return run


def test_of_several_for_a_round_that_counts_of_most_peers_which_most_know(run: Path) -> None:
    (table,) = page_payload(read_run(run))["agreed"][LABEL]
    assert (table["round"], table["num_peers"], table["agreed_mean_accuracy"]) == ([0, 2], [16, 16], [0.125, 0.5])
    bytes_by_time = {row.time: row.num_bytes for row in read_run(run).history if row.algorithm == LABEL}
    assert table["num_bytes"] == [None, max(sent for time, sent in bytes_by_time.items() if time <= 5.0)]


def test_rows_of_another_run_are_refused(run: Path, tmp_path: Path) -> None:
    other = fake_run(tmp_path / "run", num_seeds=1, num_rounds=1)
    (other / "agreed.jsonl").write_text(json.dumps(agreed(0, [0.5], 1, 0.0) | {"algorithm": "other"}) + "\n")
    with pytest.raises(Exception, match="mixes two runs"):
        read_run(other)


@pytest.mark.browser
@pytest.mark.skipif(chromium_path() is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
def test_the_page_has_a_table_and_a_curve(run: Path) -> None:
    report = write_report(run)

    async def visit() -> None:
        async with chromium_page() as page:
            found = await seen(page, report)
            assert "What the peers know" in found["text"]
            cells = "[...document.querySelectorAll('#agreed tbody td')].map((cell) => cell.textContent)"
            engine = next(row for row in read_run(run).history if (row.algorithm, row.round) == (LABEL, 2))
            deployed = engine.column("deployed", "accuracy")
            assert deployed is not None
            shown = await page.evaluate(cells)
            assert shown[:4] == ["2", "4", "16", "16"]
            assert "50.00\u00a0%" in shown
            assert f"{100 * deployed:.2f}\u00a0%" in shown
            await click(page, ".segmented button", "As peers know it")
            assert page.problems == []
            caption = "document.querySelector('#curves .card').textContent"
            assert "as the peers themselves agree on it" in await page.evaluate(caption)

    asyncio.run(visit())
