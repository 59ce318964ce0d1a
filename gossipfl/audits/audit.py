"""An audit runs a scenario under one defence after the other, and attacks each run from one place.

What the place gets is what its peer gets in virtual time, message by message (`gossipfl.audits.tap`). The first
training of a target tells most of single examples, and is attacked by reconstruction; the last model that the place has
of it knows its examples best, and is asked who was a member of its training set.
"""

from collections.abc import Iterator

import numpy as np

from gossipfl.audits.attacked_run import AttackedRun
from gossipfl.audits.defences import Defence
from gossipfl.audits.findings import Finding
from gossipfl.audits.plan import Plan
from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError, GossipFLError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.loaded_data import load_data
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.scenario import Scenario


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
        if "num_examples" not in recipe.numbers(len(graph), 1):
            raise ConfigurationError(
                f"the messages of {self.label!r} hold no single model of a round of training, or there are none; audit "
                "another algorithm of gossip in rounds, or one with a server"
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
        first = AttackedRun(self._experiment(scenario), self.plan, is_whole=True)
        rebuilt, attack, num_models = [*first.rebuilt], first.attack, first.num_models
        seed = scenario.seed
        while len(rebuilt) < self.plan.num_targets:
            seed += 1
            other = AttackedRun(self._experiment(scenario.with_seed(seed)), self.plan, is_whole=False)
            rebuilt += other.rebuilt
        last = first.history.last.main
        return Finding(
            defence,
            attack=attack,
            rounds=first.history.last.round,
            rebuilt=rebuilt[: self.plan.num_targets],
            num_models=num_models,
            true_positives=first.true_positives,
            num_non_members=len(first.experiment.dataset.test),
            metric=last.metric.name,
            score=last.deployed,
            num_bytes=first.history.last.num_bytes,
        )
