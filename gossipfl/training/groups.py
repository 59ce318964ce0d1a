"""A call's independent jobs are split into groups of balanced work and bounded memory.

The split decides speed only: results do not depend on it.
"""

import heapq
from collections.abc import Sequence
from itertools import pairwise


def balanced_groups(work: Sequence[int], num_bytes: Sequence[int], num_groups: int, max_bytes: int) -> list[list[int]]:
    """Positions of the jobs in groups of about equal `work`, each of at most `max_bytes` unless one job alone has more.

    Longest processing time first (Graham, 1969): each job in turn, the largest first, joins the group with the least
    work. Groups beyond `num_groups` are opened when memory demands it. Every position occurs exactly once, ascending
    within its group; the groups come largest first, so that cores that take them in turn end together.
    """
    num_groups = max(1, min(num_groups, len(work)))
    members: list[list[int]] = [[] for _ in range(num_groups)]
    loads = [0] * num_groups
    sizes = [0] * num_groups
    open_groups = [(0, group) for group in range(num_groups)]
    for position in sorted(range(len(work)), key=lambda position: (-work[position], position)):
        load, group = heapq.heappop(open_groups)
        if members[group] and sizes[group] + num_bytes[position] > max_bytes:
            members.append([])
            loads.append(0)
            sizes.append(0)
            group, load = len(members) - 1, 0
        members[group].append(position)
        loads[group] = load + work[position]
        sizes[group] += num_bytes[position]
        heapq.heappush(open_groups, (loads[group], group))
    order = sorted(range(len(members)), key=lambda group: (-loads[group], group))
    return [sorted(members[group]) for group in order if members[group]]


def equal_parts(length: int, num_parts: int) -> list[tuple[int, int]]:
    """Cut [0, length) into at most `num_parts` non-empty ranges (first, end) whose lengths differ by at most 1."""
    cuts = [length * part // num_parts for part in range(num_parts + 1)]
    return [(first, end) for first, end in pairwise(cuts) if end > first]
