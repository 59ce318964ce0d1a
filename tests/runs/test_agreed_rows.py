"""What peers have agreed on goes to their own disks, is gathered into the run, and is told once by who goes on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from test_gathering import NAMES, START, cities, json_in

from gossipfl.agreements import Agreement
from gossipfl.report.complete import complete
from gossipfl.runs.files import read_run
from gossipfl.runs.gathering import gather
from gossipfl.runs.manifest import Manifest
from gossipfl.runs.peer_directory import PeerDirectory
from gossipfl.scores import LOSS, Metric

COLUMNS = (LOSS, Metric("accuracy"))
WHY = "in round 2: in 1 evaluation the accuracy was never better than 0.8"


def agreed(round: int, known_in: int, accuracies: tuple[float, ...]) -> Agreement:
    scores = np.array([[1 - accuracy, accuracy] for accuracy in accuracies])
    return Agreement(round, known_in, 3, NAMES[: len(accuracies)], COLUMNS, scores)


FIRST, SECOND = agreed(0, 1, (0.1, 0.1, 0.1)), agreed(1, 2, (0.4, 0.5, 0.6))
PARTIAL = agreed(1, 3, (0.4, 0.5))


def written(directory: Path, rows, stopped=None) -> None:
    """Rows (agreement, seconds) of a peer, and the reason of its end in its last row of the history."""
    lines = [json.dumps({"wall": START + at, "time": at, **agreement.values()}) for agreement, at in rows]
    (directory / "agreed.jsonl").write_text("".join(line + "\n" for line in lines))
    history = [json.loads(line) for line in (directory / "history.jsonl").read_text().splitlines()]
    history[-1]["stopped"] = stopped
    (directory / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))


@pytest.fixture
def peers(tmp_path):
    return cities(tmp_path)


class TestGathered:
    def test_what_all_know_is_one_row_and_what_some_know_another(self, peers, tmp_path):
        written(peers[0], [(FIRST, 2.0), (SECOND, 4.0)], WHY)
        written(peers[1], [(replace(FIRST, known_in=2), 3.0), (SECOND, 6.0)], WHY)
        written(peers[2], [(FIRST, 5.0), (PARTIAL, 9.0)], WHY)
        run = complete(gather(peers, tmp_path / "run")).parent
        rows = read_run(run).agreed
        assert [(row.round, row.known_in, row.time, row.known_to, row.num_peers) for row in rows] == [
            (0, 1, 2.0, 3, 3),
            (1, 2, 4.0, 2, 3),
            (1, 3, 9.0, 1, 2),
        ]
        assert (rows[1].column("mean", "accuracy"), rows[1].column("worst", "accuracy")) == (0.5, 0.4)
        assert rows[1].column("decile5", "loss") == pytest.approx(0.5)
        table = pq.read_table(run / "agreed.parquet").to_pylist()
        assert [row["mean_accuracy"] for row in table] == [row.column("mean", "accuracy") for row in rows]

    def test_why_they_ended_stands_in_the_manifest(self, peers, tmp_path):
        for directory in peers:
            written(directory, [], WHY)
        described = json_in(gather(peers, tmp_path / "run") / "manifest.json")
        assert [one["stopped"] for one in described["ended"]] == [WHY]
        assert f"pairwise: stopped early {WHY}." in described["differences"]
        written(peers[1], [])
        described = json_in(gather(peers, tmp_path / "again") / "manifest.json")
        assert described["ended"][0]["stopped"] == f"{WHY} (2 of 3 peers)"

    def test_without_agreement_there_is_no_file(self, peers, tmp_path):
        run = complete(gather(peers, tmp_path / "run")).parent
        assert not (run / "agreed.jsonl").exists()
        assert not (run / "agreed.parquet").exists()
        assert read_run(run).agreed == []
        assert json_in(run / "manifest.json")["ended"] == []

    @pytest.mark.parametrize(
        "fault",
        [
            {"scores": [[0.5, 0.5]]},
            {"scores": [[0.5], [0.5], [0.5]]},
            {"columns": []},
            {"columns": [{"name": "</script>"}]},
            {"wall": None},
            {"round": -1},
        ],
    )
    def test_a_line_that_is_garbled_is_left_out_and_said(self, peers, tmp_path, fault):
        written(peers[0], [(FIRST, 2.0)])
        with (peers[0] / "agreed.jsonl").open("a") as file:
            file.write(json.dumps({"wall": START, **SECOND.values(), **fault}) + "\n")
        run = complete(gather(peers, tmp_path / "run")).parent
        assert len(read_run(run).agreed) == 1
        assert any(
            "line 2 of " in note and "agreed.jsonl" in note for note in json_in(run / "manifest.json")["differences"]
        )


def test_a_peer_that_goes_on_drops_what_it_comes_to_know_again(peers):
    written(peers[0], [(FIRST, 2.0), (SECOND, 4.0)])
    (peers[0] / "checkpoint-1.safetensors").touch()
    before = (peers[0] / "agreed.jsonl").read_text().splitlines(keepends=True)
    with PeerDirectory.opened(peers[0], resume=True) as directory:
        last = directory.begin(Manifest(**json_in(peers[0] / "manifest.json")), 2, 3.0)
        assert last is not None
        assert last.round == 2
        assert (peers[0] / "agreed.jsonl").read_text() == before[0]
        directory.agreed(SECOND, 4.5)
    last = json.loads((peers[0] / "agreed.jsonl").read_text().splitlines()[-1])
    assert (last["time"], last["scores"]) == (4.5, SECOND.scores.tolist())
