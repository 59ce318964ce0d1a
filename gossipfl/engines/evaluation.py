"""An engine measures its peers: scores on held-out data, the average model, the consensus distance."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan, sqrt
from statistics import fmean
from typing import Literal

import numpy as np

from gossipfl.accounting.ledger import most_spent
from gossipfl.algorithms import Weighting
from gossipfl.engines.places import Place
from gossipfl.engines.progress import Traffic
from gossipfl.engines.recalibration import Recalibration
from gossipfl.errors import ConfigurationError
from gossipfl.history import Evaluation
from gossipfl.measured import Measured
from gossipfl.mixing import UNPOOLED, Pooling
from gossipfl.peers import Peer, Standing
from gossipfl.scores import LOSS, Metric, Score
from gossipfl.training.trainer import Trainer
from gossipfl.weights import ModelVectors, PeerId, Vector, frozen

_BLOCK = 8192
"""Elements of all vectors that are summed at a time. So intermediate results stay in the cache, which halves the time
for vectors of 11 million; and for a dot product of more than 10,000 elements, OpenBLAS would wake a thread per core."""


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """Evaluate every `every`-th equivalent round the average model and `peers` (None: all of them).

    More peers: a truer spread, at the expense of one pass over the held-out data for each. `weighting` is the mean
    that the average model is. Where `statistics` are "local", and of what is the peers' own, a hub has none, and the
    average model has the peers' mean. In the first of the `places` metrics have their plain names. A `recalibration` of
    the average model is by examples of the `peers`. Privacy that is spent is told at `delta`.
    """

    every: int = 1
    peers: tuple[PeerId, ...] | None = None
    weighting: Weighting = "uniform"
    statistics: Literal["average", "local", "pooled"] = "average"
    pooling: Pooling = UNPOOLED
    places: tuple[Place, ...] = (Place(),)
    recalibration: Recalibration | None = None
    delta: float | None = None

    @property
    def measures_at_end(self) -> bool:
        """True if the last evaluation of a run measures in places of its own."""
        return any(place.at_end for place in self.places)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigurationError(f"evaluation needs every >= 1 rounds, got {self.every}")
        if self.peers is not None and not self.peers:
            raise ConfigurationError("evaluation needs at least one peer")

    def check(self, data_peers: Sequence[PeerId]) -> None:
        """Raises ConfigurationError unless the evaluated peers are among those that hold data."""
        known = frozenset(data_peers)
        for peer_id in self.peers or ():
            if peer_id not in known:
                raise ConfigurationError(f"evaluation of peer {peer_id!r}: expected one of {data_peers}")


def evaluated_peers(
    peers: Sequence[PeerId], num_peers: int | None, generator: np.random.Generator
) -> tuple[PeerId, ...]:
    """All peers, or a sample of `num_peers` in node order."""
    if num_peers is None or num_peers >= len(peers):
        return tuple(peers)
    return tuple(peers[i] for i in np.sort(generator.choice(len(peers), size=num_peers, replace=False)))


def mean_vector(vectors: Sequence[Vector], shares: Sequence[float]) -> Vector:
    """sum_i shares_i * vectors_i, summed in float64, in the dtype of the vectors."""
    total = np.zeros(vectors[0].shape, np.float64)
    for block in _blocks(total.size):
        part = total[block]
        for vector, share in zip(vectors, shares, strict=True):
            part += np.multiply(vector[block], share, dtype=np.float64)  # float32 times a Python number is float32
    return frozen(total.astype(vectors[0].dtype))


def _blocks(size: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, size, _BLOCK)]


def standings_of(peers: Iterable[Peer]) -> list[Standing]:
    """The standings of those peers that have a model."""
    return [standing for peer in peers if (standing := peer.standing) is not None]


def average_model(standings: Sequence[Standing], plan: EvaluationPlan, hub: ModelVectors | None = None) -> ModelVectors:
    """The model of the `hub`, if there is one, or else the mean of the peers' weights and statistics, uniform or by
    number of examples. What is local is always the peers' mean: a hub never gets any."""
    averages_statistics = hub is not None and plan.statistics != "local"
    if hub is not None and averages_statistics and not hub.local.size:
        return hub
    counts = [standing.num_examples if plan.weighting == "examples" else 1 for standing in standings]
    total = sum(counts)
    shares = [count / total for count in counts]
    models = [standing.model for standing in standings]
    local = mean_vector([model.local for model in models], shares)
    if hub is not None and averages_statistics:
        return ModelVectors(hub.weights, hub.statistics, local)
    return ModelVectors(
        mean_vector([model.weights for model in models], shares) if hub is None else hub.weights,
        plan.pooling.statistics(mean_vector([plan.pooling.moments(model.statistics) for model in models], shares)),
        local,
    )


def scored_average(
    trainer: Trainer, standings: Sequence[Standing], plan: EvaluationPlan, hub: ModelVectors | None = None
) -> ModelVectors:
    """The average model as it is scored and kept: recalibrated, where the plan says so."""
    average = average_model(standings, plan, hub)
    if plan.recalibration is None:
        return average
    names = [standing.peer_id for standing in standings]
    evaluated = frozenset(names if plan.peers is None else plan.peers)
    return plan.recalibration.applied(trainer, average, [name for name in names if name in evaluated])


def work_done(standings: Sequence[Standing]) -> dict[str, float]:
    """Training examples seen and passes over the own shard, per peer in the mean."""
    return {
        "num_examples": fmean(standing.examples_seen for standing in standings),
        "epochs": fmean(standing.examples_seen / max(1, standing.num_examples) for standing in standings),
    }


def consensus_distance(standings: Sequence[Standing], uniform_mean: Vector | None = None) -> float:
    """sqrt(mean_i ||x_i - mean(x)||^2) of the peers' weights (Kong et al., 2021); give mean(x) if it is known."""
    vectors = [standing.weights for standing in standings]
    if uniform_mean is None:
        uniform_mean = mean_vector(vectors, [1 / len(vectors)] * len(vectors))
    mean = uniform_mean.astype(np.float64)
    distinct = {id(vector): vector for vector in vectors}  # peers may share one vector
    squares = dict.fromkeys(distinct, 0.0)
    for block in _blocks(mean.size):
        part = mean[block]
        for key, vector in distinct.items():
            difference = vector[block] - part
            squares[key] += float(difference @ difference)
    return sqrt(sum(squares[id(vector)] for vector in vectors) / len(vectors))


def evaluate(
    trainer: Trainer,
    plan: EvaluationPlan,
    standings: Sequence[Standing],
    average: ModelVectors,
    traffic: Traffic,
    training: Mapping[str, float],
    *,
    round: int,
    time: float,
    has_hub: bool,
    final: bool = False,
    uniform_mean: Vector | None = None,
    epsilon: float | None = None,
) -> Evaluation:
    """The evaluation of all data holders at one moment; `average` is the mean of their models, or the hub's model, and
    `uniform_mean` that of their weights, where it is known already. The `final` one of a run measures in all places.
    `epsilon` is that of `epsilon_spent`."""
    chosen = standings
    if plan.peers is not None:
        evaluated = frozenset(plan.peers)  # of 10,000 peers, to look each up in the tuple would take a second
        chosen = [standing for standing in standings if standing.peer_id in evaluated]
    names = [standing.peer_id for standing in chosen]
    deploys_average = has_hub and not average.local.size  # a server has no model with what stays at its clients
    models = [(None, average), *((standing.peer_id, standing.model) for standing in chosen)]
    all_measured = []
    for place in plan.places:
        average_score, peer_scores = None, {}
        if final or not place.at_end:
            average_score, *scores = place.scores(trainer, models, names)
            peer_scores = dict(zip(names, scores, strict=True))
        for metric in (LOSS, *trainer.metrics):
            values = {peer_id: score.value(metric) for peer_id, score in peer_scores.items() if score is not None}
            trained = None if place.prefix else training.get(metric.name)
            of_average = _value(average_score, metric)
            all_measured.append(Measured(place.metric(metric), trained, of_average, values, deploys_average))
    loss, *metrics = all_measured
    return Evaluation(
        round=round,
        time=time,
        num_bytes=traffic.num_bytes,
        num_messages=traffic.num_messages,
        busiest_peer_bytes=traffic.busiest_peer_bytes,
        consensus_distance=consensus_distance(standings, uniform_mean),
        loss=loss,
        metrics={one.metric.name: one for one in metrics},
        epsilon=epsilon,
        **work_done(standings),
    )


def epsilon_spent(plan: EvaluationPlan, peers: Iterable[Peer]) -> float | None:
    """The epsilon of the participant whose ledger has spent most; None where nobody has a ledger."""
    if plan.delta is None:
        return None
    return most_spent((standing.spending for standing in standings_of(peers)), plan.delta)


def own_score(
    trainer: Trainer, plan: EvaluationPlan, peer_id: PeerId | None, model: ModelVectors, *, final: bool
) -> Score:
    """The score of a peer's own model, or (None) of a server's, by the metrics of all places; NaN where it has none."""
    values: dict[str, float] = {}
    for place in plan.places:
        if final or not place.at_end:
            (score,) = place.scores(trainer, [(peer_id, model)], place.shares or ())
            for metric in (LOSS, *trainer.metrics):
                value = _value(score, metric)
                values[place.metric(metric).name] = nan if value is None else value
    return Score(values.pop(LOSS.name), values)


def _value(score: Score | None, metric: Metric) -> float | None:
    return None if score is None else score.value(metric)
