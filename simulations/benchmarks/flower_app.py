"""The work of `fedavg_round.py` as an app of Flower, after its quickstart for Keras.

`flower_speed.py` runs it in Flower's virtual environment; nothing of gossipfl is imported here.
"""

import json
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation


def built_model(name: str, learning_rate: float) -> keras.Model:
    """gossipfl's `softmax` or `mlp`, compiled."""
    hidden = [keras.layers.Dense(200, "relu") for _ in range({"softmax": 0, "mlp": 2}[name])]
    flatten, output = keras.layers.Flatten(), keras.layers.Dense(10, "softmax")
    model = keras.Sequential([keras.Input((28, 28, 1)), flatten, *hidden, output])
    model.compile(keras.optimizers.SGD(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


kept_model = lru_cache(built_model)


@lru_cache
def shard(directory: str, client: int, num_examples: int) -> tuple[Any, Any]:
    """A client's images and labels, read once by each worker."""
    x, y = (np.load(Path(directory, f"{name}.npy"), mmap_mode="r") for name in ("x", "y"))
    part = slice(client * num_examples, (client + 1) * num_examples)
    return x[part].copy(), y[part].copy()


client_app = ClientApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    case = message.content["config"]
    if not case["keeps_model"]:
        keras.backend.clear_session()
    model = (kept_model if case["keeps_model"] else built_model)(case["model"], case["learning_rate"])
    model.set_weights(message.content["arrays"].to_numpy_ndarrays())
    x, y = shard(case["directory"], context.node_config["partition-id"], case["num_examples"])
    history = model.fit(x, y, batch_size=case["batch_size"], shuffle=False, verbose=0).history
    metrics = {"train_loss": history["loss"][-1], "train_accuracy": history["accuracy"][-1], "num-examples": len(x)}
    content = {"arrays": ArrayRecord(model.get_weights()), "metrics": MetricRecord(metrics)}
    return Message(RecordDict(content), reply_to=message)


def run(case: dict[str, Any]) -> None:
    """Run the rounds of a case, and write the time after each, the start included, and the final weights."""
    times: list[float] = []
    server_app = ServerApp()

    @server_app.main()
    def serve(grid: Grid, context: Context) -> None:
        with np.load(Path(case["directory"], "initial.npz")) as initial:
            arrays = ArrayRecord([initial[name] for name in initial.files])
        result = FedAvg(fraction_evaluate=0.0).start(
            grid=grid,
            initial_arrays=arrays,
            num_rounds=case["num_rounds"],
            train_config=ConfigRecord(case),
            evaluate_fn=lambda round, arrays: times.append(time.perf_counter()),
        )
        np.savez(Path(case["directory"], "result.npz"), *result.arrays.to_numpy_ndarrays(), times=times)

    resources = {"client_resources": {"num_cpus": case["cpus"], "num_gpus": 0.0}}
    run_simulation(server_app, client_app, case["num_clients"], backend_config=resources)


if __name__ == "__main__":
    # By its name: what belongs to __main__ would be copied into Ray's workers at every call, without what it keeps.
    import flower_app

    flower_app.run(json.loads(sys.argv[1]))
