"""The manifest of a run as it begins: everything needed to repeat it, and what a reader of its numbers should know."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import networkx as nx

from gossipfl import __version__
from gossipfl.algorithms import ALGORITHMS, BOUNDS
from gossipfl.data.partition import label_counts, partition_digest
from gossipfl.experiments.agreed_numbers import notes
from gossipfl.experiments.experiment import Cast, Experiment
from gossipfl.experiments.fairness import caveats, differences, sharing, spread, stopping
from gossipfl.experiments.mode import Command, EngineKind, Mode
from gossipfl.runs.manifest import (
    FORMAT,
    Manifest,
    RunAlgorithm,
    RunData,
    RunModel,
    RunPartition,
    RunTask,
    RunTopology,
)
from gossipfl.runs.parts import Segments
from gossipfl.scenario import Scenario
from gossipfl.scenario.own_scenario import given_in_python
from gossipfl.scenario.targets import targets_by_metric
from gossipfl.topology import summarize
from gossipfl.weights import PeerId, WeightsSchema

_PACKAGES = ("aiohttp", "keras", "networkx", "numpy", "scipy", "tensorflow")


def run_manifest(
    scenario: Scenario, experiment: Experiment, seeds: Sequence[int], mode: Mode, command: str
) -> Manifest:
    """The manifest at the start of a run: everything needed to repeat it."""
    dataset, trainer = experiment.dataset, experiment.trainer
    parts = list(experiment.shards.values())
    counts = label_counts(dataset.labels, parts, dataset.num_classes)
    return Manifest(
        format=FORMAT,
        mode=mode,
        name=scenario.name,
        description=scenario.description,
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        gossipfl=__version__,
        seeds=list(seeds),
        scenario=scenario.model_dump(mode="json", exclude_none=True),
        versions={"python": platform.python_version(), **_versions()},
        machine={"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
        flags=dict(trainer.flags),
        data=RunData(
            source=dataset.name,
            num_train=len(dataset.train),
            num_test=len(dataset.test),
            num_validation=0 if dataset.validation is None else len(dataset.validation),
            num_classes=dataset.num_classes,
            class_names=dataset.class_names,
            digest=dataset.digest,
        ),
        partition=RunPartition(
            name=scenario.data.partition.name,
            parameters=scenario.data.partition.parameters,
            digest=partition_digest(parts),
            label_counts=dict(zip(experiment.shards, counts.tolist(), strict=True)),
            values=dict(experiment.holdings.values),
            views={peer: asdict(view) for peer, view in experiment.holdings.views.items()},
        ),
        model=RunModel(
            name=scenario.model_dump()["model"],
            num_weights=trainer.schema.size,
            task=RunTask(**asdict(dataset.task)),
            segments=_segments(trainer.schema),
            statistics_segments=_segments(trainer.statistics_schema),
            local_segments=_segments(trainer.local_schema),
        ),
        constants={str(experiment.seed): trainer.constants.digest} if trainer.constants else {},
        topologies=_topologies(scenario),
        algorithms=_algorithms(scenario, seeds),
        metrics=list(experiment.metrics),
        targets=targets_by_metric(scenario.targets, experiment.metrics),
        differences=[
            *given_in_python(scenario),
            *differences(scenario),
            *caveats(scenario),
            *sharing(scenario, trainer),
            *dataset.notes,
            *stopping(scenario, dataset),
            *notes(scenario, experiment.numbers, experiment.rounds),
            *privacy(experiment, mode),
            *experiment.holdings.notes(scenario.evaluation.on),
        ],
        spread=spread(scenario, seeds),
    )


def privacy(experiment: Experiment, mode: Mode) -> list[str]:
    """Sentences on the privacy of a run."""
    of_noise: list[str] = []
    if (plan := experiment.privacy) is not None:
        num_peers = len(experiment.scenario.graph())
        swamped = plan.swamped(experiment.trainer.schema.size, num_peers)
        of_noise = [*plan.sentences(protects=mode.is_over_http), *swamped]
    return of_noise + ([] if experiment.encryption is None else experiment.encryption.sentences)


def peer_manifest(cast: Cast, peer: PeerId, run_id: str, agreed: Mapping[str, Any], command: str) -> Manifest:
    """The manifest of one peer over a network: that of the run, as far as it concerns the peer, and what the peers
    agreed on."""
    experiment = cast.experiment
    mode = Mode(Command.PEER, EngineKind.PROCESSES)
    manifest = run_manifest(experiment.scenario, experiment, [experiment.seed], mode, command)
    label = experiment.scenario.label_of(cast.section)
    return manifest.model_copy(
        update={
            "peer": peer,
            "run_id": run_id,
            "agreed": dict(agreed),
            "algorithms": [entry for entry in manifest.algorithms if entry.label == label],
            "partition": manifest.partition.only(peer),
        }
    )


def _segments(schema: WeightsSchema) -> Segments:
    return [(segment.name, segment.shape, segment.dtype) for segment in schema.segments]


def _topologies(scenario: Scenario) -> dict[str, RunTopology]:
    graphs: dict[str, nx.Graph] = {}
    for section in (None, *scenario.algorithms):
        label = scenario.topology_label(section)
        if label not in graphs:  # to make one takes 0.1 s of a thousand peers
            graphs[label] = scenario.graph(section)
    return {
        label: RunTopology.model_validate(
            {
                **asdict(summarize(graph)),
                "nodes": list(graph),
                "links": [tuple(edge) for edge in graph.edges],
                "taken_for": graph.graph.get("taken_for"),
            }
        )
        for label, graph in graphs.items()
    }


def _algorithms(scenario: Scenario, seeds: Sequence[int]) -> list[RunAlgorithm]:
    return [
        RunAlgorithm(
            label=label,
            algorithm=section.name,
            topology=scenario.topology_label(section) if section.follows_links else None,
            hub=ALGORITHMS[section.name].hub,
            bound=section.name in BOUNDS,
            seeds=list(seeds),
        )
        for section, label in zip(scenario.algorithms, scenario.labels, strict=True)
    ]


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
