"""The plan of an audit."""

from dataclasses import dataclass

from gossipfl.audits.defences import Defence
from gossipfl.audits.places import Attacker
from gossipfl.audits.reconstruction import Attack


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of an audit: from which place, against which defences, on how many targets, with how many peers
    that tell the place what they have, too, and by which `attack` (None: the closed form where the model has one, else
    Inverting Gradients) of how many iterations (None: those of its paper)."""

    attacker: Attacker
    defences: tuple[Defence, ...]
    num_targets: int = 20
    num_colluders: int = 0
    iterations: int | None = None
    attack: Attack | None = None
