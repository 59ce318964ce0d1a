"""A scenario: everything that a run depends on, as one validated, printable value."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import networkx as nx
from pydantic import BeforeValidator, Field, ValidationError, field_serializer, field_validator, model_validator

from gossipfl.algorithms import Algorithm, Weighting
from gossipfl.errors import ConfigurationError
from gossipfl.scenario.algorithms import AlgorithmSection, AnyAlgorithmSection
from gossipfl.scenario.http import HTTPSection
from gossipfl.scenario.labels import labels_of
from gossipfl.scenario.privacy import PrivacySection
from gossipfl.scenario.product import product_of
from gossipfl.scenario.section import Count, Section, function_name
from gossipfl.scenario.sections import (
    AnyTopology,
    DataSection,
    EvaluationSection,
    OfKeras,
    TopologySection,
    TrainingSection,
)
from gossipfl.scenario.sharing import SharingSection
from gossipfl.scenario.stop import StopSection
from gossipfl.scenario.targets import Targets, targets_by_metric
from gossipfl.scenario.together import Case, refusal
from gossipfl.scenario.validation import described
from gossipfl.scenario.world import ComputeSection, NetworkSection
from gossipfl.training.models import MODELS, check_name


def _source_only(value: Any) -> Any:
    return value if isinstance(value, dict | DataSection) else {"source": value}


_EPOCHS = r"^[1-9][0-9]{0,6} epochs?$"


def _is_budget(value: Any) -> Any:
    if isinstance(value, str) and "epoch" in value and not re.match(_EPOCHS, value):
        raise ValueError(f'{value!r} is no budget: give a number of rounds, 20, or of passes over all, "10 epochs"')
    return value


BUILT_IN_OPTIMIZER: dict[str, Any] = {"name": "sgd", "learning_rate": 0.1}
"""The optimizer of built-in models, where the scenario names none."""


AGREED_FIELDS = ("name", "rounds", "weighting", "model", "training", "sharing")
"""All peers of a run over a network agree on these as they stand; on the rest in other words, or not."""


class Scenario(Section):
    """All that a run depends on: what is trained, by whom, on which data, over which network, with which algorithms.

    Raises ConfigurationError naming each wrong field, its value, what is allowed and the nearest spelling.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "scenario"
    """Names the directory of its runs."""
    description: str = ""
    """The question that the scenario answers."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """All randomness of a run comes from it, graph and split included. Of several (`--seeds`), each is the run of that
    seed alone; `topology.seed` and `data.seed` fix the graph and the split."""
    rounds: Annotated[Count | Annotated[str, Field(pattern=_EPOCHS)], BeforeValidator(_is_budget)] = 20
    """Rounds of local work per peer, in the mean: the budget that all algorithms share. Or `"10 epochs"`: as many as it
    takes to train on ten times as many examples as all peers have; with `training.steps`, they agree on that number."""
    weighting: Weighting = "uniform"
    """The goal: the mean of the peers' objectives, each counting the same or by its examples. Gossip that is not
    push-sum keeps the uniform mean only."""
    targets: Targets | None = None
    """Values of the first of `evaluation.metrics`, `[0.8, 0.9]`, or of several by their names,
    `{accuracy = [0.9], mae = [3.0]}`, of what is deployed (a server's model, or else the peers' own in the mean), for
    which a comparison says at what cost they were reached. `loss` may have targets, too. Absent: 0.8 and 0.9 where the
    first metric is a share that is better the higher it is, as accuracy is; none otherwise."""
    stop: StopSection | None = None
    """The end of a run before its rounds are over; absent: there is none."""
    model: Any = "mlp"
    """`softmax`, `mlp` or `cnn`, or `package.module:function` that returns a Keras model; in Python also a function, or
    a built model, with whose weights all peers begin, whatever the seed."""
    data: Annotated[DataSection, BeforeValidator(_source_only, json_schema_input_type=str | DataSection)] = (
        DataSection()
    )
    """The examples: where they come from, and who gets which; a plain string is its `source`."""
    training: TrainingSection = TrainingSection()
    """The local work of one round."""
    sharing: SharingSection = SharingSection()
    """The variables that peers average with each other, and those that they do not."""
    privacy: PrivacySection = PrivacySection()
    """Defences against what weights tell of the data that they were trained on; absent: there are none."""
    topology: AnyTopology = TopologySection(name="ring")
    """The graph of who may talk to whom; a plain string is its `name`, and in Python a graph of networkx is itself."""
    network: NetworkSection = NetworkSection()
    """Delays, rates and losses in virtual time."""
    compute: ComputeSection = ComputeSection()
    """The speed of the peers."""
    http: HTTPSection = HTTPSection()
    """Peers over HTTP."""
    evaluation: EvaluationSection = EvaluationSection()
    """The measurements, and how often they are made."""
    algorithms: Annotated[
        list[AnyAlgorithmSection],
        BeforeValidator(product_of, json_schema_input_type=list[str | AnyAlgorithmSection]),
        Field(min_length=1),
    ] = Field(default_factory=lambda: [{"name": "pairwise"}], validate_default=True)
    """The algorithms that are compared; a plain string is an algorithm's `name`. Lists for its `name`, its `topology`
    and for what else is chosen by name in an entry, such as a `schedule`, stand for their product."""

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ConfigurationError(described(error, type(self))) from None
        except RecursionError:
            raise ConfigurationError("the scenario has tables inside tables too deep to be read") from None

    @field_validator("model")
    @classmethod
    def _is_a_model(cls, model: Any) -> Any:
        if not (isinstance(model, str) or callable(model)):
            raise ConfigurationError(
                "a model is a name, a function without arguments that builds one, or a built Keras model, got "
                f"{type(model).__name__}"
            )
        if hasattr(model, "trainable_weights") and not isinstance(model, type):
            from gossipfl.training.keras.given_model import GivenModel

            return GivenModel(model)
        if isinstance(model, str):
            check_name(model)
        return model

    @field_serializer("model")
    def _model_by_name(self, model: Any) -> str:
        return str(function_name(model))

    @model_validator(mode="after")
    def _is_possible(self) -> "Scenario":
        labels = self.labels
        doubled = [label for label in labels if labels.count(label) > 1]
        if doubled:
            raise ConfigurationError(f"two algorithms are called {doubled[0]!r}; give one of them another label")
        if isinstance(self.targets, list) and self.evaluation.specs is not None:  # the others a trainer has to know
            targets_by_metric(self.targets, [spec.metric for spec in self.evaluation.specs])
        with _naming("topology"):
            common = self.graph()
            nodes = list(common)
        with _naming("network"):
            network = self.network.model()
        participants = dict.fromkeys(nodes)
        for number, (section, label) in enumerate(zip(self.algorithms, labels, strict=True)):
            with _naming(f"algorithms.{number}.topology"):
                graph = common if section.topology is None else self.graph(section)
            if list(graph) != nodes:
                raise ConfigurationError(
                    f"the topology of {label!r} has {len(graph)} peers ({_some(list(graph))}), that of the scenario "
                    f"{len(nodes)} ({_some(nodes)}); all must have the same peers"
                )
            with _naming(f"algorithms.{number}"):
                recipe = self.recipe(section, graph)
                own_network = recipe.network(graph)
                participants |= dict.fromkeys(own_network)
                why_not = refusal(Case(self, section, recipe, own_network))
                if why_not is not None:
                    raise ConfigurationError(f"{label!r}: {why_not}")
            if self.weighting not in recipe.weightings:
                raise ConfigurationError(
                    f"weighting {self.weighting!r} cannot be kept by {label!r}; "
                    "use weighting = 'uniform', or leave the algorithm out"
                )
            if self.sharing.local and recipe.sharing.optimizer_state == "average":
                raise ConfigurationError(
                    f"{label!r} averages the state of the optimizer, in which there is that of the variables of "
                    "sharing.local, which no message carries; use optimizer_state = 'keep' or 'reset'"
                )
            if recipe.patience is None and network.loses_messages:
                raise ConfigurationError(
                    f"{label!r} waits for ever for a message that was lost, and the network loses messages; give it a "
                    "patience (seconds), if it can have one"
                )
        named = self.network.named_peers() | set(self.compute.speeds) | set(self.http.revoked)
        unknown = sorted(named - set(participants))
        if unknown:
            raise ConfigurationError(
                f"network, compute or http.revoked names the participant {unknown[0]!r}; there are "
                f"{_some(list(participants))}"
            )
        return self

    @property
    def epochs(self) -> int | None:
        """The passes over all examples that are the budget; None: it is a number of rounds."""
        return int(self.rounds.split()[0]) if isinstance(self.rounds, str) else None

    @property
    def data_seed(self) -> int:
        """The seed of the split of the data."""
        return self.seed if self.data.seed is None else self.data.seed

    @property
    def peers_stop(self) -> bool:
        """True if the peers decide themselves when a run ends before its rounds are over."""
        return self.stop is not None and self.stop.by == "peers"

    @property
    def agrees(self) -> bool:
        """True if peers tell each other how good their models are."""
        return self.evaluation.agreed or self.peers_stop

    @property
    def labels(self) -> list[str]:
        """The names of the algorithms in tables, in their order."""
        return labels_of(self.algorithms, self.topology_label)

    def _topology(self, section: AlgorithmSection | None) -> TopologySection:
        return section.topology if section is not None and section.topology is not None else self.topology

    def graph(self, section: AlgorithmSection | None = None) -> nx.Graph:
        """The graph of the peers, for one of the algorithms or in general."""
        return self._topology(section).graph(self.seed)

    def topology_label(self, section: AlgorithmSection | None = None) -> str:
        """The name of that graph in tables; of different ones that would be called the same, with a number."""
        own = self._topology(section)
        alike = [self.topology] if self.topology.label == own.label else []
        for other in self.algorithms:
            if other.topology is not None and other.topology.label == own.label and other.topology not in alike:
                alike.append(other.topology)
        number = alike.index(own) + 1
        return own.label if number == 1 else f"{own.label} {number}"

    def recipe(self, section: AlgorithmSection, graph: nx.Graph) -> Algorithm:
        """The recipe of one of the algorithms, on its graph."""
        return section.recipe(self.training, self.weighting, graph, self.optimizer(section))

    def optimizer(self, section: AlgorithmSection | None = None) -> OfKeras:
        """The optimizer of local training, for one of the algorithms or in general; None: the one that the model is
        compiled with."""
        if section is not None and section.optimizer is not None:
            return section.optimizer
        is_built_in = isinstance(self.model, str) and self.model in MODELS
        return BUILT_IN_OPTIMIZER if is_built_in and self.training.optimizer is None else self.training.optimizer

    def section(self, algorithm: str | None = None) -> AlgorithmSection:
        """The algorithm of that label or name; None: the only one.

        Raises ConfigurationError when there is none, or more than one.
        """
        labels = self.labels
        if algorithm in labels:
            return self.algorithms[labels.index(algorithm)]
        found = [section for section in self.algorithms if algorithm in (None, section.name)]
        if len(found) != 1:
            named = "no algorithm was named" if algorithm is None else f"{algorithm!r} fits {len(found)} algorithms"
            raise ConfigurationError(
                f"{named}, and the scenario has {', '.join(labels)}; name one of them (command "
                f"line: --algorithm {shlex.quote(labels[0])})"
            )
        return found[0]

    def label_of(self, section: AlgorithmSection) -> str:
        """The name of one of the algorithms in tables."""
        return self.labels[next(i for i, other in enumerate(self.algorithms) if other is section)]

    def with_changes(self, **changes: Any) -> "Scenario":
        """The same scenario with other fields.

        >>> Scenario(rounds=5, algorithms=["pairwise", "fedavg"]).with_changes(rounds=7).rounds
        7
        """
        return Scenario(**{name: getattr(self, name) for name in self.model_fields_set} | changes)

    def with_seed(self, seed: int) -> "Scenario":
        """The same scenario with another seed. Raises ConfigurationError where it is not possible with it."""
        if seed == self.seed:
            return self
        try:
            return self.with_changes(seed=seed)
        except ConfigurationError as error:
            raise ConfigurationError(f"with seed {seed}: {error}") from error


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """Errors that come up inside name the field."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{field}: {error}") from error


def _some(peers: Sequence[str]) -> str:
    return ", ".join(peers[:6]) + (", ..." if len(peers) > 6 else "")
