"""The rows of `agreed.jsonl`: what the peers of a run knew together of how good their models are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import FiniteFloat

from gossipfl.runs.parts import Count, Measured, Part, Seed, rows_of


class AgreedRow(Part):
    """One line of `agreed.jsonl`: what peers know together of how good their models were after `round`, by columns for
    every metric (`gossipfl.history.agreed_row`)."""

    algorithm: str
    seed: Seed
    time: FiniteFloat
    known_to: Count
    round: Count
    oldest: Count
    known_in: Count
    num_peers: Count
    of_peers: Count
    __pydantic_extra__: dict[str, Measured]

    def has(self, metric: str) -> bool:
        """True if the peers agree on a metric, or the loss."""
        return f"mean_{metric}" in self.__pydantic_extra__

    def column(self, aspect: str, metric: str) -> float | None:
        """The value of one of `gossipfl.agreements.SHARED_ASPECTS` of a metric, or the loss."""
        return self.__pydantic_extra__.get(f"{aspect}_{metric}")


def agreed_rows(directory: Path, left_out: list[str] | None = None) -> list[AgreedRow]:
    """The rows of `agreed.jsonl`, which only a run has whose peers agree on how good they are; see `rows_of`."""
    path = directory / "agreed.jsonl"
    return rows_of(path, AgreedRow, left_out) if path.exists() else []


def by_run(rows: Sequence[AgreedRow]) -> Mapping[tuple[str, int], list[AgreedRow]]:
    """The rows of each run, by label and seed, one for each round: of several, as of peers that do not wait for each
    other, that of most peers, and of these that which most know."""
    found: dict[tuple[str, int], dict[int, AgreedRow]] = {(row.algorithm, row.seed): {} for row in rows}
    for row in sorted(rows, key=lambda row: (row.round, row.num_peers, row.known_to)):
        found[row.algorithm, row.seed][row.round] = row
    return {run: list(by_round.values()) for run, by_round in found.items()}
