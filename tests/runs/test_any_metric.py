"""A metric that only a scenario and its trainer know is measured, compared, shown and written like any other."""

import json

import pyarrow.parquet as pq
import pytest
from softmax_trainer import SoftmaxTrainer, run_without_tensorflow

from gossipfl.cli.terminal.console import new_console
from gossipfl.cli.terminal.lines import evaluation_line
from gossipfl.cli.terminal.tables import comparison_tables
from gossipfl.experiments.mode import Command, Mode
from gossipfl.experiments.running import run_all
from gossipfl.report.complete import complete
from gossipfl.runs.directory import RunDirectory
from gossipfl.runs.resuming import stopped_run
from gossipfl.scenario import Scenario
from gossipfl.scores import Metric

BRIER = {"name": "brier", "higher_is_better": False}


@pytest.fixture
def _no_tensorflow(monkeypatch):
    run_without_tensorflow(monkeypatch)


def scenario(metrics: list[object], **fields: object) -> Scenario:
    data = {"source": "digits", "partition": {"name": "labels", "per_peer": 3}, "max_train": 120, "max_test": 40}
    return Scenario(
        name="toy",
        rounds=2,
        model="softmax",
        data=data,
        topology={"name": "ring", "arguments": {"n": 4}},
        algorithms=["pairwise", "fedavg"],
        evaluation={"metrics": metrics},
        **fields,
    )


def run(path, scenario):
    directory = RunDirectory.create(path, scenario, 1, Mode(Command.COMPARE), "gossipfl compare toy")
    with directory:
        comparison = run_all(scenario, 1, [directory])
    return comparison, complete(directory.finish())


@pytest.mark.usefixtures("_no_tensorflow")
def test_a_metric_is_in_every_record_of_a_run(tmp_path, capsys):
    comparison, report = run(tmp_path, scenario(["accuracy", BRIER]))
    last = comparison["pairwise"].last
    brier = last.metrics["brier"]
    assert brier.best == min(brier.peers.values()) < brier.mean < max(brier.peers.values()) == brier.worst
    assert 0 < last.average_brier < 1
    assert f"of the peers {brier.mean:.4f} ({brier.worst:.4f} to {brier.best:.4f})" in evaluation_line("x", last)

    row = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()][2]
    assert row["worst_brier"] == brier.worst
    assert row["peer_brier"] == brier.peers
    columns = pq.read_table(tmp_path / "history.parquet").to_pylist()[2]
    assert columns["deployed_brier"] == columns["mean_brier"] == brier.mean
    assert {peer["peer"]: peer["brier"] for peer in columns["peers"]} == brier.peers
    (summary, _) = json.loads((tmp_path / "summary.json").read_text())["rows"]
    assert summary["best_brier"] == {"mean": brier.best, "std": None}
    data = json.loads(report.read_text().split('id="run">')[1].split("</script>")[0])
    assert data["manifest"]["metrics"][1] == {
        **{"name": "brier", "higher_is_better": False, "unit": "number"},
        **{"on": "held-out data", "by_share": False},
    }
    assert data["of_peers"]["brier"]["pairwise"]["values"][-1] == pytest.approx(list(brier.peers.values()), rel=1e-3)
    tables = comparison_tables(comparison.table, comparison.scenario, comparison.metrics, Mode(Command.COMPARE), 160)
    for table in tables:
        new_console().print(table)
    shown = capsys.readouterr().out
    assert "toy: accuracy on held-out data in %, and what it cost" in shown
    assert "toy: brier on held-out data" in shown
    assert f"{brier.worst:.4g}" in shown
    resumed = stopped_run(tmp_path).ended["pairwise", 0].last
    assert resumed == last


@pytest.mark.usefixtures("_no_tensorflow")
def test_a_target_is_reached_from_above_where_lower_is_better(tmp_path):
    untrained, trained = 0.9, 0.0  # ten classes, each with probability 0.1
    comparison, _ = run(tmp_path, scenario([BRIER], targets=[2.0, 0.8999, 1e-9]))
    for row in comparison.table:
        above, between, below = row.targets
        assert (above.reached, between.reached, below.reached) == (1, 1, 0)
        assert above.costs["rounds"].mean == 0 < between.costs["rounds"].mean
        assert trained < row.values["deployed_brier"].mean < untrained
        assert "mean_accuracy" not in row.values


class WithoutDirection(SoftmaxTrainer):
    def __init__(self, *given):
        super().__init__(*given)
        self.metrics += (Metric("brier", None, "number"),)


def test_without_a_direction_nobody_is_best_or_worst(tmp_path, capsys, monkeypatch):
    run_without_tensorflow(monkeypatch, WithoutDirection)
    comparison, _ = run(tmp_path, scenario(["accuracy"]))
    last = comparison["pairwise"].last
    assert evaluation_line("x", last).endswith(f"of the peers {last.mean_brier:.4f}")
    mode = Mode(Command.COMPARE)
    for table in comparison_tables(comparison.table, comparison.scenario, comparison.metrics, mode, 160):
        new_console().print(table)
    assert "nan" not in capsys.readouterr().out
