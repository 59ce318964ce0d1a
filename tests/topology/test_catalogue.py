import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gossipfl.errors import TopologyError
from gossipfl.names import resources
from gossipfl.topology import available, named


@pytest.fixture
def write(tmp_path):
    def write_toml(content: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(content)
        return str(path)

    return write_toml


def test_the_issues_topologies_are_available():
    assert set(available()) >= {
        *("ring", "torus", "hypercube", "complete", "star", "random-regular", "small-world", "exponential"),
        *("erdos-renyi", "line", "four-hosts"),
    }
    assert available() == sorted(available())


@pytest.mark.parametrize("name", available())
def test_every_file_loads_with_a_description_and_a_comment(name):
    graph = named(name)
    assert len(graph) == (4 if name == "four-hosts" else 16)
    assert graph.name == name
    assert 10 < len(graph.graph["description"]) < 80
    assert (resources.folder("topologies") / f"{name}.toml").read_text().startswith("# ")


def test_the_deployment_example_has_an_address_for_every_peer():
    addresses = [address for _, address in named("four-hosts").nodes(data="address")]
    assert addresses[0] == "https://amsterdam.example.org:8443"
    assert len(set(addresses)) == 4


def test_arguments_are_laid_over_those_of_the_file():
    assert len(named("torus", {"m": 3})) == 12
    assert len(named("ring", {"n": 64})) == 64


def test_a_seed_replaces_the_one_in_the_file(write):
    path = write('generator = "random_regular_graph"\narguments = { d = 4, n = 20 }\nseed = 3\n')
    assert list(named(path).edges) == list(named(path, seed=3).edges)
    assert list(named(path).edges) != list(named(path, seed=4).edges)


def test_a_file_may_list_peers_by_name(write):
    graph = named(write('peers = ["b", "a"]\nlinks = [["a", "b"]]\n'))
    assert list(graph) == ["b", "a"]
    assert graph.name == "mine"
    assert graph.graph["description"] == ""


def test_files_of_other_tools_are_read_by_path(tmp_path):
    nx.write_edgelist(nx.cycle_graph(5), tmp_path / "five.edgelist")
    assert len(named(str(tmp_path / "five.edgelist"))) == 5
    with pytest.raises(TopologyError, match=r"'five' is written out.*takes no arguments; got n"):
        named(str(tmp_path / "five.edgelist"), {"n": 6})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rnig", "There is no topology 'rnig'. Did you mean 'ring'.*Available are complete, .*torus"),
        ("", "There is no topology ''"),
        ("../ring", "no known suffix"),
        ("missing/ring.toml", "cannot be read"),
        ("missing.toml", "cannot be read"),
    ],
)
def test_an_unknown_name_lists_what_there_is(name, message):
    with pytest.raises(TopologyError, match=message):
        named(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("generator", "is not TOML"),
        ("a = " + "[" * 50_000, "is not TOML"),
        ("", "needs either 'generator' .* or 'peers'"),
        ('generator = "cycle_graph"\npeers = ["a"]', "needs either"),
        ('generator = "cycle_graph"\nlinks = []', "'links' does not go with 'generator'"),
        ('peers = ["a"]\nseed = 3', "'seed' does not go with 'peers'"),
        ('genrator = "cycle_graph"', "unknown field 'genrator'. Did you mean 'generator'"),
        ("generator = 3", "'generator' is the name of a networkx generator, got 3"),
        ('generator = "cycle_graph"\narguments = 3', "'arguments' is a table, got 3"),
        ('generator = "cycle_graph"\narguments = { n = 4 }\nseed = true', "'seed' is an integer, got True"),
        ('peers = ["a", 3]', "'peers' is a list of names.*see 3"),
        ("[peers]\na = 3", "'peers' is a list of names.*see 'a'"),
        ('peers = ["a"]\nlinks = ["ab"]', "a link is a pair of names, got 'ab'"),
        ('peers = ["a"]\nlinks = [["a"]]', "a link is a pair of names"),
        ('peers = ["a"]\nlinks = [["a", 1]]', "a link is a pair of names"),
        ('peers = ["anna", "bob"]\nlinks = [["ana", "bob"]]', "'mine'.*no peer 'ana'. Did you mean 'anna'"),
        ('generator = "cycle_graph"\narguments = { m = 4 }', "Topology 'mine': cycle_graph has no argument 'm'"),
        ('generator = "erdos_renyi_graph"\narguments = { n = 9, p = 0.0 }', "'mine' is not connected"),
    ],
)
def test_bad_files_are_explained(write, content, message):
    with pytest.raises(TopologyError, match=message):
        named(write(content))


def test_arguments_for_explicit_peers_are_refused():
    with pytest.raises(TopologyError, match=r"'four-hosts' is written out.*got n"):
        named("four-hosts", {"n": 8})


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=100))
def test_garbage_gives_a_topology_error(tmp_path, content):
    path = tmp_path / "garbage.toml"
    path.write_bytes(content)
    with pytest.raises(TopologyError):
        named(str(path))
