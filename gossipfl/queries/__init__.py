"""Questions about the values of all peers, and how summaries of them add up: pure, without a graph or a network."""

from gossipfl.queries.mean import Count, Mean, Sum
from gossipfl.queries.query import Answer, Query, Step, Unanswered
from gossipfl.queries.summary import NO_MAXIMUM, Summary, merged
from gossipfl.queries.text import QUERIES, parsed
from gossipfl.queries.values import Values

__all__ = [
    "NO_MAXIMUM",
    "QUERIES",
    "Answer",
    "Count",
    "Mean",
    "Query",
    "Step",
    "Sum",
    "Summary",
    "Unanswered",
    "Values",
    "merged",
    "parsed",
]
