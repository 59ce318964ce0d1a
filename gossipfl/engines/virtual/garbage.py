"""Python looks for garbage less often while many peers are simulated."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS = 1_000_000


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Collect every million new objects, not every 700.

    A simulation makes messages and events by the hundred thousand and drops them again; there is no cycle among them.
    Python takes those that are alive meanwhile for a reason to look at all that it has, several times a round: of the
    0.43 ms that a round of one among 20,000 peers took beside its training, that was 0.17 ms.
    """
    before = gc.get_threshold()
    raised = (max(before[0], _YOUNG_OBJECTS) if before[0] else 0, *before[1:])  # 0: never
    gc.set_threshold(*raised)
    try:
        yield
    finally:
        if gc.get_threshold() == raised:  # else somebody has set it meanwhile
            gc.set_threshold(*before)
