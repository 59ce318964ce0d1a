"""The history of a run from what its peers have measured of themselves, each by its own clock.

A row holds each peer's newest state at the moment when an equivalent round was crossed. A peer whose first state is
that before any training has it from the start of the run, even if it was started later.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, groupby
from statistics import fmean
from typing import Any, NamedTuple

from gossipfl.runs.peer_records import PeerRecord, PeerRow
from gossipfl.weights import PeerId


class Dated(NamedTuple):
    """A row of a peer, at a Unix time that does not run backwards within the peer."""

    wall: float
    peer: PeerId
    row: PeerRow


class Moment(NamedTuple):
    """`num_rows` rows of the timeline have happened, and with them the equivalent round `round`."""

    num_rows: int
    round: int


def timeline(records: Sequence[PeerRecord]) -> list[Dated]:
    """The rows of all peers by time; of the same time, in the order of `records`."""
    dated = [
        Dated(wall, record.peer, row)
        for record in records
        for wall, row in zip(accumulate((row.wall for row in record.rows), max), record.rows, strict=True)
    ]
    return sorted(dated, key=lambda one: one.wall)


def gathered_rows(records: Sequence[PeerRecord], happened: Sequence[Dated], every: int) -> list[dict[str, Any]]:
    """Rows as `history_row` makes them, one per `every` equivalent rounds and one at the end.

    The equivalent round is the number of rounds of local work done per peer that is here and holds data (as the hub has
    counted them, if the hub is here). `average_*` are those of the hub, if it has all of a model; without it, and for
    the consensus distance, there is None.
    """
    rows = []
    newest: dict[PeerId, PeerRow] = {}
    before = 0
    for moment in _moments(records, happened, every):
        fresh = happened[before : moment.num_rows]
        before = moment.num_rows
        newest |= {one.peer: one.row for one in fresh}
        rows.append(
            {
                "round": moment.round,
                "time": round(fresh[-1].wall - happened[0].wall, 6),
                "num_bytes": sum(row.sent for row in newest.values()),
                "num_messages": sum(row.num_messages for row in newest.values()),
                "busiest_peer_bytes": max(row.sent + row.received for row in newest.values()),
                "consensus_distance": None,
            }
            | _training([one.row for one in fresh])
            | _work(records, newest)
            | _scores(records, newest)
        )
    return rows


def _moments(records: Sequence[PeerRecord], happened: Sequence[Dated], every: int) -> list[Moment]:
    progress = _progress(records)
    rounds: dict[PeerId, int] = {}
    moments: list[Moment] = []
    num_rows = due = 0
    for _, together in groupby(happened, key=lambda one: one.wall):
        for one in together:
            rounds[one.peer] = one.row.rounds_done
            num_rows += 1
        if progress(rounds) >= due:
            moments.append(Moment(num_rows, progress(rounds)))
            due = every * (progress(rounds) // every + 1)
    if not happened:
        return []
    last = Moment(num_rows, progress(rounds))  # in the place of what was seen in the course of the same round
    return [*(moment for moment in moments if moment.round < last.round), last]


def _progress(records: Sequence[PeerRecord]) -> Callable[[Mapping[PeerId, int]], int]:
    """The equivalent round, from the rounds of the participants."""
    hubs = [record.peer for record in records if record.is_hub]
    peers = hubs or [record.peer for record in records]
    return lambda rounds: sum(rounds.get(peer, 0) for peer in peers) // len(peers)


def _training(rows: Sequence[PeerRow]) -> dict[str, float | None]:
    def mean(values: Sequence[tuple[float | None, int]]) -> float | None:
        known = [(value, num_examples) for value, num_examples in values if value is not None and num_examples]
        return fmean([value for value, _ in known], [num_examples for _, num_examples in known]) if known else None

    return {
        "training_loss": mean([(row.training_loss, row.training_examples) for row in rows]),
        "training_accuracy": mean([(row.training_accuracy, row.training_examples) for row in rows]),
    }


def _work(records: Sequence[PeerRecord], newest: Mapping[PeerId, PeerRow]) -> dict[str, float | None]:
    """Examples seen and epochs, per data holder that is here."""
    seen = [
        (newest[record.peer].examples_seen if record.peer in newest else 0, record.num_examples)
        for record in records
        if not record.is_hub
    ]
    counted = [one / num_examples for one, num_examples in seen if num_examples]  # as far as manifests say it
    return {
        "num_examples": fmean(one for one, _ in seen) if seen else None,
        "epochs": fmean(counted) if counted else None,
    }


def _scores(records: Sequence[PeerRecord], newest: Mapping[PeerId, PeerRow]) -> dict[str, Any]:
    states = {}
    for record in records:
        first = record.rows[0] if record.rows and record.rows[0].round == 0 else None
        state = newest.get(record.peer, first)
        if state is not None:
            states[record.peer] = state
    hub = next((states.pop(record.peer, None) for record in records if record.is_hub), None)
    known = [state.accuracy for state in states.values() if state.accuracy is not None]
    manifest = records[0].manifest
    if records[0].scenario.training.statistics == "local" and records[0].model.statistics_segments:
        hub = None  # it has measured its weights with statistics that nobody uses
    average, mean = None if hub is None else hub.accuracy, fmean(known) if known else None
    deploys_average = manifest.algorithms[0].hub is not None
    return {
        "average_loss": None if hub is None else hub.loss,
        "average_accuracy": average,
        "deploys_average": deploys_average,
        "deployed_accuracy": average if deploys_average else mean,
        "mean_accuracy": mean,
        "worst_accuracy": min(known, default=None),
        "best_accuracy": max(known, default=None),
        "peer_loss": {peer: state.loss for peer, state in states.items()},
        "peer_accuracy": {peer: state.accuracy for peer, state in states.items()},
    }
