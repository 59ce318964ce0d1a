"""Reading a run directory: what is tolerated, and what each fault is called."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_run import FIVE_AND_BOUNDS, fake_run

from gossipfl.errors import ConfigurationError
from gossipfl.report import write_report
from gossipfl.runs.files import read_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return fake_run(tmp_path / "run", algorithms=FIVE_AND_BOUNDS[:2], num_peers=9, num_seeds=1, num_rounds=3)


def change_manifest(run: Path, **fields: Any) -> None:
    path = run / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def append_rows(run: Path, *rows: str) -> None:
    path = run / "history.jsonl"
    path.write_text(path.read_text() + "".join(rows))


def test_a_report_appears_whole_and_alone(run: Path) -> None:
    before = {path.name for path in run.iterdir()}
    report = write_report(run)
    assert report == run / "report.html"
    assert report.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert {path.name for path in run.iterdir()} == before | {"report.html"}


def test_writing_again_gives_the_same_bytes(run: Path) -> None:
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_the_old_report_survives_a_run_that_cannot_be_read(run: Path) -> None:
    before = write_report(run).read_bytes()
    (run / "summary.json").write_text("{")
    with pytest.raises(ConfigurationError):
        write_report(run)
    assert (run / "report.html").read_bytes() == before
    assert not list(run.glob(".*"))


@pytest.mark.parametrize("name", ["manifest.json", "history.jsonl", "summary.json"])
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(ConfigurationError, match=f"{name} is missing"):
        write_report(run)


GARBAGE = pytest.mark.parametrize("garbage", [b"{\n", b"[]\n", b"\xff\xfe\n", b'{"format": 1, "rows": 5}\n', b"null\n"])


@GARBAGE
def test_a_garbled_summary_is_named(run: Path, garbage: bytes) -> None:
    (run / "summary.json").write_bytes(garbage)
    with pytest.raises(ConfigurationError, match=r"summary\.json"):
        write_report(run)


@GARBAGE
def test_without_a_manifest_the_report_shows_the_history_and_says_so(run: Path, garbage: bytes) -> None:
    history = read_run(run).history
    (run / "manifest.json").write_bytes(garbage)
    found = read_run(run)
    assert found.history == history
    assert [one.label for one in found.manifest.algorithms] == list(dict.fromkeys(row.algorithm for row in history))
    assert "manifest.json is not what a run writes" in found.manifest.differences[0]
    assert "manifest.json is not what a run writes" in write_report(run).read_text(encoding="utf-8")


@GARBAGE
def test_garbled_lines_are_left_out_and_the_report_says_so(run: Path, garbage: bytes) -> None:
    history = read_run(run).history
    append_rows(run, garbage.decode("latin-1"))
    append_rows(run, "x\n" * 7)
    found = read_run(run)
    assert found.history == history
    first = len(history) + 1
    assert f"lines {first}, {first + 1}, {first + 2}, {first + 3}, {first + 4} and 3 more of " in str(
        found.manifest.differences
    )
    assert "history.jsonl could not be read" in write_report(run).read_text(encoding="utf-8")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no run directory"):
        write_report(tmp_path / "nowhere")


def test_a_wrong_field_is_named(run: Path) -> None:
    change_manifest(run, topologies={"ring": {"nodes": ["0"], "links": [["0"]]}})
    (said,) = read_run(run).manifest.differences
    assert "manifest.json is not what a run writes: topologies.ring.links.0" in said


def test_rows_of_another_run_are_refused(run: Path) -> None:
    append_rows(run, '{"algorithm": "somebody else", "seed": 0, "round": 1}\n')
    with pytest.raises(ConfigurationError, match=r"mixes two runs.*somebody else"):
        read_run(run)


def change_summary(run: Path, change: Any) -> None:
    path = run / "summary.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_winners_of_another_run_are_refused(run: Path) -> None:
    change_summary(
        run, lambda summary: summary | {"winners": [{"metric": "accuracy", "target": 0.8, "time": "somebody else"}]}
    )
    with pytest.raises(ConfigurationError, match=r"mixes two runs.*somebody else"):
        read_run(run)


def test_a_summary_of_an_earlier_version_names_no_winners(run: Path) -> None:
    change_summary(run, lambda summary: {"rows": summary["rows"]})
    assert read_run(run).summary.winners == []
    assert write_report(run).exists()


def test_a_line_that_was_being_written_is_left_out(run: Path) -> None:
    whole = read_run(run).history
    append_rows(run, '{"algorithm": "pairwise (ring)", "seed": 0, "rou')
    assert read_run(run).history == whole


def test_numbers_that_are_not_finite_are_missing(run: Path) -> None:
    row = '{"algorithm": "pairwise (ring)", "seed": 0, "round": 4, "average_loss": NaN, "consensus_distance": Infinity'
    append_rows(run, row + ', "mean_accuracy": null, "peer_accuracy": {"0": null, "1": 0.5, "2": NaN}}\n')
    last = read_run(run).history[-1]
    assert (last.column("average", "loss"), last.consensus_distance, last.column("mean", "accuracy")) == (
        None,
        None,
        None,
    )
    assert last.of_peers("accuracy") == {"0": None, "1": 0.5, "2": None}
    assert write_report(run).exists()


def test_unknown_fields_are_passed_on(run: Path) -> None:
    change_manifest(run, theme="dark", machine={"system": "Plan 9"})
    assert "Plan 9" in write_report(run).read_text(encoding="utf-8")
