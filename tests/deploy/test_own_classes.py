"""Two hosts that have no class in common learn all classes from each other."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest
from deadline import DEADLINE
from safetensors.numpy import load_file

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.slow

from gossipfl.data.sources import load  # noqa: E402

SCENARIO = """
rounds = 4
model = "softmax"
data = { source = "digits", classes = 10 }
training = { epochs = 3, batch_size = 20 }
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
    for name, manifest in zip(OWN, manifests, strict=True):
        counts = manifest["partition"]["label_counts"][name]
        assert [label for label, count in enumerate(counts) if count] == list(OWN[name])
        assert manifest["model"]["task"]["num_classes"] == 10
        (file,) = (tmp_path / f"runs/s-{name}/weights").glob("*.safetensors")
        weights = load_file(file)["weights"]
        right = (digits.test.x.reshape(-1, 64) @ weights[:-10].reshape(64, 10) + weights[-10:]).argmax(
            axis=1
        ) == digits.test.y
        assert right[np.isin(digits.test.y, OWN["b" if name == "a" else "a"])].mean() > 0.5
