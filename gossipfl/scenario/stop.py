"""The section of a scenario on when a run ends before its rounds are over."""

from collections.abc import Sequence
from typing import Literal

from pydantic import model_validator

from gossipfl.scenario.section import Count, Finite, Section
from gossipfl.scenario.targets import check_reachable, judged
from gossipfl.scores import LOSS, Metric
from gossipfl.stopping.rule import StopRule


class StopSection(Section):
    """Early stopping, of each algorithm's run by itself: `{metric = "accuracy", value = 0.9}`, or `{patience = 5}`.

    It looks at what is deployed (a server's model, or else the peers' own in the mean). Where an engine sees all peers,
    the best round and its average model are kept: `gossipfl export --best`.
    """

    metric: str | None = None
    """One of the metrics, or `loss`; absent: the first metric."""
    value: Finite | None = None
    """Stop at the first evaluation in which the metric is as good, or better."""
    by: Literal["engine", "peers"] | None = None
    """`engine`: who sees all peers ends the run with the evaluation that says so. `peers`: they find out by themselves,
    from scores that go on board of their messages (`evaluation.agreed`), and end some rounds later: in gossip in rounds
    all in the same one. Absent: the engine, or, where each peer is a process of its own, the peers."""
    patience: Count | None = None
    """Stop when the metric has not become better in so many evaluations one after another. More: a later end, at the
    expense of rounds that nobody needs."""

    @model_validator(mode="after")
    def _has_a_reason(self) -> "StopSection":
        StopRule(LOSS, self.value, self.patience)  # which refuses what is none, whatever the metric
        return self

    def rule(self, metrics: Sequence[Metric]) -> StopRule:
        """The rule for a run that has these metrics. Raises ConfigurationError where they do not have its own, or its
        value cannot be reached."""
        metric = judged((metrics[0] if metrics else LOSS).name if self.metric is None else self.metric, metrics, "stop")
        if self.value is not None:
            check_reachable(self.value, metric, "stop.value")
        return StopRule(metric, self.value, self.patience)
