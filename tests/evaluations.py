"""Evaluations from values as a row of the history has them: `evaluation(peer_accuracy={"a": 0.8})`."""

from dataclasses import fields, replace
from typing import Any

from gossipfl.history import Evaluation
from gossipfl.measured import Measured
from gossipfl.scores import LOSS, Metric

PEERS = {"a": 0.0, "b": 0.0}
NOTHING = Evaluation(
    round=0,
    time=0.0,
    num_bytes=0,
    num_messages=0,
    busiest_peer_bytes=0,
    consensus_distance=0.0,
    loss=Measured(LOSS, None, 0.0, PEERS),
    metrics={"accuracy": Measured(Metric("accuracy"), None, 0.0, PEERS)},
)
_FIELDS = {"training": "training", "average": "average", "peer": "peers", "deploys": "deploys_average"}


def evaluation(**values: Any) -> Evaluation:
    """With zeros for what is not given."""
    return changed(NOTHING, **values)


def changed(before: Evaluation, **values: Any) -> Evaluation:
    """The evaluation with other values; `deploys_average` is that of the loss and of every metric."""
    plain = {field.name: values.pop(field.name) for field in fields(Evaluation) if field.name in values}
    measured = {"loss": before.loss, **before.metrics}
    for name, value in values.items():
        aspect, _, metric = name.partition("_")
        for chosen in list(measured) if aspect == "deploys" else [metric]:
            measured[chosen] = replace(measured[chosen], **{_FIELDS[aspect]: value})
    return replace(before, **plain, loss=measured.pop("loss"), metrics=measured)
