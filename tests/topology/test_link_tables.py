"""Edge lists and adjacency lists: which of the two a file is, and what is said of it."""

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.errors import TopologyError
from gossipfl.topology import from_file
from gossipfl.topology.link_tables import LinkTableError, read_link_table


def links_of(graph: nx.Graph) -> set[frozenset[str]]:
    return {frozenset(map(str, link)) for link in graph.edges()}


def read_or_refused(text: str, form: str) -> nx.Graph:
    """The graph that is read without the format being given, or, if it is not clear, with it."""
    try:
        return read_link_table(text)[0]
    except LinkTableError as error:
        unclear = str(error)
    assert "may be a link with further columns, or a peer with several neighbors" in unclear
    return read_link_table(text, form)[0]


@st.composite
def connected_graphs(draw: st.DrawFn) -> nx.Graph:
    """Any connected graph of up to nine peers, in any order."""
    num_peers = draw(st.integers(1, 9))
    graph = nx.empty_graph(draw(st.permutations(range(num_peers))))
    order = draw(st.permutations(range(num_peers)))
    graph.add_edges_from((order[draw(st.integers(0, i - 1))], order[i]) for i in range(1, num_peers))
    pairs = [(a, b) for a in range(num_peers) for b in range(a)]
    graph.add_edges_from(draw(st.lists(st.sampled_from(pairs), max_size=20)) if pairs else [])
    return graph


@settings(deadline=None)
@given(connected_graphs(), st.sampled_from(["one", "both"]), st.sampled_from([" ", ";", ", ", "\t"]))
def test_an_adjacency_list_is_read_as_it_was_written_or_refused(graph, directions, separator):
    written = graph if directions == "one" else graph.to_directed()
    text = "\n".join(separator.join(line.split()) for line in nx.generate_adjlist(written))
    read = read_or_refused(text, "adjlist")
    assert links_of(read) == links_of(graph)
    assert set(read) == set(map(str, graph))


@settings(deadline=None)
@given(connected_graphs(), st.data())
def test_an_edge_list_with_weights_is_read_as_it_was_written_or_refused(graph, data):
    rows = [f"{a} {b} {data.draw(st.integers(0, 9))}" for a, b in graph.edges] or ["0"]
    assert links_of(read_or_refused("\n".join(rows), "edgelist")) == links_of(graph)


@pytest.mark.parametrize("suffix", [".adjlist", ".edgelist", ".txt"])
@pytest.mark.parametrize("graph", [nx.star_graph(5), nx.cycle_graph(6), nx.complete_graph(5), nx.path_graph(4)])
def test_what_networkx_writes_as_adjacency_list(tmp_path, graph, suffix):
    nx.write_adjlist(graph, tmp_path / f"g{suffix}")
    read = from_file(tmp_path / f"g{suffix}")
    assert list(read) == [str(node) for node in graph]
    assert links_of(read) == links_of(graph)


@pytest.mark.parametrize(
    ("text", "links", "taken_for"),
    [
        ("a b\nb c", ["ab", "bc"], "an edge list"),
        ("a b {'weight': 0.5, 'x': 1}\nb c {}", ["ab", "bc"], "an edge list, of which is not used: data in braces"),
        ("0 1 1\n1 2 1\n2 3 1\n3 0 1", ["01", "12", "23", "30"], "an edge list, of which is not used: column 3"),
        ("a;b;0,5\nb;c;1,5", ["ab", "bc"], "an edge list, of which is not used: column 3"),
        ("a b 1\nb c 1\nc", ["ab", "bc"], "an edge list, of which is not used: column 3"),
        ("a,b\nb,a\nb,c\nc,b", ["ab", "ba", "bc", "cb"], "an edge list"),
        ("a b c\nb c\nc", ["ab", "ac", "bc"], "an adjacency list"),
        ("a;b;c\nb;a;c\nc;a;b", ["ab", "ac", "ba", "bc", "ca", "cb"], "an adjacency list"),
        ("hub x y z\nx\ny\nz", [("hub", "x"), ("hub", "y"), ("hub", "z")], "an adjacency list"),
        ("source,target\na,b\nb,c", ["ab", "bc"], "an edge list with a header (source, target)"),
        (
            'Id;Source;Target;Type;"Weight"\n0;"a";"b";Undirected;1.0\n1;b;c;Undirected;2.0',
            ["ab", "bc"],
            "an edge list with a header (source, target), of which is not used: id, type, weight",
        ),
        (
            "Source,Target,Type\na,b,Directed\nb,c,Directed\nc,a,Directed",
            ["ab", "bc", "ca"],
            "an edge list with a header (source, target, type)",
        ),
        ("from to\nfrom a\na b", [("from", "to"), ("from", "a"), "ab"], "an edge list"),
    ],
)
def test_what_a_file_is_taken_for(text, links, taken_for):
    graph, read, said = read_link_table(text)
    assert [tuple(link) for link in links] == read
    assert said == taken_for
    assert graph.is_directed() == ("type" in taken_for.partition(",")[2].partition(")")[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 2\n1 2 3\n2 3 4\n3 4 0\n4 0 1", "line 1 may be a link with further columns, or a peer.*format = "),
        ("a b c\nb c", "line 2 has 2 fields and line 1 has 3: .* but 'c' has none; say which with format ="),
        ("a b c\nb c\nc\nc", "'c' begins several"),
        ("peer;neighbor;km\na;b;3\nb;c;4", "line 1 has 'peer' and 'neighbor', which are nowhere else: if that is a h"),
        ("# mine\na b\nc d", "line 2 has 'a' and 'b', which are nowhere else: .* if it is a link, link these peers"),
        ("source,target\na,b\nb", "line 3 has no target"),
        ("source,target,type\na,b,Directed\nb,c,Undirected", "says Directed of some links only"),
        (";a;b\na;0;1\nb;1;0", "looks like an adjacency matrix"),
        ("0,1,1\n1,0,1\n1,1,0", "looks like an adjacency matrix"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path, text, message):
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(TopologyError, match=message):
        from_file(tmp_path / "g.csv")


def test_the_format_that_is_given_binds(tmp_path):
    (tmp_path / "g.txt").write_text("0 1 2\n1 2 0\n2 0 1\n")
    assert from_file(tmp_path / "g.txt", "edgelist").graph["taken_for"].startswith("an edge list, of which is not used")
    (tmp_path / "g.txt").write_text("0 1 2\n1 2\n")
    assert links_of(from_file(tmp_path / "g.txt", "edgelist")) == links_of(nx.path_graph(3))
    assert links_of(from_file(tmp_path / "g.txt", "adjlist")) == links_of(nx.complete_graph(3))
