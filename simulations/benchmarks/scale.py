"""How much memory do many peers need, and how long does a round take?

    python simulations/benchmarks/scale.py [DIRECTORY]

Synchronous gossip on a random graph in which every peer has four neighbors. The peers share 60,000 images, so that
10,000 peers have six each, and 50,000 one. A round is training in batches of 10, messages, mixing, the consensus
distance, and the scores of the average and of ten peers on 10,000 images; shown is the median of the rounds after the
first. Every row is a process of its own: `peak` is the most it ever held, `beyond` what of that came after TensorFlow
was imported and the images loaded. The columns `at most` are what is expected. The picture is drawn into `scale.svg`
beside this file.
DIRECTORY: as in `training_speed.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from many_peers import gossip
from measuring import directory_of_images, images, in_own_process, memory, print_table, timed
from scale_picture import picture

NUM_IMAGES = 60_000
CASES = [
    ("softmax", 10),
    ("softmax", 100),
    ("softmax", 1_000),
    ("softmax", 10_000),
    ("softmax", 50_000),
    ("mlp", 1_000),
]
AIMS = {
    ("softmax", 1_000): "beyond 1.5 GB",
    ("softmax", 10_000): "peak 3.0 GB, 12 s",
    ("softmax", 50_000): "peak 6.0 GB, 22 s",
    ("mlp", 1_000): "peak 3.5 GB",
}


@dataclass(frozen=True)
class Need:
    """GB in all, and beyond TensorFlow and the images; seconds of a round."""

    peak: float
    beyond: float
    seconds: float


def need(directory: Path, model: str, num_peers: int, share: int, rounds: int) -> Need:
    """Run in this process."""
    import tensorflow as tf

    dataset = images(directory)
    tf.zeros(1)  # the runtime is a part of importing it
    before = memory()["VmRSS"]
    simulator = gossip(dataset, num_peers, share, rounds, model=model)
    simulator.next()
    seconds = [timed(simulator.next) for _ in range(rounds)]
    peak = memory()["VmHWM"]
    return Need(peak, peak - before, median(seconds[1:]))


def main(directory: Path) -> None:
    needs = {
        (model, num_peers): in_own_process(need, directory, model, num_peers, NUM_IMAGES // num_peers, 4)
        for model, num_peers in CASES
    }
    rows = [
        [
            f"{num_peers:,} x {model}",
            f"{found.peak:.2f}",
            f"{found.beyond:.2f}",
            f"{found.seconds:.2f}",
            AIMS.get((model, num_peers), ""),
        ]
        for (model, num_peers), found in needs.items()
    ]
    print_table(["peers", "peak (GB)", "beyond (GB)", "round (s)", "at most"], rows)
    softmax = {num_peers: found for (model, num_peers), found in needs.items() if model == "softmax"}
    curves = {
        "peak memory, GB": {num_peers: found.peak for num_peers, found in softmax.items()},
        "seconds per round": {num_peers: found.seconds for num_peers, found in softmax.items()},
    }
    Path(__file__).with_name("scale.svg").write_text(picture(curves))


if __name__ == "__main__":
    main(directory_of_images())
