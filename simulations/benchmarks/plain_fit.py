"""Compares two programs with a plain `fit` (`gossipfl.keras.GossipCallback`) with `launch` on the same scenario.

    python simulations/benchmarks/plain_fit.py [--seeds 3] [--rounds 25]

Two peers with half of scikit-learn's digits each, a dense net with BatchNorm, SGD with momentum; each program is a
process of its own. Accuracy is the mean of the two peers' on the same held-out digits, at the end.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from measuring import in_own_process, print_table

from gossipfl.deploy.loopback import loopback_federation
from gossipfl.experiments.experiment import Experiment
from gossipfl.runs.peer_records import read_peer
from gossipfl.scenario import Scenario


def free_ports() -> list[int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return [one.getsockname()[1], other.getsockname()[1]]


def build() -> Any:
    import keras

    layers = [keras.layers.Flatten(), keras.layers.Dense(32, "relu"), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(10, "softmax")])
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    return model


def pair(algorithm: str, seed: int, rounds: int, ports: list[int]) -> Scenario:
    peers = {name: {"address": f"http://127.0.0.1:{port}"} for name, port in zip("ab", ports, strict=True)}
    topology = {"peers": peers, "links": [["a", "b"]]}
    return Scenario(model=build, seed=seed, rounds=rounds, topology=topology, algorithms=[algorithm])


def fit(name: str, directory: str, algorithm: str, seed: int, rounds: int, *ports: int) -> None:
    """One of the two programs."""
    from gossipfl.keras import GossipCallback

    gossip = GossipCallback(pair(algorithm, seed, rounds, list(ports)), name, directory)
    build().fit(*gossip.examples(), batch_size=32, epochs=rounds, verbose=0, callbacks=[gossip])


def fitted(algorithm: str, seed: int, rounds: int, ports: list[int]) -> float:
    with tempfile.TemporaryDirectory() as where:
        words = [algorithm, seed, rounds, *ports]
        commands = [[sys.executable, __file__, "--fit", name, f"{where}/{name}", *map(str, words)] for name in "ab"]
        for process in [subprocess.Popen(command) for command in commands]:
            if process.wait() != 0:
                raise SystemExit("a fit has failed")
        rows = [read_peer(Path(where, name)).rows[-1] for name in "ab"]
    return mean(row.metrics["accuracy"] for row in rows)


def launched(algorithm: str, seed: int, rounds: int, ports: list[int]) -> float:
    scenario = pair(algorithm, seed, rounds, ports)
    return float(loopback_federation(Experiment(scenario), scenario.section(None)).run().last.mean_accuracy)


def main() -> None:
    if sys.argv[1:2] == ["--fit"]:
        name, directory, algorithm, *numbers = sys.argv[2:]
        fit(name, directory, algorithm, *map(int, numbers))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    rows = []
    for algorithm in ("synchronous", "pairwise"):
        pairs = []
        for seed in range(options.seeds):
            words = algorithm, seed, options.rounds, free_ports()
            pairs.append((in_own_process(launched, *words), fitted(*words)))
        means = mean(whole for whole, _ in pairs), mean(plain for _, plain in pairs)
        named = [*((f"seed {seed}", pair) for seed, pair in enumerate(pairs)), ("mean", means)]
        rows += [
            [f"{algorithm}, {name}", f"{whole:.4f}", f"{plain:.4f}", f"{plain - whole:+.4f}"]
            for name, (whole, plain) in named
        ]
    print_table(["accuracy of two peers", "launch", "plain fit", "difference"], rows)


if __name__ == "__main__":
    main()
