"""The scenario that a call from Python asks for: a name, a file or a value, with what is handed over laid over it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario, given_scenario
from gossipfl.scenario.section import Section


def asked(
    scenario: Scenario | str | Path,
    model: Any = None,
    data: Any = None,
    topology: Any = None,
    optimizer: Any = None,
    loss: Any = None,
) -> Scenario:
    """The scenario with other values, as its fields `model`, `data.source`, `topology`, `training.optimizer` and
    `training.loss` take them; None leaves its own. A table for `data` is in the place of all its fields.

    >>> asked("ring_vs_fedavg", model="softmax", optimizer="adam").training.optimizer
    'adam'

    Raises ConfigurationError, as `Scenario` does, and where an algorithm would ignore what is given, because it has a
    topology or an optimizer of its own.
    """
    own = given_scenario(scenario)
    for name, given in {"topology": topology, "optimizer": optimizer}.items():
        ignoring = [one for one in own.algorithms if getattr(one, name) is not None]
        if given is not None and ignoring:
            raise ConfigurationError(
                f"{name}: {own.label_of(ignoring[0])!r} has one of its own, in whose place it would not be; change it "
                "in the scenario's algorithms"
            )
    changes: dict[str, Any] = {"model": model, "topology": topology}
    if data is not None:
        changes["data"] = data if isinstance(data, Mapping | Section) else {**_given(own.data), "source": data}
    training = {name: value for name, value in {"optimizer": optimizer, "loss": loss}.items() if value is not None}
    if training:
        changes["training"] = {**_given(own.training), **training}
    changes = {name: value for name, value in changes.items() if value is not None}
    return own.with_changes(**changes) if changes else own


def only(scenario: Scenario, label: str) -> Scenario:
    """The same scenario with one of its algorithms, by the name that it has among all of them."""
    if len(scenario.algorithms) == 1:
        return scenario
    section = scenario.section(label)
    return scenario.with_changes(algorithms=[section.model_copy(update={"label": label})])


def changed(scenario: Scenario, field: str, value: Any) -> Scenario:
    """The scenario with another value of a field, such as `rounds`, `training.batch_size` or `algorithms.0.mu`.

    >>> changed(Scenario(topology="ring"), "topology.arguments.n", 5).topology.arguments
    {'n': 5}
    """
    name, *path = field.split(".")
    return scenario.with_changes(**{name: _laid_over(getattr(scenario, name, None), path, value)})


def _laid_over(section: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    name, *rest = path
    if isinstance(section, list):
        if not name.isdecimal() or int(name) >= len(section):
            raise ConfigurationError(f"{name!r} is not a position from 0 to {len(section) - 1}")
        return [_laid_over(one, rest, value) if at == int(name) else one for at, one in enumerate(section)]
    own = _given(section) if isinstance(section, Section) else section if isinstance(section, Mapping) else {}
    return {**own, name: _laid_over(own.get(name, getattr(section, name, None)), rest, value)}


def _given(section: Section) -> dict[str, Any]:
    return {name: getattr(section, name) for name in section.model_fields_set}
