"""A made-up run directory as `compare` writes it: plausible curves without any training, the same every time."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

JSON = dict[str, Any]

NUM_CLASSES = 10
MODEL_BYTES = 31_600
"""A softmax with 7,850 float32 weights, and its header."""


@dataclass(frozen=True)
class FakeAlgorithm:
    """How one algorithm is to look: its accuracy tends to `ceiling` at `speed` per round, peers differ by `spread`."""

    label: str
    algorithm: str
    topology: str | None
    ceiling: float
    speed: float
    spread: float
    messages_per_round: float
    seconds_per_round: float
    hub: str | None = None
    bound: bool = False


OVER_HTTP = {"mode": {"command": "launch", "engine": "HTTP in one process", "trainer": "local"}}
FIVE_AND_BOUNDS = (
    FakeAlgorithm("pairwise (ring)", "pairwise", "ring", 0.947, 0.20, 0.055, 2.0, 1.15),
    FakeAlgorithm("pairwise (torus)", "pairwise", "torus", 0.959, 0.26, 0.034, 2.0, 1.16),
    FakeAlgorithm("pairwise (random-regular)", "pairwise", "random-regular", 0.963, 0.29, 0.027, 2.0, 1.15),
    FakeAlgorithm("synchronous (random-regular)", "synchronous", "random-regular", 0.966, 0.33, 0.015, 4.0, 1.42),
    FakeAlgorithm("FedAvg", "fedavg", None, 0.969, 0.36, 0.0, 2.0, 2.31, hub="server"),
    FakeAlgorithm("local only", "local_only", None, 0.62, 0.5, 0.13, 0.0, 1.0, bound=True),
    FakeAlgorithm("centralized", "centralized", None, 0.978, 0.6, 0.0, 0.0, 16.0, bound=True),
)


def fake_run(
    directory: Path,
    *,
    algorithms: Sequence[FakeAlgorithm] = FIVE_AND_BOUNDS,
    num_peers: int = 16,
    num_seeds: int = 3,
    num_rounds: int = 20,
    targets: Sequence[float] = (0.8, 0.9),
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Write manifest.json, history.jsonl and summary.json into `directory` and return it; `overrides` replaces fields
    of the manifest."""
    directory.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(7)
    peers = [str(number) for number in range(num_peers)]
    graphs = {name: graph_named(name, num_peers) for name in dict.fromkeys(a.topology for a in algorithms) if name}
    rows = [
        row
        for algorithm in algorithms
        for seed in range(num_seeds)
        for row in history(algorithm, seed, peers, num_rounds, generator)
    ]
    manifest = manifest_of(algorithms, graphs, peers, num_seeds, targets, generator) | dict(overrides or {})
    write_json(directory / "manifest.json", manifest)
    table = [summary_row(algorithm, rows, targets) for algorithm in algorithms]
    write_json(directory / "summary.json", {"rows": table, "winners": winners(table, targets)})
    lines = [json.dumps(row, allow_nan=False) + "\n" for row in rows]
    (directory / "history.jsonl").write_text("".join(lines), encoding="utf-8")
    return directory


def write_json(path: Path, value: JSON) -> None:
    path.write_text(json.dumps(value, indent=1, allow_nan=False), encoding="utf-8")


def graph_named(name: str, num_peers: int) -> nx.Graph:
    side = math.isqrt(num_peers)
    match name:
        case "ring":
            graph = nx.cycle_graph(num_peers)
        case "torus":
            rows = next(rows for rows in range(side, 0, -1) if num_peers % rows == 0)
            graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(rows, num_peers // rows, periodic=True))
        case "complete":
            graph = nx.complete_graph(num_peers)
        case "small-world":
            graph = nx.connected_watts_strogatz_graph(num_peers, 4, 0.2, seed=1)
        case _:
            graph = nx.random_regular_graph(4, num_peers, seed=3)
    ordered = nx.Graph()
    ordered.add_nodes_from(str(node) for node in range(num_peers))
    ordered.add_edges_from((str(a), str(b)) for a, b in graph.edges())
    return ordered


def fake_events(directory: Path, *events: tuple[str, int, float, str, str, str]) -> Path:
    """Write events.jsonl into the run in `directory`: rows of (algorithm, seed, time, peer, neighbor, event)."""
    names = ("algorithm", "seed", "time", "peer", "neighbor", "event")
    lines = [json.dumps(dict(zip(names, event, strict=True))) + "\n" for event in events]
    (directory / "events.jsonl").write_text("".join(lines), encoding="utf-8")
    return directory


def change_rows(directory: Path, change: Callable[[JSON], JSON]) -> Path:
    """Replace every row of history.jsonl of the run in `directory` by what `change` makes of it."""
    path = directory / "history.jsonl"
    rows = [change(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows), encoding="utf-8")
    return directory


def history(
    algorithm: FakeAlgorithm, seed: int, peers: Sequence[str], num_rounds: int, generator: np.random.Generator
) -> list[JSON]:
    held = ["0"] if algorithm.algorithm == "centralized" else list(peers)
    bias = generator.normal(0, 1, len(held))
    rows = []
    for round_number in range(1, num_rounds + 1):
        reached = 1 - math.exp(-algorithm.speed * (round_number + 0.35 * seed))
        center = 0.1 + (algorithm.ceiling - 0.1) * reached + generator.normal(0, 0.004)
        width = algorithm.spread * (0.6 + 1.6 * math.exp(-0.15 * round_number))
        accuracy = np.clip(center + width * (0.8 * bias + 0.4 * generator.normal(0, 1, len(held))) - width, 0.02, 0.995)
        num_messages = int(algorithm.messages_per_round * len(peers) * round_number)
        busiest = num_messages if algorithm.hub else 2 * num_messages / len(peers) * (1.02 + 0.2 * generator.random())
        average = float(np.clip(center + 0.25 * width + generator.normal(0, 0.002), 0, 1))
        distance = 0.0 if algorithm.spread == 0 else 18 * algorithm.spread * (0.15 + math.exp(-0.12 * round_number))
        rows.append(
            {
                "algorithm": algorithm.label,
                "seed": seed,
                "round": round_number,
                "time": algorithm.seconds_per_round * round_number * (1 + 0.01 * seed),
                "num_bytes": num_messages * MODEL_BYTES,
                "num_messages": num_messages,
                "busiest_peer_bytes": int(busiest * MODEL_BYTES),
                "consensus_distance": distance * (1 + 0.05 * generator.random()),
                "training_loss": 2.4 * (1 - average) + 0.05,
                "training_accuracy": min(1.0, average + 0.012 + 0.003 * generator.random()),
                "average_loss": 2.3 * (1 - average) + 0.09,
                "average_accuracy": average,
                "deploys_average": algorithm.hub is not None,
                "deployed_accuracy": average if algorithm.hub else float(accuracy.mean()),
                "num_examples": 90.0 * round_number,
                "epochs": float(round_number),
                "mean_accuracy": float(accuracy.mean()),
                "worst_accuracy": float(accuracy.min()),
                "best_accuracy": float(accuracy.max()),
                "peer_loss": {peer: float(2.3 * (1 - value)) for peer, value in zip(held, accuracy, strict=True)},
                "peer_accuracy": {peer: float(value) for peer, value in zip(held, accuracy, strict=True)},
            }
        )
    return rows


def manifest_of(
    algorithms: Sequence[FakeAlgorithm],
    graphs: Mapping[str, nx.Graph],
    peers: Sequence[str],
    num_seeds: int,
    targets: Sequence[float],
    generator: np.random.Generator,
) -> JSON:
    return {
        "format": 1,
        "name": "Label skew: gossip against FedAvg",
        "description": "Sixteen peers hold a few classes each. How much does the topology of a gossip network matter, "
        "and what does it cost next to a server?",
        "command": "gossipfl compare simulations/label_skew.toml --seeds 3",
        "created": "2026-11-22T13:58:04+00:00",
        "gossipfl": "0.1.0",
        "interrupted": False,
        "mode": {"command": "compare", "engine": "virtual time", "trainer": "local"},
        "scenario": {
            "data": {"source": "digits", "partition": "dirichlet", "alpha": 0.3},
            "training": {"model": "softmax", "learning_rate": 0.1, "batch_size": 32, "epochs": 1},
            "network": {"preset": "WAN", "latency": 0.05, "uplink": 1e7},
            "peers": len(peers),
        },
        "versions": {"python": "3.11.9", "tensorflow": "2.21.0", "keras": "3.15.0", "numpy": "2.4.1"},
        "machine": {"system": "Linux", "processors": 2},
        "flags": {"TF_ENABLE_ONEDNN_OPTS": "0", "intra_op_threads": 1, "slots": 2},
        "data": {
            "source": "digits",
            "num_train": 1437,
            "num_test": 360,
            "num_classes": NUM_CLASSES,
            "digest": "sha256:5d3f8d5a9e0b47c1b2f0e6f27f6f7f7b1f5c1a2d3e4f5061728394a5b6c7d8e9",
        },
        "partition": {
            "name": "dirichlet",
            "parameters": {"alpha": 0.3},
            "digest": "sha256:0b47c1b2f0e6f27f6f7f7b1f5c1a2d3e4f5061728394a5b6c7d8e95d3f8d5a9e",
            "label_counts": label_counts(peers, generator),
        },
        "topologies": {name: topology_facts(graph) for name, graph in graphs.items()},
        "algorithms": [
            {
                "label": algorithm.label,
                "algorithm": algorithm.algorithm,
                "topology": algorithm.topology,
                "hub": algorithm.hub,
                "bound": algorithm.bound,
                "seeds": list(range(num_seeds)),
            }
            for algorithm in algorithms
        ],
        "metrics": [{"name": "accuracy", "higher_is_better": True, "unit": "share"}],
        "targets": {"accuracy": list(targets)},
        "differences": ["FedAvg resets the optimizer state each round, gossip keeps it"],
    }


def label_counts(peers: Sequence[str], generator: np.random.Generator) -> dict[str, list[int]]:
    shares = generator.dirichlet([0.3] * len(peers), NUM_CLASSES)
    counts = np.floor(shares * max(144, 20 * len(peers))).astype(int)
    return {peer: counts[:, number].tolist() for number, peer in enumerate(peers)}


def topology_facts(graph: nx.Graph) -> JSON:
    degrees = [degree for _, degree in graph.degree()]
    num_peers = graph.number_of_nodes()
    weights = np.zeros((num_peers, num_peers))
    for a, b in graph.edges():
        weights[int(a), int(b)] = weights[int(b), int(a)] = 1 / (1 + max(graph.degree(a), graph.degree(b)))
    weights += np.diag(1 - weights.sum(axis=1))
    rho = float(np.sort(np.abs(np.linalg.eigvalsh(weights)))[-2])
    return {
        "num_peers": num_peers,
        "num_edges": graph.number_of_edges(),
        "min_degree": min(degrees),
        "mean_degree": sum(degrees) / num_peers,
        "max_degree": max(degrees),
        "diameter": nx.diameter(graph),
        "rho": rho,
        "spectral_gap": 1 - rho,
        "predicted_rounds": math.ceil(math.log(100) / -math.log(max(rho, 1e-9))),
        "nodes": list(graph),
        "links": [list(link) for link in graph.edges()],
    }


def summary_row(algorithm: FakeAlgorithm, rows: Sequence[JSON], targets: Sequence[float]) -> JSON:
    own = [row for row in rows if row["algorithm"] == algorithm.label]
    last = [max((row for row in own if row["seed"] == seed), key=lambda row: row["round"]) for seed in seeds_of(own)]
    keys = {"rounds": "round"} | {
        key: key
        for key in (
            "deployed_accuracy",
            "epochs",
            "num_examples",
            "mean_accuracy",
            "worst_accuracy",
            "best_accuracy",
            "average_accuracy",
            "consensus_distance",
        )
    }
    keys |= {
        key: key for key in ("deployed_accuracy", "epochs", "num_examples", "time", "num_bytes", "busiest_peer_bytes")
    }
    return {
        "label": algorithm.label,
        "bound": algorithm.bound,
        **{key: mean_and_spread([row[column] for row in last]) for key, column in keys.items()},
        "targets": [target_reached(target, own) for target in targets],
    }


def target_reached(target: float, rows: Sequence[JSON]) -> JSON:
    hits = [
        next((row for row in rows if row["seed"] == seed and row["deployed_accuracy"] >= target), None)
        for seed in seeds_of(rows)
    ]
    reached = [row for row in hits if row is not None]
    costs = {"rounds": "round"} | {key: key for key in ("num_bytes", "time", "busiest_peer_bytes")}
    return {
        "metric": "accuracy",
        "target": target,
        **{key: mean_and_spread([row[column] for row in reached]) for key, column in costs.items()},
        "spread": mean_and_spread([row["best_accuracy"] - row["worst_accuracy"] for row in reached]),
        "reached": len(reached),
        "of": len(hits),
    }


def winners(table: Sequence[JSON], targets: Sequence[float]) -> list[JSON]:
    found = []
    for position, target in enumerate(targets):
        costs = {row["label"]: row["targets"][position] for row in table if not row["bound"]}
        of = max((cost["of"] for cost in costs.values()), default=0)
        whole = {label: cost for label, cost in costs.items() if cost["reached"] == of > 0}
        least = {
            contest: min(whole, key=lambda label, contest=contest: whole[label][contest]["mean"], default=None)
            for contest in ("num_bytes", "time", "busiest_peer_bytes", "spread")
        }
        found.append({"metric": "accuracy", "target": target, "of": of} | least)
    return found


def seeds_of(rows: Sequence[JSON]) -> list[int]:
    return sorted({row["seed"] for row in rows})


def mean_and_spread(values: Sequence[float]) -> JSON | None:
    if not values:
        return None
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def fake_classes(directory: Path, label: str, *, names: Sequence[str] = ("cat", "dog", "</script>")) -> Path:
    """Write classes.json into the run in `directory`: the matrices of three models of one algorithm."""
    generator = np.random.default_rng(1)
    counts = [
        (np.diag([50] * len(names)) + generator.integers(0, 9, (len(names), len(names)))).tolist() for _ in range(3)
    ]
    models = [
        {"algorithm": label, "which": which, "peer": peer, "counts": matrix}
        for (which, peer), matrix in zip((("worst", "0"), ("median", "1"), ("average", None)), counts, strict=True)
    ]
    found = {"format": 1, "seed": 0, "num_examples": 200, "class_names": list(names), "models": models}
    write_json(directory / "classes.json", found)
    return directory
