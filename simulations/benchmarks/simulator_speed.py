"""How fast is the simulator itself?

    python simulations/benchmarks/simulator_speed.py

1,000 peers on a ring with 8 numbers each and a trainer that does nothing, so that what is measured is peers, messages
and virtual time: an event is what is taken from the heap, and all that follows. Processor time, best of several runs.
"""

import time
from collections.abc import Sequence
from math import inf
from typing import Any

import networkx as nx
import numpy as np
from measuring import print_table
from numpy.typing import NDArray

from gossipfl.actions import Evaluate, LocalWork, Scores, Train, Update
from gossipfl.algorithms import Algorithm, FedAvg, PairwiseGossip, Seat, SynchronousGossip
from gossipfl.engines.evaluation import EvaluationPlan
from gossipfl.engines.virtual.network_model import LAN
from gossipfl.engines.virtual.simulator import Simulator, World
from gossipfl.randomness import Randomness
from gossipfl.scores import Metric, Part, Score
from gossipfl.topology import canonical
from gossipfl.weights import ModelVectors, PeerId, frozen

ALGORITHMS: dict[str, Algorithm] = {
    "pairwise gossip": PairwiseGossip(),
    "synchronous gossip": SynchronousGossip(),
    "FedAvg": FedAvg(),
}
NO_METRICS = {"loss": 0.0, "accuracy": 0.0}


class NoTraining:
    """Gives the weights back as they are: the least that a trainer can do."""

    num_slots = 1
    metrics = (Metric("accuracy"),)

    def prepare(self) -> None:
        pass

    def num_examples(self, peer_id: PeerId, first_step: int, num_steps: int) -> int:
        return 100

    def train(self, jobs: Sequence[Train]) -> list[Update]:
        return [
            Update(job.peer_id, job.job, job.weights, job.statistics, job.state, 100, job.num_steps, NO_METRICS)
            for job in jobs
        ]

    def score(self, jobs: Sequence[Evaluate]) -> list[Scores]:
        return [Scores(job.peer_id, job.job, tuple(self.evaluate(job.models)), 100) for job in jobs]

    def batch_statistics(
        self, model: ModelVectors, peers: Sequence[PeerId], num_steps: int
    ) -> list[NDArray[np.floating[Any]]]:
        return [np.zeros((num_steps, 0), np.float32) for _ in peers]

    def evaluate(
        self, models: Sequence[ModelVectors], part: Part = "test", examples: Sequence[NDArray[np.int64]] | None = None
    ) -> list[Score]:
        return [Score(0.0, {"accuracy": 0.0}) for _ in models]


def new_simulator(algorithm: Algorithm, num_peers: int, num_rounds: int) -> Simulator:
    network = algorithm.network(canonical(nx.cycle_graph(num_peers), "ring"))
    rng = np.random.default_rng(0)
    work = LocalWork(num_examples=100, steps_per_round=1, num_rounds=num_rounds)
    peers = {}
    for peer_id in network:
        weights = frozen(rng.normal(size=8).astype(np.float32))
        initial = ModelVectors(weights, frozen(np.zeros(0, np.float32)))
        peers[peer_id] = algorithm.make_peer(Seat(peer_id, network, initial, work, Randomness.of_seed(0)))
    return Simulator(peers, NoTraining(), World(LAN), EvaluationPlan(every=10**9), hub=algorithm.hub)


def microseconds_per_event(algorithm: Algorithm, *, num_peers: int = 1000, num_rounds: int = 10) -> float:
    best = inf
    for _ in range(5):
        simulator = new_simulator(algorithm, num_peers, num_rounds)
        simulator.next()
        start = time.process_time()
        simulator.run()
        best = min(best, (time.process_time() - start) / simulator.num_events)
    return 1e6 * best


def main() -> None:
    rows = [[name, f"{microseconds_per_event(algorithm):.1f}", "12"] for name, algorithm in ALGORITHMS.items()]
    print_table(["1,000 peers", "microseconds per event", "at most"], rows)


if __name__ == "__main__":
    main()
