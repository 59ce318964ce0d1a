"""What the measurements share: images, seconds, gigabytes, processes of their own, and tables."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from gossipfl.data.dataset import Dataset
from gossipfl.data.sources import load


def directory_of_images() -> Path:
    """The first word of the command line, or where Debian's package dataset-fashion-mnist installs its files."""
    return Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/datasets/fashion-mnist")


def images(directory: Path) -> Dataset:
    """The data set in a directory; random images in the shape of MNIST where there is none."""
    if directory.is_dir():
        return load(f"idx:{directory}")
    random = np.random.default_rng(0)
    x, y = random.random((60_000, 28, 28, 1), np.float32), random.integers(10, size=60_000, dtype=np.int32)
    return Dataset.from_arrays("random images", (x, y), (x[:10_000], y[:10_000]), 10)


def timed(work: Callable[[], object]) -> float:
    """The seconds that it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function in a new process, where TensorFlow is set up as that function wants it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def print_table(headings: list[str], rows: list[list[str]]) -> None:
    """A table that is also Markdown."""
    table = Table(box=box.MARKDOWN)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=200).print(table)


def memory() -> Mapping[str, float]:
    """GB (10^9 bytes) that this process holds (`VmRSS`), and the most it ever held (`VmHWM`; Linux).

    Not by `getrusage`, whose maximum begins with that of the parent process.
    """
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0][:-1]: int(words[1]) * 1024 / 1e9 for words in lines if words[0] in ("VmRSS:", "VmHWM:")}
