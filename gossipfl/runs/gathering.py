"""Put the run directories of single peers, copied from their hosts, together into one run directory.

Every peer has measured itself. What needs all peers at one moment, the average model and the consensus distance, is
known at the end only, from the final weights; a FedAvg server has measured its model all along.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from gossipfl.engines.evaluation import EvaluationPlan, average_model, consensus_distance
from gossipfl.errors import ConfigurationError
from gossipfl.files.strict_json import json_lines, strict_json
from gossipfl.files.weight_files import Arrays, by_name, file_stems, write_weights
from gossipfl.files.whole_files import write_whole
from gossipfl.history import History, history_row, open_exchanges, stopped_by
from gossipfl.mixing import UNPOOLED, Pooling
from gossipfl.peers import Standing
from gossipfl.runs.constant_files import read_constants, write_constants
from gossipfl.runs.directory import make_run_directory
from gossipfl.runs.gathered_history import first_measured, gathered_history, timeline
from gossipfl.runs.manifest import OF_EACH_PEER, EndedRun, Manifest, write_manifest
from gossipfl.runs.peer_records import PeerRecord, read_peer
from gossipfl.runs.scored_average import AverageScoring
from gossipfl.scenario import Scenario
from gossipfl.scenario.differences import first_difference
from gossipfl.scenario.scenario import AGREED_FIELDS
from gossipfl.weights import ModelVectors, Vector, WeightsSchema

JSON: TypeAlias = dict[str, Any]

_OF_A_HOST = ("versions", "machine", "flags")
"""Fields of a manifest that may differ from host to host."""


def gather(
    directories: Sequence[Path], output: Path, own: Scenario | None = None, scoring: AverageScoring | None = None
) -> Path:
    """Make the run directory `output` of those of single peers, and return it; it has no report yet.

    Their order does not matter, and some may be missing, which the report says. The clocks of the hosts are taken as
    they are: where they differ by seconds, so do the times. With `scoring` the average model is measured, too.

    Raises ConfigurationError when the directories are not those of different peers of one run, of the user's `own`
    scenario where there is one, when there is already something at `output`, or nothing that could be measured.
    """
    records = _measured_alike(_of_one_run([read_peer(Path(directory)) for directory in directories]))
    if own is not None:
        _check_scenario(records[0], own)
    manifest = records[0].manifest
    label, seed = records[0].label, manifest.seeds[0]
    happened = timeline(records)
    evaluations = gathered_history(records, happened, records[0].scenario.evaluation.every)
    standings = [
        Standing(record.peer, record.final, record.num_examples)
        for record in records
        if record.final is not None and not record.is_hub
    ]
    if evaluations and len(standings) >= 2:
        evaluations[-1] = replace(evaluations[-1], consensus_distance=consensus_distance(standings))
    start = happened[0].wall if happened else min((event.wall for one in records for event in one.events), default=0.0)

    average = _average(records, standings)
    described = _manifest(records)
    if scoring is not None:
        if average is None or not evaluations:
            raise ConfigurationError(
                "no peer left final weights and measurements, so there is no average model to measure; gather without "
                "--evaluate"
            )
        scored = scoring.scored(evaluations[-1], average, records)
        if scored != evaluations[-1]:  # a server has measured its model itself
            evaluations[-1] = scored
            described = described.model_copy(update={"differences": [*described.differences, scoring.note(records)]})

    make_run_directory(output)
    write_manifest(output, described)
    write_whole(output / "history.jsonl", json_lines(history_row(label, seed, one) for one in evaluations))
    of_the_run = {"algorithm": label, "seed": seed}
    write_whole(output / "events.jsonl", json_lines(of_the_run | event for event in _events(records, start)))
    if agreed := _agreed(records, start):
        write_whole(output / "agreed.jsonl", json_lines(agreed))
    if average is not None:
        model = records[0].model
        named = _named("weights", average.weights, model.schema_of_weights)
        named |= _named("statistics", average.statistics, model.schema_of_statistics)
        named |= _named("local", average.local, model.schema_of_local)
        finals = {record.peer: average if record.is_hub else record.final for record in records}
        final = {peer: model for peer, model in finals.items() if model is not None}
        digest = manifest.constants.get(str(seed))
        write_constants(output / "weights", seed, read_constants(records[0].directory / "weights", seed, digest))
        write_weights(output / "weights", f"{file_stems([label])[label]}-seed{seed}", named, final, digest)
    return output


def _of_one_run(records: Sequence[PeerRecord]) -> list[PeerRecord]:
    """In node order. Raises ConfigurationError unless they are of different peers of the same run."""
    if not records:
        raise ConfigurationError("there is nothing to gather; give the run directories of the peers of one run")
    first = records[0]
    by_peer: dict[str, PeerRecord] = {}
    for record in records:
        if record.run_id != first.run_id:
            raise ConfigurationError(
                f"{first.directory} and {record.directory} are of two runs (run_id {first.run_id[:12]}... and "
                f"{record.run_id[:12]}...); peers are of one run when they had the same scenario, data and "
                "versions"
            )
        if record.model != first.model:
            raise ConfigurationError(f"the manifests of {first.directory} and {record.directory} describe two models")
        if record.peer in by_peer:
            raise ConfigurationError(
                f"{by_peer[record.peer].directory} and {record.directory} are both of the peer {record.peer!r}; give "
                "one directory for each peer"
            )
        by_peer[record.peer] = record
    ordered = [by_peer[peer] for peer in first.participants if peer in by_peer]
    _check_shapes([record for record in ordered if record.final is not None])
    return ordered


def _measured_alike(records: Sequence[PeerRecord]) -> list[PeerRecord]:
    """The same, without the measurements of those that have other metrics than most, or measure elsewhere: peers need
    not agree on that, and one column has one meaning."""
    ways = [strict_json(record.way_of_measuring) for record in records]
    most = max(ways, key=ways.count)
    example = records[ways.index(most)].peer
    return [record if way == most else record.unmeasured(example) for record, way in zip(records, ways, strict=True)]


def _check_scenario(record: PeerRecord, own: Scenario) -> None:
    """Raises ConfigurationError unless the peers have agreed on what the user's own scenario says."""
    agreed, said = record.manifest.agreed or {}, own.model_dump(mode="json")
    agreed = {"privacy": Scenario.model_fields["privacy"].default.model_dump(mode="json"), **agreed}
    for field in (*AGREED_FIELDS[1:], "privacy"):  # a scenario may have another name
        other = first_difference(agreed.get(field), said[field], field)
        if other is not None:
            raise ConfigurationError(f"{record.directory} is of a run of another scenario ({other})")


def _check_shapes(records: Sequence[PeerRecord]) -> None:
    def sizes(final: ModelVectors | None) -> tuple[int, ...]:
        return () if final is None else (final.weights.size, final.statistics.size, final.local.size)

    for record in records:
        if sizes(record.final) != sizes(records[0].final):
            raise ConfigurationError(
                f"the final weights in {records[0].directory} and {record.directory} are of two models: "
                f"{sizes(records[0].final)} and {sizes(record.final)} weights, statistics and local numbers"
            )


def _manifest(records: Sequence[PeerRecord]) -> Manifest:
    """That of the first peer that is measured, without what concerns only itself and with what concerns all."""
    manifests = [record.manifest for record in records]
    differences = _distinct(note for manifest in manifests for note in manifest.differences)
    created = [manifest.created for manifest in manifests if manifest.created is not None]
    of_peers = {
        name: {peer: facts for manifest in manifests for peer, facts in getattr(manifest.partition, name).items()}
        for name in OF_EACH_PEER
    }
    stopped, (seed,) = _stopped(records), manifests[0].seeds
    merged: JSON = {
        "peer": None,
        "ended": [] if stopped is None else [EndedRun(algorithm=records[0].label, seed=seed, stopped=stopped)],
        "interrupted": any(manifest.interrupted for manifest in manifests),
        "failures": _distinct(failure for manifest in manifests for failure in manifest.failures),
        "differences": differences + [note for record in records for note in record.left_out] + _missing(records),
        "created": min(created, default=None),
        "command": "\n".join(_distinct(manifest.command for manifest in manifests if manifest.command)),
        "partition": manifests[0].partition.model_copy(update=of_peers),
        "gossipfl": ", ".join(_distinct(manifest.gossipfl for manifest in manifests if manifest.gossipfl)) or None,
    }
    for field in _OF_A_HOST:
        found = {record.peer: getattr(record.manifest, field) for record in records}
        if len({strict_json(value) for value in found.values()}) > 1:
            merged[field] = found
    return first_measured(records).manifest.model_copy(update=merged)


def _missing(records: Sequence[PeerRecord]) -> list[str]:
    """What is not there, or not the same for all, in sentences."""
    here = {record.peer for record in records}
    absent = [peer for peer in records[0].participants if peer not in here]
    killed = [record.peer for record in records if record.final is None]
    notes = []
    if absent:
        are = "directory of {} is" if len(absent) == 1 else "directories of {} are"
        notes.append(f"The run {are.format(', '.join(absent))} not here.")
    if killed and len(killed) < len(records):
        notes.append(f"Without final weights: {', '.join(killed)}.")
    if len({data.digest for record in records if (data := record.manifest.data) is not None}) > 1:
        notes.append(
            "Peers have examples of their own, and each is measured on what is held out of them; what is said of the "
            f"data is of those at {records[0].peer}."
        )
    num_open = sum(record.rows[-1].num_open for record in records if record.rows)
    label = records[0].label
    notes += filter(None, [open_exchanges(label, num_open)])
    if (stopped := _stopped(records)) is not None:
        notes.append(f"{label}: stopped early {stopped}.")
    return notes


def _stopped(records: Sequence[PeerRecord]) -> str | None:
    return stopped_by({record.peer: record.rows[-1].stopped for record in records if record.rows})


def _events(records: Sequence[PeerRecord], start: float) -> list[JSON]:
    """By time, of the same time in node order; what happened before the first evaluation happened at its time."""
    events = [
        {
            "time": round(max(0.0, event.wall - start), 6),
            "peer": event.peer,
            "neighbor": event.neighbor,
            "event": event.event,
        }
        for record in records
        for event in record.events
    ]
    return sorted(events, key=lambda event: event["time"])


def _agreed(records: Sequence[PeerRecord], start: float) -> list[JSON]:
    """Rows of what the peers agreed on, with the time when the first of them knew it, and how many of them did."""
    history = History(records[0].label, records[0].manifest.seeds[0])
    for row in sorted((row for record in records for row in record.agreed), key=lambda row: row.wall):
        history.agree(row.agreement, round(max(0.0, row.wall - start), 6))
    return list(history.agreed_rows())


def _average(records: Sequence[PeerRecord], standings: Sequence[Standing]) -> ModelVectors | None:
    """The hub's model, or else the mean of the peers' final models, as far as they are here."""
    hub = next((record.final for record in records if record.is_hub), None)
    if not standings:
        return hub
    by_examples = all(standing.num_examples for standing in standings)
    scenario = records[0].scenario
    statistics = scenario.training.statistics
    plan = EvaluationPlan(
        weighting=scenario.weighting if by_examples else "uniform",
        statistics=statistics,
        pooling=Pooling.of(records[0].model.schema_of_statistics) if statistics == "pooled" else UNPOOLED,
    )
    return average_model(standings, plan, hub)


def _named(name: str, vector: Vector, schema: WeightsSchema) -> Arrays:
    """The variables in a vector, or the vector as it is where the manifest does not say what is in it."""
    if schema.segments:
        return by_name(schema, vector)
    return {name: vector} if vector.size else {}


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
