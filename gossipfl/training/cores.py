"""The number of cores that there are to train on, and of slots that they and the memory have room for."""

import logging
import os
from pathlib import Path

_LOGGER = logging.getLogger(__name__)

VECTORS_PER_SLOT = 4
"""A slot of a large model holds about so many times its variables, those of the optimizer included: the variables, the
vectors that come in, those that go out, and gradients."""


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that processes can still have without swapping, as Linux estimates them; None where it does not say."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text("ascii").splitlines())
        return 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError, IndexError):
        return None


def slots_with_room(num_cores: int, num_floats: int, memory: int | None) -> int:
    """One slot per core, or as many as `memory` bytes hold of a model with `num_floats` variables and momenta, with a
    warning in the log; one at least, whose model may fit or not."""
    num_bytes = 4 * VECTORS_PER_SLOT * num_floats
    num_slots = num_cores if memory is None else max(1, min(num_cores, memory // max(1, num_bytes)))
    if memory is not None and num_slots < num_cores:
        _LOGGER.warning(
            "%d of %d cores train at the same time: the model takes about %.1f GiB on each, and %.1f GiB are available",
            *(num_slots, num_cores, num_bytes / 2**30, memory / 2**30),
        )
    return num_slots
