"""What a scenario is once it is valid: printable, comparable, changeable, described by a schema."""

import json
from typing import Any

import networkx as nx
import pytest

from gossipfl.data.sources import load
from gossipfl.errors import ConfigurationError
from gossipfl.names.resources import names
from gossipfl.scenario import Scenario, load_scenario
from gossipfl.scenario.sections import TopologySection

RICH: dict[str, Any] = {
    "name": "rich",
    "seed": 2**40 + 1,
    "targets": [0.5],
    "model": "softmax",
    "data": {"source": "digits", "partition": {"name": "dirichlet", "alpha": 0.5}, "max_train": 200},
    "training": {"steps": 4, "optimizer": {"name": "sgd", "learning_rate": 0.1}},
    "topology": {"generator": "watts_strogatz_graph", "arguments": {"n": 8, "k": 4, "p": 0.3}, "seed": 3},
    "network": {
        "preset": "WAN",
        "peers": {"server": {"uplink": 1e7}},
        "links": [{"between": ["0", "1"], "latency": 0.2}],
        "offline": [{"peer": "2", "start": 1, "end": 2}],
    },
    "compute": {"speeds": {"3": 0.5}},
    "evaluation": {"every": 2, "peers": 3},
    "algorithms": [
        "pairwise",
        {"name": "fedavg", "client_fraction": 0.5, "patience": 9},
        {"name": "local", "label": "L"},
    ],
}


@pytest.mark.parametrize(
    "scenario", [Scenario(), Scenario(**RICH), *map(load_scenario, names("simulations"))], ids=lambda s: s.name
)
def test_a_scenario_survives_json(scenario):
    again = Scenario(**json.loads(scenario.model_dump_json()))
    assert again == scenario
    assert again.labels == scenario.labels
    assert [again.recipe(section, again.graph(section)) for section in again.algorithms] == [
        scenario.recipe(section, scenario.graph(section)) for section in scenario.algorithms
    ]


def test_what_is_given_in_python_is_written_by_name():
    def my_model() -> None: ...

    dataset = load("digits")
    written = json.loads(Scenario(model=my_model, data=dataset).model_dump_json())
    assert written["data"]["source"] == "digits"
    assert written["model"].startswith("test_scenario_values:")
    assert written["model"].endswith("my_model")


def test_changes_make_another_scenario_and_are_validated():
    scenario = Scenario(**RICH)
    changed = scenario.with_changes(rounds=3, topology="ring")
    assert (changed.rounds, changed.topology.label, scenario.rounds) == (3, "ring", 20)
    assert changed.algorithms == scenario.algorithms
    assert changed.with_changes(rounds=scenario.rounds, topology=scenario.topology) == scenario
    with pytest.raises(ConfigurationError, match="rounds is 0"):
        scenario.with_changes(rounds=0)
    with pytest.raises(ConfigurationError, match=r"runds: there is no such field\. Did you mean 'rounds'"):
        scenario.with_changes(runds=1)


def test_a_scenario_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        Scenario().rounds = 3


def objects(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"Scenario": schema, **schema["$defs"]}


def test_the_schema_describes_every_section_and_field():
    schema = Scenario.model_json_schema()
    undescribed = [
        f"{name}.{field}"
        for name, section in objects(schema).items()
        for field, property_ in section["properties"].items()
        if not property_.get("description")
    ]
    assert undescribed == []
    assert all(section.get("description") for section in objects(schema).values())
    json.dumps(schema, allow_nan=False)


def test_the_schema_allows_plain_names_where_the_scenario_does():
    schema = Scenario.model_json_schema()
    sections = objects(schema)
    for section, field in (("Scenario", "data"), ("Scenario", "topology"), ("DataSection", "partition")):
        assert {"type": "string"} in sections[section]["properties"][field]["anyOf"]
    assert {"type": "string"} in schema["properties"]["algorithms"]["items"]["anyOf"]


@pytest.mark.parametrize(
    "topology",
    [
        {"generator": "random_regular_graph", "arguments": {"d": 4, "n": 10}},
        {"peers": ["b", "a", "c"], "links": [["a", "b"], ["a", "c"]]},
        {"peers": {"b": {"address": "https://b:1"}, "a": {}}, "links": [["a", "b"]]},
    ],
)
def test_a_topology_may_be_written_out_or_generated(topology):
    scenario = Scenario(topology=topology, seed=2**63 - 1)
    graph = scenario.graph()
    assert nx.is_connected(graph)
    assert nx.utils.graphs_equal(graph, scenario.graph())
    if "peers" in topology:
        assert list(graph) == list(topology["peers"])


def test_a_topology_may_be_a_file(tmp_path):
    (tmp_path / "trio.edgelist").write_text("x y\ny z\n")
    for topology in ({"file": str(tmp_path / "trio.edgelist")}, str(tmp_path / "trio.edgelist")):
        scenario = Scenario(topology=topology, algorithms=["synchronous"])
        assert list(scenario.graph()) == ["x", "y", "z"]
        assert scenario.topology_label() == "trio"
    (tmp_path / "pair").write_text("a b\n")
    assert list(Scenario(topology={"file": str(tmp_path / "pair"), "format": "edgelist"}).graph()) == ["a", "b"]


def test_random_topologies_follow_the_seed_of_the_run_unless_they_have_one():
    def edges(**fields: Any) -> set[tuple[str, str]]:
        arguments = {"d": 3, "n": 20}
        topology = {"generator": "random_regular_graph", "arguments": arguments, **fields.pop("topology", {})}
        return set(Scenario(topology=topology, **fields).graph().edges)

    assert edges(seed=1) == edges(seed=1)
    assert edges(seed=1) != edges(seed=2)
    assert edges(seed=1, topology={"seed": 5}) == edges(seed=2, topology={"seed": 5})


def test_labels_name_the_topology_only_where_several_are_compared():
    assert Scenario(algorithms=["pairwise", "fedavg"]).labels == ["pairwise", "fedavg"]
    several = Scenario(algorithms=["synchronous", {"name": "pairwise", "topology": "torus"}, "fedavg"])
    assert several.labels == ["synchronous (ring)", "pairwise (torus)", "fedavg"]


def test_an_algorithm_is_found_by_label_or_by_a_name_that_only_one_has():
    scenario = Scenario(algorithms=["pairwise", {"name": "pairwise", "label": "slow"}, "fedavg"])
    assert scenario.section("pairwise") is scenario.algorithms[0]
    assert scenario.section("slow") is scenario.algorithms[1]
    assert [scenario.label_of(section) for section in scenario.algorithms] == scenario.labels
    for asked, expected in ((None, "no algorithm was named"), ("gossip", "'gossip' fits 0 algorithms")):
        with pytest.raises(ConfigurationError, match=f"{expected}, and the scenario has pairwise, slow, fedavg"):
            scenario.section(asked)
    twins = [{"name": "pairwise", "label": "a"}, {"name": "pairwise", "label": "b"}]
    with pytest.raises(ConfigurationError, match="'pairwise' fits 2 algorithms"):
        Scenario(algorithms=twins).section("pairwise")


def test_validation_builds_every_graph_once(monkeypatch):
    built = []
    graph = TopologySection.graph

    def counted(self, seed):
        built.append(self.label)
        return graph(self, seed)

    monkeypatch.setattr(TopologySection, "graph", counted)
    Scenario(topology="ring", algorithms=["pairwise", {"name": "synchronous", "topology": "torus"}, "fedavg", "local"])
    assert built == ["ring", "torus"]
