"""The sections of a scenario on its algorithms, one per recipe: their fields are the recipe's, with its explanations.

So an algorithm that is added to `gossipfl.algorithms` can be named in a scenario, without a word about it here.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import networkx as nx
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from gossipfl.algorithms import ALGORITHMS, Algorithm, LocalSGD, Weighting
from gossipfl.algorithms.local_sgd import not_plain_sgd
from gossipfl.names.visible_text import visible
from gossipfl.peers import Sharing
from gossipfl.scenario.kinds import Kind
from gossipfl.scenario.section import by_name, name_of
from gossipfl.scenario.sections import AnyTopology, OfKeras, TrainingSection
from gossipfl.scenario.values import VALUE_SECTIONS, BoundField, ValueSection, section_of


def _seen(label: str) -> str:
    if visible(label) != label:
        raise ValueError(f"the label holds characters that nobody sees: {visible(label)}; leave them out")
    return label


class AlgorithmSection(ValueSection):
    """One algorithm of a scenario."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    label: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_seen)] | None = None
    """The name in tables and charts; absent: that of the algorithm, with what tells it from others of that name."""
    topology: AnyTopology | None = None
    """The algorithm's own topology; absent: the scenario's."""
    optimizer: OfKeras = None
    """The algorithm's own Keras optimizer for local training; absent: the scenario's."""
    optimizer_state: Literal["keep", "average", "reset"] = "keep"
    """Between rounds a peer keeps momentum and the like, averages it with the weights, or starts afresh ("reset"), with
    the counters that go with it; a schedule of the learning rate goes on in any case."""
    magnitude_bound: BoundField = 100.0
    """A vector of others whose root mean square exceeds so many times that of one's own (of 1, if that is larger) is
    not taken in: its sender counts as silent. false: whatever is finite is. Higher: models that differ more in size
    are averaged, at the expense of what one peer can do to the others."""

    @model_validator(mode="before")
    @classmethod
    def _says_why_it_has_no_such_field(cls, given: Any) -> Any:
        for field, reason in cls.makes.takes_no.items():
            if isinstance(given, Mapping) and field in given:
                raise ValueError(f"{name_of(cls)!r} takes no {field}: {reason}; leave it out")
        return given

    @property
    def follows_links(self) -> bool:
        """True if peers talk along the links of the topology; else the algorithm brings its own."""
        schedule = getattr(self, "schedule", None)
        return bool((self if schedule is None else schedule).makes.follows_links)

    def recipe(self, training: TrainingSection, weighting: Weighting, graph: nx.Graph, optimizer: OfKeras) -> Algorithm:
        """The recipe, for the goal of the scenario, on its graph, and with the optimizer of local training."""
        given = self.arguments(graph)
        for name, annotation in get_type_hints(self.makes).items():
            if annotation == Sharing:
                given[name] = Sharing(self.optimizer_state, training.statistics, self.magnitude_bound)
            elif annotation == Weighting:
                given[name] = weighting
            elif annotation == LocalSGD:
                given[name] = _local_sgd(self.name, self.makes.calculates_with, optimizer)
        recipe: Algorithm = self.makes(**given)
        return recipe


_PLAIN = {"name", "learning_rate", "momentum", "weight_decay"}
_ELSEWHERE = (Sharing, Weighting, LocalSGD)
"""The types of the fields of recipes that come from elsewhere in the scenario."""


def _local_sgd(algorithm: str, calculates_with: Collection[str], optimizer: OfKeras) -> LocalSGD:
    """The plain local SGD that a Keras optimizer is."""
    config = by_name(optimizer) if optimizer is not None else {}
    rate, momentum = config.get("learning_rate", 0.01), config.get("momentum", 0.0)  # as Keras has them
    weight_decay = config.get("weight_decay") or 0.0
    is_plain = str(config.get("name")).lower() == "sgd" and set(config) <= _PLAIN
    needed = [momentum, weight_decay, rate] if weight_decay else [momentum]  # a learning rate may be a schedule
    if not is_plain or not all(isinstance(number, int | float) for number in needed):
        raise not_plain_sgd(algorithm, calculates_with, optimizer)
    is_number = isinstance(rate, int | float)
    return LocalSGD(float(rate) if is_number else None, float(momentum), float(weight_decay and weight_decay * rate))


class _Made(AlgorithmSection):
    model_config = ConfigDict(use_attribute_docstrings=False)


def _section_of(name: str, kind: Any) -> type[ValueSection]:
    state = AlgorithmSection.model_fields["optimizer_state"]
    default = kind.__dataclass_fields__["sharing"].default_factory()
    own_state = (state.annotation, Field(default.optimizer_state, description=state.description))
    return section_of(name, kind, _Made, elsewhere=_ELSEWHERE, others={"optimizer_state": own_state})


_ALGORITHMS = {name: _section_of(name, kind) for name, kind in ALGORITHMS.items()}

SECTIONS: Mapping[str, Mapping[str, type[ValueSection]]] = {"algorithms": _ALGORITHMS, **VALUE_SECTIONS}
"""All that is chosen by name, by kind: the sections by the names that scenarios use."""


def takers(kind: Kind) -> Iterator[tuple[str, str, bool]]:
    """The algorithms that take members of a kind: their names, in which field, and whether it is a list of them."""
    for name, makes in ALGORITHMS.items():
        for field, annotation in get_type_hints(makes).items():
            is_list = get_origin(annotation) is tuple
            if kind.type == (get_args(annotation)[0] if is_list else annotation):
                yield name, field, is_list


if TYPE_CHECKING:
    AnyAlgorithmSection: TypeAlias = AlgorithmSection
else:
    AnyAlgorithmSection = Annotated[reduce(or_, _ALGORITHMS.values()), Field(discriminator="name")]
    """The section of one algorithm; its `name` says which."""
