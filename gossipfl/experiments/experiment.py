"""All algorithms of a scenario share an experiment, and each of them has its cast."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from gossipfl.actions import LocalWork
from gossipfl.algorithms import POOL, Algorithm, Seat
from gossipfl.data.dataset import Dataset
from gossipfl.engines.ciphers import cipher_of_seed
from gossipfl.engines.evaluation import EvaluationPlan, evaluated_peers
from gossipfl.engines.places import Place, judging_metrics, measured_metrics
from gossipfl.engines.recalibration import Recalibration
from gossipfl.engines.virtual.simulator import Simulator, World
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.agreed_numbers import (
    NOTHING_ASKED,
    AgreedNumbers,
    AskedNumbers,
    agreed_in_virtual_time,
    agreed_with_nobody,
    class_weights_of,
    rounds_of,
)
from gossipfl.experiments.agreeing import agreement_plan
from gossipfl.experiments.encrypting import EncryptionPlan
from gossipfl.experiments.holdings import Holdings
from gossipfl.experiments.loaded_data import load_data
from gossipfl.experiments.masking import masking_plan
from gossipfl.experiments.privacy_plan import PrivacyPlan, check_statistics, planned
from gossipfl.mixing import UNPOOLED, Pooling
from gossipfl.peers import ModelPeer, Peer
from gossipfl.peers.local_model import PutAway, kept
from gossipfl.randomness import PublicRandomness, Randomness, SecretRandomness, SeededSecrets, generator
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.scenario import Scenario
from gossipfl.scenario.targets import targets_by_metric
from gossipfl.scores import Metric
from gossipfl.secrecy.cipher import Cipher
from gossipfl.secrecy.masked_peer import MaskedPeer
from gossipfl.secrecy.masking_plan import MaskingPlan
from gossipfl.stopping.agreeing_peer import AgreeingPeer
from gossipfl.stopping.plan import AgreementPlan
from gossipfl.stopping.rule import StopRule
from gossipfl.training.batches import Batches
from gossipfl.training.model_files import read_model
from gossipfl.training.models import BuildModel
from gossipfl.training.normalization import NormalizedInput
from gossipfl.training.settings import TrainingSettings
from gossipfl.training.trainer import ModelTrainer, Trainer
from gossipfl.weights import ModelVectors, PeerId, StoredModel

if TYPE_CHECKING:
    from gossipfl.training.keras.models import ModelRecipe

Agree: TypeAlias = Callable[[AskedNumbers], AgreedNumbers]
"""Has the questions answered by all peers."""

MakeTrainer: TypeAlias = Callable[[BuildModel, Dataset, Batches, TrainingSettings, int], ModelTrainer]
"""Makes the trainer of an experiment, from the arguments of a `KerasTrainer`: where training runs."""


class Experiment:
    """The data, shards, trainer and initial weights that all algorithms of a scenario share.

    `slots` is the number of peers trained at the same time (None: one per core, where memory has room); results do not
    depend on it. `shards` are the examples of each peer that trains here; None: those of the scenario's partition.
    `make_trainer` says where training runs; None: in this process. `agree` is how peers that are elsewhere agree on
    numbers over the examples of all; None: all of them are here. `key_file` has the key of clients that encrypt.

    Raises ConfigurationError or DataError when the scenario does not fit the data.
    """

    def __init__(
        self,
        scenario: Scenario,
        dataset: Dataset | None = None,
        slots: int | None = None,
        shards: Mapping[PeerId, NDArray[np.int64]] | None = None,
        make_trainer: MakeTrainer | None = None,
        agree: Agree | None = None,
        key_file: Path | None = None,
    ) -> None:
        self.scenario = scenario
        self.key_file = key_file
        self.slots = slots
        self._make_trainer = make_trainer
        self._trainers: dict[str, ModelTrainer] = {}
        self._begin: StoredModel | None = None
        self._numbers: AgreedNumbers | None = None
        self.seed = scenario.seed
        self.dataset = load_data(scenario) if dataset is None else dataset
        if shards is None:
            self.holdings = Holdings.dealt(scenario, self.dataset)
            self._agree = agree or partial(agreed_in_virtual_time, scenario)
        else:
            self.holdings = Holdings.own(self.dataset, shards)
            self._agree = agree or agreed_with_nobody
        self.shards = self.holdings.shards
        training = scenario.training
        pooled = {} if POOL in self.shards else {POOL: np.sort(np.concatenate(list(self.shards.values())))}
        self._batches = Batches({**self.shards, **pooled}, training.batch_size, training.shuffle, self.seed)

    @property
    def numbers(self) -> AgreedNumbers:
        """The numbers over the examples of all peers that the run needs, on which they agree before it."""
        # No cached_property: before Python 3.12 it has one lock for all experiments, and peers of one process that ask
        # each other would wait for it.
        if self._numbers is None:
            asked = AskedNumbers.of(self.scenario, self.holdings.dataset, self._batches, self._normalized_inputs)
            self._numbers = NOTHING_ASKED if asked is None else self._agree(asked)
        return self._numbers

    @cached_property
    def rounds(self) -> int:
        """The budget: rounds of local work per peer, in the mean."""
        return self._wanted_rounds if self.privacy is None else self.privacy.rounds

    @cached_property
    def _wanted_rounds(self) -> int:
        return rounds_of(self.scenario, self.numbers)

    @cached_property
    def privacy(self) -> PrivacyPlan | None:
        """The plan of differential privacy; None: there is none."""
        return planned(self.scenario, self._wanted_rounds, {peer: len(shard) for peer, shard in self.shards.items()})

    @cached_property
    def _normalized_inputs(self) -> Sequence[NormalizedInput]:
        if self.scenario.data.normalize is None:
            return ()
        from gossipfl.training.keras.normalization import normalized_inputs

        return normalized_inputs(self.models(), self.dataset.task)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The places where its models are measured."""
        return self.holdings.places(self.scenario.evaluation.on)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of its models in all places, beside their loss in the first."""
        return measured_metrics(self.trainer.metrics, self.places)

    @property
    def trainer(self) -> ModelTrainer:
        """One of the trainers, for what they have in common, optimizers apart: that of the first algorithm where there
        is none yet."""
        return next(iter(self._trainers.values()), None) or self.trainer_for(self.scenario.algorithms[0])

    def trainer_for(self, section: AlgorithmSection | None) -> ModelTrainer:
        """The trainer of an algorithm; built when it is first needed, because TensorFlow takes seconds, and shared with
        all that have the same optimizer."""
        key = repr(self.scenario.optimizer(section))
        if key not in self._trainers:
            class_weight = class_weights_of(self.scenario, self.dataset, self.numbers)
            privacy = None if self.privacy is None else self.privacy.of_examples
            settings = replace(self._settings(section), class_weight=class_weight, privacy=privacy)
            self._trainers[key] = self._new_trainer(settings)
        return self._trainers[key]

    def models(self, section: AlgorithmSection | None = None) -> "ModelRecipe":
        """The maker of an algorithm's Keras models, in this process, wherever training runs."""
        from gossipfl.training.keras.models import ModelRecipe

        return ModelRecipe(self._build_model, self.dataset.task, self._settings(section), self.seed)

    def read_model(self, path: Path, section: AlgorithmSection | None = None) -> StoredModel:
        """A model to begin an algorithm with, from a file of the user's own.

        Raises ConfigurationError when the file cannot be read or does not fit the model.
        """
        return read_model(path, self.trainer_for(section), lambda path: self.models(section).read(path))

    def _settings(self, section: AlgorithmSection | None) -> TrainingSettings:
        training = self.scenario.training
        return TrainingSettings(
            optimizer=self.scenario.optimizer(section),
            loss=training.loss,
            evaluation_batch_size=training.evaluation_batch_size,
            metrics=self.scenario.evaluation.specs,
            sharing=self.scenario.sharing.patterns,
        )

    def _new_trainer(self, settings: TrainingSettings) -> ModelTrainer:
        arguments = (self._build_model, self.holdings.dataset, self._batches, settings, self.seed)
        if self._make_trainer is not None:
            trainer = self._make_trainer(*arguments)
        else:
            from gossipfl.training.keras.trainer import KerasTrainer

            trainer = KerasTrainer(*arguments, self.slots)
        check_statistics(self.scenario, trainer)
        measured_metrics(trainer.metrics, self.places)  # which refuses names that mean two things
        targets_by_metric(self.scenario.targets, judging_metrics(trainer.metrics, self.places))
        self.stop_rule(trainer)
        if self._begin is not None:
            trainer.set_constants(self._begin.constants)
        elif self._trainers:  # one run has one set of them, whatever another call of the model function gives
            trainer.set_constants(next(iter(self._trainers.values())).constants)
        elif self._normalized_inputs:
            trainer.set_constants(self.numbers.normalized(trainer.constants, self._normalized_inputs))
        return trainer

    @cached_property
    def encryption(self) -> EncryptionPlan | None:
        return EncryptionPlan.of(self)

    def begin_with(self, stored: StoredModel) -> None:
        """Begin with a model from elsewhere, not with the one that the seed gives.

        Raises ConfigurationError for a model that was trained on features that were normalised otherwise.
        """
        if self._normalized_inputs and stored.constants.digest != self.trainer.constants.digest:
            raise ConfigurationError(
                "data.normalize: the model to begin with has another mean and deviation of features, or other frozen "
                "variables, than the peers agreed on here; leave data.normalize out to keep those that it was trained "
                "with"
            )
        self._begin = stored
        for trainer in self._trainers.values():
            trainer.set_constants(stored.constants)

    def initial(self, section: AlgorithmSection | None = None) -> ModelVectors:
        """The model that every peer begins with, whatever the algorithm; its trainer is asked for it."""
        return self.trainer_for(section).initial() if self._begin is None else self._begin.vectors

    def forget_initial(self) -> None:
        """Keep the initial model no longer: a process with a single peer needs it once."""
        self._begin = None
        for trainer in self._trainers.values():
            trainer.forget_initial()

    @cached_property
    def _build_model(self) -> Any:
        from gossipfl.training.models import resolve

        model = self.scenario.model
        if not isinstance(model, str):
            return model
        return resolve(model, self.dataset.task, normalizes=self.scenario.data.normalize is not None)

    def simulator(self, section: AlgorithmSection) -> Simulator:
        """A simulator at virtual time 0 for one of the scenario's algorithms."""
        scenario = self.scenario
        cast = self.cast(section)
        peers = {peer_id: cast.make_peer(peer_id, SeededSecrets(self.seed)) for peer_id in cast.network}
        compute = scenario.compute.model(list(self.shards), generator(self.seed, "compute"))
        world = World(scenario.network.model(), compute, scenario.network.linger)
        return Simulator(
            peers,
            cast.trainer,
            world,
            cast.plan,
            seed=self.seed,
            hub=cast.recipe.hub,
            label=scenario.label_of(section),
            stop=cast.engines_rule,
        )

    def stop_rule(self, trainer: Trainer) -> StopRule | None:
        """The rule by which a run ends before its rounds are over, of models that the trainer scores."""
        stop = self.scenario.stop
        return None if stop is None else stop.rule(judging_metrics(trainer.metrics, self.places))

    def cast(self, section: AlgorithmSection) -> "Cast":
        """The participants of one of the scenario's algorithms."""
        scenario = self.scenario
        graph = scenario.graph(section)
        recipe = scenario.recipe(section, graph)
        network = recipe.network(graph)
        data_peers = [peer_id for peer_id in network if peer_id != recipe.hub]
        private = scenario.privacy.differential_privacy
        num_evaluated = None if scenario.evaluation.peers == "all" else int(scenario.evaluation.peers)
        plan = EvaluationPlan(
            scenario.evaluation.every,
            evaluated_peers(data_peers, num_evaluated, generator(self.seed, "evaluation")),
            scenario.weighting,
            scenario.training.statistics,
            self.pooling(section),
            self.places,
            self.recalibration(section, data_peers),
            None if private is None else private.delta,
        )
        trainer = self.trainer_for(section)
        rule = self.stop_rule(trainer) if scenario.peers_stop else None
        agreement = agreement_plan(self, trainer, recipe, network, rule)
        return Cast(self, section, recipe, network, plan, agreement, masking_plan(self, recipe, network))

    def pooling(self, section: AlgorithmSection) -> Pooling:
        """The statistics as they are averaged. Raises ConfigurationError where there are none to pool."""
        is_pooled = self.scenario.training.statistics == "pooled"
        return Pooling.of(self.trainer_for(section).statistics_schema) if is_pooled else UNPOOLED

    def recalibration(self, section: AlgorithmSection, peers: Sequence[PeerId]) -> Recalibration | None:
        """The recalibration of average models, if any. Raises ConfigurationError where it cannot be made."""
        num_steps = self.scenario.evaluation.recalibrate
        if num_steps is None:
            return None
        trainer = self.trainer_for(section)
        pooling = Pooling.of(trainer.statistics_schema, "evaluation.recalibrate")
        trainer.batch_statistics(self.initial(section), peers[:1], 1)  # says now what else speaks against it
        return Recalibration(num_steps, pooling)

    def examples_of(self, peer_id: PeerId, first_step: int, num_steps: int) -> NDArray[np.int32]:
        """The numbers of the training examples, with repetition, that these steps of a peer see."""
        return self._batches.indices(peer_id, first_step, num_steps)[0]

    def work(self, peer_id: PeerId, recipe: Algorithm) -> LocalWork:
        scenario = self.scenario
        if peer_id == recipe.hub:
            return LocalWork(0, 0, recipe.num_rounds(self.rounds, len(scenario.graph())))
        steps = scenario.training.steps_per_round(self._batches.steps_per_epoch(peer_id))
        if recipe.pools_data:
            # The same epochs as the peers together; with a fixed number of steps, the sum of theirs.
            steps = steps if scenario.training.steps is None else steps * len(self.shards)
            return LocalWork(len(self.dataset.train), steps, self.rounds)
        return LocalWork(len(self.shards[peer_id]), steps, self.rounds)


@dataclass(frozen=True, eq=False)
class Cast:
    """The participants of one algorithm of an experiment, and who talks to whom; peers are made one at a time."""

    experiment: Experiment
    section: AlgorithmSection
    recipe: Algorithm
    network: nx.Graph
    plan: EvaluationPlan
    agreement: AgreementPlan | None = None
    """The plan by which its peers agree on how good their models are; None: they do not."""
    masking: MaskingPlan | None = None
    """The plan by which they add up models that nobody sees one by one; None: they see them."""

    @property
    def engines_rule(self) -> StopRule | None:
        """The rule by which an engine that sees all peers ends their run; None: there is none, or it is the peers'."""
        is_theirs = self.agreement is not None and self.agreement.rule is not None
        return None if is_theirs else self.experiment.stop_rule(self.trainer)

    @property
    def trainer(self) -> ModelTrainer:
        """The trainer of its peers."""
        return self.experiment.trainer_for(self.section)

    def make_peer(
        self,
        peer_id: PeerId,
        secret: SecretRandomness,
        put_away: PutAway = kept,
        cipher: Cipher | None = None,
        run: str = "",
    ) -> Peer:
        """One participant, with the secrets that its engine gives it, and the place for what only waits; where peers
        have secure sums, with the cipher for those of this `run`, or else one whose signatures are by the seed."""
        experiment = self.experiment
        work = experiment.work(peer_id, self.recipe)
        initial = experiment.initial(self.section)
        initial = replace(initial, weights=put_away(initial.weights))
        randomness = Randomness(PublicRandomness(experiment.seed), secret)
        private = experiment.privacy if self.recipe.agrees else None  # where nobody talks, nothing leaves the peer
        protection = None if private is None else private.protection_of(peer_id)
        seat = Seat(peer_id, self.network, initial, work, randomness, put_away, self.plan.pooling, protection)
        if experiment.encryption is not None and self.recipe.agrees:
            return experiment.encryption.peer(self.recipe, seat)
        peer = self.recipe.make_peer(seat)
        if self.masking is not None:
            assert isinstance(peer, ModelPeer)
            cipher = cipher or cipher_of_seed(experiment.seed, peer_id, secret)
            return MaskedPeer(peer, self.masking, cipher, seat.neighbors(), run)
        if self.agreement is None:
            return peer
        assert isinstance(peer, ModelPeer)
        return AgreeingPeer(peer, self.agreement, seat.neighbors())
