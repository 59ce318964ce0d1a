"""Early stopping by an engine that sees all peers.

What is looked at is what targets are read off: the metric of what is deployed, at every evaluation, that before any
training included. The average model of the best evaluation is kept.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from math import nan
from typing import Any

from numpy.typing import NDArray

from gossipfl.engines.evaluation import standings_of
from gossipfl.history import Evaluation, History, stopped_by
from gossipfl.peers import Peer, Standing
from gossipfl.scores import LOSS
from gossipfl.snapshot import Snapshot, read_only
from gossipfl.stopping.rule import Judge, StopRule
from gossipfl.weights import ModelVectors


class Stopping:
    """Looks at the evaluations of one run, in their order, and notes in its history what was the best of them; without
    a rule it does not look."""

    def __init__(self, rule: StopRule | None, history: History) -> None:
        self._judge = None if rule is None else Judge(rule)
        self._history = history
        self.ask: Callable[[Evaluation], str | None] = lambda evaluation: None
        """Is shown every evaluation when it is made; a text is a reason to end the run with it, too."""

    def reason(self, evaluation: Evaluation, average: ModelVectors | None) -> str | None:
        """The reason why the run ends with this evaluation, or None. The best one's `average` model is kept; without
        it, the evaluation is one that was looked at before a run went on."""
        asked = None if average is None else self.ask(evaluation)
        verdict = self._verdict(evaluation, average) or asked
        return None if verdict is None else f"in round {evaluation.round}, at {evaluation.time:.4g} s: {verdict}"

    def _verdict(self, evaluation: Evaluation, average: ModelVectors | None) -> str | None:
        judge = self._judge
        if judge is None:
            return None
        metric = judge.rule.metric
        measured = evaluation.loss if metric.name == LOSS.name else evaluation.metrics[metric.name]
        value = nan if measured.deployed is None else measured.deployed
        if judge.look(value, evaluation.round):
            self._history.best_round = evaluation.round
            self._history.best = average or self._history.best
        of = f"the {metric.name} of what is deployed, on {measured.metric.on},"
        return judge.verdict(value, of)

    def snapshot(self) -> Snapshot:
        """The best model; all else is in the evaluations."""
        best = self._history.best
        return ({} if best is None else {one.name: getattr(best, one.name) for one in fields(best)}), {}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from the arrays of a snapshot, and the evaluations that are in the history."""
        if self._judge is not None:
            self._history.best = ModelVectors(**read_only(arrays)) if arrays else None
            for evaluation in self._history.evaluations:
                self.reason(evaluation, None)


def ended_themselves(peers: Iterable[Peer]) -> bool:
    """True if all of these have finished, some before their rounds were over: an evaluation now is the last one."""
    ended = list(peers)
    return all(peer.finished for peer in ended) and any(standing.stopped for standing in standings_of(ended))


def why_ended(standings: Iterable[Standing]) -> str | None:
    """The reason why peers have ended before their rounds were over, as they say; None: they have not."""
    return stopped_by({standing.peer_id: standing.stopped for standing in standings})
