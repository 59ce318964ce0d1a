"""The table of what the peers know themselves of how good all of them are."""

from collections.abc import Iterable, Sequence

from gossipfl.cli.terminal.figures import by
from gossipfl.cli.terminal.lines import run_name
from gossipfl.cli.terminal.whole_table import WholeTable
from gossipfl.history import History
from gossipfl.runs.agreed_rows import AgreedRow
from gossipfl.scenario import Scenario
from gossipfl.scores import LOSS, Metric

_HEADINGS = (
    "algorithm",
    "after\nround",
    "known in\nround",
    "peers",
    "metric",
    "mean",
    "worst",
    "best",
    "engine's\nown",
)
_CAPTION = (
    "of each peer's model after one and the same round, or, where peers do not wait for each other, after the rounds "
    "that are named; engine's own: of what is deployed, when that round was over in the mean, where peers may be in "
    "different ones"
)


def agreed_table(
    newest: Iterable[AgreedRow], metrics: Sequence[Metric], histories: Sequence[History], scenario: Scenario
) -> WholeTable:
    """One line per metric for the newest agreement of each run, beside what the engine has measured of what is deployed
    after the same round."""
    lines = []
    for row in newest:
        seen = (
            one
            for history in histories
            if (history.algorithm, history.seed) == (row.algorithm, row.seed)
            for one in history
        )
        own = next((one for one in seen if one.round == row.round), None)
        for metric in metrics or [LOSS]:
            if not row.has(metric.name):  # measured by the engine alone, in other places
                continue
            values = [row.column(aspect, metric.name) for aspect in ("mean", "worst", "best")]
            values.append(None if own is None else getattr(own, f"deployed_{metric.name}", None))
            cells = [
                run_name(row.algorithm, row.seed, scenario),
                str(row.round) if row.oldest == row.round else f"{row.oldest} to {row.round}",
                str(row.known_in),
                f"{row.num_peers} of {row.of_peers}",
                metric.name,
                *("" if value is None else by(metric)(value) for value in values),
            ]
            lines.append(cells)
    title = f"{scenario.name}: what the peers know themselves of how good all of them are"
    return WholeTable(_HEADINGS, lines, title=title, caption=_CAPTION, left=["metric"])
