"""One call for a question to many peers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, overload

import networkx as nx
import numpy as np

from gossipfl.analytics.asked import asked
from gossipfl.engines.virtual.network_model import PRESETS, NetworkModel
from gossipfl.errors import ConfigurationError, DataError
from gossipfl.names.spelling import did_you_mean
from gossipfl.queries import Answer, Count, Query, Question, Values, parsed
from gossipfl.topology import canonical, complete, named
from gossipfl.weights import PeerId

ValuesOfPeers = Sequence[Any] | Mapping[PeerId, Any]
"""The values of each peer, in node order or by name: numbers [N] or [N, F], N texts, `Values`, or a table with named
columns, where a query names one."""


@overload
def measure(
    query: Query | str,
    values: ValuesOfPeers,
    *,
    weights: ValuesOfPeers | None = None,
    topology: nx.Graph | str | None = None,
    network: NetworkModel | str = "LAN",
    seed: int = 0,
    patience: float | None = None,
) -> Answer: ...


@overload
def measure(
    query: list[Query | str] | tuple[Query | str, ...],
    values: ValuesOfPeers,
    *,
    weights: ValuesOfPeers | None = None,
    topology: nx.Graph | str | None = None,
    network: NetworkModel | str = "LAN",
    seed: int = 0,
    patience: float | None = None,
) -> list[Answer]: ...


def measure(
    query: Query | str | list[Query | str] | tuple[Query | str, ...],
    values: ValuesOfPeers,
    *,
    weights: ValuesOfPeers | None = None,
    topology: nx.Graph | str | None = None,
    network: NetworkModel | str = "LAN",
    seed: int = 0,
    patience: float | None = None,
) -> Answer | list[Answer]:
    """Ask all peers a question about their values, in virtual time and without a server; or several questions at once.

    `values` has one entry for each peer of the `topology` (a graph, or the name of one; absent: all are linked with
    each other), `weights` likewise one weight for each example. A query is a value, or a text such as
    "quantiles:age,at=0.1/0.9", for which the entry of a peer is a table with that column; "mean:*" is about all columns
    that are numbers. `network` is "IDEAL", "LAN", "WAN" or a model of one.

    Raises ConfigurationError for a question that cannot be asked, DataError for values that it does not take.

    >>> from gossipfl import analytics
    >>> analytics.measure(analytics.Mean(over="peers"), [[1, 1, 1], [13]]).value
    7.0
    >>> analytics.measure("mean", [[1, 1, 1], [13]]).value
    4.0
    >>> tables = {"amsterdam": {"age": [31, 44, 58]}, "berlin": {"age": [27, 63]}, "cairo": {"age": [35]}}
    >>> median = analytics.measure("quantiles:age,at=0.5", tables)
    >>> median.value, median.num_peers, median.num_examples
    (39.5, 3, 6)
    """
    for given in (values, weights):
        if isinstance(given, str) or not (given is None or hasattr(given, "__len__")):
            raise ConfigurationError(f"values and weights have an entry for each peer, got {given!r}")
    graph = _graph(topology, values)
    own = {name: _by_column(one) for name, one in _by_peer(graph, values, "values").items()}
    own_weights = dict.fromkeys(graph) if weights is None else _by_peer(graph, weights, "weights")
    several = query if isinstance(query, list | tuple) else [query]
    if not several or not all(isinstance(one, str) or dataclasses.is_dataclass(type(one)) for one in several):
        raise ConfigurationError(f"a query is a text as 'mean:age', or a value as Mean(), got {query!r}")
    queries = [parsed(one) if isinstance(one, str) else (one, None) for one in several]
    taken: dict[PeerId, list[Values]] = {name: [] for name in graph}
    for one, column in queries:
        chosen = _all_numbers(own) if column == "*" else {name: _chosen(name, own[name], one, column) for name in graph}
        for name in graph:
            taken[name].append(_values(name, chosen[name], own_weights[name]))
    questions = [
        Question(one, max((each[k].num_features for each in taken.values() if len(each[k])), default=1))
        for k, (one, _) in enumerate(queries)
    ]
    answers = asked(graph, questions, taken, network=_network(network), seed=seed, patience=patience).answers
    return list(answers) if several is query else answers[0]


def _graph(topology: nx.Graph | str | None, values: ValuesOfPeers) -> nx.Graph:
    """The graph of the peers, in canonical form."""
    if topology is None:
        names = [*values] if isinstance(values, Mapping) else range(len(values))
        return complete(canonical(nx.path_graph(names), "complete"))
    if isinstance(topology, str):
        return named(topology)
    return topology if nx.is_frozen(topology) else canonical(topology, topology.name or "topology")


def _by_peer(graph: nx.Graph, given: ValuesOfPeers, what: str) -> Mapping[PeerId, Any]:
    if not isinstance(given, Mapping):
        if len(given) != len(graph):
            raise ConfigurationError(
                f"there are {what} of {len(given)} peers, and the topology has {len(graph)} peers: give an entry for "
                "each, an empty one where a peer has none, or another topology"
            )
        return dict(zip(graph, given, strict=True))
    given = {str(name): own for name, own in given.items()}
    wrong = [*(name for name in graph if name not in given), *(name for name in given if name not in graph)]
    if wrong:
        names = [*graph]
        peers = f"{names[0]!r} to {names[-1]!r}" if len(names) > 4 else ", ".join(map(repr, names))
        is_there = "has none" if wrong[0] in graph else "is not in the topology"
        raise ConfigurationError(
            f"{what} are given by the names of peers, and {wrong[0]!r} {is_there}, of which the peers are {peers}: "
            f"give a graph of your names, such as networkx.cycle_graph({[*given]})"
        )
    return given


def _by_column(own: Any) -> Any:
    """The columns, by name, of a frame of pandas or Polars or a table of pyarrow; anything else as it is."""
    names = getattr(own, "column_names", getattr(own, "columns", None))
    return own if names is None or isinstance(own, Mapping) else {name: own[name] for name in names}


def _chosen(name: PeerId, own: Any, query: Query, column: str | None) -> Any:
    """The values that a query is about: a column of a table, or all that a peer has."""
    if column is None and not isinstance(own, Mapping):
        return own
    if column is None and isinstance(query, Count):
        return [0] * _num_rows(name, own)
    if column is None:
        raise ConfigurationError(f"peer {name} has columns: say which one the query is about, as in mean:age")
    if not isinstance(own, Mapping):
        raise ConfigurationError(f"peer {name} has no columns, and {column!r} is asked for: leave it out")
    if column not in own:
        raise DataError(f"peer {name} has no column {column!r}.{did_you_mean(column, [str(key) for key in own])}")
    return own[column]


def _all_numbers(own: Mapping[PeerId, Any]) -> dict[PeerId, Any]:
    """The columns that are numbers, side by side in the order of the first table with rows; of other values, all."""
    found: dict[PeerId, dict[Any, Values]] = {}
    for name, table in own.items():
        if isinstance(table, Mapping) and _num_rows(name, table):
            columns = {key: _values(f"{name}, column {key!r}", table[key], None) for key in table}
            found[name] = {key: values for key, values in columns.items() if values.texts is None}
    first = next(iter(found), None)
    order = [] if first is None else [*found[first]]
    for name, columns in found.items():
        if not columns:
            raise DataError(f"peer {name} has no column of numbers: name a column")
        if set(columns) != set(order):
            both = "; ".join(", ".join(map(str, names)) for names in (order, columns))
            raise DataError(f"peers {first} and {name} have numbers in other columns ({both}): name one in each query")
    everything = {name: [] for name in own} | {
        name: table for name, table in own.items() if not isinstance(table, Mapping)
    }
    return everything | {
        name: np.column_stack([columns[key].numbers for key in order]) for name, columns in found.items()
    }


def _num_rows(name: PeerId, table: Any) -> int:
    lengths = {len(table[key]) for key in table}
    if len(lengths) > 1:
        raise DataError(
            f"the columns of peer {name} have {min(lengths)} to {max(lengths)} rows: equally many are meant"
        )
    return lengths.pop() if lengths else 0


def _values(name: PeerId, own: Any, weights: Any) -> Values:
    try:
        if not isinstance(own, Values):
            return Values(own, weights)
    except DataError as error:
        raise DataError(f"peer {name}: {error}") from error
    if weights is not None:
        raise ConfigurationError(f"the values of peer {name} bring their weights: leave weights out")
    return own


def _network(network: NetworkModel | str) -> NetworkModel:
    if isinstance(network, NetworkModel):
        return network
    if network not in PRESETS:
        raise ConfigurationError(f"network is one of {', '.join(PRESETS)}, or a model of one, got {network!r}")
    return PRESETS[network]
