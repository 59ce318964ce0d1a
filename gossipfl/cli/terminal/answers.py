"""Answers to queries as people read them, and as machines do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import RenderableType

from gossipfl.cli.terminal.figures import percent
from gossipfl.cli.terminal.whole_table import WholeTable
from gossipfl.data.column_queries import ColumnQuery
from gossipfl.queries import Answer, Outcome, Quantiles, Unanswered

Named = Sequence[tuple[ColumnQuery, Sequence[str]]]
"""Queries, each with the names of the numbers that it is about."""

Outcomes = Sequence[Outcome]

HOLDINGS = ("classes", "skew")
"""The queries on what a federation holds."""


def answers_shown(named: Named, outcomes: Outcomes) -> Iterator[RenderableType]:
    """A table with a line for each number of each answer: its value, how far it may be off, over how many peers and
    examples; and what is to be said of them."""
    yield _table(named, outcomes)
    yield from _remarks(named, outcomes)


def holdings_shown(named: Named, outcomes: Outcomes) -> Iterator[RenderableType]:
    """The classes of a federation, and how differently they are spread over its peers: from the answers to `HOLDINGS`,
    all of which are shown as such where one is missing."""
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    if len(answers) < len(outcomes) or not all(isinstance(answer.value, Mapping) for answer in answers):
        yield from answers_shown(named, outcomes)
        return
    classes, skew = (dict(answer.value) for answer in answers if isinstance(answer.value, Mapping))
    rows = [[name, f"{count:,.0f}", percent(count / answers[0].num_examples)] for name, count in classes.items()]
    yield WholeTable(["class", "examples", "share in %"], rows)
    yield (
        f"{answers[0].num_examples:,} examples at {answers[0].num_peers} peers, {skew['fewest']:,.0f} to "
        f"{skew['most']:,.0f} each. The classes of a peer differ from those of all by {percent(skew['mean'])} % in the "
        f"mean, and by {percent(skew['greatest'])} % at most (total variation distance: the share of its examples that "
        "would have to be of another class)"
    )
    yield from _remarks(named, outcomes)


def _table(named: Named, outcomes: Outcomes) -> WholeTable:
    rows = []
    for (asked, names), outcome in zip(named, outcomes, strict=True):
        if isinstance(outcome, Unanswered):
            rows.append([asked.text, "none", "", "", ""])
            continue
        counts = str(outcome.num_peers), f"{outcome.num_examples:,}"
        for label, value, bound in _lines(asked, names, outcome):
            rows.append([label, _within(value, bound), f"{bound:.1e}" if bound else "0", *counts])
    return WholeTable(["query", "answer", "off by at most", "peers", "examples"], rows)


def _within(value: float, bound: float) -> str:
    """A number in as many digits, 10 at least, as it takes to be no further off than by its bound."""
    written = (f"{value:.{digits}g}" for digits in range(10, 17))
    return next((text for text in written if abs(float(text) - value) <= bound / 100), f"{value:.17g}")


def _remarks(named: Named, outcomes: Outcomes) -> Iterator[str]:
    for (asked, _), outcome in zip(named, outcomes, strict=True):
        sentences = (outcome.why,) if isinstance(outcome, Unanswered) else outcome.notes
        if asked.weight is not None:
            sentences = (f"weighted by {asked.weight}", *sentences)
        yield from (f"{asked.text}: {sentence}" for sentence in sentences)


def answers_as_json(named: Named, outcomes: Outcomes) -> list[dict[str, Any]]:
    """The answers with the names of their numbers; arrays are lists."""
    found = []
    for (asked, names), outcome in zip(named, outcomes, strict=True):
        told: dict[str, Any] = {"query": asked.text, "names": list(names)}
        told |= {} if asked.weight is None else {"weight": asked.weight}
        if isinstance(outcome, Unanswered):
            told |= {"why": outcome.why}
        else:
            told |= {name: _plain(getattr(outcome, name)) for name in ("value", "bound", "num_peers", "num_examples")}
            told |= {"notes": list(outcome.notes)}
            told |= {} if outcome.edges is None else {"edges": _plain(outcome.edges)}
        found.append(told)
    return found


def _lines(asked: ColumnQuery, names: Sequence[str], answer: Answer) -> Iterator[tuple[str, float, float]]:
    """Each number of an answer, with the words that say which it is and the bound of its error."""
    value, edges = answer.value, answer.edges
    if isinstance(value, Mapping):
        if not value:
            yield f"{asked.text} (nothing)", 0.0, 0.0
        for position, (item, number) in enumerate(value.items()):
            yield f"{asked.text} {item}", number, float(np.broadcast_to(answer.bound, len(value))[position])
        return
    numbers = np.asarray(value)
    bounds = np.broadcast_to(answer.bound, numbers.shape)
    for place in np.ndindex(numbers.shape):
        label, last = asked.text, place[-1:]
        if len(names) > 1:
            label, last = asked.text.replace(f":{asked.column}", f":{names[place[0]]}", 1), place[1:]
        if last and edges is not None:
            low, high = (edges[(*place[:-1], last[0] + step)] for step in (0, 1))
            label += f" {low:.10g} to {high:.10g}"
        elif last and isinstance(asked.query, Quantiles):
            label += f" at {asked.query.at[last[0]]:g}"
        elif last and len(names) == 1:
            label += f" [{last[0]}]"
        yield label, float(numbers[place]), float(bounds[place])


def _plain(value: Any) -> Any:
    """Numbers, lists and dicts of Python."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return np.asarray(value).tolist()
