"""The rounds in which everybody knows what a peer said in a round: everybody computes them from the public schedule."""

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from gossipfl.schedules import Schedule, Static


def known_in(schedule: Schedule, links: nx.Graph, gossip_steps: int, num_rounds: int, seed: int) -> tuple[int, ...]:
    """For each round r = 0, ..., num_rounds the first one by whose beginning all know what all have said from the
    beginning of round r on, on board of every message, where nobody goes on without the others; num_rounds + 1 where
    it is known too late.

    Of a fixed graph it is r + ceil(diameter / gossip_steps). In general, with the newest step K_t[i, j] from whose
    beginning on i knows what j says, everybody knows before step t + 1 what was said from the beginning of
    min K_t on: K_t[i] = max_j K_{t-1}[j] over the row of i, where K_{t-1}[j, j] = t.
    """
    meetings = [schedule.meetings(links, peer_id, seed) for peer_id in links]
    position = {peer_id: index for index, peer_id in enumerate(links)}
    is_fixed = isinstance(schedule, Static)
    rows: list[NDArray[np.int64]] = []
    known = np.full((len(links), len(links)), -1, np.int32)
    rounds: list[int] = []
    for step in range(gossip_steps * num_rounds):
        np.fill_diagonal(known, step)
        if not (is_fixed and rows):
            rows = [np.array([position[other] for other in meet(step).row]) for meet in meetings]
        known = np.stack([known[row].max(axis=0) for row in rows])
        round, rest = divmod(step + 1, gossip_steps)
        if rest:
            continue
        while len(rounds) * gossip_steps <= known.min():
            rounds.append(round)
        if is_fixed and rounds:
            return tuple(min(rounds[0] + round, num_rounds + 1) for round in range(num_rounds + 1))
    return (*rounds, *[num_rounds + 1] * (num_rounds + 1 - len(rounds)))


def window_of(known_in: tuple[int, ...], every: int) -> int:
    """The number of rows of a peer that are on their way at a time, of every so many rounds: each is read by all before
    another takes its place."""
    read = [round for round in range(0, len(known_in), every) if round == 0 or known_in[round] < len(known_in)]
    return max((known_in[round] - round) // every + 1 for round in read)
