"""The page shows whatever metrics a run has, also where lower is better and the numbers are no shares."""

from pathlib import Path
from typing import Any

from chromium import Page
from fake_run import FIVE_AND_BOUNDS, JSON, change_rows, fake_run
from test_report_in_browser import click, in_browser, seen

from gossipfl.report.complete import complete

ERROR = {"name": "squared_error", "higher_is_better": False, "unit": "number"}
ACCURACY = {"name": "accuracy", "higher_is_better": True, "unit": "share"}


def with_error(row: JSON) -> JSON:
    """Ten times what is missing to an accuracy of 1."""

    def error(value: Any) -> Any:
        return {peer: 10 * (1 - own) for peer, own in value.items()} if isinstance(value, dict) else 10 * (1 - value)

    ours = {name: value for name, value in row.items() if name.endswith("_accuracy")}
    return row | {name.replace("accuracy", "squared_error"): error(value) for name, value in ours.items()}


def test_a_first_metric_whose_lower_values_are_better(tmp_path: Path) -> None:
    overrides = {"metrics": [ERROR, ACCURACY], "targets": {"squared_error": [3.0, 1.5]}}
    run = fake_run(tmp_path / "run", algorithms=FIVE_AND_BOUNDS, overrides=overrides)
    report = complete(change_rows(run, with_error))

    async def visit(page: Page) -> None:
        found = await seen(page, report)
        assert [canvas["title"] for canvas in found["canvases"]] == [
            "Squared error",
            "Accuracy",
            "Spread over peers",
            "Spread over peers: accuracy",
            "Consensus distance",
            "Loss",
        ]
        assert found["empty"] == []
        assert "Best squared error of what is deployed: FedAvg" in found["text"]
        assert "best accuracy of what is deployed: FedAvg" in found["text"]
        assert "to reach squared error 1.5" in found["text"].lower()
        assert "squared error ≥" in found["text"]
        names = "[...document.querySelectorAll('.comparison tbody:first-of-type th')].map(e => e.textContent)"
        await click(page, ".comparison thead button", "Deployed")
        assert (await page.evaluate(names))[0] == "FedAvg"  # the smallest first
        for measure in ("Average model", "Worst peer", "Training"):
            await click(page, ".segmented button", measure)
        shown = await page.evaluate("document.body.innerText")
        assert not [word for word in ("NaN", "Infinity", "null", "undefined") if word in shown]
        assert page.problems == []

    in_browser(visit)
