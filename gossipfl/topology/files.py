"""Topologies from files of other tools: GraphML, edge lists, adjacency lists and node-link JSON."""

import io
import json
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from xml.etree import ElementTree

import networkx as nx

from gossipfl.errors import TopologyError
from gossipfl.names.spelling import did_you_mean
from gossipfl.topology.canonical_form import canonical
from gossipfl.topology.link_tables import LinkTableError, in_both_directions, read_link_table

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        ".graphml": "graphml",
        ".edgelist": "edgelist",
        ".txt": "edgelist",
        ".csv": "edgelist",
        ".adjlist": "adjlist",
        ".json": "node_link",
    }
)
"""Suffix of a file to the format that it is read in; that of an edge list is read as an adjacency list if it is one."""


def from_file(path: str | PathLike[str], format: str | None = None) -> nx.Graph:
    """The canonical graph in a file; labels are kept as text, order is that of the file.

    `format` is "graphml", "edgelist", "adjlist" or "node_link"; None goes by the suffix (see `FORMATS`) and, of an edge
    list or adjacency list, by what it can only be. The graph's attribute `taken_for` says what the file was taken for,
    and what of it is not used.

    * GraphML as networkx, Gephi, yEd or igraph write it; its links go one way where the file says so.
    * Edge list: one undirected link a line, two names separated by semicolons, commas or white space; a header such as
      `source,target` says which columns they are in, and Gephi's `Type` whether links go one way; a line with one name
      is a peer without a link, `#` starts a comment.
    * Adjacency list: a peer and its neighbors a line, each link once or in both directions, as networkx writes it.
    * Node-link JSON: `{"nodes": [{"id": ...}], "edges": [{"source": ..., "target": ...}]}` ("links" instead of "edges"
      is read too), as `networkx.node_link_data` and D3 write it; `"directed": true` for links that go one way.

    Where every link stands in both directions, as Gephi writes undirected graphs, each pair is one undirected link.

    Raises TopologyError when the file cannot be read, is not in the format, or breaks a rule of `canonical`.
    """
    path = Path(path)
    form = format
    if format is None:
        format = FORMATS.get(path.suffix.lower())
        if format is None:
            raise TopologyError(
                f"The topology file {str(path)!r} has no known suffix; known are {', '.join(FORMATS)}. "
                "Rename it or give its format."
            )
    if format not in _READERS:
        raise TopologyError(
            f"There is no topology format {format!r}.{did_you_mean(format, _READERS)} "
            f"Known formats are {', '.join(_READERS)}."
        )
    if format == "adjlist":  # a suffix that says it; .txt, .csv and even .edgelist are given to both
        form = format
    content = read_bytes(path)
    try:
        graph, links, taken_for = _READERS[format](content, form)
    except _GARBLED as error:
        ours = isinstance(error, _GarbledFileError | LinkTableError)
        reason = str(error) if ours else f"{type(error).__name__}: {error}"
        raise TopologyError(
            f"The topology file {str(path)!r} cannot be read as {_NAMES[format]} ({reason}). "
            "Correct it, or give the format that it is in."
        ) from error
    if in_both_directions(links):
        graph = nx.Graph(graph)
        taken_for += "; every link is there in both directions, and is one that works both ways"
    elif graph.is_directed():
        taken_for += "; links go one way"
    result = canonical(graph, path.stem)
    result.graph["taken_for"] = taken_for
    return result


def read_bytes(path: Path) -> bytes:
    """The content of a topology file; TopologyError when it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        cause = (isinstance(error, OSError) and error.strerror) or error  # without the path, which is named already
        raise TopologyError(f"The topology file {str(path)!r} cannot be read: {cause}.") from error


class _GarbledFileError(ValueError):
    """The content does not follow the format."""


_GARBLED = (
    nx.NetworkXException,
    ElementTree.ParseError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What networkx and the parsers below it raise on malformed content."""


class _Reading(NamedTuple):
    """The graph of a file with repeated links kept, its links as they stand there, and what it was taken for."""

    graph: nx.Graph
    links: Sequence[tuple[Hashable, Hashable]]
    taken_for: str


def _read_graphml(content: bytes, form: str | None) -> _Reading:
    graph = nx.read_graphml(io.BytesIO(content))
    root = ElementTree.fromstring(content)
    elements = root.findall(".//{*}node")  # with or without the namespace
    _check_declared(graph, {element.get("id") for element in elements})
    taken_for = "GraphML"
    labels = ((node, label) for node, label in graph.nodes(data="label") if label not in (None, node))
    if (labelled := next(labels, None)) is not None:
        taken_for += ", whose peers are called by the ids ({!r}), not the labels ({!r})".format(*labelled)
    return _Reading(graph, [(edge.get("source"), edge.get("target")) for edge in root.findall(".//{*}edge")], taken_for)


def _read_links(content: bytes, form: str | None) -> _Reading:
    return _Reading(*read_link_table(content.decode("utf-8-sig"), form))


def _read_node_link(content: bytes, form: str | None) -> _Reading:
    data = json.loads(content)
    if not isinstance(data, dict):
        raise _GarbledFileError(f"expected an object with 'nodes' and 'edges', got a {type(data).__name__}")
    edges = "links" if "links" in data and "edges" not in data else "edges"
    for key in ("nodes", edges):
        if not isinstance(data.get(key), list) or not all(isinstance(entry, dict) for entry in data[key]):
            raise _GarbledFileError(f"expected a list of objects under {key!r}")
    # Read as a multigraph, whatever it says: repeated links are for `canonical` to refuse.
    graph = nx.node_link_graph({"directed": False} | data | {"multigraph": True}, edges=edges)
    declared = {_hashable(entry["id"]) for entry in data["nodes"]}
    if len(declared) < len(data["nodes"]):
        raise _GarbledFileError("two nodes have the same 'id'")
    _check_declared(graph, declared)
    links = [(_hashable(link["source"]), _hashable(link["target"])) for link in data[edges]]
    return _Reading(graph, links, "node-link JSON")


def _check_declared(graph: nx.Graph, declared: Set[Any]) -> None:
    """networkx makes a node of every end of a link, misspelled ones included."""
    for node in graph:
        if node not in declared:
            hint = did_you_mean(str(node), map(str, declared))
            raise _GarbledFileError(f"a link names the peer {node!r}, which is not among the nodes.{hint}")


def _hashable(label: Any) -> Any:
    """The label as networkx keeps it: lists are tuples."""
    return tuple(map(_hashable, label)) if isinstance(label, list) else label


_READERS: dict[str, Callable[[bytes, str | None], _Reading]] = {
    "graphml": _read_graphml,
    "edgelist": _read_links,
    "adjlist": _read_links,
    "node_link": _read_node_link,
}
_NAMES = {
    "graphml": "GraphML",
    "edgelist": "an edge list",
    "adjlist": "an adjacency list",
    "node_link": "node-link JSON",
}
