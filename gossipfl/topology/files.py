"""Topologies from files of other tools: GraphML, edge lists and node-link JSON."""

import io
import json
from collections.abc import Callable, Mapping, Set
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import networkx as nx

from gossipfl.errors import TopologyError
from gossipfl.names.spelling import did_you_mean
from gossipfl.topology.canonical_form import canonical

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        ".graphml": "graphml",
        ".edgelist": "edgelist",
        ".txt": "edgelist",
        ".csv": "edgelist",
        ".json": "node_link",
    }
)
"""Suffix of a file to the format that it is read in."""


def from_file(path: str | PathLike[str], format: str | None = None) -> nx.Graph:
    """The canonical graph in a file; labels are kept as text, order is that of the file.

    `format` is "graphml", "edgelist" or "node_link"; None goes by the suffix (see `FORMATS`).

    * GraphML as networkx, Gephi, yEd or igraph write it; its links go one way where the file says so.
    * Edge list: one undirected link a line, two names separated by white space or a comma; further columns are ignored,
      a line with one name is a peer without a link, `#` starts a comment.
    * Node-link JSON: `{"nodes": [{"id": ...}], "edges": [{"source": ..., "target": ...}]}` ("links" instead of "edges"
      is read too), as `networkx.node_link_data` and D3 write it; `"directed": true` for links that go one way.

    Raises TopologyError when the file cannot be read, is not in the format, or breaks a rule of `canonical`.
    """
    path = Path(path)
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
    content = read_bytes(path)
    try:
        graph = _READERS[format](content)
    except _GARBLED as error:
        reason = str(error) if isinstance(error, _GarbledFileError) else f"{type(error).__name__}: {error}"
        raise TopologyError(
            f"The topology file {str(path)!r} cannot be read as {_NAMES[format]} ({reason}). "
            "Correct it, or give the format that it is in."
        ) from error
    return canonical(graph, path.stem)


def read_bytes(path: Path) -> bytes:
    """The content of a topology file; TopologyError when it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise TopologyError(f"The topology file {str(path)!r} cannot be read: {error}.") from error


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


def _read_graphml(content: bytes) -> nx.Graph:
    graph = nx.read_graphml(io.BytesIO(content))
    elements = ElementTree.fromstring(content).findall(".//{*}node")  # with or without the namespace
    _check_declared(graph, {element.get("id") for element in elements})
    return graph


def _read_edge_list(content: bytes) -> nx.Graph:
    graph = nx.MultiGraph()  # keeps repeated links, for `canonical` to refuse
    for line in content.decode("utf-8-sig").splitlines():
        names = line.partition("#")[0].replace(",", " ").split()[:2]
        if len(names) == 2:
            graph.add_edge(*names)
        else:
            graph.add_nodes_from(names)
    return graph


def _read_node_link(content: bytes) -> nx.Graph:
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
    return graph


def _check_declared(graph: nx.Graph, declared: Set[Any]) -> None:
    """networkx makes a node of every end of a link, misspelled ones included."""
    for node in graph:
        if node not in declared:
            hint = did_you_mean(str(node), map(str, declared))
            raise _GarbledFileError(f"a link names the peer {node!r}, which is not among the nodes.{hint}")


def _hashable(label: Any) -> Any:
    """The label as networkx keeps it: lists are tuples."""
    return tuple(map(_hashable, label)) if isinstance(label, list) else label


_READERS: dict[str, Callable[[bytes], nx.Graph]] = {
    "graphml": _read_graphml,
    "edgelist": _read_edge_list,
    "node_link": _read_node_link,
}
_NAMES = {"graphml": "GraphML", "edgelist": "an edge list", "node_link": "node-link JSON"}
