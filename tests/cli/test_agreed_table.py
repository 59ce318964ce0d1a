"""The terminal shows the newest of what peers know, beside what an engine has measured of the same round."""

import io

import numpy as np
from evaluations import evaluation
from rich.console import Console

from gossipfl.agreements import Agreement
from gossipfl.cli.terminal.agreed_table import agreed_table
from gossipfl.history import History
from gossipfl.runs.agreed_rows import AgreedRow, by_run
from gossipfl.scenario import Scenario
from gossipfl.scores import LOSS, Metric


def test_one_line_for_each_run_and_metric():
    accuracy, mae = Metric("accuracy"), Metric("mae", higher_is_better=False, unit="number")
    history = History("pairwise", 0, [evaluation(round=2, peer_accuracy={"a": 0.5, "b": 0.75})])
    for round, scores in ((0, [[1.0, 0.0, 9.0]] * 3), (2, [[1.0, 0.5, 2.0], [1.0, 0.75, 4.0]])):
        peers = ("a", "b", "c")[: len(scores)]
        history.agree(Agreement(round, round + 2, 3, peers, (LOSS, accuracy, mae), np.array(scores)), 1.0)
    rows = [AgreedRow(**row) for row in history.agreed_rows()]
    newest = [rows[-1] for rows in by_run(rows).values()]
    scenario = Scenario(name="cities", model="softmax", data={"source": "digits"}, algorithms=["pairwise"])
    metrics = [accuracy, mae, Metric("test_accuracy")]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(agreed_table(newest, metrics, [history], scenario))
    lines = [line.split() for line in console.export_text().splitlines() if "pairwise" in line]
    assert lines == [
        ["pairwise", "2", "4", "2", "of", "3", "accuracy", "62.50", "50.00", "75.00", "62.50"],
        ["pairwise", "2", "4", "2", "of", "3", "mae", "3", "4", "2"],
    ]
