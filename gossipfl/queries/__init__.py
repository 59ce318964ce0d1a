"""Questions about the values of all peers, and the peers without a model that answer them together, along a tree."""

from gossipfl.queries.distinct import Distinct
from gossipfl.queries.extremes import Maximum, Minimum
from gossipfl.queries.histogram import Histogram
from gossipfl.queries.inquiry import Outcome, Question, pass_sizes
from gossipfl.queries.masked_inquiry import Masking, in_sums, masked_pass_sizes
from gossipfl.queries.mean import Count, Mean, Sum
from gossipfl.queries.quantiles import Quantiles
from gossipfl.queries.query import Answer, Query, Step, Unanswered
from gossipfl.queries.relay import PATIENCE, RelayPeer
from gossipfl.queries.relay_messages import most_passes, schemas
from gossipfl.queries.skew import Skew
from gossipfl.queries.summary import NO_MAXIMUM, Summary, merged
from gossipfl.queries.text import QUERIES, parsed
from gossipfl.queries.top import Classes, Top
from gossipfl.queries.tree import RelayTree
from gossipfl.queries.values import Values
from gossipfl.queries.variance import StandardDeviation, Variance

__all__ = [
    "NO_MAXIMUM",
    "PATIENCE",
    "QUERIES",
    "Answer",
    "Classes",
    "Count",
    "Distinct",
    "Histogram",
    "Masking",
    "Maximum",
    "Mean",
    "Minimum",
    "Outcome",
    "Quantiles",
    "Query",
    "Question",
    "RelayPeer",
    "RelayTree",
    "Skew",
    "StandardDeviation",
    "Step",
    "Sum",
    "Summary",
    "Top",
    "Unanswered",
    "Values",
    "Variance",
    "in_sums",
    "masked_pass_sizes",
    "merged",
    "most_passes",
    "parsed",
    "pass_sizes",
    "schemas",
]
