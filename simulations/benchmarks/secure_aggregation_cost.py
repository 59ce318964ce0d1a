"""Measures what secure sums cost beside gossip in the clear: processor time and bytes of a round, in turns.

Eight peers with four neighbors each train the 2NN (784-200-200-10) for one local epoch of 600 images in a round.

python simulations/benchmarks/secure_aggregation_cost.py [--turns 5] [--rounds 3]
"""

import argparse
import sys
import time
from statistics import median

import numpy as np

from gossipfl.data.dataset import Dataset
from gossipfl.experiments.experiment import Experiment
from gossipfl.scenario import Scenario

NUM_PEERS, NUM_NEIGHBORS, NUM_EXAMPLES = 8, 4, 600


def two_layers():  # type: ignore[no-untyped-def]
    """The 2NN of McMahan et al. (2017)."""
    import keras

    layers = [keras.layers.Dense(200, "relu"), keras.layers.Dense(200, "relu"), keras.layers.Dense(10, "softmax")]
    return keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), *layers])


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=10)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    size = NUM_PEERS * NUM_EXAMPLES
    x, y = generator.random((size, 28, 28, 1), np.float32), generator.integers(10, size=size).astype(np.int32)
    dataset = Dataset.from_arrays("noise", (x, y), (x[:10], y[:10]), 10)
    experiments = {}
    for secure in (False, True):
        scenario = Scenario(
            rounds=options.rounds,
            model=two_layers,
            topology={"generator": "random_regular_graph", "arguments": {"d": NUM_NEIGHBORS, "n": NUM_PEERS}},
            training={"batch_size": options.batch_size, "optimizer": {"name": "sgd", "learning_rate": 0.05}},
            evaluation={"every": 1000},
            algorithms=["synchronous"],
            privacy={"secure_aggregation": secure},
        )
        experiments[secure] = Experiment(scenario, dataset, slots=1)
    times: dict[bool, list[float]] = {False: [], True: []}
    sent = {}
    for turn in range(options.turns + 1):
        for secure, experiment in experiments.items():
            simulator = experiment.simulator(experiment.scenario.algorithms[0])
            before = time.process_time()
            history = simulator.run()
            taken = (time.process_time() - before) / options.rounds / NUM_PEERS
            sent[secure] = history.evaluations[-1].num_bytes / options.rounds / NUM_PEERS
            if turn:  # graphs are built in the first
                times[secure].append(taken)
    plain, secure_ = times[False], times[True]
    ratios = sorted(one / other for one, other in zip(secure_, plain, strict=True))
    more = (sent[True] - 1.0 * sent[False]) / NUM_NEIGHBORS
    say(
        f"processor time of a peer's round: {1000 * median(plain):.1f} ms in the clear, {1000 * median(secure_):.1f} ms"
    )
    say(f"with secure sums: {median(ratios):.3f} times as much [{ratios[0]:.3f} {ratios[-1]:.3f}]")
    say(
        f"bytes sent in it: {sent[False]:,.0f} in the clear, {sent[True]:,.0f} with secure sums, "
        f"{sent[True] / sent[False]:.4f} times as many: {more:,.0f} more for each neighbor"
    )


if __name__ == "__main__":
    main()
