"""The history of a run from what its peers have measured of themselves, each by its own clock.

An evaluation holds each peer's newest state at the moment when an equivalent round was crossed. A peer whose first
state is that before any training has it from the start of the run, even if it was started later.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, groupby
from math import nan
from statistics import fmean
from typing import Any, NamedTuple

from gossipfl.engines.progress import Rounds, Traffic, TrainingSums
from gossipfl.history import Evaluation
from gossipfl.measured import Measured
from gossipfl.runs.peer_records import PeerRecord, PeerRow
from gossipfl.scores import LOSS, Metric
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


def gathered_history(records: Sequence[PeerRecord], happened: Sequence[Dated], every: int) -> list[Evaluation]:
    """One evaluation per `every` equivalent rounds and one at the end.

    The equivalent round is the number of rounds of local work done per peer that is here and holds data (as the hub has
    counted them, if the hub is here). The average model is measured by the hub, if it has all of a model; without it
    nobody has, and the consensus distance is NaN.
    """
    evaluations = []
    newest: dict[PeerId, PeerRow] = {}
    before = 0
    for moment in _moments(records, happened, every):
        fresh = happened[before : moment.num_rows]
        before = moment.num_rows
        newest |= {one.peer: one.row for one in fresh}
        training = TrainingSums()
        for one in fresh:
            training.add(one.row.training, one.row.training_examples)
        traffic = Traffic.of(newest.values())
        evaluations.append(
            Evaluation(
                round=moment.round,
                time=round(fresh[-1].wall - happened[0].wall, 6),
                num_bytes=traffic.num_bytes,
                num_messages=traffic.num_messages,
                busiest_peer_bytes=traffic.busiest_peer_bytes,
                consensus_distance=nan,
                **_scores(records, newest, training.take()),
                **_work(records, newest),
            )
        )
    return evaluations


def first_measured(records: Sequence[PeerRecord]) -> PeerRecord:
    """The first peer whose measurements count."""
    return next(record for record in records if record.is_measured)


def _moments(records: Sequence[PeerRecord], happened: Sequence[Dated], every: int) -> list[Moment]:
    hubs = [record.peer for record in records if record.is_hub]
    rounds = Rounds(hubs or [record.peer for record in records], every, round=-1)
    moments: list[Moment] = []
    num_rows = 0
    for _, together in groupby(happened, key=lambda one: one.wall):
        for one in together:
            rounds.count(one.peer, one.row.rounds_done)
            num_rows += 1
        if rounds.is_due():
            moments.append(Moment(num_rows, rounds.round))
    if not happened:
        return []
    last = Moment(num_rows, rounds.reached)  # in the place of what was seen in the course of the same round
    return [*(moment for moment in moments if moment.round < last.round), last]


def _work(records: Sequence[PeerRecord], newest: Mapping[PeerId, PeerRow]) -> dict[str, Any]:
    """Examples seen and epochs, per data holder that is here."""
    seen = [
        (newest[record.peer].examples_seen if record.peer in newest else 0, record.num_examples)
        for record in records
        if not record.is_hub
    ]
    counted = [one / num_examples for one, num_examples in seen if num_examples]  # as far as manifests say it
    return {
        "num_examples": fmean(one for one, _ in seen) if seen else nan,
        "epochs": fmean(counted) if counted else nan,
    }


def _scores(
    records: Sequence[PeerRecord], newest: Mapping[PeerId, PeerRow], training: Mapping[str, float]
) -> dict[str, Any]:
    """The loss, and the metrics by name."""
    states = {}
    for record in records:
        first = record.rows[0] if record.rows and record.rows[0].round == 0 else None
        state = newest.get(record.peer, first)
        if state is not None:
            states[record.peer] = state
    hub = next((states.pop(record.peer, None) for record in records if record.is_hub), None)
    manifest = first_measured(records).manifest
    model, has_local = records[0].model, records[0].scenario.training.statistics == "local"
    if model.local_segments or (has_local and model.statistics_segments):
        hub = None  # it has measured its weights with statistics, or a part of the model, that nobody uses
    is_blind = ((manifest.agreed or {}).get("privacy") or {}).get("encryption") is not None  # it has measured nothing
    deploys_average = manifest.algorithms[0].hub is not None and not model.local_segments and not is_blind

    def measured(metric: Metric) -> Measured:
        values = {peer: state.value(metric) for peer, state in states.items()}
        average = None if hub is None else hub.value(metric)
        return Measured(metric, training.get(metric.name), average, values, deploys_average)

    return {"loss": measured(LOSS), "metrics": {one.name: measured(one) for one in manifest.metrics}}
