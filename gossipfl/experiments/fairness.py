"""Fairness: who is compared with whom, and what a reader of the numbers should know of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from gossipfl.algorithms import BOUNDS
from gossipfl.data.dataset import Dataset
from gossipfl.files.strict_json import strict_json
from gossipfl.names.spelling import listed
from gossipfl.scenario.scenario import Scenario
from gossipfl.training.trainer import ModelFacts


def with_bounds(scenario: Scenario) -> Scenario:
    """The scenario with training alone and centralized training among its algorithms."""
    missing = [name for name in BOUNDS if name not in {section.name for section in scenario.algorithms}]
    return scenario.with_changes(algorithms=[*scenario.algorithms, *missing])


def differences(scenario: Scenario) -> list[str]:
    """Sentences on what is not the same for all algorithms of a comparison, although it might matter."""
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
    """Sentences on what algorithms do not keep of the goal of a comparison."""
    found = []
    for section, label in zip(scenario.algorithms, scenario.labels, strict=True):
        graph = scenario.graph(section)
        caveat = scenario.recipe(section, graph).caveat(graph)
        if caveat is not None:
            found.append(f"{label} {caveat}.")
    return found


def sharing(scenario: Scenario, model: ModelFacts) -> list[str]:
    """A sentence on the variables that are not averaged, and the bytes that this saves."""
    if not scenario.sharing.patterns:
        return []
    sent = model.schema.size + (model.statistics_schema.size if scenario.training.statistics != "local" else 0)
    kept = model.local_schema
    num_frozen = sum(array.size for array in model.constants.arrays)
    parts = [f"{kept.size:,} stay at each peer ({listed(kept.names, 6)})"] if kept.size else []
    parts += [f"{num_frozen:,} are never trained ({listed(model.constants.names, 6)})"] if num_frozen else []
    average = " The average model has the peers' mean of what stays with them." if kept.size else ""
    return [
        f"Of the {sent + kept.size + num_frozen:,} numbers of the model, {' and '.join(parts)}: a message with a model "
        f"has {4 * sent:,} bytes of them, {4 * (kept.size + num_frozen):,} less than with all.{average}"
    ]


def stopping(scenario: Scenario, dataset: Dataset) -> list[str]:
    """A sentence on runs that end by the test part, which then is none any more."""
    if scenario.stop is None or dataset.validation is not None:
        return []
    return [
        "Runs end, and their best round is chosen, by the test part, because there is no validation part "
        "(data.validation): what is measured on it at the end is too good."
    ]


def spread(scenario: Scenario, seeds: Sequence[int]) -> str | None:
    """A sentence on what the spread over several seeds contains; None of a single seed."""
    if len(seeds) < 2:
        return None
    other = scenario.with_seed(seeds[1])
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
    """True if an optimizer carries anything from step to step; one that is not named in the scenario may."""
    given = {"name": optimizer} if isinstance(optimizer, str) else optimizer or {}
    if str(given.get("name", "")).lower() != "sgd":
        return True
    return bool(given.get("momentum"))
