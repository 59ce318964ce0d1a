"""Event files that TensorBoard reads: a folder for each run, in the directory to which TensorBoard is pointed."""

import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.files.strict_json import strict_json
from gossipfl.observers.tracker import Ending, TrackedRun

_EVENTS = "events.out.tfevents"


class TensorBoard:
    """Writes event files in folders of a directory: GROUP/RUN."""

    def __init__(self, place: str) -> None:
        if not place:
            raise ConfigurationError("tensorboard: takes the directory of the events: tensorboard:logs")
        self._directory = Path(place).expanduser()

    def check(self, runs: Sequence[TrackedRun], *, is_new: bool) -> None:
        for run in runs:
            if is_new and any(self._folder(run).glob(f"{_EVENTS}*")):
                raise ConfigurationError(
                    f"{self._folder(run)} has the events of another run, whose curves would be mixed with these: give "
                    "another directory after tensorboard:"
                )
        self._directory.mkdir(parents=True, exist_ok=True)

    def begin(self, run: TrackedRun) -> "_EventFile":
        return _EventFile(self._folder(run), run)

    def errors(self) -> tuple[type[Exception], ...]:
        return (OSError,)

    def _folder(self, run: TrackedRun) -> Path:
        return self._directory / run.group / run.folder


class _EventFile:
    """One event file; every event is in it when the call returns."""

    def __init__(self, folder: Path, run: TrackedRun) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        name = f"{_EVENTS}.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("xb")
        self._writer = RecordWriter(self._file)
        self._round = 0
        self._write(file_version="brain.Event:2")
        self._write_text("run", {"name": run.name, **run.parameters})

    def numbers(self, round: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._round = round
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=round, summary=Summary(value=scalars))

    def end(self, ending: Ending, notes: Sequence[str]) -> None:
        self._write_text("end", {"ending": ending, "notes": list(notes)})
        self._writer.close()

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.write(Event(wall_time=time.time(), **fields).SerializeToString())
        self._writer.flush()

    def _write_text(self, tag: str, values: Mapping[str, Any]) -> None:
        """Show JSON on the page of texts, whose Markdown takes indented lines as they are."""
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        text = "".join(f"    {line}\n" for line in strict_json(values, indent=1).splitlines())
        shown_as = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        value = Summary.Value(
            tag=f"{tag}/text_summary",
            metadata=shown_as,
            tensor=TensorProto(dtype=DT_STRING, string_val=[text.encode()]),
        )
        self._write(step=self._round, summary=Summary(value=[value]))
