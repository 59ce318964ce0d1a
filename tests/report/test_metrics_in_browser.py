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


OWN = {**ACCURACY, "name": "own_accuracy", "on": "each peer's own validation data", "by_share": True}
OWN_LOSS = {**ERROR, "name": "own_loss", "on": "each peer's own validation data", "by_share": True}
TEST = {**ACCURACY, "name": "test_accuracy", "on": "test data"}


def in_other_places(row: JSON) -> JSON:
    """The same on the peers' own shares, and at the end on the test part."""
    ours = {name: value for name, value in row.items() if name.endswith("_accuracy")}
    is_last = row["round"] == 20
    own = {name.replace("accuracy", "own_accuracy"): value for name, value in ours.items()}
    test = {
        name.replace("accuracy", "test_accuracy"): value if is_last else {} if isinstance(value, dict) else None
        for name, value in ours.items()
    }
    return row | own | test


def test_what_is_measured_on_own_shares_and_at_the_end(tmp_path: Path) -> None:
    overrides = {"metrics": [{**ACCURACY, "on": "validation data"}, OWN_LOSS, OWN, TEST]}
    run = fake_run(tmp_path / "run", algorithms=FIVE_AND_BOUNDS, overrides=overrides)
    report = complete(change_rows(run, in_other_places))

    async def visit(page: Page) -> None:
        found = await seen(page, report)
        titles = [canvas["title"] for canvas in found["canvases"]]
        assert titles[:4] == ["Accuracy", "Own accuracy", "Spread over peers", "Spread over peers: own accuracy"]
        assert not [title for title in titles if "est" in title]  # measured once, it is no curve
        assert "Best test accuracy of what is deployed" in found["text"]
        assert "Best accuracy of what is deployed" not in found["text"]
        groups = "[...document.querySelectorAll('.comparison .groups th')].map(e => e.textContent)"
        assert (await page.evaluate(groups))[:3] == [
            "Accuracy on validation data",
            "Own accuracy on each peer's own validation data",
            "Test accuracy on test data",
        ]
        heads = await page.evaluate(
            "[...document.querySelectorAll('.comparison thead button')].map(e => e.textContent)"
        )
        assert [head for head in heads if "ecile" in head or head == "Median"] == ["Decile 1", "Median", "Decile 9"]
        shown = await page.evaluate("document.body.innerText")
        assert not [word for word in ("NaN", "Infinity", "null", "undefined") if word in shown]
        assert page.problems == []

    in_browser(visit)


def test_a_first_metric_whose_lower_values_are_better(tmp_path: Path) -> None:
    overrides = {
        "metrics": [ERROR, ACCURACY],
        "targets": {"squared_error": [3.0, 1.5], "accuracy": [0.8], "loss": [1.0]},
    }
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
        for target in ("squared error 1.5", "accuracy 80 %", "loss 1"):
            assert f"to reach {target}" in found["text"].lower().replace("\u202f", " ").replace("\u00a0", " ")
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


def test_a_run_without_metrics_is_judged_by_its_loss_and_a_metric_without_direction_is_shown(tmp_path: Path) -> None:
    def with_own(row: JSON) -> JSON:
        ours = {name: value for name, value in row.items() if name.endswith("_accuracy")}
        own = {name.replace("accuracy", "largest"): value for name, value in ours.items()}
        return row | own | {"worst_largest": None, "best_largest": None}

    def with_losses(row: JSON) -> JSON:
        values = row["peer_loss"].values()
        mean = sum(values) / len(values)
        return row | {"deployed_loss": mean, "mean_loss": mean, "worst_loss": max(values), "best_loss": min(values)}

    few = FIVE_AND_BOUNDS[:2]
    overrides = {"metrics": [], "targets": {"loss": [1.0]}}
    by_loss = complete(change_rows(fake_run(tmp_path / "loss", algorithms=few, overrides=overrides), with_losses))
    unknown = {"metrics": [{**ERROR, "name": "largest", "higher_is_better": None}], "targets": {}}
    shown = complete(change_rows(fake_run(tmp_path / "own", algorithms=few, overrides=unknown), with_own))

    async def visit(page: Page) -> None:
        found = await seen(page, by_loss)
        assert [canvas["title"] for canvas in found["canvases"]][:2] == ["Loss", "Spread over peers"]
        assert "Best loss of what is deployed" in found["text"]
        assert "to reach loss 1" in found["text"].lower()
        found = await seen(page, shown)
        assert found["canvases"][0]["title"] == "Largest"
        assert "best largest" not in found["text"].lower()
        for text in (found["text"], await page.evaluate("document.body.innerText")):
            assert not [word for word in ("NaN", "Infinity", "null", "undefined") if word in text]
        assert page.problems == []

    in_browser(visit)
