"""Rules that turn the set of received vectors into one: one file per family."""

from gossipfl.aggregators.aggregator import Aggregator, Contribution
from gossipfl.aggregators.means import ExampleWeightedMean, MixingRow, UniformMean

__all__ = ["Aggregator", "Contribution", "ExampleWeightedMean", "MixingRow", "UniformMean"]
