"""The tables of `docs/privacy.md` on what goes together are as scenarios are accepted, and what works runs.

`PYTHONPATH=tests python tests/test_privacy_together.py` writes them anew.
"""

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from softmax_trainer import SoftmaxTrainer

from gossipfl.algorithms import ALGORITHMS
from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.queries import QUERIES, Question, in_sums, parsed
from gossipfl.scenario import Scenario
from gossipfl.scenario.together import QUESTIONS, REFUSALS

PAGE = Path(__file__).parents[1] / "docs" / "privacy.md"
HEADING = "## What goes together\n"

DEFENCES = {
    "secure aggregation": {"secure_aggregation": True},
    "DP of examples": {"differential_privacy": {"level": "example", "noise": 1.0}},
    "DP of peers": {"differential_privacy": {"level": "peer", "noise": 1.0}},
    "DP by the server": {"differential_privacy": {"level": "server", "noise": 1.0}},
    "encryption": {"encryption": True},
}
"""The defences of the columns, as a scenario has them."""


ORDER = {"DP of examples": "noise while training", "DP of peers": "noise", "secure aggregation": "the mask"}


def scenario(algorithm, *defences, **fields):
    momentum = 0.9 * (algorithm == "dfedavgm")
    graph = "path_graph" if algorithm == "relay_sum" else "complete_graph"
    section = {"name": algorithm} | ({"examples_bound": False} if algorithm in ("fedavg", "fedprox") else {})
    return Scenario(
        rounds=1,
        topology={"generator": graph, "arguments": {"n": 5}},
        training={"batch_size": 4, "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": momentum}},
        algorithms=[section],
        privacy={key: value for defence in defences for key, value in DEFENCES[defence].items()},
        **fields,
    )


@cache
def verdict(algorithm, *defences):
    """The word of a table for an algorithm with some defences."""
    if not ALGORITHMS[algorithm].agrees:
        return "nothing leaves"
    try:
        scenario(algorithm, *defences)
    except ConfigurationError:
        return "refused"
    return "works"


def goes_with(one, other):
    """True if some algorithm takes both defences."""
    return any(verdict(algorithm, one, other) == "works" for algorithm in ALGORITHMS)


def together(one, other):
    """The words of a table for two defences; noise comes first."""
    if {"differential_privacy"} == {*DEFENCES[one], *DEFENCES[other]}:
        return "refused: a run has one level"
    if not goes_with(one, other):
        return "refused"
    first, last = sorted((one, other), key=lambda name: "DP" not in name)
    return f"works: {ORDER.get(first, 'noise')}, then {ORDER.get(last, last)}"


def asked(text):
    """The word of a table for a question in secure sums."""
    try:
        in_sums([Question(parsed(text)[0])])
    except ConfigurationError:
        return "refused"
    return "works"


def table(head, lines):
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines)) + "\n"


def section():
    """The section of the page."""
    names = list(DEFENCES)
    algorithms = [[f"`{name}`", *(verdict(name, defence) for defence in names)] for name in ALGORITHMS]
    pairs = [[f"{one}, {other}", together(one, other)] for one, other in itertools.combinations(names, 2)]
    others = [[f"`{row.defence}`", row.other, row.reason] for row in REFUSALS]
    others += [[f"`{defence}`", "questions to all peers", reason] for defence, reason in QUESTIONS.items()]
    texts = [*(name for name in QUERIES if name != "histogram"), "histogram:age,bins=20", "histogram:age,edges=0/18/65"]
    return (
        f"{HEADING}\nSome defences stand in each other's way, or in that of an algorithm. What is refused is refused "
        "before\nanything runs, with the reason.\n\n"
        + table(["algorithm", *names], algorithms)
        + "\n"
        + table(["defences", "together"], pairs)
        + "\n"
        + table(["defence", "with", "reason"], others)
        + "\n"
        + table(["question to all peers", "secure aggregation"], [[f"`{text}`", asked(text)] for text in texts])
    )


def test_the_page_says_what_scenarios_do():
    assert section() in PAGE.read_text("utf-8"), "write it anew: PYTHONPATH=tests python tests/test_privacy_together.py"


def working(algorithm):
    """The sets of one and two defences that an algorithm takes, and that need no Keras."""
    names = [name for name in DEFENCES if name != "DP of examples"]
    for some in itertools.chain(*(itertools.combinations(names, number) for number in (1, 2))):
        if sum("DP" in name for name in some) < 2 and verdict(algorithm, *some) == "works":
            yield some


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name not in ("scaffold", "gradient_tracking")])
def test_what_works_runs(algorithm):
    """A round with a model of some numbers, which ends at every peer with a model that is finite."""
    generator = np.random.default_rng(0)
    x, y = generator.random((48, 6), np.float32), np.arange(48, dtype=np.int32) % 3
    data = Dataset("some", Examples(x[:40], y[:40]), Examples(x[40:], y[40:]), num_classes=3)
    for defences in working(algorithm):
        one = Experiment(
            scenario(algorithm, *defences),
            data,
            make_trainer=lambda _, dataset, batches, *__: SoftmaxTrainer(dataset, batches),
        )
        simulator = one.simulator(one.scenario.algorithms[0])
        simulator.run()
        assert all(np.isfinite(simulator.peers[name].value).all() for name in one.shards), defences


if __name__ == "__main__":
    before = PAGE.read_text("utf-8").partition(HEADING)[0]
    PAGE.write_text(before + section(), "utf-8")
