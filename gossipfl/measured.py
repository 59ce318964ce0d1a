"""One metric of many models at one moment: the mean over them, the worst, the best, and what is between."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite, isnan

from gossipfl.scores import Metric
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric, or the loss, at one moment: of the `training` since the evaluation before, of the `average` model,
    and of each of the evaluated `peers`' own; None where nobody has measured it.

    >>> accuracy = Measured(Metric("accuracy"), 0.9, 0.8, {"a": 0.5, "b": 0.75})
    >>> accuracy.mean, accuracy.worst, accuracy.best, accuracy.deployed
    (0.625, 0.5, 0.75, 0.625)
    """

    metric: Metric
    training: float | None
    average: float | None
    peers: Mapping[PeerId, float | None]
    deploys_average: bool = False

    @property
    def mean(self) -> float | None:
        """Mean over the evaluated peers; of equal ones, their value, however sums are rounded."""
        if not (known := self._known):
            return None
        return min(max(sum(known) / len(known), min(known)), max(known))

    @property
    def worst(self) -> float | None:
        """Value of the worst evaluated peer."""
        return self.metric.worst(known) if (known := self._known) else None

    @property
    def best(self) -> float | None:
        """Value of the best evaluated peer."""
        return self.metric.best(known) if (known := self._known) else None

    @property
    def deciles(self) -> tuple[float | None, ...]:
        """The nine values that cut the evaluated peers, from the worst to the best, into tenths; between two peers'
        values by their distance. None where there is no peer, or no direction from worst to best.

        >>> Measured(Metric("accuracy"), None, None, {"a": 0.0, "b": 1.0}).deciles[:3]
        (0.1, 0.2, 0.3)
        """
        known, higher_is_better = self._known, self.metric.higher_is_better
        if not known or higher_is_better is None:
            return (None,) * 9
        sign = 1 if higher_is_better else -1
        ordered = sorted(-inf if isnan(value) else sign * value for value in known)  # NaN is worse than any other
        return tuple(sign * value if isfinite(value) else None for value in _cut(ordered))

    @property
    def deployed(self) -> float | None:
        """Value of the server's model, or the mean over the peers' own: targets are read off it."""
        return self.average if self.deploys_average else self.mean

    def aspects(self) -> dict[str, float | None]:
        """All `ASPECTS` by name."""
        plain = {aspect: getattr(self, aspect) for aspect in ASPECTS if aspect not in DECILES}
        return plain | dict(zip(DECILES, self.deciles, strict=True))

    @property
    def _known(self) -> list[float]:
        return [value for value in self.peers.values() if value is not None]


def _cut(ordered: Sequence[float]) -> Iterator[float]:
    for tenth in range(1, 10):
        place = tenth / 10 * (len(ordered) - 1)
        low, high = ordered[floor(place)], ordered[ceil(place)]
        yield low if low == high else low + (high - low) * (place - floor(place))


DECILES = tuple(f"decile{tenth}" for tenth in range(1, 10))

ASPECTS = ("training", "average", "deployed", "mean", "worst", "best", *DECILES)
"""These aspects of a metric stand in a row of the history, in a column each: `mean_accuracy`, `decile1_accuracy`."""
