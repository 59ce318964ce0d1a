"""Measures what secure sums cost beside gossip in the clear: processor time and bytes of a round, in turns.

Eight peers with four neighbors each train the 2NN (784-200-200-10) for one local epoch of 600 images in a round.

    python simulations/benchmarks/secure_aggregation_cost.py [--turns 5] [--rounds 3]
"""

import argparse
import time
from statistics import median

import numpy as np
from measuring import print_table

from gossipfl.data.dataset import Dataset
from gossipfl.experiments.experiment import Experiment
from gossipfl.scenario import Scenario

NUM_PEERS, NUM_NEIGHBORS, NUM_EXAMPLES = 8, 4, 600


def two_layers():  # type: ignore[no-untyped-def]
    """The 2NN of McMahan et al. (2017)."""
    import keras

    layers = [keras.layers.Dense(200, "relu"), keras.layers.Dense(200, "relu"), keras.layers.Dense(10, "softmax")]
    return keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), *layers])


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
    plain, secret = times[False], times[True]
    ratios = sorted(one / other for one, other in zip(secret, plain, strict=True))
    ratio = f"{median(ratios):.2f} [{ratios[0]:.2f} {ratios[-1]:.2f}]"
    more = (sent[True] - sent[False]) / NUM_NEIGHBORS
    print_table(
        ["a round of a peer", "in the clear", "secure sums", "ratio", "at most"],
        [
            ["CPU (ms), median", f"{1000 * median(plain):.1f}", f"{1000 * median(secret):.1f}", ratio, "1.10"],
            ["bytes sent", f"{sent[False]:,.0f}", f"{sent[True]:,.0f}", f"{sent[True] / sent[False]:.3f}", "1.50"],
            ["bytes more for each neighbor", "", f"{more:,.0f}", "", "a constant"],
        ],
    )


if __name__ == "__main__":
    main()
