"""An audit runs a scenario under one defence after the other, and attacks each run from one place.

What the place gets is what its peer gets in virtual time, message by message (`gossipfl.audits.tap`). The first
training of a target tells most of single examples, and is attacked by reconstruction; the last model that the place has
of it knows its examples best, and is asked who was a member of its training set.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gossipfl.attacks.likeness import psnr, ssim
from gossipfl.attacks.membership import true_positive_rate
from gossipfl.audits.defences import Defence
from gossipfl.audits.findings import FALSE_POSITIVE_RATES, Finding, Mean, Rebuilt
from gossipfl.audits.membership import membership
from gossipfl.audits.model import ModelUnderAttack
from gossipfl.audits.observation import Facts, Observation
from gossipfl.audits.places import Attacker, last_model, observed, places_of
from gossipfl.audits.reconstruction import Reconstruction, reconstruct
from gossipfl.audits.tap import Tap
from gossipfl.data.conversion import model_inputs
from gossipfl.data.dataset import Dataset, classes_of
from gossipfl.errors import ConfigurationError, GossipFLError
from gossipfl.experiments.experiment import Experiment, load_data
from gossipfl.history import History
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.scenario import Scenario
from gossipfl.weights import PeerId

MAX_EXAMPLES = 64
"""So many examples of one training are compared with what was rebuilt."""

MAX_REFERENCES = 8
"""So many models of others are asked how easy an example is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of an audit: from which place, against which defences, on how many targets, by attacks of how many
    iterations (None: those of their papers)."""

    attacker: Attacker
    defences: tuple[Defence, ...]
    num_targets: int = 20
    iterations: int | None = None


class Audit:
    """The audit of one of a scenario's algorithms by a plan; `findings` makes them, one defence after the other.

    Raises ConfigurationError for what cannot be attacked: an algorithm without such a place, or examples that are not
    one array of numbers with a class each.
    """

    def __init__(
        self, scenario: Scenario, section: AlgorithmSection, plan: Plan, dataset: Dataset | None = None
    ) -> None:
        self.label = scenario.label_of(section)
        self.plan = plan
        self.scenario = scenario.with_changes(algorithms=[section])
        self.dataset = load_data(scenario) if dataset is None else dataset
        graph = self.scenario.graph(section)
        recipe = self.scenario.recipe(section, graph)
        self.hub = recipe.hub
        plan.attacker.check(self.label, self.hub)
        if recipe.family not in ("gossip in rounds", "with a server"):
            raise ConfigurationError(
                f"{self.label!r} is one of {recipe.family}, whose messages tell no single round of training; audit an "
                "algorithm of gossip in rounds, or one with a server"
            )
        if not isinstance(self.dataset.train.x, np.ndarray) or self.dataset.num_classes is None:
            raise ConfigurationError(
                f"{self.dataset.name}: an audit rebuilds examples that are one array each and have a class; take such "
                "data, or a scenario without several inputs"
            )

    def findings(self) -> Iterator[Finding]:
        """The findings under one defence after the other."""
        plain = self._experiment(self.scenario.with_changes(privacy={}))
        section = plain.scenario.algorithms[0]
        steps = max(plain.work(peer, plain.cast(section).recipe).steps_per_round for peer in plain.shards)
        for defence in self.plan.defences:
            try:
                scenario = defence.applied(self.scenario, steps)
                yield self._finding(defence, scenario)
            except GossipFLError as error:  # the others may be had all the same
                yield Finding(defence, refused=str(error))

    def _experiment(self, scenario: Scenario) -> Experiment:
        is_first = scenario.data_seed == self.scenario.data_seed
        return Experiment(scenario, self.dataset if is_first else load_data(scenario))

    def _finding(self, defence: Defence, scenario: Scenario) -> Finding:
        first = _Attacked(self._experiment(scenario), self.plan, is_whole=True)
        rebuilt, attack, num_models = [*first.rebuilt], first.attack, first.num_models
        seed = scenario.seed
        while len(rebuilt) < self.plan.num_targets:
            seed += 1
            other = _Attacked(self._experiment(scenario.with_seed(seed)), self.plan, is_whole=False)
            rebuilt += other.rebuilt
        last = first.history.last.main
        return Finding(
            defence,
            attack=attack,
            rebuilt=rebuilt[: self.plan.num_targets],
            num_models=num_models,
            true_positives=first.true_positives,
            num_non_members=len(first.experiment.dataset.test),
            metric=last.metric.name,
            score=last.deployed,
            num_bytes=first.history.last.num_bytes,
        )


class _Attacked:
    """One run, attacked from one place for each target; `is_whole`: to its end, else until all targets have trained."""

    def __init__(self, experiment: Experiment, plan: Plan, *, is_whole: bool) -> None:
        self.experiment = experiment
        self._plan = plan
        section = experiment.scenario.algorithms[0]
        self._cast = experiment.cast(section)
        self._hub = self._cast.recipe.hub
        self._targets = [peer for peer in self._cast.network if peer != self._hub][: plan.num_targets]
        simulator = experiment.simulator(section)
        self._tap = Tap.on(simulator)
        while simulator.next() is not None:
            if not is_whole and simulator.round > 1:  # who combines first tells of its first training in the second
                break
        self.history: History = simulator.history
        self.rebuilt = [self._rebuilt(target) for target in self.observations or self._targets]
        self.attack = next((one.attack for one in self._reconstructions.values()), "none: sizes, or ciphertexts")
        self.true_positives = self._true_positives() if is_whole else ()

    @cached_property
    def places(self) -> dict[PeerId, PeerId]:
        """For each target the place that attacks it."""
        return places_of(self._tap, self._plan.attacker, self._targets, self._hub)

    @cached_property
    def observations(self) -> dict[PeerId, Observation]:
        """The first training of each target, of which the place knows anything."""
        initial = self.experiment.initial(self._cast.section).weights
        found = {}
        for target, place in self.places.items():
            steps = self.experiment.work(target, self._cast.recipe).steps_per_round
            observation = observed(self._tap, target, place, initial, steps, self._hub)
            if observation is not None:
                found[target] = observation
        return found

    @property
    def num_models(self) -> int:
        return min((one.num_models for one in self.observations.values()), default=0)

    @cached_property
    def facts(self) -> Facts:
        """The facts that everybody knows of the run."""
        experiment, section = self.experiment, self._cast.section
        optimizer = experiment.scenario.optimizer(section)
        rate = optimizer.get("learning_rate") if isinstance(optimizer, dict) else None
        return Facts(
            experiment.models(section),
            experiment.trainer_for(section).schema,
            experiment.initial(section),
            experiment.trainer_for(section).constants,
            experiment.dataset.task,
            experiment.scenario.training.batch_size,
            rate if isinstance(rate, float) else None,
            experiment.seed,
        )

    @cached_property
    def _model(self) -> ModelUnderAttack:
        return ModelUnderAttack(self.facts)

    @cached_property
    def _reconstructions(self) -> dict[PeerId, Reconstruction]:
        iterations = self._plan.iterations
        return {
            target: reconstruct(observation, self._model, iterations=iterations)
            for target, observation in self.observations.items()
        }

    def _rebuilt(self, target: PeerId) -> Rebuilt:
        """What was rebuilt of a target, beside what it trained on; of nothing, the mean of held-out examples is what
        anybody would say."""
        experiment = self.experiment
        steps = experiment.work(target, self._cast.recipe).steps_per_round
        numbers = np.unique(experiment.examples_of(target, 0, steps))[:MAX_EXAMPLES]
        examples = experiment.dataset.train.take(numbers)
        originals: NDArray[np.float32] = model_inputs(examples.x)
        reconstruction = self._reconstructions.get(target)
        if reconstruction is None or not len(reconstruction.images):
            guesses, labels = self._guess[None], np.empty(0, np.int64)
        else:
            guesses, labels = reconstruction.images, reconstruction.labels
        low, high = self._range
        guesses = np.clip(np.nan_to_num(guesses, nan=low), low, high)
        likeness = [[psnr(one, guess, high - low) for guess in guesses] for one in originals]
        best = [int(np.argmax(line)) for line in likeness]
        values = [line[number] for line, number in zip(likeness, best, strict=True)]
        shown = int(np.argmax(values))
        truth = classes_of(examples.y)
        assert truth is not None
        return Rebuilt(
            experiment.seed,
            target,
            self.places.get(target),
            originals[shown],
            guesses[best[shown]],
            float(np.mean(values)),
            float(np.mean([ssim(one, guesses[of], high - low) for one, of in zip(originals, best, strict=True)])),
            len(np.intersect1d(truth, labels)) / len(np.union1d(truth, labels)),
        )

    @cached_property
    def _guess(self) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = model_inputs(self.experiment.dataset.test.x).mean(axis=0, dtype=np.float64)
        return mean.astype(np.float32)

    @cached_property
    def _range(self) -> tuple[float, float]:
        held_out = model_inputs(self.experiment.dataset.test.x)
        return float(held_out.min()), float(held_out.max())

    def _true_positives(self) -> tuple[Mean | None, ...]:
        """For each of `FALSE_POSITIVE_RATES` the share of members that are told, by the last model of each target that
        its place has; None where there are too few non-members for such a rate, or no model."""
        size = self.facts.schema.size
        dataset, shards = self.experiment.dataset, self.experiment.shards
        rates = [rate for rate in FALSE_POSITIVE_RATES if rate * len(dataset.test) >= 1]  # the lowest come first
        found: list[list[float]] = []
        for target, place in self.places.items():
            model = last_model(self._tap, target, place, size)
            if model is not None:
                senders = {message.sender for message in self._tap.opened[place]} - {target}
                others = [last_model(self._tap, sender, place, size) for sender in sorted(senders)[:MAX_REFERENCES]]
                references = [one for one in others if one is not None and not np.array_equal(one, model)]
                members, strangers = (
                    membership(model, examples, self._model, references)
                    for examples in (dataset.train.take(shards[target]), dataset.test)
                )
                found.append([true_positive_rate(members, strangers, rate) for rate in rates])
        means = [Mean.of([told[position] for told in found]) for position in range(len(rates))]
        return (*[None] * (len(FALSE_POSITIVE_RATES) - len(rates)), *means)
