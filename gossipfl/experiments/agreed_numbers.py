"""Numbers over the examples of all peers that a run needs, and the questions by which its peers agree on them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gossipfl import analytics
from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError
from gossipfl.queries import Answer, Mean, Question, Sum, Values, Variance
from gossipfl.scenario.scenario import Scenario
from gossipfl.training.batches import Batches
from gossipfl.training.normalization import NormalizedInput, unit_where_constant
from gossipfl.weights import Constants, PeerId


@dataclass(frozen=True)
class AgreedNumbers:
    """The answers, as plain values that a manifest holds.

    `num_examples` are the training examples of all peers, and `examples_per_step` those of one step of every peer, in
    the mean over its epoch. `class_counts` are those of each class, where they are asked for, `means` and `variances`
    those of the features of each normalised input.
    """

    num_examples: int = 0
    examples_per_step: float = 0.0
    class_counts: tuple[int, ...] = ()
    means: tuple[tuple[float, ...], ...] = ()
    variances: tuple[tuple[float, ...], ...] = ()

    @property
    def class_weights(self) -> Mapping[int, float]:
        """n / (k n_c) for class c with n_c of n examples, where k classes have any.

        >>> AgreedNumbers(12, 1.0, (6, 0, 3, 3)).class_weights
        {0: 0.6666666666666666, 2: 1.3333333333333333, 3: 1.3333333333333333}
        """
        present = {label: count for label, count in enumerate(self.class_counts) if count}
        return {label: self.num_examples / (len(present) * count) for label, count in present.items()}

    def normalized(self, constants: Constants, inputs: Sequence[NormalizedInput]) -> Constants:
        """The constants of a model with the means and variances of its normalised inputs."""
        for one, mean, variance in zip(inputs, self.means, self.variances, strict=True):
            constants = one.with_statistics(constants, np.array(mean), np.array(variance))
        return constants


NOTHING_ASKED = AgreedNumbers()
"""The numbers of a run that needs none."""


@dataclass(frozen=True, eq=False)
class AskedNumbers:
    """The questions that the peers of a run answer together before it begins."""

    dataset: Dataset
    batches: Batches
    num_classes: int
    """Number of classes to be counted."""
    inputs: Sequence[NormalizedInput]

    @classmethod
    def of(
        cls, scenario: Scenario, dataset: Dataset, batches: Batches, inputs: Sequence[NormalizedInput]
    ) -> "AskedNumbers | None":
        """The questions of a scenario; None: it needs no numbers.

        Raises ConfigurationError where there are no classes to be counted.
        """
        counts_classes = scenario.training.class_weight == "balanced"
        if counts_classes and dataset.labels is None:
            raise ConfigurationError(
                f"training.class_weight = 'balanced' is for one target that is a class, and {dataset.name} has none: "
                "give integers as classes, or sample weights"
            )
        if not needs_numbers(scenario):
            return None
        return cls(dataset, batches, (dataset.num_classes or 0) if counts_classes else 0, inputs)

    @property
    def questions(self) -> list[Question]:
        """The questions, the same at all peers."""
        parts = [one.num_features // one.num_parts for one in self.inputs for _ in range(one.num_parts)]
        asked = [Question(query, num_features) for num_features in parts for query in (Mean(), Variance())]
        return [Question(Sum(), 2 + self.num_classes), *asked]

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts that must be the same at all peers for their answers to mean the same, as JSON has them."""
        inputs = [[one.place, list(one.shape), list(one.kept)] for one in self.inputs]
        columns = [list(names) for names in self.dataset.columns]
        return {"classes": [self.num_classes, *self.dataset.class_names], "inputs": inputs, "columns": columns}

    def values(self, peer_id: PeerId) -> list[Values]:
        """The values of one peer for each question."""
        shard = self.batches.shards[peer_id]
        row = [len(shard), len(shard) / max(1, self.batches.steps_per_epoch(peer_id))]
        if self.num_classes:
            assert self.dataset.labels is not None
            row += np.bincount(self.dataset.labels[shard], minlength=self.num_classes).tolist()
        own = self.dataset.train.take(shard)
        features = [Values(*part) for one in self.inputs for part in one.features(own)]
        return [Values([row]), *(values for values in features for _ in (Mean, Variance))]

    def nothing(self) -> list[Values]:
        """The values of a participant without data."""
        return [Values(np.zeros((0, question.num_features))) for question in self.questions]

    def numbers(self, answers: Sequence[Answer]) -> AgreedNumbers:
        """The numbers in the answers."""
        (sums, _), *parts = ((np.atleast_1d(np.asarray(one.value)), np.atleast_1d(one.bound)) for one in answers)
        means, variances, first = [], [], 0
        for one in self.inputs:
            own = parts[first : first + 2 * one.num_parts]
            first += len(own)
            means.append(tuple(number for mean, _ in own[::2] for number in mean.tolist()))
            variances.append(tuple(number for part in own[1::2] for number in unit_where_constant(*part).tolist()))
        counts = tuple(int(count) for count in sums[2:])
        return AgreedNumbers(int(sums[0]), float(sums[1]), counts, tuple(means), tuple(variances))


def rounds_of(scenario: Scenario, numbers: AgreedNumbers) -> int:
    """The budget in rounds: those of so many steps of every peer, or so many epochs, that it takes to train on `epochs`
    times as many examples as there are."""
    training, epochs = scenario.training, scenario.epochs
    if epochs is None:
        return int(scenario.rounds)
    if training.steps is None:
        return -(-epochs // training.steps_per_round(1))
    rounds = epochs * numbers.num_examples / (training.steps * numbers.examples_per_step)
    return math.ceil(rounds * (1 - 2.0**-40))  # not one more for rounding


def class_weights_of(scenario: Scenario, dataset: Dataset, numbers: AgreedNumbers) -> Mapping[int, float]:
    """The weights of classes in training, by their numbers; those that are not named have 1."""
    given = scenario.training.class_weight
    if given == "balanced":
        return numbers.class_weights
    return {dataset.class_number(name): weight for name, weight in (given or {}).items()}


def notes(scenario: Scenario, numbers: AgreedNumbers, rounds: int) -> Iterator[str]:
    """Sentences on what the peers have agreed on before the run."""
    if numbers.means:
        yield (
            f"The model normalises its features by mean and variance over all {numbers.num_examples:,} training "
            "examples, on which the peers agree before the run; time and bytes are counted from then on, and training "
            "alone has those statistics, too."
        )
    if numbers.class_counts:
        weights = ", ".join(f"{weight:.3g}" for weight in list(numbers.class_weights.values())[:10])
        more = ", ..." if len(numbers.class_weights) > 10 else ""
        yield f"In training, an example counts by its class, the rarer over all peers the more: {weights}{more}."
    if scenario.epochs is not None:
        yield f"The budget of {scenario.rounds} is {rounds:,} rounds."


def agreed_in_virtual_time(scenario: Scenario, asked: AskedNumbers) -> AgreedNumbers:
    """The numbers of peers that are all here, asked along the links of the scenario."""
    graph = scenario.graph()
    values = {peer_id: asked.values(peer_id) for peer_id in graph}
    colluders = scenario.privacy.colluders
    return asked.numbers(analytics.asked(graph, asked.questions, values, colluders=colluders).answers)


def agreed_with_nobody(asked: AskedNumbers) -> AgreedNumbers:
    """Raises ConfigurationError: one peer's numbers are not those of all."""
    raise ConfigurationError(
        "data.normalize, training.class_weight = 'balanced' and rounds in epochs need numbers over the examples of all "
        "peers, and those of the others are elsewhere: run it as `gossipfl peer`, which asks them"
    )


def needs_numbers(scenario: Scenario) -> bool:
    """True if a run needs numbers over the examples of all peers."""
    training = scenario.training
    counts_steps = scenario.epochs is not None and training.steps is not None
    return counts_steps or training.class_weight == "balanced" or scenario.data.normalize is not None
