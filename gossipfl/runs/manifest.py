"""What the manifest of a run says: everything needed to repeat it, and what a reader of its numbers should know."""

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
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.simulation import with_seed
from gossipfl.files.strict_json import strict_json
from gossipfl.scenario import Scenario
from gossipfl.topology import summarize
from gossipfl.weights import WeightsSchema

VIRTUAL_TIME, HTTP = "virtual time", "HTTP"
"""The engines, as a manifest names them."""

_PACKAGES = ("aiohttp", "keras", "networkx", "numpy", "scipy", "tensorflow")


def run_manifest(
    scenario: Scenario, experiment: Experiment, seeds: Sequence[int], command: str, engine: str
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
        "engine": engine,
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


def differences(scenario: Scenario) -> list[str]:
    """What is not the same for all algorithms of a comparison, although it might matter."""
    optimizers: dict[str, list[str]] = {}
    policies: dict[str, list[str]] = {}
    for section, label in zip(scenario.algorithms, scenario.labels, strict=True):
        optimizers.setdefault(strict_json(scenario.optimizer(section)), []).append(label)
        if _has_state(scenario.optimizer(section)):
            policies.setdefault(section.optimizer_state, []).append(label)
    found = []
    if len(optimizers) > 1:
        found.append(f"Local training has different optimizers ({_by_kind(optimizers)}).")
    if len(policies) > 1:
        found.append(f"The optimizer's state between rounds is treated differently ({_by_kind(policies)}).")
    return found


def caveats(scenario: Scenario) -> list[str]:
    """What algorithms do not keep of the goal of a comparison."""
    found = []
    for section, label in zip(scenario.algorithms, scenario.labels, strict=True):
        graph = scenario.graph(section)
        caveat = scenario.recipe(section, graph).caveat(graph)
        if caveat is not None:
            found.append(f"{label} {caveat}.")
    return found


def spread(scenario: Scenario, seeds: Sequence[int]) -> str | None:
    """What the spread over several seeds contains, in a sentence; None of a single seed."""
    if len(seeds) < 2:
        return None
    other = with_seed(scenario, seeds[1])
    sections = [(None, None), *zip(scenario.algorithms, other.algorithms, strict=True)]
    has_own_graph = any(set(scenario.graph(one).edges) != set(other.graph(two).edges) for one, two in sections)
    has_own_split = scenario.data_seed != other.data_seed
    own = [*["graph"] * has_own_graph, *["split of the data"] * has_own_split, "initial weights", "order of examples"]
    same = [*["graph"] * (not has_own_graph), *["split of the data"] * (not has_own_split)]
    shown = f"; the report shows the {' and the '.join(own[:-2])} of seed {seeds[0]}" if own[:-2] else ""
    return (
        f"Each of the {len(seeds)} seeds has its own {', '.join(own[:-1])} and {own[-1]}"
        + (f", and all have the same {' and the same '.join(same)}" if same else "")
        + f"{shown}."
    )


def _by_kind(labels: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{', '.join(those)}: {kind}" for kind, those in labels.items())


def _has_state(optimizer: str | Mapping[str, Any] | None) -> bool:
    """Whether an optimizer carries anything from step to step; one that is not named in the scenario may."""
    given = {"name": optimizer} if isinstance(optimizer, str) else optimizer or {}
    if str(given.get("name", "")).lower() != "sgd":
        return True
    return bool(given.get("momentum"))


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
