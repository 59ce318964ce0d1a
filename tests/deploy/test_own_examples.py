"""Peers that bring examples of their own (`--shard`)."""

import os
import signal
from dataclasses import replace

import pytest

from gossipfl import topology
from gossipfl.deploy.checked_peer import experiment_of
from gossipfl.deploy.numbers_over_http import NumbersOverHTTP, fault_in
from gossipfl.deploy.peer_options import PeerOptions
from gossipfl.deploy.process_start import StoppedError
from gossipfl.errors import ConfigurationError
from gossipfl.queries import Answer, Unanswered
from gossipfl.runs.numbers_file import NumbersFile
from gossipfl.scenario import Scenario

ROWS = "age,city,ill\n" + "31,Oslo,no\n64,Bern,yes\n" * 10


@pytest.fixture
def options(tmp_path):
    (tmp_path / "own.csv").write_text(ROWS)
    return PeerOptions("0", tmp_path / "run", "peer", shard=f"csv:{tmp_path / 'own.csv'}")


def test_their_file_is_read_as_the_scenario_says(options):
    columns = {"features": ["age"], "target": "ill", "classes": ["maybe", "no", "yes"]}
    dataset = experiment_of(Scenario(data={"source": "csv:common.csv", **columns}), options).dataset
    assert dataset.train.x.shape == (16, 1)
    assert set(dataset.train.y.tolist()) == {1, 2}


def test_whatever_hosts_would_number_differently_is_refused(options):
    fields = {"source": "csv:common.csv", "features": ["age", "city"], "target": "ill", "categorical": ["city"]}
    with pytest.raises(ConfigurationError, match=r"data.categorical numbers the values that a host sees"):
        experiment_of(Scenario(data=fields), options)


@pytest.mark.parametrize("fields", [{"training": {"class_weight": "balanced"}}, {"data": {"normalize": "federated"}}])
def test_numbers_over_all_are_asked_for_where_nobody_shares_the_data(options, fields):
    data = {"source": "csv:common.csv", "target": "ill", "digest": "0" * 64, **fields.pop("data", {})}
    with pytest.raises(ConfigurationError, match=r"leave data\.digest out, so that all have their own"):
        experiment_of(Scenario(data=data, **fields), options)


def test_answers_without_somebody_are_none():
    whole = Answer(1.0, 0.0, 4, 90)
    assert fault_in([whole, whole], 4) is None
    assert fault_in([whole, Answer(1.0, 0.0, 3, 70, ("peer b was silent",))], 4) == (
        "peer b was silent; start all of them again"
    )
    assert fault_in([Unanswered("peer b is gone"), whole], 4) == "peer b is gone"


def test_a_server_with_examples_of_its_own_counts_the_rounds_of_all(options):
    """Two of five clients train in each of its rounds."""
    algorithm = {"name": "fedavg", "client_fraction": 0.4}
    scenario = Scenario(
        rounds=6,
        topology={"name": "ring", "arguments": {"n": 5}},
        data={"source": "csv:common.csv", "features": ["age"], "target": "ill"},
        algorithms=[algorithm],
    )
    experiment = experiment_of(scenario, replace(options, name="server"))
    (section,) = scenario.algorithms
    recipe = scenario.recipe(section, scenario.graph())
    assert experiment.work("server", recipe).num_rounds == recipe.num_rounds(6, 5) == 15


class _Told(NumbersFile):
    """Tells this process to stop as soon as it has the numbers."""

    def write(self, questions, data, numbers):
        super().write(questions, data, numbers)
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("kind", "was_stopped"), [(NumbersFile, True), (_Told, False)], ids=["before", "with them"])
def test_one_that_is_told_to_stop_while_it_asks_begins_no_run(options, kind, was_stopped):
    """Also where an import has swallowed it, and where the numbers are there, and it only serves the others."""
    scenario = Scenario(
        data={"source": "csv:common.csv", "features": ["age"], "target": "ill"}, training={"class_weight": "balanced"}
    )
    file, where = kind(options.run_directory.parent / "numbers.json"), ("127.0.0.1", 0)
    graph = topology.from_links(["0"], [])
    ask = NumbersOverHTTP(
        scenario, graph, None, options, {"0": "http://127.0.0.1:1"}, where, None, file, lambda: was_stopped
    )
    experiment = experiment_of(scenario, options, ask)
    with pytest.raises(StoppedError):
        _ = experiment.numbers
    assert file.path.exists() is not was_stopped


def test_numbers_in_secure_sums_take_certificates(options):
    scenario = Scenario(
        data={"source": "csv:common.csv", "features": ["age"], "target": "ill"},
        training={"class_weight": "balanced"},
        algorithms=["synchronous"],
        privacy={"secure_aggregation": True},
    )
    file, where = NumbersFile(options.run_directory.parent / "numbers.json"), ("127.0.0.1", 0)
    graph = topology.named("complete", {"n": 3})
    ask = NumbersOverHTTP(
        scenario, graph, None, options, dict.fromkeys(graph, "http://127.0.0.1:1"), where, None, file, lambda: False
    )
    with pytest.raises(ConfigurationError, match="secure_aggregation needs certificates"):
        _ = experiment_of(scenario, options, ask).numbers
