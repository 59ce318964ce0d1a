"""Where does the time of a round go, and how much of it is not training?

    python simulations/benchmarks/where_time_goes.py [DIRECTORY]

Synchronous gossip on a random graph in which every peer has four neighbors, with 60 images each in batches of 10; the
average and ten peers are scored on 10,000 images after every round. Seconds per round, the mean of the rounds after the
first. `messages` is what is left: events, peers, virtual time. `overhead` is all that is not training, as a share of
the training. DIRECTORY: as in `training_speed.py`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from many_peers import gossip
from measuring import directory_of_images, images, in_own_process, print_table, timed

CASES = [("softmax", 100, ""), ("softmax", 1_000, "0.50"), ("mlp", 1_000, "")]
"""Model, number of peers, and the overhead that is expected at most."""


def seconds_by_part(directory: Path, model: str, num_peers: int, share: int, rounds: int) -> Mapping[str, float]:
    """Mean seconds of the rounds after the first, run in this process."""
    simulator = gossip(images(directory), num_peers, share, rounds, model=model)
    trainer = simulator._trainer
    spent: Counter[str] = Counter()

    def clocked(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            results: list[Any] = []
            spent[part] += timed(lambda: results.append(function(*arguments, **named)))
            return results[0]

        return call

    trainer.train = clocked("training", trainer.train)
    trainer.evaluate = clocked("scores", trainer.evaluate)
    simulator._evaluate = clocked("evaluation", simulator._evaluate)
    for peer in simulator.peers.values():
        peer._mixing.mix = clocked("mixing", peer._mixing.mix)
    for _ in range(2):  # the evaluation before the first round, and the first round
        simulator.next()
    spent.clear()
    whole = sum(timed(simulator.next) for _ in range(rounds - 1))
    parts = {
        "training": spent["training"],
        "mixing": spent["mixing"],
        "messages": whole - spent["training"] - spent["mixing"] - spent["evaluation"],
        "scores": spent["scores"],
        "average, distance": spent["evaluation"] - spent["scores"],
        "whole": whole,
    }
    return {part: seconds / (rounds - 1) for part, seconds in parts.items()}


def main(directory: Path) -> None:
    rows = []
    for model, num_peers, aim in CASES:
        parts = in_own_process(seconds_by_part, directory, model, num_peers, 60, 5)
        overhead = parts["whole"] / parts["training"] - 1
        seconds = [f"{seconds:.3f}" for seconds in parts.values()]
        rows.append([f"{num_peers:,} x {model}", *seconds, f"{overhead:.2f}", aim])
    print_table(["peers", *parts, "overhead", "at most"], rows)


if __name__ == "__main__":
    main(directory_of_images())
