"""The places where models are measured: a held-out part as a whole, or each peer's own share of it.

A metric is named after its place. In the first one it has its plain name, and targets are values there: `accuracy`; in
another the name has a prefix, `own_accuracy`, and so has the loss, which is a metric like others there.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from statistics import fmean
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossipfl.algorithms import POOL
from gossipfl.errors import ConfigurationError
from gossipfl.scores import AT_END, LOSS, OWN, Metric, Part, Score
from gossipfl.training.trainer import Trainer
from gossipfl.weights import ModelVectors, PeerId

On: TypeAlias = Literal["global", "own", "both"]
"""On which held-out examples a peer's model is measured: on all of them, on its own share, or on both."""


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """A held-out `part`, as a whole or in `shares`: numbers of its examples by peer, for those that have any.

    On shares a peer's own model is measured on its own, and a model of all (the average one, a server's, that of all
    data) on each, in the mean over peers. What is measured `at_end` is measured in the last evaluation only.
    """

    part: Part = "test"
    shares: Mapping[PeerId, NDArray[np.int64]] | None = None
    prefix: str = ""

    @property
    def at_end(self) -> bool:
        """True if only the last evaluation of a run measures here."""
        return self.prefix.startswith(AT_END)

    @property
    def words(self) -> str:
        """Where it is, for titles."""
        words = {"train": "training data", "validation": "validation data", "test": "held-out data"}[self.part]
        words = "test data" if self.at_end else words
        return words if self.shares is None else f"each peer's own {words}"

    def metric(self, metric: Metric) -> Metric:
        """A metric, or the loss, as it is called here."""
        if metric == LOSS and not self.prefix:
            return LOSS
        return replace(metric, name=self.prefix + metric.name, on=self.words, by_share=self.shares is not None)

    def scores(
        self, trainer: Trainer, models: Sequence[tuple[PeerId | None, ModelVectors]], among: Collection[PeerId]
    ) -> list[Score | None]:
        """The score of each model, a peer's or (None, POOL) that of all peers, of whom the shares of those `among`
        count; None for the model of a peer that has no examples here. What several share is scored once."""
        asked: list[Sequence[PeerId | None]]  # on whose shares each model is measured; None: on the whole part
        if self.shares is None:
            asked = [(None,)] * len(models)
        else:
            evaluated = frozenset(among)
            of_all = [peer for peer in self.shares if peer in evaluated] or list(self.shares)
            asked = [of_all if peer in (None, POOL) else [peer] * (peer in self.shares) for peer, _ in models]
        pairs = [(model, peer) for (_, model), those in zip(models, asked, strict=True) for peer in those]
        keys = [(*(id(getattr(model, one.name)) for one in fields(model)), peer) for model, peer in pairs]
        distinct = dict(zip(keys, pairs, strict=True))
        examples = None if self.shares is None else [self.shares[peer] for _, peer in distinct.values() if peer]
        scores = trainer.evaluate([model for model, _ in distinct.values()], self.part, examples)
        by_key = dict(zip(distinct, scores, strict=True))
        in_order = iter(keys)
        return [_mean([by_key[key] for key in islice(in_order, len(those))]) for those in asked]


def _mean(scores: Sequence[Score]) -> Score | None:
    if len(scores) < 2:
        return scores[0] if scores else None
    names = scores[0].metrics
    return Score(
        fmean(one.loss for one in scores), {name: fmean(one.metrics[name] for one in scores) for name in names}
    )


def places_of(
    on: On, has_validation: bool, shares: Mapping[Part, Mapping[PeerId, NDArray[np.int64]]] = MappingProxyType({})
) -> tuple[Place, ...]:
    """The places where models are measured: on the validation part where there is one, and then at the end on the test
    part; each as a whole ("global"), in `shares` ("own"), or in both ways."""

    def of(part: Part, prefix: str) -> list[Place]:
        whole = Place(part, prefix=prefix)
        own = Place(part, shares.get(part, {}), prefix + OWN if on == "both" else prefix)
        return {"global": [whole], "own": [own], "both": [whole, own]}[on]

    return (*of("validation", ""), *of("test", AT_END)) if has_validation else tuple(of("test", ""))


def judging_metrics(metrics: Sequence[Metric], places: Sequence[Place]) -> tuple[Metric, ...]:
    """Those of the measured metrics by which a run may be judged while it goes on, and may have targets."""
    return measured_metrics(metrics, [place for place in places if not place.at_end])


def measured_metrics(metrics: Sequence[Metric], places: Sequence[Place]) -> tuple[Metric, ...]:
    """All metrics that the rows of a run have columns for, beside the loss of the first place, in their order.

    Raises ConfigurationError when a metric has the name that another has elsewhere.
    """
    found = [place.metric(one) for place in places for one in ((LOSS, *metrics) if place.prefix else metrics)]
    names = [metric.name for metric in found]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise ConfigurationError(
            f"two metrics are called {doubled[0]!r}, for so is named what evaluation.on or data.validation measures; "
            "give yours another name"
        )
    return tuple(found)
