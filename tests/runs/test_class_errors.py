"""Confusion matrices of a run's final models agree with what was measured of them; what they are not of is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import FIVE_AND_BOUNDS, fake_classes, fake_run

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.loaded_data import load_data
from gossipfl.runs.class_errors import measure_classes
from gossipfl.runs.files import read_run
from gossipfl.runs.laid_over import without_bounds
from gossipfl.scenario import Scenario

OWN = Scenario(
    rounds=1,
    model="softmax",
    data={"source": "digits", "partition": "iid", "max_train": 120, "max_test": 60},
    topology={"name": "ring", "arguments": {"n": 3}},
    algorithms=["pairwise", "fedavg"],
)
GOSSIP = FIVE_AND_BOUNDS[:1]


@pytest.mark.slow
def test_the_diagonal_is_the_accuracy_that_the_run_measured(command_line, tmp_path):
    Path("toy.json").write_text(json.dumps(OWN.model_dump(mode="json", exclude_none=True)))
    assert command_line("simulate", "toy.json", "--output", "run").status == 0
    assert command_line("report", "run", "--classes", "toy.json").status == 0
    run = read_run(Path("run"))
    last = {row.algorithm: row for row in run.history}
    whose = [(one.algorithm, one.which) for one in run.classes.models]
    assert whose == [("pairwise", "worst"), ("pairwise", "median"), ("pairwise", "average"), ("fedavg", "average")]
    for one in run.classes.models:
        row = last[one.algorithm]
        measured = row.column("average", "accuracy") if one.peer is None else row.of_peers("accuracy")[one.peer]
        assert sum(map(sum, one.counts)) == run.classes.num_examples == 60
        assert sum(counts[index] for index, counts in enumerate(one.counts)) / 60 == pytest.approx(measured, abs=1e-9)
    peers = last["pairwise"].of_peers("accuracy")
    assert peers[run.classes.models[0].peer] == min(peers.values())
    assert "Confusion matrix" in Path("run/report.html").read_text(encoding="utf-8")


def test_other_data_than_the_run_had_are_refused(tmp_path):
    run = fake_run(tmp_path / "run", algorithms=GOSSIP, num_seeds=1, num_rounds=1, overrides={"seeds": [0]})
    with pytest.raises(ConfigurationError, match="was measured on other data than the scenario's digits"):
        measure_classes(run, OWN, load_data(OWN))


def test_what_has_no_classes_is_refused(tmp_path):
    run = fake_run(tmp_path / "run", algorithms=GOSSIP, num_seeds=1, num_rounds=1, overrides={"seeds": [0]})
    with pytest.raises(ConfigurationError, match="accuracy per class is of tasks"):
        measure_classes(run, OWN, replace(load_data(OWN), num_classes=None))


def test_a_matrix_of_another_run_is_refused_and_bounds_can_be_left_out(tmp_path):
    run = fake_run(tmp_path / "run", algorithms=FIVE_AND_BOUNDS[4:6], num_seeds=1, num_rounds=1)
    assert without_bounds(read_run(fake_classes(run, "local only"))).classes.models == []
    with pytest.raises(ConfigurationError, match="mixes two runs"):
        read_run(fake_classes(run, "pairwise (ring)"))
