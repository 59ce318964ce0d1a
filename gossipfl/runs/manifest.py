"""What the manifest of a run says: everything needed to repeat it, and what a reader of its numbers should know."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import networkx as nx

from gossipfl import __version__
from gossipfl.algorithms import ALGORITHMS, BOUNDS
from gossipfl.data.partition import label_counts, partition_digest
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.fairness import caveats, differences, spread
from gossipfl.experiments.mode import Mode
from gossipfl.scenario import Scenario
from gossipfl.topology import summarize
from gossipfl.weights import WeightsSchema

_PACKAGES = ("aiohttp", "keras", "networkx", "numpy", "scipy", "tensorflow")


def run_manifest(
    scenario: Scenario, experiment: Experiment, seeds: Sequence[int], mode: Mode, command: str
) -> dict[str, Any]:
    """What `manifest.json` says at the start of a run: everything needed to repeat it."""
    dataset, trainer = experiment.dataset, experiment.trainer
    parts = list(experiment.shards.values())
    counts = label_counts(dataset.train_y, parts, dataset.num_classes)
    return {
        "name": scenario.name,
        "description": scenario.description,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "gossipfl": __version__,
        "mode": asdict(mode),
        "interrupted": False,
        "failures": [],
        "seeds": list(seeds),
        "scenario": scenario.model_dump(mode="json", exclude_none=True),
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
        "flags": dict(trainer.flags),
        "data": {
            "source": dataset.name,
            "num_train": len(dataset.train_y),
            "num_test": len(dataset.test_y),
            "num_classes": dataset.num_classes,
            "digest": dataset.digest,
        },
        "partition": {
            "name": scenario.data.partition.name,
            "parameters": scenario.data.partition.parameters,
            "digest": partition_digest(parts),
            "label_counts": dict(zip(experiment.shards, counts.tolist(), strict=True)),
        },
        "model": {
            "name": scenario.model_dump()["model"],
            "num_weights": trainer.schema.size,
            "input_shape": list(dataset.input_shape),
            "num_classes": dataset.num_classes,
            "segments": _segments(trainer.schema),
            "statistics_segments": _segments(trainer.statistics_schema),
        },
        "constants": {str(experiment.seed): trainer.constants.digest} if trainer.constants else {},
        "topologies": _topologies(scenario),
        "algorithms": _algorithms(scenario, seeds),
        "targets": scenario.targets,
        "differences": [*differences(scenario), *caveats(scenario)],
        "spread": spread(scenario, seeds),
    }


def _segments(schema: WeightsSchema) -> list[tuple[str, list[int], str]]:
    return [(segment.name, list(segment.shape), segment.dtype) for segment in schema.segments]


def _topologies(scenario: Scenario) -> dict[str, Any]:
    graphs: dict[str, nx.Graph] = {scenario.topology_label(): scenario.graph()}
    for section in scenario.algorithms:
        graphs.setdefault(scenario.topology_label(section), scenario.graph(section))
    return {
        label: {
            **asdict(summarize(graph)),
            "nodes": list(graph),
            "links": [list(edge) for edge in graph.edges],
        }
        for label, graph in graphs.items()
    }


def _algorithms(scenario: Scenario, seeds: Sequence[int]) -> list[dict[str, Any]]:
    described = []
    for section, label in zip(scenario.algorithms, scenario.labels, strict=True):
        topology = scenario.topology_label(section) if section.follows_links else None
        described.append(
            {
                "label": label,
                "algorithm": section.name,
                "topology": topology,
                "hub": ALGORITHMS[section.name].hub,
                "bound": section.name in BOUNDS,
                "seeds": list(seeds),
            }
        )
    return described


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
