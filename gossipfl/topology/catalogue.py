"""Topologies by name: the TOML files of the folder `topologies/`, and files of one's own.

A file holds either a generator or explicit peers and links::

    description = "16 peers, each with 4 random neighbors."   |  description = "Two machines."
    generator = "random_regular_graph"                        |  links = [["amsterdam", "berlin"]]
    arguments = { d = 4, n = 16 }                             |  [peers.amsterdam]
    seed = 0                                                  |  address = "https://amsterdam.example.org:8443"
                                                              |  [peers.berlin]
                                                              |  address = "https://berlin.example.org:8443"

`peers` may also be a plain list of names. With `directed = true`, links go one way, from the first peer to the second.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import networkx as nx

from gossipfl.errors import TopologyError
from gossipfl.names import resources
from gossipfl.names.spelling import did_you_mean
from gossipfl.topology.files import FORMATS, from_file, read_bytes
from gossipfl.topology.generators import from_generator
from gossipfl.topology.links import from_links

_FOLDER = "topologies"
_FIELDS = {
    "description": (str, "a text"),
    "generator": (str, "the name of a networkx generator"),
    "arguments": (dict, "a table"),
    "seed": (int, "an integer"),
    "peers": (list | dict, "a list of names, or a table with one table per peer"),
    "links": (list, "a list of pairs of names"),
    "directed": (bool, "true or false"),
}


def available() -> list[str]:
    """Names of the topologies that come with gossipfl, sorted."""
    return resources.names(_FOLDER)


def named(name: str, arguments: Mapping[str, Any] | None = None, seed: int | None = None) -> nx.Graph:
    """The canonical graph of a topology that comes with gossipfl, or of a file (TOML, or one that `from_file` reads).

    `arguments` are laid over those of the file, argument by argument; `seed` replaces the file's. The description in a
    TOML file becomes the graph attribute `description`.

    Raises TopologyError for an unknown name or a bad file, and when arguments are given to a topology that is not made
    by a generator.

    >>> len(named("ring", {"n": 5}))
    5
    """
    path = Path(name)
    suffix = path.suffix.lower()
    if suffix != ".toml":
        if suffix in FORMATS or len(path.parts) > 1:
            _refuse_arguments(path.stem, arguments)
            return from_file(path)
        if name not in available():
            raise TopologyError(
                f"There is no topology {name!r}.{did_you_mean(name, available())} Available are "
                f"{', '.join(available())}, or give the path of a file ({', '.join(('.toml', *FORMATS))})."
            )
        path = resources.folder(_FOLDER) / f"{name}.toml"
    return _from_toml(path, arguments, seed)


def _from_toml(path: Path, arguments: Mapping[str, Any] | None, seed: int | None) -> nx.Graph:
    try:
        content = tomllib.loads(read_bytes(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise TopologyError(f"The topology file {str(path)!r} is not TOML: {error}.") from error
    _check_fields(path, content)
    name = path.stem
    if "generator" in content:
        merged = {**content.get("arguments", {}), **(arguments or {})}
        graph = from_generator(
            content["generator"],
            merged,
            content.get("seed") if seed is None else seed,
            name=name,
            directed=content.get("directed", False),
        )
    else:
        _refuse_arguments(name, arguments)
        links = [(a, b) for a, b in content.get("links", [])]
        graph = from_links(content["peers"], links, name=name, directed=content.get("directed", False))
    graph.graph["description"] = content.get("description", "")
    return graph


def _check_fields(path: Path, content: Mapping[str, Any]) -> None:
    """Every field is known, of its type, and of one of the two kinds of file."""
    for field, value in content.items():
        if field not in _FIELDS:
            raise TopologyError(
                f"The topology file {str(path)!r} has an unknown field {field!r}.{did_you_mean(field, _FIELDS)} "
                f"Known are {', '.join(_FIELDS)}."
            )
        kind, meaning = _FIELDS[field]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TopologyError(f"The topology file {str(path)!r}: {field!r} is {meaning}, got {value!r}.")
    if ("generator" in content) == ("peers" in content):
        raise TopologyError(
            f"The topology file {str(path)!r} needs either 'generator' (with 'arguments' and 'seed') or 'peers' "
            "(with 'links')."
        )
    form, foreign = ("generator", ["links"]) if "generator" in content else ("peers", ["arguments", "seed"])
    for field in foreign:
        if field in content:
            raise TopologyError(
                f"The topology file {str(path)!r}: {field!r} does not go with {form!r}; remove one of them."
            )
    peers = content.get("peers", [])
    if isinstance(peers, dict):
        bad_peers = [peer_id for peer_id, attributes in peers.items() if not isinstance(attributes, dict)]
    else:
        bad_peers = [peer_id for peer_id in peers if not isinstance(peer_id, str)]
    if bad_peers:
        raise TopologyError(f"The topology file {str(path)!r}: 'peers' is {_FIELDS['peers'][1]}; see {bad_peers[0]!r}.")
    for link in content.get("links", []):
        if not (isinstance(link, list) and len(link) == 2 and all(isinstance(peer_id, str) for peer_id in link)):
            raise TopologyError(f"The topology file {str(path)!r}: a link is a pair of names, got {link!r}.")


def _refuse_arguments(name: str, arguments: Mapping[str, Any] | None) -> None:
    if arguments:
        raise TopologyError(
            f"Topology {name!r} is written out, not made by a generator, and takes no arguments; got "
            f"{', '.join(arguments)}."
        )
