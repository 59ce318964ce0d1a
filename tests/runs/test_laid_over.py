"""Several runs as one: every number is the one of its own run, and what makes no fair comparison is said."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_run import FIVE_AND_BOUNDS, OVER_HTTP, fake_run

from gossipfl.errors import ConfigurationError
from gossipfl.report.payload import page_payload
from gossipfl.runs.files import Run, read_run
from gossipfl.runs.laid_over import laid_over, read_runs, without_bounds

GOSSIP = FIVE_AND_BOUNDS[:2]
SERVER_AND_BOUND = FIVE_AND_BOUNDS[4:6]


def runs(tmp_path: Path, first: dict[str, Any] | None = None, second: dict[str, Any] | None = None) -> dict[str, Run]:
    seeds = {"seeds": [0, 1, 2]}
    fake_run(tmp_path / "gossip", algorithms=GOSSIP, num_rounds=8, overrides=seeds | (first or {}))
    fake_run(tmp_path / "server", algorithms=SERVER_AND_BOUND, num_rounds=8, overrides=seeds | (second or {}))
    return read_runs([tmp_path / "gossip", tmp_path / "server"])


def test_the_table_has_the_numbers_of_each_summary(tmp_path: Path) -> None:
    found = {row.label: row for row in laid_over(runs(tmp_path)).summary.rows}
    expected = {
        f"{row.label} · {name}": row for name in ("gossip", "server") for row in read_run(tmp_path / name).summary.rows
    }
    assert list(found) == list(expected)
    for label, row in expected.items():
        assert found[label].bound == row.bound
        for column in ("deployed_accuracy", "worst_accuracy", "time", "num_bytes", "busiest_peer_bytes"):
            mine, theirs = found[label].model_dump()[column], row.model_dump()[column]
            assert mine["mean"] == pytest.approx(theirs["mean"], rel=1e-12)
        assert [(one.target, one.reached, one.of) for one in found[label].targets] == [
            (one.target, one.reached, one.of) for one in row.targets
        ]


def test_history_topologies_and_algorithms_bear_the_names_of_their_runs(tmp_path: Path) -> None:
    run = laid_over(runs(tmp_path))
    labels = [algorithm.label for algorithm in run.manifest.algorithms]
    assert labels[0] == "pairwise (ring) · gossip"
    assert list(dict.fromkeys(row.algorithm for row in run.history)) == labels
    assert run.manifest.algorithms[1].topology == "torus"
    assert list(page_payload(run)["histories"]) == labels


def test_graphs_of_one_name_that_differ_stay_apart(tmp_path: Path) -> None:
    fake_run(tmp_path / "a", algorithms=GOSSIP[:1], num_peers=4, num_seeds=1, num_rounds=2)
    fake_run(tmp_path / "b", algorithms=GOSSIP[:1], num_peers=9, num_seeds=1, num_rounds=2)
    run = laid_over(read_runs([tmp_path / "a", tmp_path / "b"]))
    assert [algorithm.topology for algorithm in run.manifest.algorithms] == ["ring", "ring · b"]
    assert {name: len(graph.nodes) for name, graph in run.manifest.topologies.items()} == {"ring": 4, "ring · b": 9}


def test_the_cheapest_of_comparable_runs_wins(tmp_path: Path) -> None:
    same = {"partition": {"name": "iid", "digest": "same"}}
    run = laid_over(runs(tmp_path, same, same))
    assert run.manifest.comparable
    assert {one.num_bytes for one in run.summary.winners} == {"FedAvg · server"}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"data": {"source": "digits", "num_train": 1, "num_test": 1, "digest": "other"}}, "on the same data"),
        ({"partition": {"name": "iid", "digest": "other"}}, "deal their data to peers in other ways"),
        ({"seeds": [7]}, "different seeds"),
        (OVER_HTTP, "different clocks"),
    ],
)
def test_no_fair_comparison_names_nobody_the_best(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    same = {"partition": {"name": "iid", "digest": "same"}}
    run = laid_over(runs(tmp_path, same, same | other))
    assert not run.manifest.comparable
    assert run.summary.winners == []
    assert any(said in note for note in run.manifest.differences)


def test_fields_by_which_scenarios_differ_are_named(tmp_path: Path) -> None:
    training = [{"scenario": {"training": {"batch_size": size}, "name": str(size)}} for size in (10, 50)]
    notes = laid_over(runs(tmp_path, *training)).manifest.differences
    assert "The scenarios differ in training.batch_size (gossip: 10; server: 50)" in notes


def test_a_target_of_one_run_is_asked_of_all(tmp_path: Path) -> None:
    run = laid_over(runs(tmp_path, {"targets": {"accuracy": [0.5]}}, {"targets": {"accuracy": [0.6]}}))
    assert run.manifest.targets == {"accuracy": [0.5, 0.6]}
    assert {tuple(one.target for one in row.targets) for row in run.summary.rows} == {(0.5, 0.6)}


def test_a_metric_with_two_meanings_is_refused(tmp_path: Path) -> None:
    other = {"metrics": [{"name": "accuracy", "higher_is_better": False, "unit": "share"}]}
    with pytest.raises(ConfigurationError, match="accuracy is not the same metric in gossip and in server"):
        laid_over(runs(tmp_path, second=other))


def test_a_metric_that_one_run_lacks_is_no_target_that_it_missed(tmp_path: Path) -> None:
    both = [{"name": name, "higher_is_better": True, "unit": "share"} for name in ("accuracy", "f1")]
    run = laid_over(runs(tmp_path, second={"metrics": both, "targets": {"f1": [0.9], "accuracy": [0.8]}}))
    metrics = {row.label: {one.metric for one in row.targets} for row in run.summary.rows}
    assert metrics["pairwise (ring) · gossip"] == {"accuracy"}
    assert metrics["FedAvg · server"] == {"accuracy", "f1"}


def test_runs_of_one_name_are_told_apart_by_their_paths_and_none_comes_twice(tmp_path: Path) -> None:
    for parent in ("a", "b"):
        fake_run(tmp_path / parent / "run", algorithms=GOSSIP[:1], num_seeds=1, num_rounds=1)
    assert list(read_runs([tmp_path / "a/run", tmp_path / "b/run"])) == ["a/run", "b/run"]
    with pytest.raises(ConfigurationError, match="named twice"):
        read_runs([tmp_path / "a/run", tmp_path / "b/../a/run"])


def test_without_bounds_only_competitors_are_left(tmp_path: Path) -> None:
    run = runs(tmp_path)["server"]
    bare = without_bounds(run)
    assert {row.algorithm for row in bare.history} == {"FedAvg"} == {row.label for row in bare.summary.rows}
    only = run.manifest.model_copy(update={"algorithms": run.manifest.algorithms[1:]})
    with pytest.raises(ConfigurationError, match="bounds only"):
        without_bounds(Run(only, run.history, run.summary, [], []))


def test_one_run_stays_what_it_is(tmp_path: Path) -> None:
    found = runs(tmp_path)
    assert laid_over({"gossip": found["gossip"]}) is found["gossip"]
    assert json.loads((tmp_path / "gossip" / "manifest.json").read_text())["name"] == found["gossip"].manifest.name
