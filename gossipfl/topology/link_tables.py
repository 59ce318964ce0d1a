"""Links as text: edge lists and adjacency lists, and which of the two a file is.

The line `a b c` is one link with a further column in an edge list, and the links a-b and a-c in an adjacency list:
taken for the other, a file would lose links in silence, or gain some. So it is read as the one that it can be, and
refused where it can be both, or neither.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple, TypeAlias

import networkx as nx

Links: TypeAlias = list[tuple[str, str]]

_ENDS = {"source": "target", "from": "to", "src": "dst", "node1": "node2", "node_1": "node_2", "id_1": "id_2"}
"""Headers of the two columns with the ends of links, as Gephi, pandas, igraph and collections of graphs have them."""

_GIVE_FORMAT = 'say which with format = "edgelist" or "adjlist" (or name an adjacency list .adjlist)'


class LinkTableError(ValueError):
    """A text is no table of links, or it is not clear which."""


class _Row(NamedTuple):
    line: int
    fields: list[str]


def read_link_table(text: str, form: str | None = None) -> tuple[nx.Graph, Links, str]:
    """The graph of a text, its links as they stand there, and what the text was taken for.

    `form` is "edgelist" or "adjlist"; None: the one that it can be. Fields are separated by semicolons, commas or white
    space. Repeated links are kept, for `canonical` to refuse.

    Raises LinkTableError for what can be both or neither.

    >>> graph, links, taken_for = read_link_table("a b c\\nb c\\nc")
    >>> taken_for, links
    ('an adjacency list', [('a', 'b'), ('a', 'c'), ('b', 'c')])
    """
    rows, has_data = _rows(text)
    header = None if form == "adjlist" or not rows else _header(rows)
    if header is not None:
        return _with_header(header, rows[1:])
    graph = nx.MultiGraph()
    if (form or _form(rows)) == "adjlist":
        graph.add_nodes_from(row.fields[0] for row in rows)
        links, taken_for = _adjacency(rows), "an adjacency list"
    else:
        for row in rows:
            graph.add_nodes_from(row.fields[:2])
        num_columns = max((len(row.fields) for row in rows), default=0)
        unused = [f"column {number}" for number in range(3, num_columns + 1)] + ["data in braces"] * has_data
        links, taken_for = _edges(rows), "an edge list" + _without(unused)
    graph.add_edges_from(links)
    return graph, links, taken_for


def in_both_directions(links: Sequence[tuple[Hashable, Hashable]]) -> bool:
    """True if every link stands there once in each direction, which says as much as an undirected one.

    >>> in_both_directions([("a", "b"), ("b", "a")]), in_both_directions([("a", "b"), ("b", "a"), ("b", "c")])
    (True, False)
    """
    distinct = set(links)
    return 0 < len(links) == len(distinct) and all(a != b and (b, a) in distinct for a, b in links)


def _rows(text: str) -> tuple[list[_Row], bool]:
    """The lines that say something, in fields, and True if there are data of networkx (`{...}`) behind some."""
    lines = [line.partition("#")[0] for line in text.splitlines()]
    bare = [line.partition("{")[0] for line in lines]
    separator = next((mark for mark in ";," if any(mark in line for line in bare)), None)
    rows = []
    for number, line in enumerate(bare, 1):
        fields = [field.strip().strip('"') for field in line.split(separator)]
        while fields and not fields[-1]:
            fields.pop()
        if fields:
            rows.append(_Row(number, fields))
    if rows and (not rows[0].fields[0] or _is_matrix(rows)):
        raise LinkTableError(
            "this looks like an adjacency matrix: write its links, two names a line, as networkx.write_edgelist does"
        )
    return rows, any(line != rest for line, rest in zip(lines, bare, strict=True))


def _is_matrix(rows: Sequence[_Row]) -> bool:
    return len(rows) > 2 and all(len(row.fields) == len(rows) and {"0", "1"} >= set(row.fields) for row in rows)


def _header(rows: Sequence[_Row]) -> list[str] | None:
    """The first line in lower case, if it calls two columns what the ends of links are called, and no peer is."""
    first, others = rows[0], {name for row in rows[1:] for name in row.fields}
    if not others.isdisjoint(first.fields[:2]):
        return None
    header = [name.lower() for name in first.fields]
    if any(_ENDS.get(name) in header for name in header):
        return header
    if len(first.fields) > 1 and any(len(row.fields) > 1 for row in rows[1:]):
        raise LinkTableError(
            f"line {first.line} has {first.fields[0]!r} and {first.fields[1]!r}, which are nowhere else: if that is a "
            "header, call its two columns source and target, or remove it; if it is a link, link these peers to others"
        )
    return None


def _with_header(header: list[str], rows: Sequence[_Row]) -> tuple[nx.Graph, Links, str]:
    """An edge list whose columns have names; Gephi's `Type` says whether links go one way."""
    source = next(name for name in header if _ENDS.get(name) in header)
    ends = (source, _ENDS[source])
    kinds = set()
    links: Links = []
    for row in rows:
        values = dict(zip(header, row.fields, strict=False))
        missing = [name for name in ends if not values.get(name)]
        if missing:
            raise LinkTableError(f"line {row.line} has no {missing[0]}")
        a, b = (values[name] for name in ends)
        links.append((a, b))
        kinds.add(values.get("type", "").lower() == "directed")
    if len(kinds) > 1:
        raise LinkTableError("its column 'type' says Directed of some links only: all go one way, or none does")
    graph = nx.MultiDiGraph(links) if True in kinds else nx.MultiGraph(links)
    used = [*ends, *["type"] * (True in kinds)]
    unused = [name for name in header if name not in used]
    return graph, links, f"an edge list with a header ({', '.join(used)})" + _without(unused)


def _without(unused: Sequence[str]) -> str:
    few = [*unused[:4], *["..."] * (len(unused) > 4)]
    return f", of which is not used: {', '.join(few)}" if unused else ""


def _edges(rows: Sequence[_Row]) -> Links:
    return [(row.fields[0], row.fields[1]) for row in rows if len(row.fields) > 1]


def _adjacency(rows: Sequence[_Row]) -> Links:
    return [(row.fields[0], neighbor) for row in rows for neighbor in row.fields[1:]]


def _form(rows: Sequence[_Row]) -> str:
    """The one of the two that these lines can be: columns, or a line for every peer and its neighbors."""
    lengths = Counter(len(row.fields) for row in rows if len(row.fields) > 1)
    if max(lengths, default=0) <= 2:
        return "edgelist"  # two names are the same link in both
    begins = Counter(row.fields[0] for row in rows)
    lacking = next((name for row in rows for name in row.fields if name not in begins), None)
    twice = next((name for name, count in begins.items() if count > 1), None)
    has_columns = len(lengths) == 1
    if lacking is None and twice is None:
        if not has_columns:
            return "adjlist"
        edges, adjacency = _edges(rows), _adjacency(rows)
        if not _makes_sense(adjacency):
            return "edgelist"
        if not _makes_sense(edges) or begins.keys() > {name for link in edges for name in link}:
            return "adjlist"
        raise LinkTableError(
            f"line {rows[0].line} may be a link with further columns, or a peer with several neighbors: {_GIVE_FORMAT}"
        )
    if has_columns:
        return "edgelist"
    lines = {len(row.fields): row.line for row in reversed(rows) if len(row.fields) > 1}
    (few, line), (many, other) = min(lines.items()), max(lines.items())
    fault = f"{lacking!r} has none" if lacking is not None else f"{twice!r} begins several"
    raise LinkTableError(
        f"line {line} has {few} fields and line {other} has {many}: an edge list has the same number on every line, an "
        f"adjacency list one line that begins with each peer, but {fault}; {_GIVE_FORMAT}"
    )


def _makes_sense(links: Sequence[tuple[str, str]]) -> bool:
    """True if no peer is linked to itself, and each link is there once, or each in both directions."""
    is_once = len({frozenset(link) for link in links}) == len(links)
    return all(a != b for a, b in links) and (is_once or in_both_directions(links))
