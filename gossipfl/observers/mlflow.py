"""Runs in MLflow: an experiment for each scenario, in it a run for each algorithm and seed."""

import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.observers.tracker import Ending, TrackedRun

_STATUS: Mapping[Ending, str] = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}

_LARGEST_BATCH = 100
"""Parameters that MLflow takes in one call."""


class MLflow:
    """Writes runs to a tracking server (http://...), or to whatever else MLflow takes as a tracking URI."""

    def __init__(self, place: str) -> None:
        if not place:
            raise ConfigurationError("mlflow: takes a tracking URI: mlflow:http://127.0.0.1:5000")
        self._uri = place
        self._client: Any = None
        self._experiments: dict[str, str] = {}

    def check(self, runs: Sequence[TrackedRun], *, is_new: bool) -> None:
        shown = re.sub(r"(?<=//)[^/]*@", "", self._uri)  # without name and password
        if self._uri.startswith(("http://", "https://")):
            _check_server(shown)
        from mlflow import MlflowClient

        try:
            self._client = MlflowClient(tracking_uri=self._uri)
            for name in {run.scenario for run in runs}:
                found = self._client.get_experiment_by_name(name)
                self._experiments[name] = self._client.create_experiment(name) if found is None else found.experiment_id
        except self.errors() as error:
            said = str(error).split(". ")[0].strip()
            raise ConfigurationError(
                f"mlflow:{shown} cannot be used ({said}): give the address of a server, as `mlflow server` prints "
                "it; databases need the whole package mlflow, folders MLFLOW_ALLOW_FILE_STORE=true in the environment"
            ) from error

    def begin(self, run: TrackedRun) -> "_MLflowRun":
        from mlflow.entities import Param

        tags = {"gossipfl.group": run.group}
        created = self._client.create_run(self._experiments[run.scenario], run_name=run.name, tags=tags)
        parameters = [Param(name, str(value)) for name, value in run.parameters.items()]
        for first in range(0, len(parameters), _LARGEST_BATCH):
            self._client.log_batch(created.info.run_id, params=parameters[first : first + _LARGEST_BATCH])
        return _MLflowRun(self._client, created.info.run_id)

    def errors(self) -> tuple[type[Exception], ...]:
        from mlflow.exceptions import MlflowException

        return (MlflowException, OSError)


def _check_server(address: str) -> None:
    """MLflow itself would try again for minutes."""
    try:
        urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=5).close()
    except urllib.error.HTTPError as answer:  # whatever it says, it is there
        answer.close()
    except (OSError, ValueError) as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLError):  # there, too; MLflow has settings of its own
            return
        raise ConfigurationError(
            f"no MLflow server answers at {address} ({error}); start one: mlflow server"
        ) from error


class _MLflowRun:
    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    def numbers(self, round: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, round) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def end(self, ending: Ending, notes: Sequence[str]) -> None:
        if notes:
            self._client.set_tag(self._run_id, "mlflow.note.content", "\n\n".join(notes))
        self._client.set_terminated(self._run_id, _STATUS[ending])
