"""The places from which a run is attacked, and what each of them can tell of others from the messages that it gets."""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import numpy as np

from gossipfl.audits.observation import Observation
from gossipfl.audits.tap import Tap
from gossipfl.compression import decompress
from gossipfl.errors import ConfigurationError
from gossipfl.messages import Message
from gossipfl.weights import PeerId, Vector


class Attacker(StrEnum):
    """The place of whoever attacks."""

    NEIGHBOR = "neighbor"
    """A peer that the target sends its models to; it follows the protocol, and keeps what it gets."""
    SERVER = "server"
    """The server of an algorithm that has one; it follows the protocol, too."""
    EAVESDROPPER = "eavesdropper"
    """Somebody on the line of peers that talk by TLS: sees who talks to whom, when and how much."""

    def check(self, label: str, hub: PeerId | None) -> None:
        """Raise ConfigurationError where an algorithm has no such place."""
        if self is Attacker.SERVER and hub is None:
            raise ConfigurationError(
                f"{label!r} has no server; take --attacker neighbor, or an algorithm with a server"
            )
        if self is Attacker.NEIGHBOR and hub is not None:
            raise ConfigurationError(
                f"the clients of {label!r} send their models to the server and to no neighbor; take --attacker server"
            )

    def sees_content(self) -> bool:
        """True if what messages hold reaches the place, not only their sizes."""
        return self is not Attacker.EAVESDROPPER


def places_of(tap: Tap, attacker: Attacker, targets: Iterable[PeerId], hub: PeerId | None) -> dict[PeerId, PeerId]:
    """For each target the place that attacks it: the server, or the first of its neighbors that it sends to."""
    if not attacker.sees_content():
        return {}
    found: dict[PeerId, PeerId] = {}
    for place, messages in tap.wire.items():
        if hub in (None, place):
            for message in messages:
                found.setdefault(message.sender, place)
    return {target: found[target] for target in targets if target in found}


def observed(
    tap: Tap, target: PeerId, place: PeerId, initial: Vector, num_steps: int, hub: PeerId | None
) -> Observation | None:
    """The first training of a target as the place knows it; None: nothing that it got tells of that (yet).

    All begin with the `initial` model, or the one that the server has sent.
    """
    for message, after in models_from(tap.opened[place], target, initial.size):
        before = initial
        if hub is not None:
            sent = (one for one in models_from(tap.opened[target], hub, initial.size) if one[0].round == message.round)
            before = next((model for _, model in sent), initial)
        if not np.array_equal(before, after):  # who combines first sends its model before it trains, too
            alike = (
                model
                for one in tap.opened[place]
                if one.round == message.round
                for _, model in models_from([one], one.sender, initial.size)
            )
            num_models = sum(np.array_equal(model, after) for model in alike)
            return Observation(place, target, before, after, num_steps, num_models)
    return None


def last_model(tap: Tap, target: PeerId, place: PeerId, size: int) -> Vector | None:
    """The newest model of a target that the place knows, or the mean in which it is; None: it knows none."""
    models = list(models_from(tap.opened[place], target, size))
    return models[-1][1] if models else None


def models_from(messages: Iterable[Message], sender: PeerId, size: int) -> Iterator[tuple[Message, Vector]]:
    """The models of `size` numbers among the messages of a sender, in order; what is encrypted or masked is none."""
    for message in messages:
        sent = message.vectors.get("weights")
        if message.sender == sender and sent is not None and sent.size == size:
            model = decompress(sent)
            if np.issubdtype(model.dtype, np.floating):
                yield message, model
