"""A model's own `train_step` and `test_step` run as they stand on each batch, in the graphs that train and score peers.

They apply optimizers themselves, and say themselves how good the model is. What they return is taken as `fit` takes it:
the result of a metric of the model runs on from batch to batch, and after the last one is that of the whole job, or of
all held-out data. Any other number, of which `fit` shows that of the last batch, counts with the examples of its batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean
from gossipfl.scores import LOSS, Metric
from gossipfl.training.keras.batch import Batch
from gossipfl.training.keras.metrics import ModelMetrics, declaration, shortest
from gossipfl.training.keras.named import first_line, overrides
from gossipfl.training.keras.state import captured_by, optimizers_in, optimizers_of, written_by
from gossipfl.training.metrics import MetricSpec

Counting: TypeAlias = "ModelMetrics | OwnStep"
"""It counts how good a model is, in training or in an evaluation."""

StepName: TypeAlias = Literal["train_step", "test_step"]

_RANDOM = ("Random", "Multinomial", "TruncatedNormal", "ParameterizedTruncatedNormal")
"""The beginnings of the names of operations that draw from the state of the process."""


def own_steps(model: keras.Model) -> tuple[StepName, ...]:
    """The steps that a model has of its own. Raises ConfigurationError for a loop around them of its own."""
    for loop in ("make_train_function", "make_test_function"):
        if overrides(model, loop):
            raise ConfigurationError(
                f"model {model.name!r} overrides {loop}, which would be bypassed, because steps are run in a loop of "
                "many peers; override train_step or test_step instead"
            )
    names: tuple[StepName, ...] = ("train_step", "test_step")
    return tuple(name for name in names if overrides(model, name))


class OwnStep:
    """A step of a model's own, in the place of metrics of its training, or of its evaluation.

    `batch` has two examples, without an output: on these it is traced, so that its optimizers build what they
    have, and never run. Raises ConfigurationError when it cannot be run for many peers, with the reason.
    """

    is_additive = False
    variables: Sequence[keras.Variable] = ()

    def __init__(
        self, model: keras.Model, name: StepName, batch: Batch, specs: Sequence[MetricSpec] | None = None
    ) -> None:
        self._model = model
        self._run: Callable[[Any], Any] = getattr(model, name)
        self._where = f"the {name} of model {model.name!r}"
        if hasattr(self._run, "get_concrete_function"):
            raise ConfigurationError(
                f"{self._where} is decorated with tf.function; leave that out: it is run in a graph"
            )
        graph = self._traced(_packed(batch.x, batch.y, batch.weight))
        captured, self.written = captured_by(graph), written_by(graph)
        self.optimizers = [one for one in _optimizers(model) if _are_among(captured, one.variables)]
        self._refuse(graph)
        states = {id(variable.value.handle) for metric in model.metrics for variable in metric.variables}
        logs = graph.structured_outputs
        self._is_running = np.array([not states.isdisjoint(_sources(graph, logs[name])) for name in self._names])
        if name == "test_step" and LOSS.name not in self._names:
            raise ConfigurationError(
                f"{self._where} returns {', '.join(self._names) or 'nothing'}, and no 'loss', by which models are "
                "compared; let it return one"
            )
        self._chosen = self._choose(specs)
        self.metrics = tuple(self._chosen)
        self.of_job = self.of_batches = tf.float64, [len(self._names)]

    def start(self) -> list[tf.Tensor]:
        """Begin a job, or the evaluation of a model."""
        self._model.reset_metrics()
        return [tf.zeros([len(self._names)], tf.float64)]

    def results(self, x: Any, y: Any, weight: Any, num_examples: tf.Tensor) -> tf.Tensor:
        """Run the step on a batch, and give its results [names], those that do not run on times its examples."""
        logs = dict(_flat(self._run(_packed(x, y, weight))))
        row = tf.stack([tf.cast(tf.reshape(logs[name], []), tf.float64) for name in self._names])
        return tf.where(self._is_running, row, row * tf.cast(num_examples, tf.float64))

    def add(self, carried: list[tf.Tensor], results: tf.Tensor) -> list[tf.Tensor]:
        """Count the results of a batch in."""
        return [tf.where(self._is_running, results, carried[0] + results)]

    def end(self, carried: list[tf.Tensor]) -> tf.Tensor:
        """The results of a job [names]."""
        return carried[0]

    def model_state(self, results: NDArray[Any]) -> NDArray[Any]:
        """The results [names] of a model, of those [batches, names] of all batches."""
        state: NDArray[Any] = np.where(self._is_running, results[-1], results.sum(axis=0))
        return state

    def values(self, results: NDArray[Any], num_examples: int) -> dict[str, float]:
        """The results by name, `loss` among them if the step returns one."""
        means = np.where(self._is_running, results, results / num_examples)
        by_name = {name: shortest(np.float32(mean)) for name, mean in zip(self._names, means, strict=True)}
        loss = {LOSS.name: by_name[LOSS.name]} if LOSS.name in by_name else {}
        return loss | {metric.name: by_name[name] for metric, name in self._chosen.items()}

    def _traced(self, data: Any) -> Any:
        def step() -> dict[str, Any]:
            return dict(_flat(self._run(data)))

        try:
            concrete = tf.function(step, autograph=False).get_concrete_function()
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
            tf.errors.OpError,
        ) as error:
            raise ConfigurationError(
                f"{self._where} fails on a batch of the data: {type(error).__name__}: {first_line(error)}"
            ) from error
        logs = concrete.structured_outputs
        self._names = tuple(logs)
        for name, value in logs.items():
            if value.shape.num_elements() != 1:
                raise ConfigurationError(f"{self._where} returns {name!r} of shape {value.shape}, expected a number")
        return concrete.graph

    def _refuse(self, graph: Any) -> None:
        """Raise ConfigurationError for what would depend on which peers are trained together."""
        nodes = graph.as_graph_def()
        for node in (*nodes.node, *(node for function in nodes.library.function for node in function.node_def)):
            if node.op.startswith(_RANDOM):
                raise ConfigurationError(
                    f"{self._where} draws random numbers from TensorFlow itself ({node.op}), so they would depend on "
                    "who is trained before; draw them with keras.random and seed=keras.random.SeedGenerator(...), kept "
                    "as an attribute of the model"
                )
        for optimizer in self.optimizers:
            for part in optimizers_of(optimizer):
                if isinstance(part._learning_rate, keras.Variable) and _are_among(self.written, [part._learning_rate]):
                    raise ConfigurationError(
                        f"{self._where} sets the learning rate of {part.name!r}, which is no state of a peer; give it "
                        "a schedule of keras.optimizers.schedules"
                    )
                follows = isinstance(part._learning_rate, keras.optimizers.schedules.LearningRateSchedule)
                if follows and _num_writes(graph, part._iterations) != 1:
                    raise ConfigurationError(
                        f"{self._where} does not apply {part.name!r} once and no more, but its learning rate follows a "
                        "schedule, and schedules follow the steps of a peer; give it a constant learning rate"
                    )

    def _choose(self, specs: Sequence[MetricSpec] | None) -> dict[Metric, str]:
        """The metrics that are shown: those that a run names, or all that the step returns."""
        names = [name for name in self._names if name != LOSS.name]
        if specs is None:
            return {declaration(self._model, name): name for name in names}
        for spec in specs:
            if spec.keras_name not in names or spec.arguments:
                raise ConfigurationError(
                    f"the metric {spec.keras_name!r} is none of those that {self._where} returns, "
                    f"{', '.join(names) or 'none'}.{did_you_mean(spec.keras_name, names)} A model with a test_step of "
                    "its own is measured by what that returns"
                )
        return {spec.metric: spec.keras_name for spec in specs}


def _packed(x: Any, y: Any, weight: Any) -> Any:
    """A batch as `fit` hands it to a step."""
    return keras.utils.pack_x_y_sample_weight(x, y, weight)


def _flat(logs: Any) -> Iterator[tuple[str, tf.Tensor]]:
    """Numbers by name, as `fit` shows them: those of a dictionary within have their own names."""
    if not isinstance(logs, Mapping):
        raise TypeError(f"it returns a {type(logs).__name__}, expected a dict of numbers by name")
    for name, value in logs.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield str(name), keras.ops.convert_to_tensor(value)


def _optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """The optimizer that a model is compiled with, and those that it or its layers have as attributes."""
    found = {id(model.optimizer): model.optimizer}
    for layer in model._flatten_layers():
        for value in vars(layer).values():
            found |= {id(one): one for one in optimizers_in(value)}
    inner = {id(part) for one in found.values() for part in optimizers_of(one)[1:]}
    return [one for key, one in found.items() if key not in inner]


def _are_among(handles: Set[int], variables: Sequence[keras.Variable]) -> bool:
    """True if any of the variables is among those of a graph."""
    return any(id(variable.value.handle) in handles for variable in variables)


def _sources(graph: Any, tensor: tf.Tensor) -> set[int]:
    """The identities of what a tensor of a graph is made of, outside the graph."""
    outside = {id(inner): id(outer) for outer, inner in graph.captures}
    seen, waiting = {id(tensor)}, [tensor]
    while waiting:
        fresh = {id(one): one for one in waiting.pop().op.inputs if id(one) not in seen}
        seen |= fresh.keys()
        waiting += fresh.values()
    return {outside[one] for one in seen if one in outside}


def _num_writes(graph: Any, variable: keras.Variable) -> int:
    """How often a graph sets a variable, or adds to it."""
    inside = {id(tensor) for outside, tensor in graph.captures if outside is variable.value.handle}
    return sum(
        operation.type in ("AssignVariableOp", "AssignAddVariableOp") and id(operation.inputs[0]) in inside
        for operation in graph.get_operations()
    )
