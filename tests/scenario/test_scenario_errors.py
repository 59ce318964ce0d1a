"""Each kind of mistake names the field, the value, what is allowed and the nearest spelling."""

from typing import Any

import numpy as np
import pytest

from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario

RING_OF_2 = {"peers": ["a", "b"], "links": [["a", "b"]]}


def message(**fields: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Scenario(**fields)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "field", "suggestion"),
    [
        ({"trainng": {}}, "trainng", "training"),
        ({"training": {"batch_sise": 3}}, "training.batch_sise", "batch_size"),
        ({"algorithms": [{"name": "pairwise", "timout": 3}]}, "algorithms.0.timout", "timeout"),
        (
            {"algorithms": ["fedavg", {"name": "pairwise", "topology": {"nam": "ring"}}]},
            "algorithms.1.topology.nam",
            "name",
        ),
        ({"network": {"peers": {"0": {"uplnk": 1}}}}, "network.peers.0.uplnk", "uplink"),
        ({"network": {"links": [{"between": ["0", "1"], "los": 0.1}]}}, "network.links.0.los", "loss"),
        ({"data": {"partition": {"name": "labels", "per_per": 2}}}, "data.partition.per_per", "per_peer"),
    ],
)
def test_an_unknown_field_names_the_nearest_one_and_all_others(fields, field, suggestion):
    text = message(**fields)
    assert text.startswith(f"{field}: there is no such field. Did you mean '{suggestion}'")
    assert "Fields here: " in text
    assert suggestion in text.split("Fields here: ")[1]


@pytest.mark.parametrize(
    ("fields", "field", "value", "suggestion", "another"),
    [
        ({"algorithms": ["pairwize"]}, "algorithms.0.name", "pairwize", "pairwise", "fedavg"),
        ({"network": {"preset": "LAAN"}}, "network.preset", "LAAN", "LAN", "WAN"),
        ({"data": {"partition": "label"}}, "data.partition.name", "label", "labels", "dirichlet"),
        ({"weighting": "example"}, "weighting", "example", "examples", "uniform"),
        ({"training": {"statistics": "locale"}}, "training.statistics", "locale", "local", "average"),
        (
            {"algorithms": [{"name": "fedavg", "optimizer_state": "rest"}]},
            "algorithms.0.optimizer_state",
            "rest",
            "reset",
            "keep",
        ),
        (
            {"algorithms": [{"name": "synchronous", "schedule": {"name": "static", "mixing": "metropolis"}}]},
            "algorithms.0.schedule.mixing",
            "metropolis",
            "metropolis_hastings",
            "max_degree",
        ),
        ({"topology": {"file": "x", "format": "graphm"}}, "topology.format", "graphm", "graphml", "node_link"),
    ],
)
def test_a_wrong_choice_names_the_value_the_nearest_and_the_allowed_ones(fields, field, value, suggestion, another):
    text = message(**fields)
    assert text.startswith(f"{field} is {value!r}; allowed are ")
    assert another in text
    assert f"Did you mean {suggestion!r}" in text


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"training": {"batch_size": -3}}, "training.batch_size is -3: input should be greater than or equal to 1."),
        (
            {"training": {"batch_size": 10**30}},
            "training.batch_size is 1000000000000000000000000000000: input should be less",
        ),
        (
            {"targets": [2], "evaluation": {"metrics": ["accuracy"]}},
            "targets.0 is 2: it should be at most 1, as accuracy is",
        ),
        ({"seed": -1}, "seed is -1: input should be greater than or equal to 0."),
        ({"rounds": "x"}, "rounds is 'x': input should be a valid integer"),
        ({"name": "a b"}, "name is 'a b': string should match"),
        ({"compute": {"speeds": {"0": -1}}}, "compute.speeds.0 is -1: input should be greater than 0."),
        ({"compute": {"speeds": {"str": -1}}}, "compute.speeds is -1"),
        ({"network": {"peers": {"a b": {"uplink": 0}}}}, "network.peers.a b.uplink is 0: input should be greater"),
        ({"network": {"loss": 1}}, "network.loss is 1: input should be less than 1."),
        ({"network": {"latency": float("nan")}}, "network.latency is nan: input should be a finite number."),
        (
            {"training": {"optimizer": 3}},
            "training.optimizer is 3: input should be a valid string. Or else: input should be a valid",
        ),
        (
            {"evaluation": {"peers": 0}},
            "evaluation.peers is 0; allowed are all. Or else: input should be greater than or equal",
        ),
        ({"algorithms": []}, "algorithms is []: value should have at least 1 item"),
        (
            {"algorithms": [{"name": "synchronous", "outgoing": "clip"}]},
            "algorithms.0.outgoing is 'clip': input should be a valid list.",
        ),
        ({"algorithms": "pairwise"}, "algorithms is {'name': 'pairwise'}: input should be a valid list."),
        ({"algorithms": [{"nam": "pairwise"}]}, "algorithms.0: a name is needed."),
        (
            {"algorithms": [{"name": "pairwise", "label": "two\nlines"}]},
            "algorithms.0.label: the label holds characters that nobody sees: two\\nlines",
        ),
        ({"network": {"links": [{}]}}, "network.links.0.between: this field is needed."),
        (
            {"description": ["long"] * 1000},
            "description is ['long', 'long', 'long', 'long', 'long', 'long', ...]: input",
        ),
    ],
)
def test_a_value_out_of_range_is_shown_with_its_range(fields, expected):
    assert message(**fields).startswith(expected)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"data": {"partition": {"name": "iid", "alpha": 3}}}, "data.partition: partition 'iid' does not take alpha"),
        ({"data": {"partition": "dirichlet"}}, "data.partition: partition 'dirichlet' needs alpha"),
        (
            {"data": {"source": "npz:a.npz", "window": 8}},
            "data: data.window does not go with the source 'npz:a.npz', which takes features, target, weight, peer, "
            "categorical, task; it goes with text:FILE",
        ),
        (
            {"data": {"source": "csv:a.csv", "test_source": "b.csv"}},
            "data: data.test_source 'b.csv' must be of the same kind as the source 'csv:a.csv', such as 'csv:b.csv'",
        ),
        ({"data": 3}, "data.source: a data source is a string or a data set, got int: one of digits, csv:FILE, "),
        (
            {"model": 3},
            "model: a model is a name, a function without arguments that builds one, or a built Keras model, got int",
        ),
        (
            {"model": "mpl"},
            "model: there is no model 'mpl'. Did you mean 'mlp'? There are softmax, mlp, cnn, and your own",
        ),
        ({"training": {"epochs": 1, "steps": 2}}, "training: give either epochs (1) or steps (2), not both"),
        ({"topology": "rin"}, "topology: There is no topology 'rin'. Did you mean 'ring'?"),
        (
            {"topology": {"generator": "cycle_grap"}},
            "topology: Topology 'cycle_grap': networkx has no graph generator 'cycle_grap'. Did you mean",
        ),
        (
            {"topology": {"generator": "cycle_graph", "arguments": {"m": 3}}},
            "topology: Topology 'cycle_graph': cycle_graph has no argument 'm'",
        ),
        (
            {"topology": {"name": "ring", "generator": "cycle_graph"}},
            "topology: a topology needs exactly one of name, generator, file, peers, got",
        ),
        ({"topology": {"name": "ring", "links": [["0", "1"]]}}, "topology: links of a topology needs peers, not name"),
        (
            {"topology": {**RING_OF_2, "arguments": {"n": 4}}},
            "topology: arguments of a topology needs name or generator, not peers",
        ),
        ({"topology": {**RING_OF_2, "seed": 0}}, "topology: seed of a topology needs name or generator, not peers"),
        (
            {"algorithms": ["fedavg", {"name": "pairwise", "topology": "rin"}]},
            "algorithms.1.topology: There is no topology 'rin'.",
        ),
        (
            {"algorithms": [{"name": "d2", "mixing": [[1, 0], [0, 1]]}]},
            "algorithms.0: The mixing matrix has shape (2, 2)",
        ),
        ({"algorithms": ["fedavg", "fedavg"]}, "two algorithms are called 'fedavg'; give one of them another label"),
        (
            {"network": {"links": [{"between": ["0", "x"]}]}},
            "network, compute or http.revoked names the participant 'x'; there are 0, 1, 2, ",
        ),
        (
            {"compute": {"speeds": {"server": 2}}, "algorithms": ["pairwise"]},
            "network, compute or http.revoked names the participant 'server'",
        ),
        (
            {"network": {"loss": 0.1}, "algorithms": ["synchronous"]},
            "'synchronous' waits for ever for a message that was lost",
        ),
        (
            {"network": {"offline": [{"peer": "0", "start": 5, "end": 2}]}},
            "network: offline interval of peer 0 must have 0 <= start < end",
        ),
        (
            {"weighting": "examples", "algorithms": ["fedavg", "pairwise"]},
            "weighting 'examples' cannot be kept by 'pairwise'",
        ),
        (
            {"weighting": "examples", "algorithms": ["synchronous"]},
            "weighting 'examples' cannot be kept by 'synchronous'",
        ),
        (
            {"topology": {"peers": ["server", "b"], "links": [["server", "b"]]}, "algorithms": ["fedavg"]},
            "algorithms.0: FedAvg adds a participant 'server'",
        ),
        (
            {"topology": {"peers": ["pool", "b"], "links": [["pool", "b"]]}, "algorithms": ["centralized"]},
            "algorithms.0: Centralized adds a participant 'pool'",
        ),
        (
            {
                "topology": {"name": "ring", "arguments": {"n": 4}},
                "algorithms": ["fedavg", {"name": "pairwise", "topology": "torus"}],
            },
            "the topology of 'pairwise (torus)' has 16 peers",
        ),
    ],
)
def test_fields_that_do_not_go_together_are_named(fields, expected):
    assert message(**fields).startswith(expected)


def test_every_wrong_field_has_its_line():
    assert message(rounds=0, seed=-1, trainng={}).count("\n") == 2


def test_a_model_may_be_a_class():
    class Built:
        trainable_weights = ()

        def __call__(self) -> None: ...

    assert Scenario(model=Built).model is Built


@pytest.mark.parametrize("field", ["description", "model", "data", "topology", "training", "algorithms"])
def test_tables_inside_tables_without_end_are_refused(field):
    value: Any = {}
    for _ in range(5000):
        value = {"name": value}
    message(**{field: value})
    message(topology={"generator": "star_graph", "arguments": {"n": [value]}})


@pytest.mark.parametrize("kind", ["name", "peers", "fedavg"])
def test_peers_called_like_other_participants_are_fine_without_them(kind):
    names = {"name": "server", "peers": "pool", "fedavg": "pool"}
    peers = {"peers": [names[kind], "b"], "links": [[names[kind], "b"]]}
    algorithms = ["fedavg"] if kind == "fedavg" else ["pairwise", "synchronous", "local"]
    scenario = Scenario(topology=peers, algorithms=algorithms, network={"peers": {names[kind]: {"uplink": 1e6}}})
    assert list(scenario.graph()) == [names[kind], "b"]


def test_examples_are_a_goal_of_fedavg_and_the_bounds():
    scenario = Scenario(weighting="examples", algorithms=["fedavg", "local", "centralized"])
    assert [scenario.recipe(section, scenario.graph(section)).hub for section in scenario.algorithms] == [
        "server",
        None,
        None,
    ]


def test_lost_messages_are_fine_with_patience():
    patient = [{"name": "synchronous", "patience": 5}, {"name": "fedavg", "patience": 5}, "pairwise", "local"]
    assert Scenario(network={"loss": 0.1}, algorithms=patient).network.model().loses_messages


def test_a_mixing_matrix_is_taken_in_node_order():
    matrix = np.full((3, 3), 1 / 3).tolist()
    algorithms = [{"name": "synchronous", "schedule": {"name": "static", "mixing": matrix}}]
    scenario = Scenario(topology={"name": "ring", "arguments": {"n": 3}}, algorithms=algorithms)
    np.testing.assert_allclose(scenario.recipe(scenario.section(), scenario.graph()).schedule.mixing.toarray(), matrix)
