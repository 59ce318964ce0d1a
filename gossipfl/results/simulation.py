"""One algorithm of a scenario, step by step."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from gossipfl.engines.evaluation import standings_of
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.mode import Command, Mode
from gossipfl.history import Evaluation
from gossipfl.results.asked import asked
from gossipfl.results.history import History
from gossipfl.results.record import Record
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.scenario import Scenario
from gossipfl.weights import ModelVectors, PeerId, StoredModel

if TYPE_CHECKING:
    import keras


class Simulation:
    """One algorithm of a scenario, to be stepped from evaluation to evaluation.

    Iterating, or `next`, gives an `Evaluation` per equivalent round, the first before any training; in between, the
    weights of every peer may be looked at.
    """

    def __init__(self, experiment: Experiment, section: AlgorithmSection) -> None:
        self.experiment = experiment
        self.simulator = experiment.simulator(section)
        self._section = section

    def next(self) -> Evaluation | None:
        """Go on to the next evaluation; None after the last."""
        return self.simulator.next()

    def __iter__(self) -> Iterator[Evaluation]:
        return iter(self.simulator)

    def run(self) -> History:
        """Run to the end."""
        self.simulator.run()
        return self.history

    @property
    def history(self) -> History:
        """All evaluations so far."""
        return History.of(self.simulator.history, self._record)

    @cached_property
    def _record(self) -> Record:
        record = Record(self.experiment.scenario, Mode(Command.SIMULATE), "gossipfl.initialize(...) in Python")
        record.begins(self.experiment)
        return record

    @property
    def graph(self) -> nx.Graph:
        """The graph of who may talk to whom, a FedAvg server included."""
        scenario = self.experiment.scenario
        graph = scenario.graph(self._section)
        return scenario.recipe(self._section, graph).network(graph)

    @property
    def peers(self) -> Sequence[PeerId]:
        """Names of all participants."""
        return list(self.simulator.peers)

    def weights(self, peer_id: PeerId) -> list[NDArray[np.floating]]:
        """The present trainable weights of a peer, as read-only arrays in Keras order."""
        return self.experiment.trainer.schema.unflatten(self._model(peer_id).weights)

    def average_weights(self) -> list[NDArray[np.floating]]:
        """The mean of all peers' trainable weights (the server's model, for FedAvg)."""
        return self.experiment.trainer.schema.unflatten(self.simulator.average().weights)

    def model(self, peer_id: PeerId | None = None) -> "keras.Model":
        """A new Keras model with the present weights of a peer, or of the average of all peers."""
        vectors = self.simulator.average() if peer_id is None else self._model(peer_id)
        constants = self.experiment.trainer_for(self._section).constants
        return self.experiment.models(self._section).filled(StoredModel(vectors, constants))

    def _model(self, peer_id: PeerId) -> ModelVectors:
        if peer_id not in self.simulator.peers:
            raise ConfigurationError(f"there is no peer {peer_id!r}; there are {', '.join(self.peers)}")
        (standing,) = standings_of([self.simulator.peers[peer_id]])
        return standing.model


def initialize(scenario: Scenario | str | Path, algorithm: str | None = None) -> Simulation:
    """Prepare one algorithm of the scenario (its label or name; None when there is only one), to be stepped.

    `scenario` may be a name in `simulations/` or a file, too.

    >>> simulation = initialize(Scenario(model="softmax", rounds=1))
    >>> while (evaluation := simulation.next()) is not None:
    ...     kernel, bias = simulation.weights("3")
    ...     print(evaluation.round, kernel.shape)
    0 (64, 10)
    1 (64, 10)
    """
    whole = asked(scenario)
    return Simulation(Experiment(whole), whole.section(algorithm))
