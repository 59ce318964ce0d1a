"""The sections of a scenario on data, local work, topology and evaluation."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import networkx as nx
from pydantic import BeforeValidator, Field, field_serializer, field_validator, model_validator

from gossipfl import topology
from gossipfl.data.deck import Partitioner
from gossipfl.data.partition import PARTITIONERS
from gossipfl.engines.places import On
from gossipfl.errors import ConfigurationError
from gossipfl.scenario.section import Count, Finite, NonNegative, Number, Positive, Section, by_name, function_name
from gossipfl.scenario.source_fields import SourceFields
from gossipfl.training.metrics import MetricSpec, metric_specs


def _partition(value: Any) -> Any:
    """A partition as its section takes it: a rule's name, `package.module:function` or the function itself, a table,
    or lists of examples, by peer or in the order of the peers."""
    if callable(value) or (isinstance(value, str) and ":" in value):
        return {"name": "function", "function": value}
    numbers = list(value.values()) if isinstance(value, Mapping) else value
    if isinstance(numbers, list | tuple) and numbers and not any(isinstance(n, str | int | float) for n in numbers):
        return {"name": "indices", "parts": value}
    return by_name(value)


def _plain_lists(parts: Any) -> Any:
    if isinstance(parts, Mapping):
        return {peer: _plain_lists(numbers) for peer, numbers in parts.items()}
    if isinstance(parts, list | tuple):
        return [_plain_lists(numbers) for numbers in parts]
    return parts.tolist() if hasattr(parts, "tolist") else parts


class PartitionSection(Section):
    """The way in which the training examples are dealt to the peers."""

    name: Literal["contiguous", "iid", "dirichlet", "shards", "labels", "quantity", "column", "indices", "function"] = (
        "iid"
    )
    """`contiguous` parts in file order, `iid`, `dirichlet` (label skew, alpha), `shards` (sorted by label, per_peer),
    `labels` (per_peer labels each), `quantity` (unequal sizes, alpha), `column` (natural split: by), `indices` (lists
    of examples: file) or `function` (of your own)."""
    alpha: Positive | None = None
    """dirichlet, quantity: concentration. Lower: more skew, at the expense of peers with hardly any data."""
    per_peer: Count | None = None
    """shards, labels: how many each peer holds. Lower: more label skew."""
    min_examples: Count | None = None
    """dirichlet: draw again until every peer holds at least so many examples; 10 in NIID-Bench."""
    balanced: bool | None = None
    """dirichlet: a peer that holds its share of all examples gets none of the classes that follow, as in NIID-Bench and
    RelaySGD, so that sizes differ less; absent: no."""
    by: Annotated[str, Field(min_length=1)] | None = None
    """column: the column of the data, such as a user or a region. Examples of one value stay together; where there are
    more values than peers, they are dealt so that sizes are even. Peers that are named as the values hold their own."""
    file: Annotated[str, Field(min_length=1)] | None = None
    """indices: a JSON file with the numbers of each peer's training examples, by its name, `{"a": [0, 2], "b": [1]}`,
    or as lists in the order of the peers."""
    parts: Annotated[dict[str, list[Number]] | list[list[Number]] | None, BeforeValidator(_plain_lists)] = None
    """indices: the same lists in place of a file; in Python also arrays."""
    function: Any = None
    """function: `package.module:function`, called with the training examples, the names of the peers and a generator;
    it gives such lists. In Python also the function itself."""

    @model_validator(mode="after")
    def _fits_its_rule(self) -> "PartitionSection":
        self.partitioner()
        return self

    @field_validator("function")
    @classmethod
    def _is_a_function(cls, function: Any) -> Any:
        if not (function is None or callable(function) or isinstance(function, str)):
            raise ConfigurationError(f"expected package.module:function or a function, got {type(function).__name__}")
        return function

    @field_serializer("function")
    def _function_by_name(self, function: Any) -> str | None:
        return function_name(function)

    def partitioner(self) -> Partitioner:
        """The rule. Raises ConfigurationError when it lacks an argument or does not know one."""
        rule = PARTITIONERS[self.name]
        parameters = {parameter.name: parameter for parameter in dataclasses.fields(rule)}
        given = self._given
        unknown = [name for name in given if name not in parameters]
        if unknown:
            takes = ", ".join(parameters) or "no parameters"
            raise ConfigurationError(f"partition {self.name!r} does not take {unknown[0]}; it takes {takes}")
        missing = [name for name in parameters if name not in given and parameters[name].default is dataclasses.MISSING]
        if missing:
            raise ConfigurationError(f"partition {self.name!r} needs {missing[0]}")
        partitioner: Partitioner = rule(**given)
        return partitioner

    @property
    def _given(self) -> dict[str, Any]:
        return {name: value for name, value in self if name != "name" and value is not None}

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments that are given, as a manifest shows them: lists of examples are left out."""
        return {
            name: function_name(value) if name == "function" else value
            for name, value in self._given.items()
            if name != "parts"
        }


class SkewSection(Section):
    """Feature skew: every peer sees its examples in a way of its own, in training and in its share of held-out data."""

    rotations: list[Finite] = []
    """Degrees, counterclockwise, by which square images are turned, dealt to the peers at random, each to equally many:
    [0, 90, 180, 270]. Quarter turns are exact, other angles interpolate. A single input only."""
    noise: list[NonNegative] = []
    """Standard deviations of Gaussian noise that is added to the input, dealt in the same way; pixels are in [0, 1].
    Images of bytes take four times the memory with it."""

    @model_validator(mode="after")
    def _changes_something(self) -> "SkewSection":
        if not (self.rotations or self.noise):
            raise ConfigurationError("give rotations or noise, for example rotations = [0, 90, 180, 270]")
        return self


class DataSection(SourceFields):
    """The source of the examples, and who gets which of them."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the data, as `gossipfl data show --json` says it; other data are refused. With it, peers that bring
    examples of their own (`--shard`) take part in a run with peers that share these."""
    classes: Annotated[int, Field(ge=2, le=10**6)] | Annotated[list[str], Field(min_length=2)] | None = None
    """The number of the classes, or their names in the order of their numbers; absent: those that the labels show. A
    host that holds some only (`--shard`) takes part when all say the same."""
    partition: Annotated[
        PartitionSection, BeforeValidator(_partition, json_schema_input_type=str | PartitionSection)
    ] = PartitionSection()
    """The split of the examples among peers; a plain string is its `name`, or `package.module:function`. In Python also
    a function, or lists of example numbers, as a mapping by peer or in the order of the peers."""
    normalize: Literal["federated"] | None = None
    """"federated": the peers agree on mean and variance of every feature over the training examples of all, and the
    `keras.layers.Normalization` behind an input of the model has them as constants, the same bits everywhere; a
    built-in model gets such a layer, for images by channels. A feature that is the same in all examples is only
    centred. Alike at all peers, at the expense of what a neighbor learns of one's sums. Absent: a model gets the
    examples as they are."""
    skew: SkewSection | None = None
    """The ways in which peers see their examples; with it a second copy of the inputs is in memory."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """It decides who gets which examples, in what skew, and which are held out or left out; absent: the run's, so that
    each seed of a table has its own. Given: all have the same, and their spread is smaller than that of other data."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share that is held out where the source has no test set of its own."""
    validation: Annotated[float, Field(gt=0, lt=1)] | Literal["source"] | None = None
    """Share of the training examples that is held out before they are dealt, of each class alike, or "source": the
    validation part that the source has. Whatever is seen and decided while a run goes on, targets, winners and early
    stopping, is then by it, and the test part is measured once, at the end: `test_accuracy`. Absent: there is none, and
    all of it is by the test part."""
    max_train: Count | None = None
    """Use only so many training examples, drawn once."""
    max_test: Count | None = None
    """Use only so many held-out examples. Lower: faster evaluation, at the expense of its precision."""

    @field_validator("classes")
    @classmethod
    def _are_different(cls, classes: int | list[str] | None) -> int | list[str] | None:
        doubled = [] if not isinstance(classes, list) else [name for name in classes if classes.count(name) > 1]
        if doubled:
            raise ConfigurationError(f"two classes are called {doubled[0]!r}")
        return classes


def _of_keras(value: Any) -> Any:
    if not hasattr(value, "get_config"):
        return value
    from gossipfl.training.keras.written import written

    return written(value)


OfKeras: TypeAlias = Annotated[str | dict[str, Any] | None, BeforeValidator(_of_keras)]
"""An optimizer or a loss of Keras: its name, a table of that and of arguments, or itself; None: the usual one."""


class TrainingSection(Section):
    """The local work of one round, the same for all algorithms of a comparison."""

    epochs: Count | None = None
    """Passes over the own shard per round (1 when `steps` is absent too). More: less communication per unit of work,
    at the expense of drift between peers."""
    steps: Count | None = None
    """Optimizer steps per round, instead of epochs."""
    batch_size: Count = 32
    """Examples per optimizer step. Higher: faster rounds, at the expense of fewer steps per epoch."""
    shuffle: bool = True
    """True if each epoch has its own order, drawn from (seed, peer, epoch)."""
    optimizer: OfKeras = None
    """A Keras optimizer, `{name = "sgd", learning_rate = 0.1}`, in Python also the optimizer itself; absent: the one
    that the model is compiled with, or SGD with learning rate 0.1 for a built-in model."""
    loss: OfKeras = None
    """A Keras loss, in Python also the loss itself; absent: the compiled model's, or one for the targets: cross-entropy
    for classes and labels, the mean squared error for quantities."""
    class_weight: Literal["balanced"] | dict[str | int, NonNegative] | None = None
    """The examples of a class count so much in training, `{0 = 1.0, 7 = 20.0}` by numbers or names of classes; others
    count 1. "balanced": those of class c count n / (k n_c), of n training examples of all peers in k classes, n_c in
    this one, on which the peers agree. Higher for rare classes: they are found more often, at the expense of false
    alarms."""
    statistics: Literal["average", "local", "pooled"] = "average"
    """The variables that training changes without a gradient (BatchNorm means and variances, counters of layers) are
    averaged with the weights, or stay at the peer; of the average of integers, a model has the nearest ones. The
    average model of every algorithm has the peers' mean of them, also where a server, to which they do not go, keeps
    the weights. "pooled" averages means and mean squares in place of means and variances, so that a variance is that of
    all inputs together, where the mean of variances leaves out how far the peers' means lie apart."""
    evaluation_batch_size: Count = 500
    """Examples per step of an evaluation. Higher: faster, at the expense of memory."""

    @model_validator(mode="after")
    def _epochs_or_steps(self) -> "TrainingSection":
        if self.epochs is not None and self.steps is not None:
            raise ConfigurationError(f"give either epochs ({self.epochs}) or steps ({self.steps}), not both")
        return self

    def steps_per_round(self, steps_per_epoch: int) -> int:
        return self.steps if self.steps is not None else (self.epochs or 1) * steps_per_epoch


_GOES_WITH = {
    "arguments": ("name", "generator"),
    "seed": ("name", "generator"),
    "format": ("file",),
    "links": ("peers",),
    "directed": ("generator", "peers"),
    "taken_for": ("peers",),
}
"""The fields of a topology that would be ignored with another kind."""


class TopologySection(Section):
    """The graph of who may talk to whom: one of `name`, `generator`, `file`, or `peers` with `links`."""

    name: str | None = None
    """A topology that comes with gossipfl (`gossipfl topology list`), or a path to such a file."""
    generator: str | None = None
    """Any networkx generator, with `arguments`."""
    arguments: dict[str, Any] = {}
    """The arguments of the generator; with `name`, they are laid over those of the file."""
    seed: int | None = None
    """The seed of random generators; absent: that of the named topology, or else the run's, so that each seed of a
    table has a graph of its own."""
    file: str | None = None
    """GraphML, edge list, adjacency list or node-link JSON; `gossipfl topology show FILE` says what it is taken for."""
    format: Literal["graphml", "edgelist", "adjlist", "node_link"] | None = None
    """The format of the file, when its suffix and its lines do not say it."""
    peers: list[str] | dict[str, dict[str, Any]] | None = None
    """Explicit peers: names, or a table each with an `address`."""
    links: list[tuple[str, str]] = []
    """Pairs of explicit peers that may talk to each other."""
    directed: bool = False
    """True if links go one way, from the first peer to the second; only push-sum algorithms take such a graph. Of a
    named topology or a file, the file says it."""
    taken_for: str | None = None
    """The origin of explicit peers and links, in words, and what of it is not used."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> "TopologySection":
        kinds = ("name", "generator", "file", "peers")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ConfigurationError(f"a topology needs exactly one of {', '.join(kinds)}, got {given or 'none'}")
        for field, right_kinds in _GOES_WITH.items():
            value = getattr(self, field)
            if value is not False and value not in (None, {}, []) and given[0] not in right_kinds:
                raise ConfigurationError(f"{field} of a topology needs {' or '.join(right_kinds)}, not {given[0]}")
        return self

    @property
    def label(self) -> str:
        """The name of it in tables and charts."""
        return Path(self.name or self.file or self.generator or "peers").stem

    def graph(self, seed: int) -> nx.Graph:
        """The graph; `seed` is for a random generator without a seed of its own. Raises TopologyError."""
        if self.name is not None:
            return topology.named(self.name, self.arguments or None, self.seed)
        if self.generator is not None:
            seed = seed % 2**32 if self.seed is None else self.seed
            return topology.from_generator(self.generator, self.arguments, seed, directed=self.directed)
        if self.file is not None:
            return topology.from_file(Path(self.file), self.format)
        assert self.peers is not None
        graph = topology.from_links(self.peers, self.links, directed=self.directed)
        if self.taken_for is not None:
            graph.graph["taken_for"] = self.taken_for
        return graph


def _topology(value: Any) -> Any:
    return topology.written_out(value)._asdict() if isinstance(value, nx.Graph) else by_name(value)


AnyTopology: TypeAlias = Annotated[
    TopologySection, BeforeValidator(_topology, json_schema_input_type=str | TopologySection)
]
"""A topology; a plain string is its name, and a graph of networkx is itself."""


class EvaluationSection(Section):
    """The measurements on held-out data, and when they are made."""

    on: On = "global"
    """The held-out examples on which a peer's model is measured: `global`, all of them; `own`, its own share, which is
    dealt as its training examples are; `both`, where metrics on the own share are called `own_accuracy` and so on. The
    average model, and that of a server, is then measured on each peer's share, in the mean over peers."""
    every: Count = 1
    """Rounds of local work per peer, in the mean, between evaluations."""
    peers: Literal["all"] | Count = 20
    """A seeded sample of so many peers, or "all" of them; the average model always is. More: a truer spread, at the
    expense of one pass over the held-out data for each."""
    metrics: Annotated[list[str | dict[str, Any]], Field(min_length=1)] | None = None
    """The metrics of models, beside their loss, by the names that Keras has for them, or tables of a `name` and the
    arguments of its class: `["accuracy", {name = "auc", num_thresholds = 500}]`. Further fields of a table are `as`,
    the name that is shown; `output`, of a model with several; and for a metric of your own
    (`name = "package.module:Class"`), or one that the model is compiled with, `higher_is_better` and `unit` (`share` or
    `number`). Absent: those that the model is compiled with, or else accuracy for a classification."""

    agreed: bool = False
    """True if peers tell each other, on board of the messages that they send anyway, how good their models are on
    held-out data, so that each knows the mean over all peers, the worst and the deciles, a few rounds later. A peer's
    score takes a pass over what it is measured on, and a message 8 bytes for each number of each peer, metrics + 2 of
    them, or more where scores of several rounds are on their way."""
    recalibrate: Count | None = None
    """Before the average model is measured or kept, the moving means and variances of its BatchNorm layers are
    estimated anew: by forward passes, weights unchanged, over the batches of so many first steps of each evaluated
    peer. More: a better estimate, at the expense of as many passes for each at every evaluation. Absent: they are the
    peers' mean. Not between processes, where nobody has the examples of all."""

    @field_validator("metrics")
    @classmethod
    def _are_known(cls, metrics: list[str | dict[str, Any]] | None) -> list[str | dict[str, Any]] | None:
        metric_specs(metrics or [])
        return metrics

    @property
    def specs(self) -> tuple[MetricSpec, ...] | None:
        """The metrics that are named; None: those that the model is compiled with."""
        return None if self.metrics is None else metric_specs(self.metrics)
