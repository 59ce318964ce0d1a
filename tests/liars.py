"""Peers that say lawful things that are lies, and a trainer that breaks where a deep model would."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Action, Send, Train, Update
from gossipfl.algorithms import Algorithm, Seat
from gossipfl.compression import dense
from gossipfl.errors import TrainingError
from gossipfl.messages import Message
from gossipfl.weights import PeerId, frozen

Lie = Callable[[Message], Message]


def of(value: float, *names: str) -> Lie:
    """Vectors (all, or those that are named) full of one value."""

    def lie(message: Message) -> Message:
        vectors = {
            name: dense(frozen(np.full(encoded.size, value))) if name in names or not names else encoded
            for name, encoded in message.vectors.items()
        }
        return message._replace(vectors=vectors)

    return lie


def claiming(**numbers: float) -> Lie:
    """Other numbers, where a message carries numbers of that name."""
    return lambda message: message._replace(
        numbers={name: numbers.get(name, number) for name, number in message.numbers.items()}
    )


ALL = {"mass": 8.0, "age": 8, "num_models": 8}
NEXT_TO_NOTHING = {"mass": 5e-324, "age": 1, "num_models": 0, "step_weight": 5e-324}


LIES: dict[str, Lie] = {
    "giants": of(8e37),
    "thousands": of(1e3),
    "just below the bound": of(99.0),
    "one giant element": lambda message: message._replace(
        vectors={name: dense(frozen(np.eye(1, e.size)[0] * 170.0)) for name, e in message.vectors.items()}
    ),
    "denormals": of(5e-324),
    "negative variances": of(-1.0, "statistics"),
    "giant corrections": of(1e30, "tracker", "control", "optimizer"),
    "corrections below the bound": of(99.0, "tracker", "control", "optimizer"),
    "next to no mass": claiming(**NEXT_TO_NOTHING),
    "all mass": claiming(**ALL),
    "a billion examples": claiming(num_examples=10**9),
    "giants with all mass": lambda message: of(8e37)(claiming(**ALL)(message)),
}


class Liar:
    """A peer whose messages are made lies of; all else is that of the peer."""

    def __init__(self, peer: Any, lie: Lie) -> None:
        self._peer, self._lie = peer, lie

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._peer, name)
        if name not in ("start", "receive", "completed", "wake", "send_failed"):
            return value
        return lambda *arguments: self._lying(value(*arguments))

    def _lying(self, actions: Sequence[Action]) -> list[Action]:
        return [Send(self._lie(a.message)) if isinstance(a, Send) and a.message.vectors else a for a in actions]


class WithLiar:
    """An algorithm of which one peer lies."""

    def __init__(self, recipe: Algorithm, liar: PeerId, lie: Lie) -> None:
        self._recipe, self._liar, self._lie = recipe, liar, lie

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recipe, name)

    def make_peer(self, seat: Seat) -> Any:
        peer = self._recipe.make_peer(seat)
        return Liar(peer, self._lie) if seat.peer_id == self._liar else peer


class FragileTrainer(NumpyTrainer):
    """Training overflows, as that of a deep model does, on weights or corrections that are too large."""

    def _train_one(self, job: Train) -> Update:
        correction = job.vectors.get("c", np.zeros(1))
        if np.abs(job.weights).max() > 20 or np.abs(correction).max() > 20 or (job.statistics < 0).any():
            raise TrainingError("NaN", peer_id=job.peer_id, round=job.job)
        return super()._train_one(job)
