"""How fast is the simulator itself, and does its memory stay put?

    python simulations/benchmarks/simulator_speed.py

Speed: 1,000 peers on a ring with 8 numbers each and a trainer that does nothing, so that what is measured is peers,
messages and virtual time. Expect at most 20 microseconds per event. Processor time, best of several runs.

Memory: 20 peers of different speed with the weights of a softmax on 28x28 images, 200 rounds. Expect what Python holds
near the end to be within 1 % of what it held near the beginning. Evaluations are left out: the history grows.
"""

import resource
import time
import tracemalloc
from collections.abc import Sequence
from math import inf

import networkx as nx
import numpy as np
from rich.console import Console
from rich.table import Table

from gossipfl.actions import LocalWork, Train, Update
from gossipfl.algorithms import Algorithm, FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.engines.compute_model import ComputeModel, drawn_speeds
from gossipfl.engines.evaluation import EvaluationPlan
from gossipfl.engines.network_model import LAN
from gossipfl.engines.simulator import Simulator, World
from gossipfl.topology import canonical
from gossipfl.training.trainer import Score
from gossipfl.weights import ModelVectors, PeerId, frozen

ALGORITHMS: dict[str, Algorithm] = {
    "pairwise gossip": PairwiseGossip(),
    "synchronous gossip": SynchronousGossip(),
    "FedAvg": FedAvg(),
}
NO_METRICS = {"loss": 0.0, "accuracy": 0.0}


class NoTraining:
    """Gives the weights back as they are: the least that a trainer can do, in new memory when `copies`."""

    def __init__(self, copies: bool = False) -> None:
        self._copies = copies

    def num_examples(self, peer_id: PeerId, first_step: int, num_steps: int) -> int:
        return 100

    def train(self, jobs: Sequence[Train]) -> list[Update]:
        return [self._train_one(job) for job in jobs]

    def _train_one(self, job: Train) -> Update:
        weights = frozen(job.weights.copy()) if self._copies else job.weights
        return Update(job.peer_id, job.job, weights, job.statistics, job.state, 100, job.num_steps, NO_METRICS)

    def evaluate(self, models: Sequence[ModelVectors]) -> list[Score]:
        return [Score(0.0, 0.0) for _ in models]


def new_simulator(
    algorithm: Algorithm, num_peers: int, num_rounds: int, size: int, trainer: NoTraining, spread: float = 0.0
) -> Simulator:
    network = algorithm.network(canonical(nx.cycle_graph(num_peers), "ring"))
    rng = np.random.default_rng(0)
    work = LocalWork(num_examples=100, steps_per_round=1, num_rounds=num_rounds)
    peers = {}
    for peer_id in network:
        weights = frozen(rng.normal(size=size).astype(np.float32))
        initial = ModelVectors(weights, frozen(np.zeros(0, np.float32)))
        peers[peer_id] = algorithm.make_peer(peer_id, network, initial, work, 0)
    plan = EvaluationPlan(every=10**9)
    speeds = drawn_speeds(list(peers), spread, rng)
    return Simulator(peers, trainer, World(LAN, ComputeModel(speeds=speeds)), plan, hub=algorithm.hub)


def microseconds_per_event(algorithm: Algorithm, *, num_peers: int = 1000, num_rounds: int = 10) -> float:
    best = inf
    for _ in range(5):
        simulator = new_simulator(algorithm, num_peers, num_rounds, 8, NoTraining())
        simulator.next()
        start = time.process_time()
        simulator.run()
        best = min(best, (time.process_time() - start) / simulator.num_events)
    return 1e6 * best


def memory_early_and_late(algorithm: Algorithm, *, num_peers: int = 20, num_rounds: int = 200) -> tuple[float, float]:
    """Mean number of bytes that Python holds in rounds 5 to 44, and in the last forty."""
    simulator = new_simulator(algorithm, num_peers, 10 * num_rounds, 7850, NoTraining(copies=True), spread=0.3)
    data_peers = [peer for peer_id, peer in simulator.peers.items() if peer_id != algorithm.hub]

    def mean_memory(first_round: int, last_round: int) -> float:
        held = []
        while (round := sum(peer.round for peer in data_peers) // num_peers) <= last_round:
            simulator.step()
            if round >= first_round:
                held.append(tracemalloc.get_traced_memory()[0])
        return float(np.mean(held))

    tracemalloc.start()
    try:
        simulator.next()
        return mean_memory(5, 44), mean_memory(num_rounds - 40, num_rounds - 1)
    finally:
        tracemalloc.stop()


def main() -> None:
    table = Table(title="Simulator with a trivial trainer")
    table.add_column("algorithm")
    table.add_column("µs per event\n1,000 peers", justify="right")
    table.add_column("kB in rounds 5-44\n20 peers", justify="right")
    table.add_column("kB in rounds 160-199\n20 peers", justify="right")
    table.add_column("growth", justify="right")
    for name, algorithm in ALGORITHMS.items():
        speed = microseconds_per_event(algorithm)
        early, late = memory_early_and_late(algorithm)
        table.add_row(name, f"{speed:.1f}", f"{early / 1e3:,.0f}", f"{late / 1e3:,.0f}", f"{late / early - 1:+.2%}")
    console = Console()
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    console.print(f"peak resident memory of the whole process: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
