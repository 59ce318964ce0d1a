"""The tables at the end of a run: what each algorithm reached, at what cost, and who won."""

from collections.abc import Callable, Sequence

from gossipfl.algorithms import BOUNDS
from gossipfl.cli.terminal.console import in_this_encoding
from gossipfl.cli.terminal.figures import by, num_bytes, seconds, shown_target
from gossipfl.cli.terminal.whole_table import WholeTable
from gossipfl.experiments.comparison import Row, Statistic, TargetCost, winners
from gossipfl.experiments.mode import Mode
from gossipfl.scenario import Scenario
from gossipfl.scores import LOSS, Metric

_SPREAD = "best minus\nworst peer"
_WORK = "rounds, epochs, examples: local work done, per peer in the mean"
_AVERAGE = (
    "average model: of an algorithm with a server it is what is deployed; of all others, and where models have a local "
    "part, nobody has it until it is gathered, and what is deployed are the peers' own models"
)
_CHOSEN = "targets are read off the test part; with data.validation, off a part that is held out to choose by"


def comparison_tables(
    rows: Sequence[Row],
    scenario: Scenario,
    metrics: Sequence[Metric],
    mode: Mode,
    width: int,
    notes: Sequence[str] = (),
) -> list[WholeTable]:
    """The common table: what each algorithm reached at the end by each metric, and what it took to get to each target.

    Where the first does not fit in `width` characters there are two of it, on the metric and on the cost.
    At the end it says who reached each target with the least. `notes` stand below the common table.
    """
    bounds = {
        label for section, label in zip(scenario.algorithms, scenario.labels, strict=True) if section.name in BOUNDS
    }
    ordered = sorted(rows, key=lambda row: row.label in bounds)
    styles = ["dim" if row.label in bounds else "" for row in ordered]
    main, *others = metrics or (LOSS,)
    time_ = f"{mode.clock}\ntime"
    spent = ["rounds", "epochs", "examples", time_, "bytes", "bytes at\nbusiest"]
    is_private = any("epsilon" in row.values for row in rows)
    spent += ["epsilon"] * is_private

    def table(title: str, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> WholeTable:
        lines = [[row.label, *those] for row, those in zip(ordered, cells, strict=True)]
        return WholeTable(["algorithm", *headings], lines, title=title, styles=styles)

    title, reached = _title(scenario, main), [*_aspects(main), "consensus\ndistance"]
    values, costs = (
        [[*_by_metric(row, main), _consensus(row)] for row in ordered],
        [[*_cost(row), *[_epsilon(row)] * is_private] for row in ordered],
    )
    both = [value + cost for value, cost in zip(values, costs, strict=True)]
    tables = [table(f"{title}, and what it cost", reached + spent, both)]
    if len(tables[0].parts(width)) > 1:
        tables = [table(title, reached, values), table(f"{scenario.name}: what it cost", spent, costs)]
    is_chosen_on_test = scenario.data.validation is None and any(row.targets for row in rows)
    tables[-1].caption = "\n".join([_WORK, _AVERAGE, *[_CHOSEN] * is_chosen_on_test, *notes])
    tables[1:1] = [
        table(_title(scenario, one), list(_aspects(one)), [_by_metric(row, one) for row in ordered])
        for one in others
        if not one.is_loss
    ]
    to_target = ["rounds", time_, "bytes", "seeds", "bytes at\nbusiest", _SPREAD]
    for costs_of_target in zip(*(row.targets for row in ordered), strict=True):
        metric, target = costs_of_target[0].metric, costs_of_target[0].target
        title = f"what it took until the {metric.name} of what is deployed was {shown_target(target, metric)}"
        tables.append(table(title, to_target, [_cost_of_target(cost) for cost in costs_of_target]))
    return [*tables, *winner_tables([row for row in ordered if row.label not in bounds], mode)]


def winner_tables(rows: Sequence[Row], mode: Mode) -> list[WholeTable]:
    """One table for each target that any of several communicating algorithms reached: who did with the least, and how
    far the best and the worst peer were apart by its metric, at that moment."""
    if sum(row.values["num_bytes"].mean > 0 for row in rows) < 2:
        return []
    contests: dict[str, tuple[str, Callable[[float], str]]] = {
        "num_bytes": ("fewest bytes", num_bytes),
        "time": (f"least {mode.clock} time", seconds),
        "busiest_peer_bytes": ("least at the busiest", num_bytes),
    }
    by_label = {row.label: row for row in rows}
    tables = []
    for position, winner in enumerate(winners(rows)):
        metric, lines = winner.metric, []
        for contest, (what, shown) in {**contests, "spread": ("closest peers", by(metric))}.items():
            if (label := winner.labels[contest]) is not None:
                cost = by_label[label].targets[position]
                with_ = "" if contest == "spread" else _of_target(cost, contest, shown)
                lines.append([what, label, with_, _of_target(cost, "spread", by(metric))])
        if lines:
            seeds = f" with all {winner.of} seeds" if winner.of > 1 else ""
            title = f"cheapest way to {metric.name} {shown_target(winner.target, metric)}{seeds}"
            tables.append(WholeTable(["", "algorithm", "with", _SPREAD], lines, title=title, left=["algorithm"]))
    return tables


def _title(scenario: Scenario, metric: Metric) -> str:
    return f"{scenario.name}: {metric.name} on {metric.on}{' in %' if metric.unit == 'share' else ''}"


def _aspects(metric: Metric) -> dict[str, str]:
    """The aspects of a metric that have a column, by their headings; peers on shares of their own differ most, and
    without a direction nobody is the worst."""
    if metric.higher_is_better is None:
        return {"peers": "mean", "average\nmodel": "average"}
    deciles = {"decile\n1": "decile1", "decile\n5": "decile5", "decile\n9": "decile9"} if metric.by_share else {}
    return {"peers": "mean", "worst": "worst", **deciles, "best": "best", "average\nmodel": "average"}


def _by_metric(row: Row, metric: Metric) -> list[str]:
    columns = (f"{aspect}_{metric.name}" for aspect in _aspects(metric).values())
    return [_statistic(row.values[column], by(metric)) for column in columns]


def _consensus(row: Row) -> str:
    return _statistic(row.values["consensus_distance"], "{:.3g}".format)


def _cost(row: Row) -> list[str]:
    return [
        _statistic(row.values["rounds"], "{:.0f}".format),
        _statistic(row.values["epochs"], "{:.3g}".format),
        _statistic(row.values["num_examples"], "{:,.0f}".format),
        _statistic(row.values["time"], seconds),
        num_bytes(row.values["num_bytes"].mean),
        num_bytes(row.values["busiest_peer_bytes"].mean),
    ]


def _epsilon(row: Row) -> str:
    return _statistic(row.values["epsilon"], "{:.3g}".format) if "epsilon" in row.values else ""


def _cost_of_target(target: TargetCost) -> list[str]:
    rounds = _of_target(target, "rounds", "{:.3g}".format) if target.reached else "not reached"
    size, busiest = (
        "" if (cost := target[name]) is None else num_bytes(cost.mean) for name in ("num_bytes", "busiest_peer_bytes")
    )
    seeds = f"{target.reached} of {target.of}"
    apart = _of_target(target, "spread", by(target.metric))
    return [rounds, _of_target(target, "time", seconds), size, seeds, busiest, apart]


def _of_target(target: TargetCost, name: str, shown: Callable[[float], str]) -> str:
    figure = target[name]
    return "" if figure is None else _statistic(figure, shown)


def _statistic(statistic: Statistic, shown: Callable[[float], str]) -> str:
    if not statistic.std:
        return shown(statistic.mean)
    return f"{shown(statistic.mean)} {in_this_encoding('±', '+-')} {shown(statistic.std)}"
