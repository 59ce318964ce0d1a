"""Draws the pictures of `docs/concepts.md` from runs of gossipfl: `python docs/pictures.py [DIRECTORY]`."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx as nx
from matplotlib import rc_context
from matplotlib.figure import Figure

from gossipfl import Comparison, Scenario, Simulation, compare, initialize, topology
from gossipfl.actions import Send, Train
from gossipfl.figures.canvas import figure_style, save_figure
from gossipfl.figures.charts import draw_consensus, draw_curves

ROUNDS = 30
HERE = Path(__file__).parent / "pictures"
TRAINING, WAITING, MESSAGE = "#0b6fc2", "#e3e7ec", "#8a94a0"


def graphs() -> Figure:
    """Four graphs of 16 peers, and how fast they mix."""
    figure, axes = _figure(4)
    for one, name in zip(axes, ("ring", "torus", "small-world", "complete"), strict=True):
        graph = {
            "ring": lambda: nx.cycle_graph(16),
            "torus": lambda: nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 4, periodic=True)),
            "small-world": lambda: nx.connected_watts_strogatz_graph(16, 4, 0.3, seed=1),
            "complete": lambda: nx.complete_graph(16),
        }[name]()
        summary = topology.summarize(topology.canonical(graph, name))
        nx.draw_networkx(
            graph,
            nx.spring_layout(graph, seed=3) if name == "torus" else nx.circular_layout(graph),
            ax=one,
            with_labels=False,
            node_size=22,
            node_color=TRAINING,
            edge_color=MESSAGE,
            width=0.5,
        )
        one.set_axis_off()
        one.set_aspect("equal")
        one.set_title(f"{name}\nspectral gap {summary.spectral_gap:.2f}")
    return figure


@dataclass(eq=False)
class Watched:
    """The training of each peer, from when to when, and the messages: sender, receiver, sent and received."""

    training: dict[str, list[list[float]]] = field(default_factory=dict)
    messages: dict[int, list[Any]] = field(default_factory=dict)

    def watch(self, simulation: Simulation) -> None:
        for name, peer in simulation.simulator.peers.items():
            self.training[name] = []
            for method in ("start", "receive", "completed", "wake"):
                setattr(peer, method, self._noting(name, method, getattr(peer, method)))

    def _noting(self, name: str, method: str, call: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        def noted(*arguments: Any) -> list[Any]:
            now = arguments[-1]
            if method == "receive" and id(arguments[0]) in self.messages:
                self.messages[id(arguments[0])][3] = now
            if method == "completed":
                self.training[name][-1].append(now)
            actions = call(*arguments)
            for action in actions:
                if isinstance(action, Train):
                    self.training[name].append([now])
                if isinstance(action, Send):
                    sent = action.message
                    self.messages[id(sent)] = [sent.sender, sent.receiver, now, now, sent]  # kept, so that ids stay
            return actions

        return noted


def rounds() -> Figure:
    """The same four peers, one of them three times slower, in rounds and in pairs."""
    figure, axes = _figure(2)
    for one, algorithm in zip(axes, ("synchronous", "pairwise"), strict=True):
        scenario = Scenario(
            rounds=8,
            model="softmax",
            data={"max_train": 400, "max_test": 50},
            topology={"generator": "cycle_graph", "arguments": {"n": 4}},
            compute={"seconds_per_example": 0.01, "speeds": {"3": 1 / 3}},
            network={"latency": 0.3},
            algorithms=[algorithm],
        )
        simulation = initialize(scenario)
        watched = Watched()
        watched.watch(simulation)
        simulation.run()
        names, end = list(watched.training), 7.5
        for row, name in enumerate(names):
            one.barh(row, end, color=WAITING, height=0.34)
            for begin, *over in watched.training[name]:
                one.barh(
                    row,
                    min([*over, end]) - begin,
                    left=begin,
                    color=TRAINING,
                    height=0.34,
                    edgecolor="white",
                    linewidth=0.6,
                )
        for sender, receiver, sent, received, _ in watched.messages.values():
            if received < end:
                one.plot([sent, received], [names.index(sender), names.index(receiver)], color=MESSAGE, linewidth=0.6)
        one.set_yticks(range(len(names)), [f"peer {name}" for name in names])
        one.set_xlim(0, end)
        one.set_xlabel("virtual time (s)")
        one.set_title({"synchronous": "in rounds: synchronous", "pairwise": "asynchronous: pairwise"}[algorithm])
        one.grid(False)
    return figure


def consensus() -> Figure:
    """How far peers are apart on three graphs, when they hold two labels each."""
    recipes = [{"name": "synchronous", "label": name, "topology": name} for name in ("ring", "torus", "complete")]
    comparison = _two_labels([*recipes])
    figure, axes = _figure(2)
    metric = comparison.metrics[0]
    draw_consensus(axes[0], _rows(comparison), bounds=("local", "centralized"))
    draw_curves(axes[1], _rows(comparison), metric, bounds=("local", "centralized"))
    return _with_one_legend(figure)


def fairness() -> Figure:
    """The same runs against rounds of local work, and against bytes."""
    comparison = _two_labels(["pairwise", "synchronous", {"name": "fedavg", "client_fraction": 0.5}])
    figure, axes = _figure(2)
    metric = comparison.metrics[0]
    for one, against in zip(axes, ("round", "num_bytes"), strict=True):
        draw_curves(one, _rows(comparison), metric, against=against, bounds=("local", "centralized"))
    return _with_one_legend(figure)


def _two_labels(algorithms: list[Any]) -> Comparison:
    data = {"partition": {"name": "labels", "per_peer": 2}, "max_train": 1000}
    return compare(Scenario(rounds=ROUNDS, model="softmax", data=data, algorithms=algorithms))


def _rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    return (row for history in comparison.histories for row in history.rows())


def _figure(columns: int) -> tuple[Figure, Any]:
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    return figure, figure.subplots(1, columns)


def _with_one_legend(figure: Figure) -> Figure:
    """In place of one in each chart, over its curves."""
    legends = [axes.get_legend() for axes in figure.axes]
    entries = {
        text.get_text(): line for one in legends for text, line in zip(one.texts, one.legend_handles, strict=True)
    }
    for one in legends:
        one.remove()
    named = {name: line for name, line in entries.items() if "," not in name}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(named))
    return figure


PICTURES = (graphs, rounds, consensus, fairness)


def draw(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        with figure_style(), rc_context({"svg.fonttype": "none"}):  # text stays text
            save_figure(picture(), directory / f"{picture.__name__}.svg", "svg")


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if sys.argv[1:] else HERE)
