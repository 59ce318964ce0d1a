"""Whatever is written, the answer is a Scenario or a ConfigurationError."""

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario, load_scenario
from gossipfl.scenario.sections import DataSection, TopologySection, TrainingSection
from gossipfl.scenario.world import NetworkSection

VALID: dict[str, Any] = {
    "seed": 1,
    "rounds": 2,
    "targets": [0.5],
    "model": "softmax",
    "data": {"source": "digits", "partition": {"name": "labels", "per_peer": 3}},
    "training": {"epochs": 1, "optimizer": {"name": "sgd", "learning_rate": 0.1}},
    "topology": {"generator": "circulant_graph", "arguments": {"n": 6, "offsets": [1, 2]}},
    "network": {
        "preset": "WAN",
        "peers": {"server": {"uplink": 1e7}},
        "links": [{"between": ["0", "1"], "latency": 0.2}],
        "offline": [{"peer": "2", "start": 1, "end": 2}],
    },
    "compute": {"speeds": {"3": 0.5}},
    "evaluation": {"every": 2, "peers": 3},
    "algorithms": [
        {"name": "pairwise", "topology": {"peers": list("012345"), "links": [[str(i), str(i + 1)] for i in range(5)]}},
        {"name": "synchronous", "schedule": {"name": "static", "mixing": "max_degree"}, "patience": 3},
        {"name": "fedavg", "client_fraction": 0.5, "label": "server"},
        "local",
    ],
}

SECTIONS = (Scenario, TopologySection, DataSection, TrainingSection, NetworkSection)
FIELDS = sorted({name for section in SECTIONS for name in section.model_fields})
WORDS = [
    "ring",
    "torus",
    "cycle_graph",
    "hypercube_graph",
    "path_graph",
    "star_graph",
    "x.graphml",
    "pairwise",
    "fedavg",
]
WORDS += ["local", "synchronous", "labels", "dirichlet", "mlp", "a:b", "LAN", "0", "all", "examples"]

# Graphs of these sizes are made in no time; nobody is protected from asking for a billion peers.
numbers = st.integers(-3, 9) | st.floats(-2, 9) | st.sampled_from([float("nan"), float("inf")])
huge_numbers = st.sampled_from([2**31, 2**63, 2**70, 10**400, -(2**70), 1e308])
words = st.sampled_from(WORDS) | st.text(max_size=5)
leaves = st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | words
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | words, inner, max_size=3),
    max_leaves=8,
)


def is_scenario_or_refused(**fields: Any) -> bool:
    try:
        scenario = Scenario(**fields)
    except ConfigurationError:
        return False
    assert json.loads(scenario.model_dump_json())["rounds"] == scenario.rounds
    assert len(scenario.labels) == len(scenario.algorithms)
    return True


@given(st.dictionaries(st.sampled_from([*Scenario.model_fields, *FIELDS]) | words, values, max_size=4))
def test_arbitrary_tables(fields):
    is_scenario_or_refused(**fields)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(*path, key), *places(inner, (*path, key))]]


def changed(path: tuple[Any, ...], action: str, value: Any) -> dict[str, Any]:
    fields = copy.deepcopy(VALID)
    inside: Any = fields
    for key in path[:-1]:
        inside = inside[key]
    if action == "replace":
        inside[path[-1]] = value
    elif action == "remove":
        del inside[path[-1]]
    elif isinstance(inside, list):
        inside.append(value)
    else:
        inside[f"{path[-1]}x"] = value
    return fields


def test_the_scenario_that_is_mutated_is_valid():
    assert is_scenario_or_refused(**VALID)


@settings(max_examples=300)
@given(st.sampled_from(places(VALID)), st.sampled_from(["replace", "replace", "remove", "add"]), values | numbers)
def test_a_valid_scenario_with_one_change(path, action, value):
    is_scenario_or_refused(**changed(path, action, value))


@given(st.sampled_from([path for path in places(VALID) if "arguments" not in path]), huge_numbers)
def test_huge_numbers(path, value):
    is_scenario_or_refused(**changed(path, "replace", value))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("garbage") / "scenario.toml"
    path.write_text('rounds = 2\ntopology = "ring"\nalgorithms = ["pairwise", { name = "fedavg" }]\n')
    return path


def loads_or_is_refused(path: Any, overrides: list[str]) -> None:
    with suppress(ConfigurationError):
        load_scenario(path, overrides)


field_paths = st.lists(st.sampled_from([*FIELDS, "0", "1", "7", "", "name", "n"]), min_size=1, max_size=4).map(".".join)
toml_texts = st.sampled_from(
    ["3", "-1", "0.5", "true", "'x'", "[]", "{}", "[1, [2]]", "{ name = 'ring' }", "{ a.b = 1 }", "nan", "1979-05-27",
     "07:32:00", '"""', "3\n4", "1 # x", "", "0x10", "99999999999999999999"]
)  # fmt: skip


@given(st.lists(st.text(max_size=12) | st.builds("{}={}".format, field_paths, toml_texts | words), max_size=3))
def test_arbitrary_overrides(path, overrides):
    loads_or_is_refused(path, overrides)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | st.text(st.sampled_from("[]{}=.,\"'#\n ab1-"), max_size=60).map(str.encode))
def test_arbitrary_files(tmp_path, content):
    garbled = tmp_path / "garbled.toml"
    garbled.write_bytes(content)
    loads_or_is_refused(garbled, [])


@given(st.text(max_size=20))
def test_arbitrary_names(name):
    with pytest.raises(ConfigurationError):
        load_scenario(f"{name}/no-such-scenario")
