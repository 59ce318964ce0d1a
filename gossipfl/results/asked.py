"""The scenario that a call from Python asks for: a name, a file or a value, with what is handed over laid over it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gossipfl.scenario import Scenario, load_scenario
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

    Raises ConfigurationError, as `Scenario` does.
    """
    own = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
    changes: dict[str, Any] = {"model": model, "topology": topology}
    if data is not None:
        changes["data"] = data if isinstance(data, Mapping | Section) else {**_given(own.data), "source": data}
    training = {name: value for name, value in {"optimizer": optimizer, "loss": loss}.items() if value is not None}
    if training:
        changes["training"] = {**_given(own.training), **training}
    given = {name: value for name, value in changes.items() if value is not None}
    return own.with_changes(**given) if given else own


def only(scenario: Scenario, label: str) -> Scenario:
    """The same scenario with one of its algorithms, by the name that it has among all of them."""
    if len(scenario.algorithms) == 1:
        return scenario
    section = scenario.section(label)
    return scenario.with_changes(algorithms=[section.model_copy(update={"label": label})])


def _given(section: Section) -> dict[str, Any]:
    return {name: getattr(section, name) for name in section.model_fields_set}
