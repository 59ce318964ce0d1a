"""The work that the competitors share: FedAvg rounds on Fashion-MNIST, and how long gossipfl takes for one.

All clients hold as many images, in file order, and train one epoch of SGD a round without shuffling, as in
`simulations/kmnist_ten_clients.toml`. A competitor starts from gossipfl's initial weights, takes the same images and
must end at the same model.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from measuring import images, timed
from numpy.typing import NDArray

from gossipfl import Scenario
from gossipfl.data.dataset import Dataset
from gossipfl.experiments.experiment import Experiment
from gossipfl.weights import ModelVectors

LEARNING_RATE = 0.02


@dataclass(frozen=True)
class Work:
    """What is trained in a round, on how many of the images in `directory`."""

    model: str
    directory: Path
    num_clients: int = 10
    num_examples: int = 6000
    batch_size: int = 100

    @property
    def dataset(self) -> Dataset:
        whole, num_examples = images(self.directory), self.num_clients * self.num_examples
        return replace(whole, train=whole.train.take(slice(num_examples)))

    def __str__(self) -> str:
        steps = self.num_examples // self.batch_size
        return f"{self.model}, {self.num_clients} clients, {steps} steps of {self.batch_size}"


@dataclass(frozen=True)
class Result:
    """Seconds of every round but the first, which warms up; the weights after the last, and their accuracy."""

    seconds: list[float]
    weights: list[NDArray[np.floating]]
    accuracy: float

    @property
    def best(self) -> float:
        return min(self.seconds)


class Federation:
    """The work in gossipfl's simulator, to be stepped round by round."""

    def __init__(self, work: Work, num_rounds: int) -> None:
        scenario = Scenario(
            rounds=num_rounds,
            model=work.model,
            data={"source": work.dataset, "partition": "contiguous"},
            training={
                "batch_size": work.batch_size,
                "shuffle": False,
                "optimizer": {"name": "sgd", "learning_rate": LEARNING_RATE},
            },
            topology={"generator": "complete_graph", "arguments": {"n": work.num_clients}},
            network={"preset": "IDEAL"},
            algorithms=["fedavg"],
        )
        experiment = Experiment(scenario)
        self._trainer = experiment.trainer
        self._simulator = experiment.simulator(scenario.algorithms[0])
        self._simulator.next()  # the evaluation before the first round

    @property
    def weights(self) -> list[NDArray[np.floating]]:
        """The server's model."""
        return self._trainer.schema.unflatten(self._simulator.average().weights)

    def one_round(self) -> None:
        """From the server's first message to its average, training metrics included."""
        server = self._simulator.peers["server"]
        last = server.round
        while server.round == last:
            self._simulator.step()

    def accuracy(self, weights: list[NDArray[np.floating]]) -> float:
        """On the held-out images, of any weights of this model."""
        model = ModelVectors(self._trainer.schema.flatten(weights), self._trainer.initial().statistics)
        return self._trainer.evaluate([model])[0].metrics["accuracy"]


def initial_weights(work: Work) -> list[NDArray[np.floating]]:
    """The weights that the server begins with."""
    return Federation(work, 1).weights


def accuracy_of(work: Work, weights: list[NDArray[np.floating]]) -> float:
    """A competitor's accuracy on the held-out images."""
    return Federation(work, 1).accuracy(weights)


def with_gossipfl(work: Work, num_rounds: int) -> Result:
    """FedAvg in the simulator."""
    federation = Federation(work, num_rounds)
    seconds = [timed(federation.one_round) for _ in range(num_rounds)][1:]
    return Result(seconds, federation.weights, federation.accuracy(federation.weights))
