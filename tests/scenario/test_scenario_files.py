"""TOML files by path or name, with single fields overridden."""

import re

import pytest

from gossipfl.errors import ConfigurationError
from gossipfl.names.resources import names
from gossipfl.scenario import load_scenario

CONTENT = """
rounds = 5
data = "digits"
topology = "ring"
algorithms = ["pairwise", { name = "fedavg", client_fraction = 0.5 }]
targets = [0.5, 0.9]
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(CONTENT)
    return path


def test_a_scenario_is_called_like_its_file(path):
    scenario = load_scenario(path)
    assert (scenario.name, scenario.rounds, scenario.data.source) == ("small", 5, "digits")


def test_a_file_name_that_cannot_name_a_directory_is_adapted(path):
    renamed = path.rename(path.with_name("my first scenario (ü).toml"))
    assert load_scenario(renamed).name == "my-first-scenario-"


@pytest.mark.parametrize("name", names("simulations"))
def test_scenarios_that_come_with_gossipfl_are_found_by_name(name):
    assert load_scenario(name) == load_scenario(f"{name}.toml")


@pytest.mark.parametrize(
    ("override", "read", "expected"),
    [
        ("rounds=7", lambda s: s.rounds, 7),
        (" training.batch_size = 64", lambda s: s.training.batch_size, 64),
        ("model=softmax", lambda s: s.model, "softmax"),
        ('model="softmax"', lambda s: s.model, "softmax"),
        ("description=What? Why = not.", lambda s: s.description, "What? Why = not."),
        ("data=npz:x.npz", lambda s: s.data.source, "npz:x.npz"),
        ("data.max_train=100", lambda s: (s.data.source, s.data.max_train), ("digits", 100)),
        ("topology.arguments.n=8", lambda s: len(s.graph()), 8),
        ("algorithms.0.timeout=3", lambda s: s.algorithms[0].timeout, 3.0),
        ("algorithms.1.client_fraction=1", lambda s: s.algorithms[1].client_fraction, 1.0),
        ("algorithms.0=local", lambda s: s.labels, ["local", "fedavg"]),
        ('algorithms=["local"]', lambda s: s.labels, ["local"]),
        ("targets.1=0.7", lambda s: s.targets, [0.5, 0.7]),
        (
            "training.optimizer={ name = 'sgd', learning_rate = 0.5 }",
            lambda s: s.training.optimizer["learning_rate"],
            0.5,
        ),
        ("network.peers.3.uplink=1e6", lambda s: s.network.model().rates_of("3").uplink, 1e6),
        ("data.partition={ name = 'labels', per_peer = 3 }", lambda s: s.data.partition.parameters, {"per_peer": 3}),
    ],
)
def test_an_override_sets_one_field(path, override, read, expected):
    assert read(load_scenario(path, [override])) == expected


def test_overrides_come_one_after_the_other(path):
    overrides = ["data.partition=dirichlet", "data.partition.alpha=0.3", "data.partition.alpha=0.5"]
    assert load_scenario(path, overrides).data.partition.parameters == {"alpha": 0.5}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("rounds", "--set takes field=value, for example training.batch_size=32; got 'rounds'"),
        ("=3", "--set takes field=value"),
        ("rounds.x=3", "--set rounds.x=3: 'x' is inside 5, which has no fields"),
        ("rounds.x.y=3", "--set rounds.x.y=3: 'x' is inside 5, which has no fields"),
        ("algorithms.2.timeout=3", "--set algorithms.2.timeout: '2' is not a position from 0 to 1"),
        ("algorithms.-1=3", "--set algorithms.-1: '-1' is not a position from 0 to 1"),
        ("algorithms.x=3", "--set algorithms.x: 'x' is not a position from 0 to 1"),
        ("training.batch_size=zero", "small.toml: training.batch_size is 'zero': input should be a valid integer"),
        ("training.batchsize=2", "small.toml: training.batchsize: there is no such field. Did you mean 'batch_size'"),
        ("rounds=1\nseed=2", r"small.toml: rounds is '1\nseed=2': input should be a valid integer"),
        ("rounds=", "small.toml: rounds is '': input should be a valid integer"),
        (f"rounds={'9' * 5000}", "small.toml: rounds is '999"),
        (f"rounds=0x{'f' * 5000}", "small.toml: rounds is a value of type int: "),
        (f"rounds={'[' * 5000}", "small.toml: rounds is '[[["),
        (f"model{'.a' * 5000}=1", "small.toml: model: a model is a name"),
        (f"topology.arguments.n{'.a' * 5000}=1", "small.toml: "),
        ("self=1", "small.toml: self: there is no such field"),
    ],
)
def test_a_wrong_override_says_what_is_wrong(path, override, expected):
    with pytest.raises(ConfigurationError, match=re.escape(expected)):
        load_scenario(path, [override])


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\x01\xff\xfe" * 100,
        b"\x1f\x8b\x08\x00garbage",
        b"rounds = ",
        b"rounds = 1\nrounds = 2",
        b"[training\nepochs = 1",
        b"x = " + b"[" * 20_000,
        b"rounds = " + b"9" * 5000,
    ],
    ids=["binary", "gzip", "unfinished", "twice", "bracket", "nested", "digits"],
)
def test_a_garbled_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "garbled.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"cannot read the scenario .*garbled\.toml: "):
        load_scenario(path)


@pytest.mark.parametrize("name", ["kmist_ten_clients", "no/such/dir/kmist_ten_clients.toml", "kmist_ten_clients.toml"])
def test_a_missing_scenario_names_the_nearest(name):
    with pytest.raises(ConfigurationError, match=r"there is no scenario file '.*Did you mean 'kmnist_ten_clients'\?"):
        load_scenario(name)


@pytest.mark.parametrize("name", ["", ".", "/", "x" * 5000, "a\x00b"])
def test_what_cannot_be_a_file_is_refused(name):
    with pytest.raises(ConfigurationError, match=r"there is no scenario file|cannot read the scenario"):
        load_scenario(name)
