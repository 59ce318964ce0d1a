"""Questions about the values of all peers, answered without a server and without a model: the public surface.

In virtual time here; over HTTP by `gossipfl measure`.
"""

from gossipfl.analytics.asked import Asked, asked
from gossipfl.analytics.cost import Cost, predicted
from gossipfl.analytics.measure import measure
from gossipfl.queries import (
    Answer,
    Classes,
    Count,
    Distinct,
    Histogram,
    Maximum,
    Mean,
    Minimum,
    Quantiles,
    Query,
    Question,
    Skew,
    StandardDeviation,
    Sum,
    Top,
    Values,
    Variance,
)

__all__ = [
    "Answer",
    "Asked",
    "Classes",
    "Cost",
    "Count",
    "Distinct",
    "Histogram",
    "Maximum",
    "Mean",
    "Minimum",
    "Quantiles",
    "Query",
    "Question",
    "Skew",
    "StandardDeviation",
    "Sum",
    "Top",
    "Values",
    "Variance",
    "asked",
    "measure",
    "predicted",
]
