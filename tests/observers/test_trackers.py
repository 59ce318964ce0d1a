"""What each program's own files have is what it was told."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipfl.errors import ConfigurationError
from gossipfl.observers.mlflow import MLflow
from gossipfl.observers.tensorboard import TensorBoard
from gossipfl.observers.tracker import Ending, TrackedRun, Tracker
from gossipfl.observers.wandb import WandB

RUN = TrackedRun("toy", "group", "pairwise", "pairwise, seed 0", "pairwise-seed-0", {"training.batch_size": 32})
TOLD = [(0, {"accuracy/worst": 0.25}), (2, {"accuracy/worst": 0.5, "run/num_bytes": 31_400})]


def told(tracker: Tracker, ending: Ending = "finished") -> None:
    tracker.check([RUN], is_new=True)
    log = tracker.begin(RUN)
    for round, values in TOLD:
        log.numbers(round, values)
    log.end(ending, ["1 message was refused."])


class TestTensorBoard:
    def events(self, folder: Path) -> list:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

        (path,) = folder.iterdir()
        assert path.name.startswith("events.out.tfevents.")
        reader, events = PyRecordReader_New(str(path)), []
        while True:
            try:
                reader.GetNext()
            except Exception:
                return events
            events.append(Event.FromString(reader.record()))

    def test_scalars_by_round(self, tmp_path):
        told(TensorBoard(str(tmp_path / "logs")))
        first, *others = self.events(tmp_path / "logs/group/pairwise-seed-0")
        assert first.file_version == "brain.Event:2"
        scalars = [
            (event.step, {one.tag: one.simple_value for one in event.summary.value if one.HasField("simple_value")})
            for event in others
        ]
        assert [one for one in scalars if one[1]] == TOLD
        texts = [one for event in others for one in event.summary.value if one.HasField("tensor")]
        assert [one.metadata.plugin_data.plugin_name for one in texts] == ["text", "text"]
        assert json.loads(texts[0].tensor.string_val[0]) == {"name": "pairwise, seed 0", "training.batch_size": 32}
        assert json.loads(texts[1].tensor.string_val[0])["notes"] == ["1 message was refused."]

    def test_two_runs_are_never_mixed(self, tmp_path):
        tracker = TensorBoard(str(tmp_path))
        told(tracker)
        with pytest.raises(ConfigurationError, match="group/pairwise-seed-0 has the events of another run"):
            tracker.check([RUN], is_new=True)
        tracker.check([RUN], is_new=False)


@pytest.mark.long
class TestMLflow:
    @pytest.fixture(autouse=True)
    def settings(self, monkeypatch, tmp_path):
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        self.uri = (tmp_path / "runs").as_uri()

    @pytest.mark.parametrize(
        ("ending", "status"), [("finished", "FINISHED"), ("interrupted", "KILLED"), ("failed", "FAILED")]
    )
    def test_metrics_by_round(self, ending, status):
        from mlflow import MlflowClient

        told(MLflow(self.uri), ending)
        client = MlflowClient(self.uri)
        (run,) = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
        assert (run.info.run_name, run.info.status) == ("pairwise, seed 0", status)
        assert run.data.params == {"training.batch_size": "32"}
        assert run.data.tags["gossipfl.group"] == "group"
        assert run.data.tags["mlflow.note.content"] == "1 message was refused."
        history = client.get_metric_history(run.info.run_id, "accuracy/worst")
        assert [(one.step, one.value) for one in history] == [(0, 0.25), (2, 0.5)]

    def test_an_experiment_is_made_once(self):
        told(MLflow(self.uri))
        told(MLflow(self.uri))

    @pytest.mark.parametrize(
        ("uri", "expected"),
        [
            ("http://127.0.0.1:1", "no MLflow server answers at http://127.0.0.1:1 .*; start one: mlflow server"),
            ("http://me:secret@127.0.0.1:1/x", "no MLflow server answers at http://127.0.0.1:1/x .*refused"),
            ("nosuch://me:secret@host", "mlflow:nosuch://host cannot be used"),
        ],
    )
    def test_what_cannot_be_used_is_refused_at_once(self, uri, expected):
        with pytest.raises(ConfigurationError, match=expected):
            MLflow(uri).check([RUN], is_new=True)

    def test_a_folder_takes_a_setting_of_mlflow(self, monkeypatch, tmp_path):
        monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
        with pytest.raises(ConfigurationError, match="folders MLFLOW_ALLOW_FILE_STORE=true in the environment"):
            MLflow(str(tmp_path)).check([RUN], is_new=True)


@pytest.mark.long
class TestWandB:
    def records(self, path: Path) -> Iterator:
        """The records of a file as wandb writes it: blocks of 32 KiB as LevelDB has them, after a header of 7 bytes."""
        from wandb.proto.wandb_internal_pb2 import Record

        content, at, record = path.read_bytes(), 7, b""
        assert content[:4] == b":W&B"
        while at + 7 <= len(content):
            if (left := 32_768 - at % 32_768) < 7:
                at += left
                continue
            _, size, kind = struct.unpack_from("<IHB", content, at)
            record += content[at + 7 : at + 7 + size]
            at += 7 + size
            if kind in (1, 4):  # whole, or the last part
                yield Record.FromString(record)
                record = b""

    def test_a_run_is_written_in_offline_mode(self, tmp_path, monkeypatch, capfd):
        import wandb

        monkeypatch.chdir(tmp_path)
        told(WandB("gossip"))
        wandb.teardown()  # its service writes the end of a file a moment later
        assert capfd.readouterr() == ("", "")
        (path,) = Path("wandb").glob("offline-run-*/*.wandb")
        records = list(self.records(path))
        (run,) = [one.run for one in records if one.HasField("run")]
        assert (run.project, run.display_name, run.run_group) == ("gossip", "pairwise, seed 0", "group")
        assert run.host == ""
        assert not list(path.parent.glob("files/*"))  # neither packages, nor code, nor the command, nor its output
        config = {item.key or item.nested_key[0]: item.value_json for item in run.config.update}
        assert config["training.batch_size"] == "32"
        rows = [
            {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in one.history.item}
            for one in records
            if one.HasField("history")
        ]
        assert [
            (row["round"], {name: value for name, value in row.items() if name != "round" and name[0] != "_"})
            for row in rows
        ] == TOLD

    def test_a_project_that_has_no_such_name_is_refused(self):
        with pytest.raises(ConfigurationError, match="wandb:a/b cannot be used"):
            WandB("a/b").check([RUN], is_new=True)
