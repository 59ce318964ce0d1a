"""The names of a scenario's algorithms in tables and charts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.values import ValueSection


def labels_of(sections: Sequence[AlgorithmSection], topology_label: Callable[[AlgorithmSection], str]) -> list[str]:
    """The given labels; for the others the name, with the topology where there are several, the schedule where it is
    not the usual one, and the parameters that tell it from those that would be called the same.

    For example `fedavg`, `pairwise (ring)`, `synchronous (torus, random_matchings)`, `fedprox (mu=0.1)`.
    """
    several = any(section.topology is not None for section in sections)
    details = [
        ([topology_label(section)] if several and section.follows_links else []) + _schedule(section)
        for section in sections
    ]
    alike: dict[str, list[AlgorithmSection]] = {}
    for section, own in zip(sections, details, strict=True):
        if section.label is None:
            alike.setdefault(_label(section, own), []).append(section)
    return [
        section.label or _label(section, own + _differing(section, alike[_label(section, own)]))
        for section, own in zip(sections, details, strict=True)
    ]


def _label(section: AlgorithmSection, details: Sequence[str]) -> str:
    return f"{section.name} ({', '.join(details)})" if details else section.name


def _schedule(section: AlgorithmSection) -> list[str]:
    schedule = getattr(section, "schedule", None)
    is_usual = schedule is None or schedule == type(section).model_fields["schedule"].default
    return [] if is_usual else [_shown(schedule)]


def _differing(section: AlgorithmSection, alike: Sequence[AlgorithmSection]) -> list[str]:
    fields = [name for name in type(section).model_fields if name not in ("name", "label", "topology", "schedule")]
    return [
        f"{name}={_shown(getattr(section, name))}"
        for name in fields
        if any(getattr(other, name) != getattr(section, name) for other in alike)
    ]


def _shown(value: Any) -> str:
    """A value in a word; a section or a table by its name, with what is not the usual."""
    if isinstance(value, ValueSection):
        usual = {name: field.default for name, field in type(value).model_fields.items()}
        value = {name: own for name, own in value if name == "name" or own != usual[name]}
    if isinstance(value, Mapping):
        others = {name: own for name, own in value.items() if name != "name"}
        shown = [f"{name}={own}" if isinstance(own, int | float | str) else name for name, own in others.items()]
        return " ".join([str(value["name"]), *shown] if "name" in value else shown)
    if isinstance(value, list | tuple):  # a mixing matrix would be hundreds of numbers long
        return f"{type(value).__name__} of {len(value)}"
    return "absent" if value is None else str(value)
