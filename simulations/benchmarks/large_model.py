"""How much memory does a peer with a large model take, beyond what `fit` takes?

    python simulations/benchmarks/large_model.py [MEGABYTES]

A model of matrices of 100 MB, 1,000 MB of float32 in all (or MEGABYTES), is trained for three rounds on the digits by
two processes of `gossipfl peer` that mix over HTTP, each with its checkpoints; and by a process that does no more than
to compile the model, `fit` it with the same batches, and `evaluate` it. Shown is the most that any process of each kind
ever held, how many models that is beyond `fit`, and how long a round took. Peers run with
TF_ONEDNN_USE_SYSTEM_ALLOCATOR=1, unless the environment says otherwise: TensorFlow then gives memory back that it does
not use, where its own pool keeps the most that it ever held. At 1,000 MB it takes 14 GB of memory, 20 GB
of disk and some minutes. The column `at most` is what is expected.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

from measuring import memory, print_table

ROUNDS, BATCH_SIZE, LEARNING_RATE = 3, 300, 0.01
ALGORITHMS = {
    "synchronous": '"synchronous"',
    "synchronous, bfloat16": '{ name = "synchronous", outgoing = ["bfloat16"] }',
    "pairwise": '"pairwise"',
    "fedavg": '"fedavg"',
}
PARTICIPANTS = {"fedavg": ("a", "b", "server")}

SCENARIO = """
rounds = %d
model = "large_model:model"
data = { source = "digits", partition = "iid" }
training = { batch_size = %d, optimizer = { name = "sgd", learning_rate = %g } }
topology = { peers = ["a", "b"], links = [["a", "b"]] }
algorithms = [%s]
http = { linger = 60, meeting_seconds = 120 }
"""


def model():
    """Equal matrices of 100 MB at most, `MEGABYTES` (in the environment) in all, between the pixels and the classes."""
    import keras

    megabytes = float(os.environ["MEGABYTES"])
    count = math.ceil(megabytes / 100)
    width = math.isqrt(int(megabytes * 1e6 / 4 / count))
    layers = [keras.layers.Dense(width, "relu", use_bias=False) for _ in range(count + 1)]
    ends = keras.layers.Flatten(), keras.layers.Dense(10, "softmax")
    return keras.Sequential([keras.Input((8, 8, 1)), ends[0], *layers, ends[1]])


def fit() -> None:
    """What any Keras user needs: TensorFlow, the model, the data, and training."""
    import keras

    from gossipfl.data.sources import load

    data, made = load("digits"), model()
    made.compile(keras.optimizers.SGD(LEARNING_RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    made.fit(data.train.x, data.train.y, batch_size=BATCH_SIZE, epochs=ROUNDS, verbose=0)
    made.evaluate(data.test.x, data.test.y, verbose=0)


def peaks_of_peers(algorithm: str, directory: Path) -> tuple[float, float]:
    """GB that a peer of a run held at most, and the seconds of a round."""
    scenario = directory / "large.toml"
    scenario.write_text(SCENARIO % (ROUNDS, BATCH_SIZE, LEARNING_RATE, ALGORITHMS[algorithm]))
    names = PARTICIPANTS.get(algorithm, ("a", "b"))
    ports = dict(zip(names, range(7801, 7811), strict=False))
    environment = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1", **os.environ}
    processes = []
    for name in names:
        words = [sys.executable, __file__, "peer", str(scenario), "--name", name]
        words += ["--listen", f"127.0.0.1:{ports[name]}"]
        for other in names:
            words += ["--address", f"{other}=http://127.0.0.1:{ports[other]}"] * (other != name)
        words += ["--run-directory", str(directory / name), "--log-level", "warning"]
        processes.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment))
    peaks = [float(process.communicate()[0].split()[-1]) for process in processes]
    rows = (directory / "a" / "history.jsonl").read_text().splitlines()
    times = [json.loads(row)["time"] for row in rows]
    return max(peaks), median(after - before for before, after in pairwise(times[1:]))


def main(words: Sequence[str]) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if words[:1] == ["fit"]:
        fit()
        print(memory()["VmHWM"])  # noqa: T201
        return
    if words[:1] == ["peer"]:
        from gossipfl.cli.app import app

        sys.argv = ["gossipfl", *words]
        app(standalone_mode=False)
        print(memory()["VmHWM"])  # noqa: T201
        return
    megabytes = float(words[0]) if words else 1_000.0
    os.environ["MEGABYTES"] = str(megabytes)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    fitting = subprocess.run([sys.executable, __file__, "fit"], capture_output=True, text=True, check=True)
    alone = float(fitting.stdout.split()[-1])
    rows = [[f"`fit`, {megabytes:,.0f} MB", f"{alone:.2f}", "", "", ""]]
    for algorithm in words[1:] or ALGORITHMS:
        with tempfile.TemporaryDirectory() as temporary:
            peak, seconds = peaks_of_peers(algorithm, Path(temporary))
        beyond = (peak - alone) / (megabytes / 1e3)
        rows.append([algorithm, f"{peak:.2f}", f"{beyond:.2f}", f"{seconds:.1f}", "3.5 models"])
    print_table(["a process of", "peak (GB)", "models beyond `fit`", "round (s)", "at most"], rows)


if __name__ == "__main__":
    main(sys.argv[1:])
