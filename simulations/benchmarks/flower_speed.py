"""How much faster is a round of FedAvg in the simulator than in Flower's simulation engine?

    python simulations/benchmarks/flower_speed.py [DIRECTORY [ENVIRONMENT]]

Both train the same model from the same weights on the same shards and batches, with metrics and without evaluation.
Flower runs in a virtual environment of its own, ENVIRONMENT, which is made unless it is there (default:
`~/.cache/gossipfl/flower-VERSION`; 2.5 GB, most of it TensorFlow). Flower gets what suits it best: one processor per
client or two; every worker keeps its shards and, in the rows `model kept`, its model from call to call. `model built`
is Flower's quickstart for Keras, which builds the model in every call. gossipfl runs between them, so that a busy
machine is busy for all; all are shown by their best rounds. `difference` is that of the accuracies on held-out data at
the end. DIRECTORY: as in `training_speed.py`.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from fedavg_round import LEARNING_RATE, Result, Work, accuracy_of, initial_weights, with_gossipfl
from measuring import directory_of_images, in_own_process, print_table
from numpy.typing import NDArray

from gossipfl.data.conversion import model_inputs

FLOWER = "1.42.0"
ENVIRONMENT = Path("~/.cache/gossipfl").expanduser() / f"flower-{FLOWER}"
NUM_ROUNDS = 4
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}


def flower_python(environment: Path) -> Path:
    """The interpreter of a virtual environment with Flower and this TensorFlow, made unless it is complete."""
    python, complete = environment / "bin" / "python", environment / "complete"
    if not complete.exists():
        venv.create(environment, with_pip=True)
        packages = [f"flwr[simulation]=={FLOWER}", *(f"{name}=={version(name)}" for name in ("tensorflow", "keras"))]
        if subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], stdout=sys.stderr).returncode != 0:
            sys.exit(f"pip could not install {' '.join(packages)} in {environment}: it said above why")
        complete.touch()
    return python


def with_flower(
    python: Path, work: Work, num_rounds: int, weights: list[NDArray[np.floating]], **options: Any
) -> Result:
    """FedAvg as in `flower_app.py`; a round goes from one average to the next."""
    with tempfile.TemporaryDirectory() as directory:
        dataset = work.dataset
        np.save(Path(directory, "x.npy"), model_inputs(dataset.train.x))
        np.save(Path(directory, "y.npy"), dataset.train.y)
        np.savez(Path(directory, "initial.npz"), *weights)
        case = options | {
            "directory": directory,
            "model": work.model,
            "num_clients": work.num_clients,
            "num_examples": work.num_examples,
            "batch_size": work.batch_size,
            "learning_rate": LEARNING_RATE,
            "num_rounds": num_rounds,
        }
        app = Path(__file__).with_name("flower_app.py")
        ran = subprocess.run([python, app, json.dumps(case)], env=os.environ | QUIET, capture_output=True, text=True)
        if ran.returncode != 0:
            sys.exit(f"Flower ended with status {ran.returncode}; the end of what it said:\n{ran.stderr[-4000:]}")
        with np.load(Path(directory, "result.npz")) as result:
            weights = [result[f"arr_{number}"] for number in range(len(weights))]
            seconds = np.diff(result["times"])[1:].tolist()
    return Result(seconds, weights, in_own_process(accuracy_of, work, weights))


def main() -> None:
    python = flower_python(Path(sys.argv[2]) if len(sys.argv) > 2 else ENVIRONMENT)
    rows = []
    for model, aim in (("softmax", 40), ("mlp", 10)):
        work = Work(model, directory_of_images())
        initial = in_own_process(initial_weights, work)
        ours = in_own_process(with_gossipfl, work, NUM_ROUNDS)
        for keeps_model in (True, False):
            theirs = [
                with_flower(python, work, NUM_ROUNDS, initial, keeps_model=keeps_model, cpus=cpus) for cpus in (1, 2)
            ]
            again = in_own_process(with_gossipfl, work, NUM_ROUNDS)
            best = min(ours.best, again.best)
            flower = min(theirs, key=lambda result: result.best)
            label = f"{work}; model {'kept' if keeps_model else 'built'}"
            seconds = [*(f"{result.best:.2f}" for result in theirs), f"{best:.3f}"]
            difference = f"{abs(flower.accuracy - ours.accuracy):.4f}"
            rows.append([label, *seconds, f"{flower.best / best:.0f}", str(aim), difference])
    headings = ["one FedAvg round", "Flower, 1 CPU (s)", "Flower, 2 CPUs (s)", "gossipfl (s)"]
    print_table([*headings, "ratio to the best", "aim", "difference"], rows)


if __name__ == "__main__":
    main()
