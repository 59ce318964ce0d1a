"""The page of a report receives a run in a few plain lists, which its scripts draw from."""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, TypeAlias

from gossipfl.measured import ASPECTS, DECILES
from gossipfl.report.agreed import agreed
from gossipfl.report.contact import contact
from gossipfl.report.layout import graph_positions
from gossipfl.runs.files import HistoryRow, Run
from gossipfl.runs.manifest import OF_EACH_PEER, Manifest, RunAlgorithm

JSON: TypeAlias = dict[str, Any]

MAX_DRAWN_LINKS = 4_000
"""More lines than this are one grey patch, and slow the page down."""

MAX_DRAWN_PEERS = 2_000
"""Graphs of more peers are not drawn: dots would hardly be larger than a pixel, and placing them takes O(n^2) time."""

MAX_PEER_VALUES = 200_000
"""Values of single peers kept in the page (about 1.2 MB); longer runs keep every k-th evaluation and the last."""

COLUMNS = (
    "round",
    "num_examples",
    "epochs",
    "time",
    "num_bytes",
    "num_messages",
    "busiest_peer_bytes",
    "consensus_distance",
    "epsilon",
)
"""The columns of every row of a history, beside its loss and its metrics."""


_FOLLOWED = [aspect for aspect in ASPECTS if aspect not in DECILES]
"""The aspects of metrics that the page draws as curves; those of single peers it has anyway."""


def page_payload(run: Run) -> JSON:
    """The run as JSON: manifest, summary, one table of columns per algorithm and seed, per-peer metrics of the first
    seed, positions and links of every drawing, label counts per peer, interruptions of the contact between peers."""
    peers = peer_order(run)
    metrics = [metric.name for metric in run.manifest.metrics] or ["loss"]
    return {
        "manifest": manifest_facts(run.manifest),
        "over_http": run.manifest.mode.is_over_http,
        "algorithms": [algorithm.model_dump() for algorithm in run.manifest.algorithms],
        "summary": [row.model_dump() for row in run.summary.rows],
        "winners": [winner.model_dump() for winner in run.summary.winners],
        "histories": {
            algorithm.label: histories(rows_of(run, algorithm.label), metrics) for algorithm in run.manifest.algorithms
        },
        "agreed": agreed(run, metrics),
        "peers": peers,
        "of_peers": {metric: of_peers(run, peers, metric, len(metrics)) for metric in metrics},
        "drawings": drawings(run, peers),
        "label_counts": [run.manifest.partition.label_counts.get(peer) for peer in peers],
        "contact": contact(run),
        "classes": None if run.classes is None else run.classes.model_dump(exclude={"format"}),
    }


def manifest_facts(manifest: Manifest) -> JSON:
    """The manifest without what the page receives in another form (nodes, links, label counts) or does not show."""
    facts = manifest.model_dump(
        mode="json",
        exclude={
            "algorithms": True,
            "partition": set(OF_EACH_PEER),
            "scenario": {"data": {"partition": {"parts"}}},
            "model": {"segments", "statistics_segments", "local_segments"},
            "topologies": {"__all__": {"nodes", "links"}},
        },
    )
    return {name: fact for name, fact in facts.items() if fact not in (None, {}, "")}  # the page asks what is there


def peer_order(run: Run) -> list[str]:
    """Every peer that holds data, is in a graph or was measured, in node order; hubs are left out."""
    hubs = {algorithm.hub for algorithm in run.manifest.algorithms}
    named: dict[str, None] = {}
    for topology in run.manifest.topologies.values():
        named.update(dict.fromkeys(topology.nodes))
    named.update(dict.fromkeys(run.manifest.partition.label_counts))
    bounds = {algorithm.label for algorithm in run.manifest.algorithms if algorithm.bound}
    for row in run.history:
        if row.algorithm not in bounds:
            named.update(dict.fromkeys(row.of_peers("loss")))
    return [peer for peer in named if peer not in hubs]


def rows_of(run: Run, label: str) -> list[HistoryRow]:
    return [row for row in run.history if row.algorithm == label]


def histories(rows: Sequence[HistoryRow], metrics: Sequence[str]) -> list[JSON]:
    """One table per seed, as columns: {"seed": 0, "round": [...], "time": [...], ...}."""
    seeds = sorted({row.seed for row in rows})
    tables = []
    for seed in seeds:
        own = [row for row in rows if row.seed == seed]
        table = {"seed": seed} | {column: [rounded(getattr(row, column, None)) for row in own] for column in COLUMNS}
        for aspect, metric in product(_FOLLOWED, ["loss", *metrics]):
            table[f"{aspect}_{metric}"] = [rounded(row.column(aspect, metric)) for row in own]
        tables.append(table)
    return tables


def rounded(value: float | None, digits: int = 6) -> float | None:
    """Significant digits; whole numbers (rounds, bytes) are kept exactly."""
    return value if value is None or isinstance(value, int) else float(f"{value:.{digits}g}")


def of_peers(run: Run, peers: Sequence[str], metric: str, num_metrics: int) -> JSON:
    """A metric of each peer, per algorithm, of its first seed: {"seed", "rounds": [...], "values": [per evaluation, one
    number per peer]}.

    One seed, not a mean over seeds: another seed gives another partition, so peer 3 is then somebody else.
    """
    kept: JSON = {}
    room = MAX_PEER_VALUES // max(1, len(peers) * len(run.manifest.algorithms) * num_metrics)
    for algorithm in run.manifest.algorithms:
        rows = [row for row in rows_of(run, algorithm.label) if row.of_peers(metric)]
        if not rows or not set(peers) & set(rows[-1].of_peers(metric)):
            continue
        seed = min(row.seed for row in rows)
        rows = [row for row in rows if row.seed == seed]
        stride = -(-len(rows) // max(1, room))
        rows = rows[::-1][::stride][::-1]
        kept[algorithm.label] = {
            "seed": seed,
            "rounds": [row.round for row in rows],
            "values": [[rounded(row.of_peers(metric).get(peer), 4) for peer in peers] for row in rows],
        }
    return kept


def drawings(run: Run, peers: Sequence[str]) -> list[JSON]:
    """One picture per topology, with the algorithms that ran on it, one star per hub, and one without lines for those
    that bring their own links; a topology without algorithms is shown where there is nothing else to show."""
    pictures = [
        drawing(name, topology.nodes, topology.links, users) | {"directed": topology.directed}
        for name, topology in run.manifest.topologies.items()
        for users in [[user for user in run.manifest.algorithms if user.topology == name and user.hub is None]]
    ]
    hubs = dict.fromkeys(algorithm.hub for algorithm in run.manifest.algorithms if algorithm.hub is not None)
    for hub in hubs:
        users = [user for user in run.manifest.algorithms if user.hub == hub]
        spokes = [(hub, peer) for peer in peers]
        pictures.append(drawing(f"star ({hub})", [hub, *peers], spokes, users) | {"hub": hub})
    free = [user for user in run.manifest.algorithms if not (user.topology or user.hub or user.bound)]
    if free:
        pictures.append(drawing("links of their own", peers, [], free) | {"has_own_links": True})
    return [picture for picture in pictures if picture["algorithms"]] or pictures


def drawing(
    title: str,
    nodes: Sequence[str],
    links: Sequence[tuple[str, str]],
    users: Iterable[RunAlgorithm],
) -> JSON:
    """A picture's nodes, where they are and which are linked; of a graph too large to be drawn, only the numbers."""
    facts = {
        "title": title,
        "hub": None,
        "has_own_links": False,
        "directed": False,
        "num_nodes": len(nodes),
        "num_links": len(links),
        "nodes": [],
        "positions": [],
        "links": [],
        "algorithms": [user.label for user in users],
    }
    if len(nodes) > MAX_DRAWN_PEERS:
        return facts
    index = {node: number for number, node in enumerate(nodes)}
    pairs = [[index[a], index[b]] for a, b in links if a in index and b in index]
    stride = -(-len(pairs) // MAX_DRAWN_LINKS) if pairs else 1
    return facts | {
        "nodes": list(nodes),
        "positions": graph_positions(nodes, links).round(3).tolist(),
        "links": pairs[::stride],
    }
