"""One run of an audit: what a place gets of each target, what it makes of that, and how close it comes."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gossipfl.algorithms.rounds import SynchronousRecipe
from gossipfl.attacks.likeness import psnr, ssim
from gossipfl.attacks.membership import true_positive_rate
from gossipfl.audits.coalition import pooled
from gossipfl.audits.findings import FALSE_POSITIVE_RATES, Likeness, Mean, Rebuilt
from gossipfl.audits.membership import membership
from gossipfl.audits.model import ModelUnderAttack
from gossipfl.audits.observation import Facts, Observation
from gossipfl.audits.places import last_model, observed, places_of
from gossipfl.audits.plan import Plan
from gossipfl.audits.reconstruction import Reconstruction, reconstruct
from gossipfl.audits.tap import Tap
from gossipfl.data.conversion import model_inputs
from gossipfl.data.dataset import classes_of
from gossipfl.experiments.experiment import Experiment
from gossipfl.history import History
from gossipfl.privacy.protection import ExampleProtection
from gossipfl.randomness import SeededSecrets
from gossipfl.training.secret_batches import secret_batches
from gossipfl.weights import PeerId

MAX_EXAMPLES = 64
"""So many examples of one training are compared with what was rebuilt."""

MAX_REFERENCES = 8
"""So many models of others are asked how easy an example is."""


class AttackedRun:
    """One run under one defence, attacked from a place for each target: to its end, if it `is_whole`, else until all
    have trained once.
    """

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
        rebuilt = map(self._rebuilt, self.observations or self._targets)
        self.rebuilt = [one for one in rebuilt if one is not None]
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
                colluders = self._colluders(observation)
                found[target] = pooled(observation, self._tap, colluders, self._shares) if colluders else observation
        return found

    def _colluders(self, observation: Observation) -> list[PeerId]:
        """The first of those whom the place hears beside the target, who tell it all that they have."""
        others = [peer for peer in self._shares(observation.place, 0) if peer != observation.target]
        return [peer for peer in others if peer != observation.place][: self._plan.num_colluders]

    def _shares(self, peer: PeerId, step: int) -> Mapping[PeerId, float]:
        """The shares of those whom a peer hears, as everybody knows them."""
        experiment, recipe = self.experiment, self._cast.recipe
        if isinstance(recipe, SynchronousRecipe):
            return recipe.schedule.meetings(self._cast.network, peer, experiment.seed)(step).row
        if peer != self._hub:
            return {} if self._hub is None else {self._hub: 1.0}
        by_examples = experiment.scenario.weighting == "examples"
        return {client: float(len(shard)) if by_examples else 1.0 for client, shard in experiment.shards.items()}

    @property
    def num_models(self) -> int:
        """The fewest models that are in what the place has of one target; 0 where it can read nothing."""
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
            self._range,
            experiment.scenario.training.batch_size,
            rate if isinstance(rate, float) else None,
            experiment.seed,
        )

    @cached_property
    def _model(self) -> ModelUnderAttack:
        return ModelUnderAttack(self.facts)

    @cached_property
    def _reconstructions(self) -> dict[PeerId, Reconstruction]:
        return {
            target: reconstruct(observation, self._model, self._plan.iterations, self._plan.attack)
            for target, observation in self.observations.items()
        }

    def _trained_on(self, target: PeerId) -> NDArray[np.int32]:
        """The numbers of the examples of a target's first training; of batches that are drawn in secret, those that the
        secret of virtual time gives."""
        experiment = self.experiment
        steps = experiment.work(target, self._cast.recipe).steps_per_round
        protection = None if experiment.privacy is None else experiment.privacy.protection_of(target)
        if not isinstance(protection, ExampleProtection):
            return experiment.examples_of(target, 0, steps)
        secret = SeededSecrets(experiment.seed).of("noise", target).random_bytes(32, "training", 0)
        return secret_batches(experiment.shards[target], protection.rate, 0, steps, secret)[0]

    def _rebuilt(self, target: PeerId) -> Rebuilt | None:
        """A target with what was rebuilt of it, beside the guess; None for one that was trained on nothing, as a secret
        sample may be."""
        experiment = self.experiment
        numbers = np.unique(self._trained_on(target))[:MAX_EXAMPLES]
        if not numbers.size:
            return None
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
        truth, num_classes = classes_of(examples.y), experiment.dataset.num_classes
        assert truth is not None
        assert num_classes is not None
        return Rebuilt(
            experiment.seed,
            target,
            self.places.get(target),
            originals[shown],
            guesses[best[shown]],
            Likeness(
                float(np.mean(values)),
                float(np.mean([ssim(one, guesses[of], high - low) for one, of in zip(originals, best, strict=True)])),
                len(np.intersect1d(truth, labels)) / len(np.union1d(truth, labels)),
            ),
            Likeness(
                float(np.mean([psnr(one, self._guess, high - low) for one in originals])),
                float(np.mean([ssim(one, self._guess, high - low) for one in originals])),
                len(np.unique(truth)) / num_classes,  # of who says: all of them
            ),
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
