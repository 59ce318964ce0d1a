"""The sections of a scenario on its algorithms, one per recipe: their fields are the recipe's, with its explanations.

So an algorithm that is added to `gossipfl.algorithms` can be named in a scenario, without a word about it here.
"""

import dataclasses
from collections.abc import Mapping, Set
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_type_hints

import networkx as nx
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict, create_model

from gossipfl.algorithms import ALGORITHMS, Algorithm, Weighting
from gossipfl.errors import ConfigurationError
from gossipfl.methods.server_optimizers import SERVER_OPTIMIZERS, ServerOptimizer
from gossipfl.names.visible_text import visible
from gossipfl.peers import Sharing
from gossipfl.peers.magnitudes import Bound
from gossipfl.scenario.section import Section, by_name
from gossipfl.scenario.sections import TopologySection, TrainingSection
from gossipfl.schedules import SCHEDULES, Schedule
from gossipfl.topology import SCHEMES, MixingScheme, checked_matrix

OptimizerConfig: TypeAlias = str | dict[str, Any] | None
"""A Keras optimizer, as a scenario gives it."""


_Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
_Bound: TypeAlias = Annotated[_Finite, Strict()] | Literal[False]  # strict: true is not 1.0


def _seen(label: str) -> str:
    if visible(label) != label:
        raise ValueError(f"the label holds characters that nobody sees: {visible(label)}; leave them out")
    return label


class ValueSection(Section):
    """A frozen value of the library, given by its name and its fields."""

    name: str

    def value(self, kinds: Mapping[str, type], graph: nx.Graph) -> Any:
        """The value; a mixing matrix is checked against the graph."""
        return kinds[self.name](**self.arguments(graph))

    def arguments(self, graph: nx.Graph) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in type(self).model_fields if name not in _NOT_THE_RECIPES}
        return {name: _value_of(name, value, graph) for name, value in given.items()}


class AlgorithmSection(ValueSection):
    """One algorithm of a scenario."""

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
    magnitude_bound: _Bound = 100.0
    """A vector of others whose root mean square exceeds so many times that of one's own (of 1, if that is larger) is
    not taken in: its sender counts as silent. false: whatever is finite is. Higher: models that differ more in size
    are averaged, at the expense of what one peer can do to the others."""

    @property
    def follows_links(self) -> bool:
        """Whether peers talk along the links of the topology; else the algorithm brings its own."""
        schedule = getattr(self, "schedule", None)
        followed = ALGORITHMS[self.name] if schedule is None else SCHEDULES[schedule.name]
        return bool(followed.follows_links)

    def recipe(
        self, training: TrainingSection, weighting: Weighting, graph: nx.Graph, optimizer: OptimizerConfig
    ) -> Algorithm:
        """The recipe, for the goal of the scenario, on its graph, and with the optimizer of local training."""
        given = self.arguments(graph)
        kind: Any = ALGORITHMS[self.name]
        fields = {field.name for field in dataclasses.fields(kind)}
        if "weighting" in fields:
            given["weighting"] = weighting
        if of_local_sgd := _OF_LOCAL_SGD & fields:
            given |= _of_local_sgd(self.name, of_local_sgd, optimizer)
        sharing = Sharing(self.optimizer_state, training.statistics, self.magnitude_bound)
        recipe: Algorithm = kind(**given, sharing=sharing)
        return recipe


_NOT_THE_RECIPES = frozenset({"name", *AlgorithmSection.model_fields})
_OF_LOCAL_SGD = frozenset({"local_learning_rate", "local_momentum", "local_decay"})
_NOT_GIVEN = frozenset({"sharing", "weighting"}) | _OF_LOCAL_SGD
"""Fields of recipes that come from elsewhere in the scenario."""


def _value_of(name: str, value: Any, graph: nx.Graph) -> Any:
    if isinstance(value, ValueSection):
        return value.value(SCHEDULES if name == "schedule" else SERVER_OPTIMIZERS, graph)
    return checked_matrix(graph, value) if name == "mixing" and not isinstance(value, str) else value


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


class _Made(ValueSection):
    # The fields of sections that are made have no docstrings, and looking for them takes a second.
    model_config = ConfigDict(use_attribute_docstrings=False)


class _MadeAlgorithm(AlgorithmSection):
    model_config = ConfigDict(use_attribute_docstrings=False)


def _section_of(name: str, kind: Any, base: type[ValueSection]) -> type[ValueSection]:
    """The section of a frozen dataclass: each field with its type, default and explanation."""
    hints = get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {"name": (Literal[name], Field(description="Chooses this one."))}
    for field in dataclasses.fields(kind):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if isinstance(default, Sharing):
            state = base.model_fields["optimizer_state"]
            own_state = Field(default.optimizer_state, description=state.description)
            fields["optimizer_state"] = (state.annotation, own_state)
        elif field.name not in _NOT_GIVEN:
            annotation, *notes = get_args(hints[field.name])
            fields[field.name] = (_type_of(annotation), Field(_by_value(default), description=" ".join(notes)))
    section: type[ValueSection] = create_model(
        f"{kind.__name__}Section", __base__=base, __doc__=kind.__doc__, __module__=__name__, **fields
    )
    globals()[section.__name__] = section  # where pickle looks for it, when a scenario goes to another process
    return section


def _type_of(annotation: Any) -> Any:
    if annotation in _SPECIAL:
        return _SPECIAL[annotation]
    return {float: _Finite, float | None: _Finite | None}.get(annotation, annotation)


def _by_value(default: Any) -> Any:
    """A default as a section would have it."""
    for kinds, sections in ((SCHEDULES, _SCHEDULES), (SERVER_OPTIMIZERS, _OPTIMIZERS)):
        for name, kind in kinds.items():
            if type(default) is kind:
                given = {field.name: getattr(default, field.name) for field in dataclasses.fields(kind)}
                return sections[name](name=name, **given)
    return ... if default is dataclasses.MISSING else default


def _one_of(sections: Mapping[str, type[ValueSection]]) -> Any:
    union: Any = Annotated[reduce(or_, sections.values()), Field(discriminator="name")]
    return Annotated[union, BeforeValidator(by_name, json_schema_input_type=str | union)]


_SCHEDULES: dict[str, type[ValueSection]] = {}
_OPTIMIZERS: dict[str, type[ValueSection]] = {}
_SPECIAL: dict[Any, Any] = {MixingScheme: Literal[SCHEMES] | list[list[float]], Bound: _Bound}
_SCHEDULES |= {name: _section_of(name, kind, _Made) for name, kind in SCHEDULES.items()}
_OPTIMIZERS |= {name: _section_of(name, kind, _Made) for name, kind in SERVER_OPTIMIZERS.items()}
_SPECIAL |= {Schedule: _one_of(_SCHEDULES), ServerOptimizer: _one_of(_OPTIMIZERS)}

_ALGORITHMS = {name: _section_of(name, kind, _MadeAlgorithm) for name, kind in ALGORITHMS.items()}

SECTIONS: Mapping[str, Mapping[str, type[ValueSection]]] = {
    "algorithms": _ALGORITHMS,
    "schedules": _SCHEDULES,
    "server_optimizers": _OPTIMIZERS,
}
"""The sections by the names that scenarios use."""

if TYPE_CHECKING:
    AnyAlgorithmSection: TypeAlias = AlgorithmSection
else:
    AnyAlgorithmSection = Annotated[reduce(or_, _ALGORITHMS.values()), Field(discriminator="name")]
    """The section of one algorithm; its `name` says which."""
