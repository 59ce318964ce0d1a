"""Questions about the values of all peers, and how summaries of them add up: pure, without a graph or a network."""

from gossipfl.queries.distinct import Distinct
from gossipfl.queries.extremes import Maximum, Minimum
from gossipfl.queries.histogram import Histogram
from gossipfl.queries.mean import Count, Mean, Sum
from gossipfl.queries.quantiles import Quantiles
from gossipfl.queries.query import Answer, Query, Step, Unanswered
from gossipfl.queries.skew import Skew
from gossipfl.queries.summary import NO_MAXIMUM, Summary, merged
from gossipfl.queries.text import QUERIES, parsed
from gossipfl.queries.top import Classes, Top
from gossipfl.queries.values import Values
from gossipfl.queries.variance import StandardDeviation, Variance

__all__ = [
    "NO_MAXIMUM",
    "QUERIES",
    "Answer",
    "Classes",
    "Count",
    "Distinct",
    "Histogram",
    "Maximum",
    "Mean",
    "Minimum",
    "Quantiles",
    "Query",
    "Skew",
    "StandardDeviation",
    "Step",
    "Sum",
    "Summary",
    "Top",
    "Unanswered",
    "Values",
    "Variance",
    "merged",
    "parsed",
]
