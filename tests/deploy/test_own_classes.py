"""Two hosts that have no class in common learn all classes from each other, and see all features alike."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest
from deadline import DEADLINE
from safetensors.numpy import load as load_bytes
from safetensors.numpy import load_file

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.slow

from gossipfl.data.sources import load  # noqa: E402
from gossipfl.experiments.loaded_data import load_data  # noqa: E402
from gossipfl.scenario import load_scenario  # noqa: E402

SCENARIO = """
rounds = "12 epochs"
model = "softmax"
data = { source = "digits", classes = 10, normalize = "federated" }
training = { steps = 100, batch_size = 20, class_weight = "balanced" }
algorithms = ["synchronous"]

[topology]
links = [["a", "b"]]

[topology.peers]
a = { address = "http://127.0.0.1:%d" }
b = { address = "http://127.0.0.1:%d" }
"""
OWN = {"a": range(4), "b": range(4, 10)}


def test_peers_with_different_labels_train_one_model(tmp_path):
    digits = load("digits")
    for name, labels in OWN.items():
        mine = np.isin(digits.train.y, labels)
        np.savez(tmp_path / f"{name}.npz", x=digits.train.x[mine], y=digits.train.y[mine])
    with socket.socket() as first, socket.socket() as second:
        for taken in (first, second):
            taken.bind(("127.0.0.1", 0))
        ports = first.getsockname()[1], second.getsockname()[1]
    (tmp_path / "s.toml").write_text(SCENARIO % ports)
    peers = [
        subprocess.Popen(
            [sys.executable, "-m", "gossipfl", "peer", "s.toml", "--name", name, "--shard", f"npz:{name}.npz"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in OWN
    ]
    for peer in peers:
        _, said = peer.communicate(timeout=DEADLINE)
        assert peer.returncode == 0, said
    manifests = [json.loads((tmp_path / f"runs/s-{name}/manifest.json").read_text()) for name in OWN]
    assert manifests[0]["run_id"] == manifests[1]["run_id"]
    assert manifests[0]["agreed"]["rounds"] == "12 epochs", "as the scenario has it, by which `gather` checks"
    shared = [manifest["agreed"]["numbers"] for manifest in manifests]
    assert shared[0] == shared[1] == json.loads((tmp_path / "runs/s-a/numbers.json").read_text())["numbers"]
    scenario = load_scenario(tmp_path / "s.toml")
    sources = [scenario.data.model_copy(update={"source": f"npz:{tmp_path}/{name}.npz"}) for name in OWN]
    own = [load_data(scenario.with_changes(data=data)) for data in sources]
    x = np.concatenate([one.train.x for one in own]).astype(np.float64)
    assert shared[0]["class_counts"] == sum(np.bincount(one.train.y, minlength=10) for one in own).tolist()
    (constants,) = {(tmp_path / f"runs/s-{name}/weights/seed0.constants.safetensors").read_bytes() for name in OWN}
    mean, deviation = np.float32(x.mean()), np.sqrt(np.float32(x.var()))
    held = {name.rpartition("/")[2]: array.ravel() for name, array in load_bytes(constants).items()}
    assert held == {"mean": [mean], "variance": [np.float32(x.var())], "count": [0]}
    for name, manifest in zip(OWN, manifests, strict=True):
        counts = manifest["partition"]["label_counts"][name]
        assert [label for label, count in enumerate(counts) if count] == list(OWN[name])
        assert manifest["model"]["task"]["num_classes"] == 10
        weights = load_file(tmp_path / f"runs/s-{name}/weights/final.safetensors")["weights"]
        x = (digits.test.x.reshape(-1, 64) - mean) / deviation
        right = (x @ weights[:-10].reshape(64, 10) + weights[-10:]).argmax(axis=1) == digits.test.y
        assert right[np.isin(digits.test.y, OWN["b" if name == "a" else "a"])].mean() > 0.5
