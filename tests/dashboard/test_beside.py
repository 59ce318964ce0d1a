"""The dashboard of a run in this process: it shows the numbers of the run, and changes none of them."""

import json
import re
import socket
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_trainer import SoftmaxTrainer
from typer.testing import CliRunner

from gossipfl.cli.app import app
from gossipfl.dashboard.beside import Dashboard
from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.deploy.loopback import loopback_federation
from gossipfl.engines.http.status import PeerStatus
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.mode import Command, EngineKind, Mode
from gossipfl.experiments.running import run_all
from gossipfl.report.complete import complete
from gossipfl.runs.directory import RunDirectory
from gossipfl.scenario import Scenario

JSON = dict[str, Any]


def data() -> Dataset:
    generator = np.random.default_rng(0)
    x, y = generator.random((60, 6), np.float32), np.arange(60) % 3
    return Dataset(
        "some", Examples(x[:48], y[:48].astype(np.int32)), Examples(x[48:], y[48:].astype(np.int32)), num_classes=3
    )


def scenario(*algorithms: Any, **fields: Any) -> Scenario:
    usual: JSON = {
        "topology": {"generator": "cycle_graph", "arguments": {"n": 5}},
        "data": {"partition": "contiguous"},
        "training": {"batch_size": 4, "optimizer": {"name": "sgd", "learning_rate": 0.1}},
    }
    return Scenario(rounds=3, algorithms=list(algorithms), **(usual | fields))


def pages_of(address: str) -> JSON:
    with urllib.request.urlopen(address, timeout=10) as response:
        text = response.read().decode()
    found = dict(re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', text, re.DOTALL))
    return {name: json.loads(content) for name, content in found.items()}


class Looking:
    """An observer that looks at the page at each evaluation, and after each algorithm."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self.pages: dict[tuple[str, int], JSON] = {}
        self.seen: list[JSON] = []

    def begins(self, experiment: Experiment) -> None: ...

    def evaluated(self, label: str, evaluation: Any) -> None:
        self.seen.append(pages_of(self._dashboard.address))

    def ended(self, history: Any) -> None:
        self.pages[history.algorithm, history.seed] = pages_of(self._dashboard.address)


@contextmanager
def recorded(path: Path, made: Scenario, num_seeds: int = 1, engine: EngineKind = EngineKind.VIRTUAL_TIME):
    directory = RunDirectory.create(path, made, num_seeds, Mode(Command.SIMULATE, engine), "")
    with directory, Dashboard(directory.path) as dashboard:
        yield directory, dashboard, Looking(dashboard)
    complete(directory.finish(interrupted=False, failures=[]))


def run(made: Scenario, directory: RunDirectory, dashboard: Dashboard, looking: Looking, engines: Any, seeds: int = 1):
    return run_all(
        made,
        seeds,
        [directory, dashboard, looking],
        data(),
        dashboard.watched(engines),
        lambda _, data, batches, *__: SoftmaxTrainer(data, batches),
    )


def test_it_shows_the_numbers_of_the_summary_and_changes_no_bit(tmp_path):
    made = scenario("synchronous", "fedavg")
    with recorded(tmp_path / "run", made, 2) as (directory, dashboard, looking):
        comparison = run(made, directory, dashboard, looking, Experiment.simulator, 2)
    plain = run_all(made, 2, (), data(), make_trainer=lambda _, data, batches, *__: SoftmaxTrainer(data, batches))
    assert [[*one.rows()] for one in comparison.histories] == [[*one.rows()] for one in plain.histories]

    page = looking.pages["fedavg", made.seed + 1]
    rows = {row["label"]: row for row in json.loads((directory.path / "summary.json").read_text())["rows"]}
    num_compared = 0
    for label, tables in page["run"]["histories"].items():
        assert [table["seed"] for table in tables] == [made.seed, made.seed + 1]
        for name, statistic in rows[label].items():
            column = {"rounds": "round"}.get(name, name)
            if isinstance(statistic, dict) and statistic["mean"] is not None and column in tables[0]:
                shown = np.mean([table[column][-1] for table in tables])
                assert shown == pytest.approx(statistic["mean"], rel=1e-5), (label, name)
                num_compared += 1
    assert num_compared > 20

    names = [card["name"] for card in page["live"]["cards"]]
    assert sorted(names) == ["0", "1", "2", "3", "4", "server"]
    last = plain.histories[-1].last
    for card in page["live"]["cards"]:
        score = last.score(None if card["name"] == "server" else card["name"])
        assert card["loss"] == pytest.approx(score.loss)
        assert card["metrics"]["accuracy"] == pytest.approx(score.metrics["accuracy"])
        assert (card["sent"], card["received"]) == plain.histories[-1].peer_bytes[card["name"]]
    assert page["live"]["graph"]["num_links"] == 5, "the star"
    assert looking.pages["synchronous", made.seed]["live"]["graph"]["num_links"] == 5, "the ring"
    assert [event["text"] for event in page["live"]["events"]][-1] == "fedavg has ended"
    assert page["run"]["manifest"]["name"] == made.name


def test_whoever_is_cut_off_in_virtual_time_is_shown_so(tmp_path):
    cut_off = [{"peer": "2", "start": 0.0, "end": 0.2}]
    made = scenario("pairwise", network={"offline": cut_off})
    with recorded(tmp_path / "run", made) as (directory, dashboard, looking):
        run(made, directory, dashboard, looking, Experiment.simulator)
    first, last = (looking.seen[place]["live"]["cards"] for place in (0, -1))
    assert [card["answers"] for card in first] == [True, True, False, True, True]
    assert first[2]["why"] == "cut off, as the scenario has it"
    assert all(card["answers"] for card in last)
    assert last[2]["outages"] == 0, "it has not been seen before"
    assert "2 is there" in [event["text"] for event in looking.seen[-1]["live"]["events"]]


def test_peers_over_http_are_looked_at_while_they_run(tmp_path):
    made = scenario("synchronous", http={"linger": 0.5})
    told: list[tuple[PeerStatus, ...]] = []
    with recorded(tmp_path / "run", made, engine=EngineKind.LOOPBACK) as (directory, dashboard, looking):

        def engines(experiment: Experiment, section: Any) -> Any:
            return loopback_federation(
                experiment, section, lambda those: (told.append(tuple(those)), dashboard.look(those))
            )

        run(made, directory, dashboard, looking, engines)
    page = looking.pages["synchronous", made.seed]
    assert page["run"]["over_http"] is True
    assert [card["round"] for card in page["live"]["cards"]] == [3] * 5
    assert [card["sent"] for card in page["live"]["cards"]] == [status.sent for status in told[-1]]


def test_a_port_that_is_taken_is_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port}: .*--dashboard-port"), Dashboard(tmp_path, port):
            pass


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "--peers http://HOST:PORT"),
        (["--peers", "ftp://127.0.0.1:1"], "http://HOST:PORT"),
        (["--file", "missing"], "a URL in each line"),
        (["127.0.0.1:1", "--listen", "0.0.0.0:0"], "--token FILE"),
        (["127.0.0.1:1", "--token", "missing"], "umask 077"),
    ],
)
def test_a_dashboard_that_cannot_be_is_one_sentence(words, why):
    result = CliRunner().invoke(app, ["dashboard", *words])
    assert isinstance(result.exception, ConfigurationError)
    assert why in str(result.exception)
