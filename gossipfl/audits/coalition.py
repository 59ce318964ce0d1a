"""Places pool what they got: sums hide their terms, and differences of sums bring some of them back.

All that a coalition has of one gossip step is a linear system: its members' own models, the models that they were sent,
and the sums. What the system determines is told exactly; of what it does not, a sum is left, without the terms that are
known.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from gossipfl.attacks.differencing import LinearView, exposed
from gossipfl.audits.observation import Observation
from gossipfl.audits.places import models_from
from gossipfl.audits.tap import Tap
from gossipfl.messages import Message
from gossipfl.weights import PeerId, Vector, frozen

Shares: TypeAlias = Callable[[PeerId, int], Mapping[PeerId, float]]
"""The shares that a peer gives in a step to those whom it hears, known to everybody."""


def pooled(observation: Observation, tap: Tap, colluders: Sequence[PeerId], shares: Shares) -> Observation:
    """The observation of a place to whom `colluders` tell all that they have, too."""
    size, step = observation.after.size, _step_of(observation, tap)
    views = [view for member in (observation.place, *colluders) for view in _views(member, tap, step, size, shares)]
    told = exposed(views)
    if observation.target in told:
        value = told[observation.target].value
        return replace(observation, after=frozen(value.astype(observation.after.dtype)), num_models=1)
    own = next(
        view for view in _views(observation.place, tap, step, size, shares) if observation.target in view.weights
    )
    rest = {peer: weight for peer, weight in own.weights.items() if peer not in told}
    total = np.array(own.total, np.float64)
    for peer, weight in own.weights.items():
        if peer in told:
            total -= weight * told[peer].value
    mean = (total / sum(rest.values())).astype(observation.after.dtype)
    return replace(observation, after=frozen(mean), num_models=len(rest))


def _step_of(observation: Observation, tap: Tap) -> int:
    models = models_from(tap.opened[observation.place], observation.target, observation.after.size)
    return next(message.round for message, model in models if np.array_equal(model, observation.after))


def _views(member: PeerId, tap: Tap, step: int, size: int, shares: Shares) -> Iterator[LinearView]:
    """The views of one member: its own model, and what it was sent; those of one sum all hold the same vector."""
    for _, own in models_from(_of_step(tap.sent[member], step), member, size):
        yield LinearView({member: 1.0}, own)
        break
    groups: dict[bytes, tuple[Vector, list[PeerId]]] = {}
    for message in _of_step(tap.opened[member], step):
        for _, model in models_from([message], message.sender, size):
            groups.setdefault(model.tobytes(), (model, []))[1].append(message.sender)
    of_all = shares(member, step)
    for model, senders in groups.values():
        total = sum(of_all[sender] for sender in senders)
        yield LinearView({sender: of_all[sender] / total for sender in senders}, model)


def _of_step(messages: Sequence[Message], step: int) -> Sequence[Message]:
    return [message for message in messages if message.round == step]
