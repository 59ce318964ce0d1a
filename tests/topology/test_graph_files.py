import json

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gossipfl.errors import TopologyError
from gossipfl.topology import from_file
from gossipfl.topology.files import FORMATS

GRAPHML = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="{}">{}</graph></graphml>'
TWO_NODES = '<node id="a"/><node id="b"/>'


def example() -> nx.Graph:
    graph = nx.Graph([("10", "2"), ("2", "host-a"), ("10", "host-a"), ("host-a", "z")])
    graph.nodes["2"]["address"] = "https://two.example.org"
    return graph


def same_links(graph: nx.Graph, expected: nx.Graph) -> bool:
    return list(graph) == list(expected) and nx.utils.edges_equal(graph.edges, expected.edges)


def test_graphml_round_trip(tmp_path):
    nx.write_graphml(example(), tmp_path / "hosts.graphml")
    graph = from_file(tmp_path / "hosts.graphml")
    assert same_links(graph, example())
    assert graph.nodes["2"] == {"address": "https://two.example.org", "position": 1}
    assert graph.name == "hosts"


def test_graphml_without_a_namespace(tmp_path):
    path = tmp_path / "plain.graphml"
    path.write_text(
        f'<graphml><graph edgedefault="undirected">{TWO_NODES}<edge source="a" target="b"/></graph></graphml>'
    )
    assert list(from_file(path).edges) == [("a", "b")]


@pytest.mark.parametrize("suffix", [".edgelist", ".txt"])
def test_edge_list_round_trip(tmp_path, suffix):
    path = tmp_path / f"hosts{suffix}"
    nx.write_edgelist(example(), path)
    assert same_links(from_file(path), example())


def test_edge_lists_may_use_commas_comments_and_more_columns(tmp_path):
    path = tmp_path / "hosts.csv"
    path.write_bytes("\ufeff# source,target,weight\n10,2,0.5\n\n2 , host-a , 1\n".encode())
    assert list(from_file(path).edges) == [("10", "2"), ("2", "host-a")]


def test_one_name_on_a_line_is_a_peer(tmp_path):
    path = tmp_path / "alone.edgelist"
    path.write_text("alone # no link\n")
    assert list(from_file(path)) == ["alone"]


@pytest.mark.parametrize("edges", ["edges", "links"])
def test_node_link_round_trip(tmp_path, edges):
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps(nx.node_link_data(example(), edges=edges)))
    graph = from_file(path)
    assert same_links(graph, example())
    assert graph.nodes["2"]["address"] == "https://two.example.org"


def test_node_link_with_numbers_and_lists_as_ids(tmp_path):
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(nx.node_link_data(nx.path_graph([5, 7, 6]), edges="edges")))
    assert list(from_file(path)) == ["5", "7", "6"]
    path.write_text(json.dumps(nx.node_link_data(nx.grid_2d_graph(2, 2), edges="edges")))
    assert list(from_file(path)) == ["0", "1", "2", "3"]


def test_the_format_can_be_given(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("a b\n")
    assert list(from_file(path, "edgelist").edges) == [("a", "b")]


@pytest.mark.parametrize("declared", ["directed", "undirected"])
def test_links_in_both_directions_are_links_that_work_both_ways(tmp_path, declared):
    edges = "".join(f'<edge source="{a}" target="{b}"/>' for a, b in ["ab", "ba", "bc", "cb"])
    (tmp_path / "g.graphml").write_text(GRAPHML.format(declared, TWO_NODES + '<node id="c"/>' + edges))
    graph = nx.DiGraph(["ab", "ba", "bc", "cb"])
    data = nx.node_link_data(graph, edges="edges") | {"directed": declared == "directed"}
    (tmp_path / "g.json").write_text(json.dumps(data))
    for file, form in (("g.graphml", "GraphML"), ("g.json", "node-link JSON")):
        graph = from_file(tmp_path / file)
        assert not graph.is_directed()
        assert list(graph.edges) == [("a", "b"), ("b", "c")]
        assert (
            graph.graph["taken_for"]
            == f"{form}; every link is there in both directions, and is one that works both ways"
        )


def test_graphml_says_that_labels_are_not_the_names_of_peers(tmp_path):
    path = tmp_path / "yed.graphml"
    nx.write_graphml(nx.Graph([("n0", "n1")]), path)
    assert from_file(path).graph["taken_for"] == "GraphML"
    labelled = nx.DiGraph([("n0", "n1"), ("n1", "n2"), ("n2", "n0")])
    labelled.nodes["n0"]["label"] = "amsterdam"
    nx.write_graphml(labelled, path)
    assert from_file(path).graph["taken_for"] == (
        "GraphML, whose peers are called by the ids ('n0'), not the labels ('amsterdam'); links go one way"
    )


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("g.graphml", "", r"cannot be read as GraphML \(ParseError"),
        ("g.graphml", "<html/>", "cannot be read as GraphML"),
        ("g.graphml", GRAPHML.format("directed", TWO_NODES + '<edge source="a" target="b"/>'), "strongly"),
        (
            "g.graphml",
            GRAPHML.format("undirected", TWO_NODES + '<edge source="a" target="bb"/>'),
            "the peer 'bb', which is not among.*mean 'b'",
        ),
        ("g.graphml", GRAPHML.format("undirected", TWO_NODES + 2 * '<edge source="a" target="b"/>'), "more than once"),
        ("g.graphml", GRAPHML.format("undirected", TWO_NODES + '<edge source="a"/>'), "GraphML"),
        ("g.graphml", GRAPHML.format("undirected", "<node/><node/>"), "GraphML|cannot reach"),
        ("g.edgelist", "", "no peers"),
        ("g.edgelist", "a b\na b\n", "more than once"),
        ("g.edgelist", "a b\nb a\nb c\n", "more than once"),
        ("g.edgelist", "a b\nc\n", "not connected: peers 'a' and 'c'"),
        ("g.edgelist", "a é\n", "called 'é'"),
        ("g.json", "", r"cannot be read as node-link JSON \(JSONDecodeError"),
        ("g.json", "[1, 2]", "expected an object with 'nodes' and 'edges', got a list"),
        ("g.json", "{}", "expected a list of objects under 'nodes'"),
        ("g.json", '{"nodes": [1], "edges": []}', "expected a list of objects under 'nodes'"),
        ("g.json", '{"nodes": [{"id": 1}], "edges": 3}', "expected a list of objects under 'edges'"),
        ("g.json", '{"nodes": [{"id": 1}], "edges": [{"source": 1}]}', "KeyError: 'target'"),
        ("g.json", '{"nodes": [{"name": 1}], "edges": []}', "KeyError: 'id'"),
        ("g.json", '{"nodes": [{"id": {}}], "edges": []}', "TypeError"),
        ("g.json", '{"nodes": [{"id": null}], "edges": []}', "ValueError"),
        ("g.json", '{"nodes": [{"id": 1}, {"id": 1}], "edges": []}', "two nodes have the same 'id'"),
        ("g.json", '{"nodes": [{"id": 1}], "edges": [{"source": 1, "target": 2}]}', "the peer 2, which is not among"),
        (
            "g.json",
            '{"directed": true, "nodes": [{"id": 1}, {"id": 2}], "edges": [{"source": 1, "target": 2}]}',
            "not strongly connected",
        ),
        (
            "g.json",
            '{"multigraph": false, "nodes": [{"id": 1}, {"id": 2}],'
            ' "edges": [{"source": 1, "target": 2}, {"source": 1, "target": 2}]}',
            "more than once",
        ),
        ("g.json", "[" * 100_000, r"cannot be read as node-link JSON \(RecursionError"),
        ("g.xml", "", "no known suffix; known are .graphml"),
    ],
)
def test_bad_files_are_explained(tmp_path, file, content, message):
    (tmp_path / file).write_text(content)
    with pytest.raises(TopologyError, match=message):
        from_file(tmp_path / file)


def test_a_file_that_cannot_be_read_is_explained(tmp_path):
    with pytest.raises(TopologyError, match=r"cannot be read: .*No such file"):
        from_file(tmp_path / "none.json")
    with pytest.raises(TopologyError, match=r"cannot be read: .*null byte"):
        from_file("\0.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(TopologyError, match="cannot be read"):
        from_file(tmp_path / "folder.json")


def test_an_unknown_format_names_the_known_ones(tmp_path):
    with pytest.raises(TopologyError, match=r"no topology format 'graph_ml'. Did you mean 'graphml'.*edgelist"):
        from_file(tmp_path / "x", "graph_ml")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["nodes", "edges", "links", "id", "source", "target", "key", "directed", "graph"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)
XML = st.lists(
    st.sampled_from(
        [
            "<graphml>",
            "</graphml>",
            '<graph edgedefault="undirected">',
            "</graph>",
            '<node id="a"/>',
            '<node id="b"/>',
            "<node/>",
            '<edge source="a" target="b"/>',
            '<edge id="1" source="a"/>',
            '<key id="k" for="node" attr.name="x" attr.type="int"/>',
            '<node id="c"><data key="k">x</data></node>',
            '<?xml version="1.0" encoding="latin-9"?>',
        ]
    ),
    max_size=10,
).map("".join)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=200)
    | st.text(max_size=200).map(str.encode)
    | JSON.map(json.dumps).map(str.encode)
    | XML.map(str.encode)
    | XML.map(lambda inner: GRAPHML.format("undirected", inner).encode()),
    suffix=st.sampled_from(list(FORMATS)),
)
def test_garbage_gives_a_topology_or_a_topology_error_and_nothing_else(tmp_path, content, suffix):
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(content)
    try:
        graph = from_file(path)
    except TopologyError:
        return
    assert nx.is_connected(graph)
