"""Eight processes ask each other, over HTTP, beside a federation that trains. How soon do they know, and at whose cost?

    python simulations/benchmarks/asking_beside_training.py

Training: eight peers with digits and a 2NN in one process, over HTTP, which takes all cores. Asking: a ring of eight
other processes with 10,000 numbers each, which ask for mean, deviation and quartiles of them all. Windows in which one
question is asked and windows without take turns, and the rounds that are trained in each are counted. Expect an answer
at all eight within 5 s, and less than 5 % fewer rounds.

The commands: eight `gossipfl measure` started at the same moment, until the last has ended: mostly what it takes to
start eight Python processes on cores that are busy.
"""

import asyncio
import logging
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
from measuring import print_table

from gossipfl import topology
from gossipfl.deploy.measuring import Asking, heard
from gossipfl.deploy.measuring_peer import MeasuringOptions
from gossipfl.queries import Answer, Mean, Quantiles, Question, StandardDeviation, Values
from gossipfl.scenario.http import HTTPSection

NUM_PEERS = 8
WINDOW = 10.0
QUERIES = (Mean(), StandardDeviation(), Quantiles((0.25, 0.5, 0.75)))
GRAPH = topology.named("ring", {"n": NUM_PEERS})
MEASURE = """
[topology]
links = {links}
[topology.peers]
{peers}
"""


def train(rounds_done: "Synchronized[int]") -> None:
    """Train for ever, and count."""
    from gossipfl.deploy.loopback import loopback_federation
    from gossipfl.experiments.experiment import Experiment
    from gossipfl.scenario import Scenario

    logging.disable()
    scenario = Scenario(
        rounds=10**6,
        topology={"name": "ring", "arguments": {"n": NUM_PEERS}},
        evaluation={"every": 10**6},
        algorithms=["synchronous"],
    )

    def look(statuses: object) -> None:
        rounds_done.value = sum(status.rounds_done for status in statuses)  # type: ignore[attr-defined]

    loopback_federation(Experiment(scenario), scenario.algorithms[0], look).run()


def ask(name: str, where: dict[str, str], listener: socket.socket, pipe: Connection) -> None:
    """Ask whenever it is told to; tells the seconds of this process that it took."""
    values = Values(np.random.default_rng(int(name)).normal(40.0, 15.0, 10_000))
    questions = [Question(query) for query in QUERIES]
    options = MeasuringOptions(name, listen_fd=listener.fileno())
    while (number := pipe.recv()) is not None:
        began = time.process_time()
        asking = Asking(GRAPH, questions, [values] * len(questions), {"number": number}, 60.0)
        outcomes = asyncio.run(heard(options, where, None, None, HTTPSection(), asking)).outcomes
        assert outcomes is not None
        assert all(isinstance(outcome, Answer) for outcome in outcomes)
        pipe.send(time.process_time() - began)


def ask_once(pipes: list[Connection], number: int) -> tuple[float, float]:
    """The seconds until all have ended, and those of all their processes."""
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send(number)
    cpu = sum(pipe.recv() for pipe in pipes)
    return time.perf_counter() - began, cpu


def commands(directory: Path) -> float:
    """The seconds of eight commands that are started at once."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in GRAPH]
    peers = "\n".join(
        f'{name} = {{ address = "http://127.0.0.1:{listener.getsockname()[1]}" }}'
        for name, listener in zip(GRAPH, listeners, strict=True)
    )
    for listener in listeners:
        listener.close()
    links = str([list(link) for link in GRAPH.edges]).replace("'", '"')
    (directory / "measure.toml").write_text(MEASURE.format(links=links, peers=peers))
    (directory / "own.csv").write_text("age\n" + "\n".join(str(20 + k % 60) for k in range(1000)) + "\n")
    began = time.perf_counter()
    words = [sys.executable, "-m", "gossipfl", "measure", "measure.toml", "--shard", "csv:own.csv"]
    words += ["--query", "mean:age", "--query", "quantiles:age", "--json", "--name"]
    running = [subprocess.Popen([*words, name], cwd=directory, stdout=-3, stderr=-3) for name in GRAPH]
    assert [process.wait() for process in running] == [0] * NUM_PEERS
    return time.perf_counter() - began


def main(num_windows: int) -> None:
    context = get_context("forkserver")
    context.set_forkserver_preload(["gossipfl.deploy.measuring_peer"])
    rounds_done = context.Value("q", 0)
    training = context.Process(target=train, args=(rounds_done,), daemon=True)
    training.start()
    listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in GRAPH}
    urls = {name: f"http://127.0.0.1:{listener.getsockname()[1]}" for name, listener in listeners.items()}
    pipes = []
    for name, listener in listeners.items():
        pipe, other = context.Pipe()
        where = {one: urls[one] for one in (name, *GRAPH.neighbors(name))}
        context.Process(target=ask, args=(name, where, listener, other), daemon=True).start()
        pipes.append(pipe)
    while rounds_done.value < 5 * NUM_PEERS:
        time.sleep(0.5)
    ask_once(pipes, -1)  # each imports the rest, and opens its first connections
    spans, processes, losses = [], [], []
    for number in range(num_windows):
        rates = {}
        for is_asked in (number % 2 == 0, number % 2 == 1):  # which comes first takes turns: training has a trend, too
            until, first, began = time.perf_counter() + WINDOW, rounds_done.value, time.perf_counter()
            if is_asked:
                span, cpu = ask_once(pipes, number)
                spans.append(span)
                processes.append(cpu)
            time.sleep(max(0.0, until - time.perf_counter()))
            rates[is_asked] = (rounds_done.value - first) / (time.perf_counter() - began)
        losses.append(100 * (1 - rates[True] / rates[False]))
    with tempfile.TemporaryDirectory() as directory:
        whole = commands(Path(directory))
    for pipe in pipes:
        pipe.send(None)
    print_table(
        ["beside training", "measured", "aim"],
        [
            ["all eight know the answers (s), median", f"{statistics.median(spans):.2f}", "5"],
            ["the slowest (s)", f"{max(spans):.2f}", "5"],
            ["CPU of all eight for it (s)", f"{statistics.median(processes):.2f}", ""],
            [
                f"rounds lost, one question every {WINDOW:g} s (%), median of {num_windows} [range]",
                f"{statistics.median(losses):.1f} [{min(losses):.1f} {max(losses):.1f}]",
                "5",
            ],
            ["eight commands from start to end (s)", f"{whole:.1f}", ""],
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
