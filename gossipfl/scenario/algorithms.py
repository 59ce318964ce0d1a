"""The sections of a scenario on its algorithms, one per recipe: their fields are the recipe's, with its explanations.

So an algorithm that is added to `gossipfl.algorithms` can be named in a scenario, without a word about it here.
"""

import dataclasses
from collections.abc import Mapping, Set
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import networkx as nx
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from gossipfl.algorithms import ALGORITHMS, Algorithm, Weighting
from gossipfl.errors import ConfigurationError
from gossipfl.names.visible_text import visible
from gossipfl.peers import Sharing
from gossipfl.scenario.section import by_name
from gossipfl.scenario.sections import TopologySection, TrainingSection
from gossipfl.scenario.values import VALUE_SECTIONS, BoundField, ValueSection, section_of

OptimizerConfig: TypeAlias = str | dict[str, Any] | None
"""A Keras optimizer, as a scenario gives it."""


def _seen(label: str) -> str:
    if visible(label) != label:
        raise ValueError(f"the label holds characters that nobody sees: {visible(label)}; leave them out")
    return label


class AlgorithmSection(ValueSection):
    """One algorithm of a scenario."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    label: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_seen)] | None = None
    """What tables and charts call it; absent: its name, with what tells it from others of that name."""
    topology: (
        Annotated[TopologySection, BeforeValidator(by_name, json_schema_input_type=str | TopologySection)] | None
    ) = None
    """Its own topology; absent: the scenario's."""
    optimizer: str | dict[str, Any] | None = None
    """Its own Keras optimizer for local training; absent: the scenario's."""
    optimizer_state: Literal["keep", "average", "reset"] = "keep"
    """Whether a peer keeps momentum and the like between rounds, averages it with the weights, or starts afresh, with
    the counters that go with it; a schedule of the learning rate goes on in any case."""
    magnitude_bound: BoundField = 100.0
    """A vector of others whose root mean square exceeds so many times that of one's own (of 1, if that is larger) is
    not taken in: its sender counts as silent. false: whatever is finite is. Higher: models that differ more in size
    are averaged, at the expense of what one peer can do to the others."""

    @property
    def follows_links(self) -> bool:
        """Whether peers talk along the links of the topology; else the algorithm brings its own."""
        schedule = getattr(self, "schedule", None)
        return bool((self if schedule is None else schedule).makes.follows_links)

    def recipe(
        self, training: TrainingSection, weighting: Weighting, graph: nx.Graph, optimizer: OptimizerConfig
    ) -> Algorithm:
        """The recipe, for the goal of the scenario, on its graph, and with the optimizer of local training."""
        given = self.arguments(graph)
        fields = {field.name for field in dataclasses.fields(self.makes)}
        if "weighting" in fields:
            given["weighting"] = weighting
        if of_local_sgd := _OF_LOCAL_SGD & fields:
            given |= _of_local_sgd(self.name, of_local_sgd, optimizer)
        sharing = Sharing(self.optimizer_state, training.statistics, self.magnitude_bound)
        recipe: Algorithm = self.makes(**given, sharing=sharing)
        return recipe


_OF_LOCAL_SGD = frozenset({"local_learning_rate", "local_momentum", "local_decay"})
_NOT_GIVEN = frozenset({"sharing", "weighting"}) | _OF_LOCAL_SGD
"""Fields of recipes that come from elsewhere in the scenario."""


def _of_local_sgd(algorithm: str, names: Set[str], optimizer: OptimizerConfig) -> dict[str, float]:
    """What this algorithm calculates with of plain local SGD: learning rate, momentum, or the share of the weights that
    decays in a step, which is learning rate times weight decay."""
    config = by_name(optimizer) if optimizer is not None else {}
    given = {"learning_rate": 0.01, "momentum": 0.0, **config}  # the others as Keras has them
    given["decay"] = given.pop("weight_decay", None) or 0.0
    unfit = set(config) - {"name", "learning_rate", "momentum"}
    if "local_decay" in names:
        unfit.discard("weight_decay")
    if "local_learning_rate" in names and config.get("momentum"):
        unfit.add("momentum")  # its steps are longer than the learning rate says
    needed = {name.removeprefix("local_") for name in names} | ({"learning_rate"} if given["decay"] else set())
    is_number = all(isinstance(given[name], int | float) for name in needed)
    if str(config.get("name", "")).lower() != "sgd" or unfit or not is_number:
        what = " and ".join(name.removeprefix("local_").replace("_", " ") for name in sorted(names, reverse=True))
        momentum = ", momentum = 0.9" if "local_momentum" in names else ""
        raise ConfigurationError(
            f"{algorithm!r} calculates with the {what} of plain local SGD, got the "
            f'optimizer {optimizer!r}; give it one, such as optimizer = {{name = "sgd", learning_rate = 0.1{momentum}}}'
        )
    if given["decay"]:
        given["decay"] *= given["learning_rate"]
    return {name: float(given[name.removeprefix("local_")]) for name in names}


class _Made(AlgorithmSection):
    model_config = ConfigDict(use_attribute_docstrings=False)


def _section_of(name: str, kind: Any) -> type[ValueSection]:
    state = AlgorithmSection.model_fields["optimizer_state"]
    default = kind.__dataclass_fields__["sharing"].default_factory()
    own_state = (state.annotation, Field(default.optimizer_state, description=state.description))
    return section_of(name, kind, _Made, elsewhere=_NOT_GIVEN, others={"optimizer_state": own_state})


_ALGORITHMS = {name: _section_of(name, kind) for name, kind in ALGORITHMS.items()}

SECTIONS: Mapping[str, Mapping[str, type[ValueSection]]] = {"algorithms": _ALGORITHMS, **VALUE_SECTIONS}
"""All that is chosen by name, by kind: the sections by the names that scenarios use."""

if TYPE_CHECKING:
    AnyAlgorithmSection: TypeAlias = AlgorithmSection
else:
    AnyAlgorithmSection = Annotated[reduce(or_, _ALGORITHMS.values()), Field(discriminator="name")]
    """The section of one algorithm; its `name` says which."""
