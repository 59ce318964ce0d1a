"""An engine's measurements: one `Evaluation` per equivalent round, and the `History` of one algorithm's run."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import nan
from typing import Any

from gossipfl.agreements import Agreement, agreement_of, agreement_row
from gossipfl.measured import ASPECTS, Measured
from gossipfl.scores import Metric, Score
from gossipfl.weights import ModelVectors, PeerId


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The state of a run at one moment of (virtual or real) time.

    `round` is the equivalent round: rounds of local work that are over, per data-holding peer in the mean; a round that
    a peer skipped, or in which a server did not ask it, is none. `num_examples` and `epochs` are the work itself:
    training examples seen so far, with repetition, and passes over the own shard, per peer in the mean. `time` is in
    seconds, traffic in bytes since the start, each message counted with its overhead when it was sent;
    `busiest_peer_bytes` is the largest sum of sent and received bytes over all participants, a FedAvg server included.
    `consensus_distance` is sqrt(mean_i ||x_i - mean(x)||^2) over all peers (Kong et al., 2021). `epsilon` is that of
    the participant whose ledger of differential privacy has spent most; None without one.

    `loss` and the `metrics` by name are each of the training that ended since the previous evaluation (means over its
    examples), of the mean of all peers' weights (the server's model, for FedAvg) and of each evaluated peer's own, the
    latter two on held-out data. What is deployed are the peers' own models; with `deploys_average` it is the average
    one, a server's. What a row of the history has of them is an attribute too: `evaluation.mean_accuracy`,
    `evaluation.average_loss`, `evaluation.peer_accuracy`.
    """

    round: int
    time: float
    num_bytes: int
    num_messages: int
    busiest_peer_bytes: int
    consensus_distance: float
    loss: Measured
    metrics: Mapping[str, Measured]
    num_examples: float = 0.0
    epochs: float = 0.0
    epsilon: float | None = None

    @property
    def main(self) -> Measured:
        """The first metric, by which a run is judged where nothing else is said; without one it is the loss."""
        return next(iter(self.metrics.values()), self.loss)

    @property
    def deploys_average(self) -> bool:
        """True if what is deployed is the average model, a server's, and not the peers' own."""
        return self.loss.deploys_average

    def score(self, peer_id: PeerId | None = None) -> Score:
        """The score of an evaluated peer's own model, or without a peer, that of the average model."""

        def of(measured: Measured) -> float | None:
            return measured.average if peer_id is None else measured.peers.get(peer_id)

        loss, metrics = of(self.loss), {name: of(measured) for name, measured in self.metrics.items()}
        known = {name: value for name, value in metrics.items() if value is not None}
        return Score(nan if loss is None else loss, known)

    def __getattr__(self, name: str) -> Any:
        aspect, _, metric = name.partition("_")
        if aspect in (*ASPECTS, "peer"):
            measured = self.loss if metric == "loss" else self.metrics.get(metric)
            if measured is not None:
                return measured.peers if aspect == "peer" else measured.aspects()[aspect]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def evaluation_of(values: Mapping[str, Any]) -> Evaluation:
    """The evaluation that `dataclasses.asdict` has made these values of."""

    def measured(of: Mapping[str, Any]) -> Measured:
        return Measured(**{**of, "metric": Metric(**of["metric"])})

    metrics = {name: measured(of) for name, of in values["metrics"].items()}
    return Evaluation(**{**values, "loss": measured(values["loss"]), "metrics": metrics})


@dataclass(frozen=True, slots=True)
class Contact:
    """At `time` (seconds) `peer` found `neighbor` "unreachable" or "reachable" again, or heard that it has "left"."""

    time: float
    peer: PeerId
    neighbor: PeerId
    event: str


@dataclass(frozen=True, slots=True)
class Known:
    """An agreement is known to `num_peers` peers, to the first of them since `time` (seconds)."""

    time: float
    num_peers: int


@dataclass(slots=True)
class History:
    """The record of one algorithm's run with one seed."""

    algorithm: str
    seed: int
    evaluations: list[Evaluation] = field(default_factory=list)
    peer_bytes: dict[PeerId, tuple[int, int]] = field(default_factory=dict)
    """Bytes (sent, received) per participant."""
    link_traffic: dict[tuple[PeerId, PeerId], tuple[int, int]] | None = field(default_factory=dict)
    """(messages, bytes) per ordered pair (sender, receiver); None when more than 100,000 pairs have talked, too many to
    keep count of."""
    final: dict[PeerId, ModelVectors] = field(default_factory=dict)
    """Last vectors of every peer."""
    average: ModelVectors | None = None
    """Mean of the last vectors of all peers (the server's model, for FedAvg)."""
    contacts: list[Contact] = field(default_factory=list)
    """The times peers lost and found each other; empty in virtual time, whose outages are part of the scenario."""
    num_refused: int = 0
    """Messages that a peer refused because they broke a rule of the protocol, or did not take in."""
    num_rollbacks: int = 0
    """Times that a peer could not train on what it had mixed in, and took it out again."""
    num_open: int = 0
    """Exchanges to which peers that had finished had no answer when the run ended. Each may be applied at its other end
    alone, and what an algorithm conserves, such as the sum of all weights, is off by them."""
    stopped: str | None = None
    """When and why the run was stopped before its rounds were over, as the scenario wants; None: it was not."""
    best_round: int | None = None
    """The round of the best evaluation, by the metric that may stop the run; None without one."""
    best: ModelVectors | None = None
    """The average model of that round."""
    agreed: dict[Agreement, Known] = field(default_factory=dict)
    """The agreements of the peers on how good their models are, and when they came to be known; where peers wait for
    each other, all know the same."""
    interrupted: bool = False
    failure: str | None = None
    """Why the run ended before its time: training diverged, peers waited for what was lost, or anything else."""

    def __iter__(self) -> Iterator[Evaluation]:
        return iter(self.evaluations)

    def __len__(self) -> int:
        return len(self.evaluations)

    @property
    def last(self) -> Evaluation:
        """The newest evaluation."""
        return self.evaluations[-1]

    def end_with(self, models: Mapping[PeerId, ModelVectors], average: ModelVectors, hub: PeerId | None) -> None:
        """Note the last models of all participants. That of a hub, if it has one, is the average: its statistics are
        there also where they are local, of which a hub never gets any."""
        self.average = average
        self.final = {**models, hub: average} if hub is not None and hub in models else dict(models)

    def agree(self, agreement: Agreement, time: float) -> None:
        """Note that a peer has come to know it."""
        known = self.agreed.get(agreement, Known(time, 0))
        self.agreed[agreement] = replace(known, num_peers=known.num_peers + 1)

    def agreed_values(self) -> list[Any]:
        """JSON-ready values of what was agreed, of which `restore_agreed` makes it again."""
        return [[agreement.values(), asdict(known)] for agreement, known in self.agreed.items()]

    def restore_agreed(self, values: Iterable[Any]) -> None:
        self.agreed = {agreement_of(agreement): Known(**known) for agreement, known in values}

    def notes(self) -> list[str]:
        """Sentences on what the numbers do not say: messages that were refused, training that was undone, and, where
        the run came to its end, exchanges that were open then."""
        run = f"{self.algorithm} (seed {self.seed})"
        notes = []
        if self.num_refused:
            what = "1 message was" if self.num_refused == 1 else f"{self.num_refused} messages were"
            notes.append(f"{run}: {what} refused, and did not count in full; the log says why.")
        if self.num_rollbacks:
            times = "once" if self.num_rollbacks == 1 else f"{self.num_rollbacks} times"
            notes.append(f"{run}: {times} a peer could not train on what it had mixed in, and took it out again.")
        if self.stopped is not None:
            notes.append(f"{run}: stopped early {self.stopped}.")
        if self.best_round is not None and self.best_round != self.last.round:
            notes.append(f"{run}: the best was round {self.best_round}; its average model is kept, too.")
        if not self.interrupted and self.failure is None:
            notes += filter(None, [open_exchanges(run, self.num_open)])
        return notes

    def rows(self) -> Iterator[dict[str, Any]]:
        """One flat, JSON-ready row per evaluation."""
        for evaluation in self.evaluations:
            yield history_row(self.algorithm, self.seed, evaluation)

    def contact_rows(self) -> Iterator[dict[str, Any]]:
        """One flat, JSON-ready row per contact that was lost or found."""
        for contact in self.contacts:
            yield {"algorithm": self.algorithm, "seed": self.seed, **asdict(contact)}

    def agreed_rows(self) -> Iterator[dict[str, Any]]:
        """One flat, JSON-ready row per agreement."""
        for agreement, known in self.agreed.items():
            yield agreed_row(self.algorithm, self.seed, agreement, known)


def agreed_row(algorithm: str, seed: int, agreement: Agreement, known: Known) -> dict[str, Any]:
    """One flat, JSON-ready row: what a line of `agreed.jsonl` holds."""
    of_the_run = {"algorithm": algorithm, "seed": seed, "time": known.time, "known_to": known.num_peers}
    return of_the_run | agreement_row(agreement)


def stopped_by(reasons: Mapping[PeerId, str | None]) -> str | None:
    """The reason why peers ended before their rounds were over, each by its own word ("in round 3: ..."); where it is
    not the same for all, the most frequent ones with their numbers. None: nobody did.

    >>> stopped_by({"a": "in round 3: enough", "b": "in round 3: enough"})
    'in round 3: enough'
    >>> stopped_by({"a": "in round 3: enough", "b": "in round 5: enough", "c": None})
    'in rounds 3 to 5: enough (2 of 3 peers)'
    """
    said = [reason for reason in reasons.values() if reason is not None]
    if len(said) == len(reasons) and len(set(said)) == 1:
        return said[0]
    rounds: dict[str, list[int | None]] = {}
    for reason in said:
        found = re.fullmatch(r"in round (\d{1,15}): (.*)", reason, re.DOTALL)
        round, why = (int(found[1]), found[2]) if found else (None, reason)
        rounds.setdefault(why, []).append(round)
    most = sorted(rounds.items(), key=lambda one: -len(one[1]))
    words = [f"{_in_rounds(those)}{why} ({len(those)} of {len(reasons)} peers)" for why, those in most[:3]]
    if others := sum(len(those) for _, those in most[3:]):
        words.append(f"and {others} more for other reasons")
    return "; ".join(words) or None


def _in_rounds(rounds: Sequence[int | None]) -> str:
    known = [round for round in rounds if round is not None]
    if not known:
        return ""
    return f"in round {known[0]}: " if min(known) == max(known) else f"in rounds {min(known)} to {max(known)}: "


def open_exchanges(run: str, number: int) -> str | None:
    """A sentence on exchanges of a run that were open when it ended; None when there were none."""
    if not number:
        return None
    what = "1 exchange was" if number == 1 else f"{number} exchanges were"
    return f"{run}: {what} open when the run ended, and may be applied at one end only."


def history_row(algorithm: str, seed: int, evaluation: Evaluation) -> dict[str, Any]:
    """One flat, JSON-ready row: what a line of `history.jsonl` and a row of `history.parquet` hold."""
    all_measured = (evaluation.loss, *evaluation.metrics.values())
    return {
        "algorithm": algorithm,
        "seed": seed,
        "round": evaluation.round,
        "num_examples": evaluation.num_examples,
        "epochs": evaluation.epochs,
        "time": evaluation.time,
        "num_bytes": evaluation.num_bytes,
        "num_messages": evaluation.num_messages,
        "busiest_peer_bytes": evaluation.busiest_peer_bytes,
        "consensus_distance": evaluation.consensus_distance,
        **({} if evaluation.epsilon is None else {"epsilon": evaluation.epsilon}),
        "deploys_average": evaluation.deploys_average,
        **{f"{aspect}_{one.metric.name}": value for one in all_measured for aspect, value in one.aspects().items()},
        **{f"peer_{one.metric.name}": dict(one.peers) for one in all_measured},
    }
