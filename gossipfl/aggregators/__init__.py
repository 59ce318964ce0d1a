"""Rules that make one contribution of those that a peer has heard in a step: one file each."""

from collections.abc import Mapping

from gossipfl.aggregators.aggregator import Aggregator, Context, Contribution, Memory
from gossipfl.aggregators.mean import Mean, weighted_mean
from gossipfl.aggregators.median import Median

__all__ = [
    "AGGREGATORS",
    "Aggregator",
    "Context",
    "Contribution",
    "Mean",
    "Median",
    "Memory",
    "weighted_mean",
]

AGGREGATORS: Mapping[str, type[Aggregator]] = {
    "mean": Mean,
    "median": Median,
}
"""The aggregators by the names that scenarios use; the exam in tests/aggregators is sat by each of them."""
