"""Does a long run hold more and more memory?

    python simulations/benchmarks/memory_growth.py [DIRECTORY]

200 rounds of 100 peers that train a softmax on ten images each. What is held after round 5 and after round 200, when
garbage is collected: by the process, and by Python alone (`tracemalloc`: NumPy included, TensorFlow not), which goes up
and down with the updates that are not due yet. Once without evaluations, and once with one after every round, whose
history grows as it should. Every figure comes from a process of its own. Expect the process to grow by at most 1 %
without a history. DIRECTORY: as in `training_speed.py`.
"""

import gc
import tracemalloc
from pathlib import Path

from many_peers import gossip
from measuring import directory_of_images, images, in_own_process, memory, print_table

NUM_PEERS, FIRST, LAST = 100, 5, 200


def held(
    directory: Path, algorithm: str, history: bool, traced: bool, num_peers: int, rounds: list[int]
) -> list[float]:
    """GB that are held after each of the `rounds`, of the process or (`traced`) of Python, run in this process."""
    simulator = gossip(images(directory), num_peers, 10, rounds[-1] + 2, algorithm=algorithm)
    if traced:
        tracemalloc.start()
    simulator.next()
    found = []
    for last in rounds:
        while sum(peer.round for peer in simulator.peers.values()) < last * num_peers:
            (simulator.next if history else simulator.step)()
        gc.collect()
        found.append(tracemalloc.get_traced_memory()[0] / 1e9 if traced else memory()["VmRSS"])
    tracemalloc.stop()
    return found


def main(directory: Path) -> None:
    rows = []
    for algorithm in ("synchronous", "pairwise"):
        for history in (False, True):
            row = [f"{algorithm}, {'an evaluation a round' if history else 'no evaluations'}"]
            for traced in (False, True):
                early, late = in_own_process(held, directory, algorithm, history, traced, NUM_PEERS, [FIRST, LAST])
                row += [f"{1e3 * early:.1f}", f"{1e3 * late:.1f}", f"{late / early - 1:+.2%}"]
            rows.append(row)
    columns = [f"{part}round {number} (MB)" for part in ("", "Python, ") for number in (FIRST, LAST)]
    print_table(["run", *columns[:2], "growth", *columns[2:], "growth"], rows)


if __name__ == "__main__":
    main(directory_of_images())
