"""Run directories of single peers become one: its rows, weights, events and manifest; and what is refused."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluations import evaluation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from gossipfl.engines.http.wire.run_facts import run_id_of
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.comparison import MEASURES
from gossipfl.files.strict_json import strict_json
from gossipfl.history import history_row
from gossipfl.report.complete import complete
from gossipfl.runs.files import read_run
from gossipfl.runs.gathered_history import gathered_history, timeline
from gossipfl.runs.gathering import gather
from gossipfl.runs.manifest import Manifest
from gossipfl.runs.peer_records import read_peer
from gossipfl.scenario import Scenario

JSON = dict[str, Any]

NAMES = ("delhi", "berlin", "cairo")
START = 1_790_000_000.0
FILES = {"manifest.json", "history.jsonl", "history.parquet", "summary.json", "events.jsonl", "report.html", "weights"}


MODEL = {
    "name": "softmax",
    "num_weights": 4,
    "task": {"x": "float32[2]", "y": "int32[]", "num_classes": 2, "kind": "classes"},
}


def manifest(peer: str, names: Sequence[str] = NAMES, hub: str | None = None, **fields: Any) -> JSON:
    participants = [*names, *([hub] if hub else [])]
    weighting = fields.get("scenario", {}).get("weighting", "uniform")
    usual = {"rounds": 2, "weighting": weighting, "seed": 4, "participants": participants, "hub": hub}
    agreed = fields.pop("agreed", usual)
    return {
        "format": 1,
        "name": "cities",
        "command": f"gossipfl peer cities --name {peer}",
        "created": f"2026-11-22T10:00:0{participants.index(peer) % 10}+00:00",
        "gossipfl": "0.2.0",
        "mode": {"command": "peer", "engine": "HTTP between processes", "trainer": "local"},
        "peer": peer,
        "run_id": run_id_of(agreed),
        "agreed": agreed,
        "interrupted": False,
        "failures": [],
        "seeds": [4],
        "scenario": {"evaluation": {"every": 1, "peers": "all"}, "weighting": "uniform", "rounds": 2},
        "versions": {"python": "3.12.1"},
        "machine": {"system": "Linux", "cores": 4},
        "data": {"source": "digits", "num_train": 60, "num_test": 10, "num_classes": 2, "digest": "d"},
        "partition": {"name": "iid", "label_counts": {} if peer == hub else {peer: [10, 10 * len(peer)]}},
        "model": MODEL,
        "topologies": {} if hub else {"ring": {"nodes": list(names), "links": [["delhi", "berlin"]], "rho": 0.5}},
        "algorithms": [
            {"label": "fed avg" if hub else "pairwise", "topology": None if hub else "ring", "hub": hub, "seeds": [4]}
        ],
        "metrics": [{"name": "accuracy"}],
        "targets": {"accuracy": [0.5]},
        "differences": [],
    } | fields


def row(round: int, seconds: float, accuracy: float | None = 0.5, **fields: Any) -> JSON:
    """A round costs 100 bytes sent, 50 received and 2 messages."""
    return {
        "round": round,
        "rounds_done": round,
        "examples_seen": 10 * round,
        "time": seconds,
        "wall": START + seconds,
        "loss": None if accuracy is None else 1 - accuracy,
        "metrics": {"accuracy": accuracy},
        "training": {"loss": 1.0, "accuracy": 0.25} if round else {},
        "training_examples": 10 if round else 0,
        "sent": 100 * round,
        "received": 50 * round,
        "num_messages": 2 * round,
    } | fields


def peer_directory(
    directory: Path,
    described: JSON,
    rows: Sequence[JSON],
    events: Sequence[JSON] | None = None,
    final: Sequence[float] | None = (1.0, 2.0, 3.0, 4.0),
    **parts: Sequence[float],
) -> Path:
    (directory / "weights").mkdir(parents=True)
    (directory / "manifest.json").write_text(json.dumps(described))
    (directory / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    if events is not None:
        (directory / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    if final is not None:
        tensors = {"weights": np.array(final, np.float32)}
        tensors |= {name: np.array(part, np.float32) for name, part in parts.items()}
        save_file(tensors, directory / "weights" / "final.safetensors")
    return directory


def cities(tmp_path: Path, **fields: Any) -> list[Path]:
    """Three peers that start and go at their own pace."""
    rows = {
        "delhi": [row(0, 0.0, 0.1), row(1, 2.0, 0.4), row(2, 4.0, 0.7)],
        "berlin": [row(0, 1.0, 0.1), row(1, 3.0, 0.5), row(2, 6.0, 0.8)],
        "cairo": [row(0, 0.5, 0.1), row(1, 5.0, 0.6), row(2, 9.0, 0.9)],
    }
    final = {"delhi": [0.0, 0, 0, 0], "berlin": [3.0, 0, 0, 0], "cairo": [0.0, 3, 0, 0]}
    return [
        peer_directory(tmp_path / f"from-{name}", manifest(name, **fields), rows[name], [], final[name])
        for name in NAMES
    ]


def rows_in(path: Path) -> list[JSON]:
    return [json.loads(line, parse_constant=pytest.fail) for line in (path / "history.jsonl").read_text().splitlines()]


def json_in(path: Path) -> Any:
    return json.loads(path.read_text())


def records_of(tmp_path: Path, histories: dict[str, list[JSON]], hub: str | None = None) -> list[Any]:
    names = [name for name in histories if name != hub]
    return [
        read_peer(peer_directory(tmp_path / name, manifest(name, names, hub), rows)) for name, rows in histories.items()
    ]


def gathered(records: list[Any], every: int = 1) -> list[JSON]:
    history = gathered_history(records, timeline(records), every)
    rows: list[JSON] = json.loads(strict_json([history_row("pairwise", 4, one) for one in history]))
    return rows


class TestRows:
    def test_there_is_one_per_equivalent_round_of_each_peers_newest_state(self, tmp_path):
        gather(cities(tmp_path), tmp_path / "run")
        first, middle, last = rows_in(tmp_path / "run")
        assert [(one["round"], one["time"]) for one in (first, middle, last)] == [(0, 0.0), (1, 4.0), (2, 9.0)]
        assert first["peer_accuracy"] == {"delhi": 0.1, "berlin": 0.1, "cairo": 0.1}
        assert middle["peer_accuracy"] == {"delhi": 0.7, "berlin": 0.5, "cairo": 0.1}
        assert middle["mean_accuracy"] == pytest.approx(1.3 / 3)
        assert (middle["worst_accuracy"], middle["best_accuracy"]) == (0.1, 0.7)
        assert (middle["num_bytes"], middle["num_messages"], middle["busiest_peer_bytes"]) == (300, 6, 300)
        assert last["peer_loss"] == {
            "delhi": pytest.approx(0.3),
            "berlin": pytest.approx(0.2),
            "cairo": pytest.approx(0.1),
        }
        assert all(one["average_accuracy"] is None and one["average_loss"] is None for one in (first, middle, last))

    def test_they_have_the_fields_of_any_history(self, tmp_path):
        gather(cities(tmp_path), tmp_path / "run")
        usual = history_row("pairwise", 4, evaluation())
        for one in rows_in(tmp_path / "run"):
            assert one.keys() == usual.keys()
            assert (one["algorithm"], one["seed"]) == ("pairwise", 4)

    def test_every_second_round_and_always_the_end(self, tmp_path):
        histories = {name: [row(k, k + i / 10) for k in range(6)] for i, name in enumerate("ab")}
        records = records_of(tmp_path, histories)
        assert [one["round"] for one in gathered(records, 2)] == [0, 2, 4, 5]
        assert [one["round"] for one in gathered(records, 100)] == [0, 5]

    def test_a_peer_that_died_keeps_its_last_state(self, tmp_path):
        histories = {"a": [row(k, k) for k in range(9)], "b": [row(0, 0.0), row(1, 1.5, 0.3)]}
        *_, last = gathered(records_of(tmp_path, histories))
        assert (last["round"], last["time"]) == (4, 8.0)
        assert last["peer_accuracy"] == {"a": 0.5, "b": 0.3}
        assert last["num_bytes"] == 900

    def test_what_comes_after_the_last_round_is_in_the_last_row(self, tmp_path):
        histories = {"a": [row(0, 0), row(1, 1), row(1, 3, 0.9, sent=170)], "b": [row(0, 0), row(1, 2)]}
        first, last = gathered(records_of(tmp_path, histories))
        assert (first["round"], last["round"]) == (0, 1)
        assert (last["time"], last["peer_accuracy"]["a"], last["num_bytes"]) == (3.0, 0.9, 270)
        assert last["training_loss"] == 1.0

    def test_a_clock_that_is_set_back_does_not_turn_rounds_back(self, tmp_path):
        histories = {"a": [row(0, 0), row(1, 10), row(2, 4), row(3, 12)]}
        assert [(one["round"], one["time"]) for one in gathered(records_of(tmp_path, histories))] == [
            (0, 0.0),
            (2, 10.0),
            (3, 12.0),
        ]

    def test_training_is_weighted_by_examples_since_the_last_row(self, tmp_path):
        few = {"training_examples": 10, "training": {"loss": 3.0, "accuracy": 0.0}}
        many = {"training_examples": 30, "training": {"loss": 1.0, "accuracy": None}}
        histories = {
            "a": [row(0, 0), row(1, 1, **few), row(2, 3, **few)],
            "b": [row(0, 0), row(1, 2, **many), row(2, 3)],
        }
        first, middle, last = gathered(records_of(tmp_path, histories))
        assert (first["training_loss"], first["training_accuracy"]) == (None, None)
        assert (middle["training_loss"], middle["training_accuracy"]) == (1.5, 0.0)
        assert (last["training_loss"], last["training_accuracy"]) == (2.0, 0.125)

    def test_scores_that_a_peer_has_not_are_missing_and_no_zero(self, tmp_path):
        histories = {"a": [row(0, 0, None), row(1, 1, None)], "b": [row(0, 0, None), row(1, 1, 0.4)]}
        first, last = gathered(records_of(tmp_path, histories))
        assert (first["mean_accuracy"], first["worst_accuracy"], first["best_accuracy"]) == (None, None, None)
        assert (last["mean_accuracy"], last["peer_accuracy"]) == (0.4, {"a": None, "b": 0.4})

    def test_a_hub_counts_the_rounds_and_its_model_is_the_average(self, tmp_path):
        clients = {name: [row(0, 0, 0.1), row(1, 1 + i, 0.2), row(2, 5 + i, 0.3)] for i, name in enumerate("ab")}
        server = [row(0, 0.5, 0.1, sent=0), row(1, 3, 0.6, sent=900), row(2, 7, 0.8, sent=1900)]
        first, middle, last = gathered(records_of(tmp_path, clients | {"hub": server}, "hub"))
        assert [one["average_accuracy"] for one in (first, middle, last)] == [0.1, 0.6, 0.8]
        assert middle["average_loss"] == pytest.approx(0.4)
        assert (middle["round"], middle["time"], middle["num_bytes"]) == (1, 3.0, 1100)
        assert last["busiest_peer_bytes"] == 2000
        assert last["peer_accuracy"] == {"a": 0.3, "b": 0.3}
        assert last["mean_accuracy"] == pytest.approx(0.3)

    def test_nobody_measured_anything(self, tmp_path):
        directories = [peer_directory(tmp_path / name, manifest(name), [], None, None) for name in NAMES]
        assert complete(gather(directories, tmp_path / "run")).is_file()
        assert rows_in(tmp_path / "run") == []


@st.composite
def histories(draw: st.DrawFn) -> dict[str, list[JSON]]:
    """Peers that finish rounds at any pace, die at any time and count what they send."""
    found = {}
    for name in draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True)):
        gaps = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))
        rows = []
        for round, seconds in enumerate(np.cumsum(gaps).tolist()):
            traffic = {key: round * draw(st.integers(50, 60)) for key in ("sent", "received", "num_messages")}
            rows.append(row(round, seconds, draw(st.none() | st.floats(0, 1)), **traffic))
        found[name] = rows
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.integers(1, 3))
def test_bytes_add_up_and_rounds_go_on(tmp_path_factory: Any, histories: dict[str, list[JSON]], every: int) -> None:
    records = records_of(tmp_path_factory.mktemp("peers"), histories)
    rows = gathered(records, every)
    ends = [one[-1] for one in histories.values()]
    last = rows[-1]
    assert last["num_bytes"] == sum(end["sent"] for end in ends)
    assert last["num_messages"] == sum(end["num_messages"] for end in ends)
    assert last["busiest_peer_bytes"] == max(end["sent"] + end["received"] for end in ends)
    assert last["peer_accuracy"] == {name: one[-1]["metrics"]["accuracy"] for name, one in histories.items()}
    assert last["round"] == sum(end["round"] for end in ends) // len(ends)
    for key in ("round", "time"):
        assert [one[key] for one in rows] == sorted(one[key] for one in rows)
    assert len({one["round"] for one in rows}) == len(rows)
    assert len({one["round"] // every for one in rows[:-1]}) == len(rows[:-1])
    trained = sum(one["training_examples"] for history in histories.values() for one in history)
    assert (trained == 0) == all(one["training_loss"] is None for one in rows)


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(3)))
def test_the_order_of_directories_does_not_matter(tmp_path_factory: Any, order: list[int]) -> None:
    path = tmp_path_factory.mktemp("order")
    directories = cities(path)
    complete(gather(directories, path / "run"))
    complete(gather([directories[place] for place in order], path / "again"))
    for name in FILES - {"weights"}:
        assert (path / "run" / name).read_bytes() == (path / "again" / name).read_bytes(), name
    for file in (path / "run" / "weights").iterdir():
        assert file.read_bytes() == (path / "again" / "weights" / file.name).read_bytes()


class TestFiles:
    def test_they_are_those_of_any_run(self, tmp_path):
        report = complete(gather(cities(tmp_path), tmp_path / "run"))
        assert report == tmp_path / "run" / "report.html"
        assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
        assert pq.read_table(tmp_path / "run" / "history.parquet").num_rows == 3
        (summary,) = json_in(tmp_path / "run" / "summary.json")["rows"]
        assert {*MEASURES, "mean_accuracy"} < set(summary)
        assert summary["mean_accuracy"]["mean"] == pytest.approx(0.8)
        assert summary["average_accuracy"]["mean"] is None
        assert (summary["targets"][0]["reached"], summary["targets"][0]["time"]["mean"]) == (1, 9.0)
        before = report.read_bytes()
        assert complete(tmp_path / "run") == report
        assert report.read_bytes() == before

    def test_final_weights_give_average_and_consensus_distance(self, tmp_path):
        gather(cities(tmp_path), tmp_path / "run")
        weights = tmp_path / "run" / "weights"
        average = load_file(weights / "pairwise-seed4.average.safetensors")
        assert {name: array.tolist() for name, array in average.items()} == {"weights": [1.0, 1.0, 0.0, 0.0]}
        peers = load_file(weights / "pairwise-seed4.peers.safetensors")
        assert {name: array.tolist()[:2] for name, array in peers.items()} == {
            "delhi": [0.0, 0.0],
            "berlin": [3.0, 0.0],
            "cairo": [0.0, 3.0],
        }
        distances = [one["consensus_distance"] for one in rows_in(tmp_path / "run")]
        assert distances == [None, None, pytest.approx(2.0)]  # squares 2, 5 and 5, of mean 4

    @pytest.mark.parametrize("part", ["statistics", "local"])
    @pytest.mark.parametrize(
        ("segments_of_part", "expected"),
        [
            ([], None),
            ([["norm/mean", [1], "float32"], ["norm/var", [1], "float32"]], {"norm/mean": [1.0], "norm/var": [0.0]}),
        ],
    )
    def test_variables_have_their_names_and_the_other_parts_are_kept(self, tmp_path, part, segments_of_part, expected):
        expected = expected or {part: [1.0, 0.0]}
        segments = [["dense/kernel", [1, 3], "float32"], ["dense/bias", [1], "float32"]]
        model = {**MODEL, "segments": segments, f"{part}_segments": segments_of_part}
        directories = [
            peer_directory(
                tmp_path / name, manifest(name, model=model), [row(0, 0)], [], [1, 2, 3, place], **{part: [place, 0]}
            )
            for place, name in enumerate(NAMES)
        ]
        report = complete(gather(directories, tmp_path / "run")).read_text()
        average = load_file(tmp_path / "run" / "weights" / "pairwise-seed4.average.safetensors")
        assert {name: array.tolist() for name, array in average.items()} == {
            "dense/kernel": [[1.0, 2.0, 3.0]],
            "dense/bias": [1.0],
            **expected,
        }
        peers = load_file(tmp_path / "run" / "weights" / "pairwise-seed4.peers.safetensors")
        assert peers[f"cairo/{part}"].tolist() == [2.0, 0.0]
        assert "dense/kernel" not in report
        assert "norm/mean" not in report

    def test_the_average_is_that_of_the_scenario(self, tmp_path):
        scenario = {"weighting": "examples"}
        directories = [
            peer_directory(tmp_path / name, manifest(name, scenario=scenario), [row(0, 0)], [], [place] * 4)
            for place, name in enumerate(NAMES)
        ]
        gather(directories, tmp_path / "run")
        average = load_file(tmp_path / "run" / "weights" / "pairwise-seed4.average.safetensors")
        assert average["weights"][0] == pytest.approx((0 * 60 + 1 * 70 + 2 * 60) / 190)

    def test_the_average_of_a_hub_has_the_mean_of_what_stays_with_the_others(self, tmp_path):
        names, model = ("a", "b"), {**MODEL, "local_segments": [["head/bias", [1], "float32"]]}
        directories = [
            peer_directory(
                tmp_path / name, manifest(name, names, "hub", model=model), [row(0, 0)], [], [place] * 4, local=[place]
            )
            for place, name in enumerate((*names, "hub"))
        ]
        gather(directories, tmp_path / "run")
        average = load_file(tmp_path / "run" / "weights" / "fed-avg-seed4.average.safetensors")
        assert average["weights"].tolist() == [2.0] * 4
        assert average["head/bias"].tolist() == [0.5]
        peers = load_file(tmp_path / "run" / "weights" / "fed-avg-seed4.peers.safetensors")
        assert peers["hub/local"].tolist() == [0.5]  # as in any run, what a hub ends with is the average
        (last,) = rows_in(tmp_path / "run")
        assert last["average_accuracy"] is None  # the hub has measured its model with a part that nobody uses
        assert (last["deploys_average"], last["deployed_accuracy"]) == (False, 0.5)

    def test_the_average_of_a_hub_is_its_model(self, tmp_path):
        names = ("a", "b")
        directories = [
            peer_directory(tmp_path / name, manifest(name, names, "hub"), [row(0, 0)], [], [place] * 4)
            for place, name in enumerate((*names, "hub"))
        ]
        gather(directories, tmp_path / "run")
        average = load_file(tmp_path / "run" / "weights" / "fed-avg-seed4.average.safetensors")
        assert average["weights"].tolist() == [2.0] * 4
        peers = load_file(tmp_path / "run" / "weights" / "fed-avg-seed4.peers.safetensors")
        assert set(peers) == {"a", "b", "hub"}
        (last,) = rows_in(tmp_path / "run")
        assert last["consensus_distance"] == 1.0  # of the peers with data, the hub left out

    @pytest.mark.parametrize("num_left", [0, 1])
    def test_killed_peers_left_no_weights(self, tmp_path, num_left):
        directories = [
            peer_directory(tmp_path / name, manifest(name), [row(0, 0)], [], [1.0] * 4 if place < num_left else None)
            for place, name in enumerate(NAMES)
        ]
        gather(directories, tmp_path / "run")
        assert len(list((tmp_path / "run" / "weights").iterdir())) == 2 * num_left
        assert rows_in(tmp_path / "run")[-1]["consensus_distance"] is None
        notes = json_in(tmp_path / "run" / "manifest.json")["differences"]
        assert notes == (["Without final weights: berlin, cairo."] if num_left else [])

    def test_examples_of_their_own_are_said(self, tmp_path):
        described = [manifest(name) for name in NAMES]
        described[1]["data"] = described[1]["data"] | {"digest": "e"}
        directories = [peer_directory(tmp_path / one["peer"], one, [row(1, 0)]) for one in described]
        gather(directories, tmp_path / "run")
        (note,) = json_in(tmp_path / "run" / "manifest.json")["differences"]
        assert note.startswith("Peers have examples of their own, and each is measured on what is held out of them")
        assert note.endswith("those at delhi.")

    def test_exchanges_that_stay_half_applied_are_said(self, tmp_path):
        rows = {"delhi": [row(1, 0, num_open=5), row(2, 1, num_open=2)], "berlin": [row(2, 1, num_open=1)]}
        directories = [
            peer_directory(tmp_path / name, manifest(name), rows.get(name, [row(2, 1)]), [], [1.0] * 4)
            for name in NAMES
        ]
        gather(directories, tmp_path / "run")
        notes = json_in(tmp_path / "run" / "manifest.json")["differences"]
        assert notes == ["pairwise: 3 exchanges were open when the run ended, and may be applied at one end only."]

    def test_events_are_on_the_clock_of_the_run(self, tmp_path):
        directories = cities(tmp_path)
        happened = [
            (directories[1], "berlin", "cairo", "unreachable", 5.25),
            (directories[1], "berlin", "cairo", "reachable", 7.0),
            (directories[0], "delhi", "berlin", "unreachable", -3.0),
            (directories[2], "cairo", "delhi", "left", 5.25),
        ]
        for directory, peer, neighbor, event, seconds in happened:
            with (directory / "events.jsonl").open("a") as file:
                told = {"peer": peer, "neighbor": neighbor, "event": event, "time": 0.0, "wall": START + seconds}
                file.write(json.dumps(told) + "\n")
        complete(gather(directories, tmp_path / "run"))
        assert [(one.time, one.peer, one.event) for one in read_run(tmp_path / "run").events] == [
            (0.0, "delhi", "unreachable"),
            (5.25, "berlin", "unreachable"),
            (5.25, "cairo", "left"),
            (7.0, "berlin", "reachable"),
        ]

    def test_lines_that_were_being_written_are_left_out(self, tmp_path):
        directories = cities(tmp_path)
        gather(directories, tmp_path / "whole")
        for name in ("history.jsonl", "events.jsonl"):
            with (directories[0] / name).open("a") as file:
                file.write('{"round": 3, "wa')
        gather(directories, tmp_path / "run")
        assert rows_in(tmp_path / "run") == rows_in(tmp_path / "whole")

    def test_a_peer_without_events_was_never_out_of_reach(self, tmp_path):
        directories = cities(tmp_path)
        (directories[0] / "events.jsonl").unlink()
        gather(directories, tmp_path / "run")
        assert (tmp_path / "run" / "events.jsonl").read_text() == ""


class TestManifest:
    def test_it_is_that_of_the_run(self, tmp_path):
        directories = cities(tmp_path)
        gather(directories[::-1], tmp_path / "run")
        found = json_in(tmp_path / "run" / "manifest.json")
        assert found["peer"] is None
        assert found["agreed"]["participants"] == list(NAMES)
        assert found["partition"]["label_counts"] == {"delhi": [10, 50], "berlin": [10, 60], "cairo": [10, 50]}
        assert list(found["partition"]["label_counts"]) == list(NAMES)
        assert found["created"] == "2026-11-22T10:00:00+00:00"
        assert found["command"].splitlines() == [f"gossipfl peer cities --name {name}" for name in NAMES]
        assert (found["seeds"], found["differences"]) == ([4], [])
        kept = (
            "mode",
            "run_id",
            "scenario",
            "versions",
            "machine",
            "topologies",
            "algorithms",
            "targets",
            "model",
            "data",
        )
        of_delhi = Manifest.model_validate(manifest("delhi")).model_dump(mode="json")
        assert {key: found[key] for key in kept} == {key: of_delhi[key] for key in kept}

    @pytest.mark.parametrize("other", ["delhi", "cairo"])
    def test_what_one_peer_measures_in_another_way_is_left_out(self, tmp_path, other):
        directories = cities(tmp_path)
        described = json_in(tmp_path / f"from-{other}" / "manifest.json")
        described["scenario"]["evaluation"]["on"] = "own"
        described["metrics"] = [{"name": "accuracy", "on": "each peer's own held-out data", "by_share": True}]
        (tmp_path / f"from-{other}" / "manifest.json").write_text(json.dumps(described))
        gather(directories, tmp_path / "run")
        last = rows_in(tmp_path / "run")[-1]
        assert {peer for peer, value in last["peer_accuracy"].items() if value is None} == {other}
        assert {peer for peer, value in last["peer_loss"].items() if value is None} == {other}
        assert last["num_bytes"] == 600
        found = json_in(tmp_path / "run" / "manifest.json")
        assert found["metrics"][0]["on"] == "held-out data"
        assert any(f"What {other} has measured is left out" in note for note in found["differences"])

    def test_missing_peers_are_listed(self, tmp_path):
        delhi, berlin, _ = cities(tmp_path)
        gather([berlin], tmp_path / "one")
        gather([delhi, berlin], tmp_path / "two")
        notes = [json_in(tmp_path / name / "manifest.json")["differences"] for name in ("one", "two")]
        assert notes == [
            ["The run directories of delhi, cairo are not here."],
            ["The run directory of cairo is not here."],
        ]
        assert [one["round"] for one in rows_in(tmp_path / "one")] == [0, 1, 2]

    def test_what_differs_from_host_to_host_is_told_by_peer(self, tmp_path):
        fields = {"berlin": {"versions": {"python": "3.13.0"}, "gossipfl": "0.2.1", "interrupted": True}}
        directories = [
            peer_directory(tmp_path / name, manifest(name, failures=["out of memory"], **fields.get(name, {})), [])
            for name in NAMES
        ]
        gather(directories, tmp_path / "run")
        found = json_in(tmp_path / "run" / "manifest.json")
        assert found["versions"]["berlin"] == {"python": "3.13.0"}
        assert found["versions"]["cairo"] == {"python": "3.12.1"}
        assert found["machine"] == manifest("delhi")["machine"]
        assert (found["gossipfl"], found["interrupted"], found["failures"]) == ("0.2.0, 0.2.1", True, ["out of memory"])


class TestRefused:
    def test_nothing_at_all(self, tmp_path):
        with pytest.raises(ConfigurationError, match="nothing to gather"):
            gather([], tmp_path / "run")

    def test_two_runs(self, tmp_path):
        directories, agreed = cities(tmp_path), manifest("cairo")["agreed"]
        (directories[2] / "manifest.json").write_text(
            json.dumps(manifest("cairo", agreed=agreed | {"seed": 5}, seeds=[5]))
        )
        with pytest.raises(ConfigurationError, match=r"from-delhi and .*from-cairo are of two runs"):
            gather(directories, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_one_peer_twice(self, tmp_path):
        directories = cities(tmp_path)
        with pytest.raises(ConfigurationError, match="from-berlin are both of the peer 'berlin'"):
            gather([*directories, directories[1]], tmp_path / "run")

    def test_other_participants(self, tmp_path):
        directories = cities(tmp_path)
        (directories[2] / "manifest.json").write_text(json.dumps(manifest("cairo", ("cairo", "delhi"))))
        with pytest.raises(ConfigurationError, match="are of two runs"):
            gather(directories, tmp_path / "run")

    @pytest.mark.parametrize(
        ("forged", "said"),
        [
            ({"run_id": "cd" * 32}, "run_id is not the digest of what was agreed"),
            (
                {"scenario": {"model": "payload:build"}},
                "model is not what was agreed: 'payload:build', agreed was 'mlp'",
            ),
            ({"scenario": {"training": {"optimizer": "adam"}}}, "training is not what was agreed"),
            ({"seeds": [5]}, "seed is not what was agreed: 5, agreed was 4"),
            ({"algorithms": [{"label": "pairwise", "hub": "cairo"}]}, "hub is not what was agreed: 'cairo'"),
        ],
    )
    def test_a_manifest_that_says_something_else_under_the_id_of_the_run(self, tmp_path, forged, said):
        training = {"epochs": None, "optimizer": "sgd"}
        agreed = manifest("cairo")["agreed"] | {"model": "mlp", "training": training}
        directories = cities(tmp_path, agreed=agreed)
        gather(directories, tmp_path / "before")
        (directories[2] / "manifest.json").write_text(json.dumps(manifest("cairo", agreed=agreed) | forged))
        with pytest.raises(ConfigurationError, match=f"from-cairo.*{re.escape(said)}"):
            gather(directories, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_another_scenario_than_ones_own(self, tmp_path):
        own = Scenario(rounds=2, model="mlp", algorithms=["pairwise"])
        agreed = manifest("cairo")["agreed"] | own.model_dump(mode="json", include={"model", "training", "sharing"})
        directories = cities(tmp_path, agreed=agreed)
        gather(directories, tmp_path / "run", own)
        with pytest.raises(ConfigurationError, match=r"from-delhi is of .* \(model was mlp, and is softmax\)"):
            gather(directories, tmp_path / "other", own.with_changes(model="softmax"))
        assert not (tmp_path / "other").exists()

    def test_a_manifest_that_describes_another_model(self, tmp_path):
        directories = cities(tmp_path)
        model = {**MODEL, "segments": [["kernel", [2, 2], "float32"]]}
        (directories[2] / "manifest.json").write_text(json.dumps(manifest("cairo", model=model)))
        with pytest.raises(ConfigurationError, match=r"from-delhi and .*from-cairo describe two models"):
            gather(directories, tmp_path / "run")

    @pytest.mark.parametrize("name", ["manifest.json", "history.jsonl", "events.jsonl", "weights/final.safetensors"])
    def test_a_file_that_names_one_of_this_host_instead(self, tmp_path, name):
        directories = cities(tmp_path)
        file = directories[1] / name
        file.rename(tmp_path / "own")
        file.symlink_to(tmp_path / "own")
        with pytest.raises(ConfigurationError, match=f"from-berlin/{name} is a symbolic link"):
            gather(directories, tmp_path / "run")

    def test_a_folder_of_this_host_instead_of_its_own(self, tmp_path):
        directories = cities(tmp_path)
        folder = directories[1] / "weights"
        folder.rename(tmp_path / "own")
        folder.symlink_to(tmp_path / "own")
        with pytest.raises(ConfigurationError, match="from-berlin/weights is a symbolic link"):
            gather(directories, tmp_path / "run")

    @pytest.mark.parametrize(
        "forged",
        [
            {"model": {"segments": [["kernel", [-2, -2], "float32"]]}},
            {"model": {"segments": [["kernel", [4], "object"]]}},
            {"model": {"segments": [["kernel", [4], "datetime64"]]}},
            {"partition": {"label_counts": {"cairo": [-7, 3]}}},
            {"partition": {"label_counts": {"cairo": [10**400]}}},
        ],
    )
    def test_numbers_that_cannot_be(self, tmp_path, forged):
        directories = cities(tmp_path)
        (directories[2] / "manifest.json").write_text(json.dumps(manifest("cairo") | forged))
        with pytest.raises(ConfigurationError, match=r"from-cairo/manifest\.json is not what a run writes"):
            gather(directories, tmp_path / "run")

    @pytest.mark.parametrize("count", ["round", "rounds_done", "examples_seen", "sent", "num_open"])
    @pytest.mark.parametrize("value", [-1, 10**300])
    def test_rows_with_numbers_that_cannot_be_are_left_out(self, tmp_path, count, value):
        directories = cities(tmp_path)
        with (directories[2] / "history.jsonl").open("a") as file:
            file.write(json.dumps(row(2, 1) | {count: value}) + "\n")
        gather(directories, tmp_path / "run")
        differences = json.loads((tmp_path / "run/manifest.json").read_text())["differences"]
        assert any("history.jsonl could not be read" in note for note in differences)

    def test_a_peer_that_is_no_participant(self, tmp_path):
        directory = peer_directory(tmp_path / "a", manifest("delhi") | {"peer": "paris"}, [])
        with pytest.raises(ConfigurationError, match="'paris' is not among its participants"):
            gather([directory], tmp_path / "run")

    def test_the_directory_of_a_whole_run(self, tmp_path):
        gather(cities(tmp_path), tmp_path / "run")
        with pytest.raises(ConfigurationError, match=r"run is not the run directory of a single peer.*names no peer"):
            gather([tmp_path / "run"], tmp_path / "again")

    @pytest.mark.parametrize("missing", ["manifest.json", "history.jsonl"])
    def test_what_is_no_run_directory(self, tmp_path, missing):
        directories = cities(tmp_path)
        (directories[0] / missing).unlink()
        with pytest.raises(
            ConfigurationError, match=f"from-delhi is not the run directory of a peer: there is no {missing}"
        ):
            gather(directories, tmp_path / "run")

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("manifest.json", "{"),
            ("manifest.json", "[]"),
            ("manifest.json", json.dumps(manifest("delhi", run_id="short"))),
            ("manifest.json", json.dumps(manifest("delhi", algorithms=[{"label": "a"}, {"label": "b"}]))),
            ("manifest.json", json.dumps(manifest("delhi", seeds=[]))),
            ("weights/final.safetensors", "junk"),
        ],
    )
    def test_garbled_files_are_named(self, tmp_path, file, content):
        directories = cities(tmp_path)
        (directories[0] / file).write_text(content)
        with pytest.raises(ConfigurationError, match=file):
            gather(directories, tmp_path / "run")
        assert not (tmp_path / "run").exists()
        assert complete(gather(directories[1:], tmp_path / "run")).exists()  # as the sentence says

    @pytest.mark.parametrize(
        ("file", "line"),
        [
            ("history.jsonl", "junk\n"),
            ("history.jsonl", json.dumps(row(0, 0) | {"wall": None}) + "\n"),
            ("history.jsonl", '{"round": 0, "wall": Infinity}\n'),
            ("events.jsonl", '{"wall": 1, "peer": "delhi", "neighbor": "cairo", "event": "slept"}\n'),
        ],
    )
    def test_garbled_lines_are_left_out_and_said(self, tmp_path, file, line):
        directories = cities(tmp_path)
        gather(directories, tmp_path / "whole")
        path = directories[0] / file
        path.write_text(line + (path.read_text() if path.exists() else ""))
        gather(directories, tmp_path / "run")
        for name in ("history.jsonl", "events.jsonl"):
            assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        said = json.loads((tmp_path / "run" / "manifest.json").read_text())["differences"]
        assert any("line 1 of " in note and file in note for note in said)

    @pytest.mark.parametrize(
        "tensors",
        [
            {"other": np.zeros(4, np.float32)},
            {"weights": np.zeros((2, 2), np.float32)},
            {"weights": np.zeros(4, np.float64)},
        ],
    )
    def test_weights_that_are_no_vector(self, tmp_path, tensors):
        directories = cities(tmp_path)
        save_file(tensors, directories[0] / "weights" / "final.safetensors")
        with pytest.raises(ConfigurationError, match=r"final\.safetensors should hold 'weights'"):
            gather(directories, tmp_path / "run")

    def test_weights_of_two_models(self, tmp_path):
        directories = cities(tmp_path)
        save_file({"weights": np.zeros(5, np.float32)}, directories[2] / "weights" / "final.safetensors")
        with pytest.raises(ConfigurationError, match=r"from-delhi and .*from-cairo are of two models"):
            gather(directories, tmp_path / "run")

    def test_weights_of_another_model_than_the_manifests(self, tmp_path):
        model = {**MODEL, "segments": [["kernel", [3], "float32"]]}
        directory = peer_directory(tmp_path / "delhi", manifest("delhi", model=model), [])
        with pytest.raises(
            ConfigurationError, match="final weights are 4 numbers, but the model in its manifest has 3"
        ):
            gather([directory], tmp_path / "run")

    def test_an_output_that_is_there(self, tmp_path):
        directories = cities(tmp_path)
        with pytest.raises(ConfigurationError, match="is there and not empty; give another --output"):
            gather(directories, directories[0])
        (tmp_path / "empty").mkdir()
        assert gather(directories, tmp_path / "empty") == tmp_path / "empty"
