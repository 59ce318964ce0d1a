"""The commands of `cli/catalogue` show topologies, who holds which data, and scenarios."""

from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.table import Table
from rich.text import Text

from gossipfl import topology
from gossipfl.cli.commands.loading import load_dataset, load_with_data
from gossipfl.cli.terminal.console import in_this_encoding, new_console, print_json
from gossipfl.cli.terminal.whole_table import WholeTable
from gossipfl.data.partition import label_counts
from gossipfl.experiments.experiment import Experiment
from gossipfl.scenario import load_scenario
from gossipfl.topology import TopologySummary


def list_topologies(as_json: bool) -> None:
    """`topology list`."""
    names = topology.available()
    summaries = {name: topology.summarize(topology.named(name)) for name in names}
    if as_json:
        print_json({name: asdict(summary) for name, summary in summaries.items()})
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("name", *_TOPOLOGY_COLUMNS):  # on a narrow terminal the degrees wrap, and nothing is cut
        table.add_column(column, no_wrap=column in ("name", "rho"), overflow="fold", min_width=min(8, len(column)))
    for name, summary in summaries.items():
        table.add_row(name, *_topology_cells(summary))
    new_console().print(table)


def show_topology(name: str, as_json: bool) -> None:
    """`topology show`."""
    graph = topology.named(name)
    summary = topology.summarize(graph)
    taken_for = graph.graph.get("taken_for")
    if as_json:
        links = [list(edge) for edge in graph.edges]
        print_json({**asdict(summary), "taken_for": taken_for, "nodes": list(graph), "links": links})
        return
    table = Table(show_header=False, title=name, caption=graph.graph.get("description"))
    for column, cell in zip(_TOPOLOGY_COLUMNS, _topology_cells(summary), strict=True):
        table.add_row(column, cell)
    if taken_for is not None:
        table.add_row("taken for", Text(taken_for))
    new_console().print(table)


_TOPOLOGY_COLUMNS = ("peers", "links", "degree", "diameter", "rho", "spectral gap", "rounds to 0.1 %")


def _topology_cells(summary: TopologySummary) -> list[str]:
    low, high = summary.min_degree, summary.max_degree
    return [
        str(summary.num_peers),
        f"{summary.num_edges} one way" if summary.directed else str(summary.num_edges),
        str(low) if low == high else f"{low} to {high} (mean {summary.mean_degree:.1f})",
        str(summary.diameter),
        f"{summary.rho:.6f}",
        f"{summary.spectral_gap:.6f}",
        "never" if summary.predicted_rounds is None else str(summary.predicted_rounds),
    ]


def show_data(name: str, overrides: Sequence[str], data: str | None, download: bool, as_json: bool) -> None:
    """`data show`."""
    scenario = load_with_data(name, overrides, data)
    dataset = load_dataset(scenario, download)
    holdings = Experiment(scenario, dataset).holdings
    shards, values = holdings.shards, holdings.values
    counts = label_counts(dataset.labels, list(shards.values()), dataset.num_classes)
    if as_json:
        print_json(
            {
                "source": dataset.name,
                "digest": dataset.digest,
                "num_train": len(dataset.train),
                "num_test": len(dataset.test),
                "num_validation": 0 if dataset.validation is None else len(dataset.validation),
                "class_names": dataset.class_names,
                "notes": dataset.notes,
                "label_counts": dict(zip(shards, counts.tolist(), strict=True)),
                "values": values,
            }
        )
        return
    partition = scenario.data.partition
    chosen = "" if dataset.validation is None else f", {len(dataset.validation)} validation"
    sizes = f"{len(dataset.train)} training{chosen} and {len(dataset.test)} held-out examples"
    title = f"{dataset.name}: {sizes}, {partition.name}"
    has_classes = dataset.labels is not None
    classes = (dataset.class_names or list(map(str, range(counts.shape[1])))) if has_classes else ()
    caption = "examples in all, and of each class" if classes else None
    console = new_console()
    console.print(title, soft_wrap=True)
    held_by = [str(partition.by)] if values else []
    nothing = in_this_encoding("·", ".")
    rows = []
    for peer_id, row in zip(shards, counts, strict=True):
        cells = [str(count) if count else nothing for count in (row if classes else ())]
        rows.append([peer_id, str(row.sum()), *cells, *([_some_of(values[peer_id])] if values else [])])
    console.print(WholeTable(["peer", "all", *classes, *held_by], rows, caption=caption, left=held_by))
    for note in dataset.notes:
        console.print(note, soft_wrap=True)


def _some_of(values: Sequence[object], num_shown: int = 5) -> str:
    more = f" and {len(values) - num_shown:,} more" if len(values) > num_shown else ""
    return ", ".join(map(str, values[:num_shown])) + more


def show_scenario(name: str, overrides: Sequence[str]) -> None:
    """`scenario show`."""
    print_json(load_scenario(name, overrides).model_dump(mode="json"))
