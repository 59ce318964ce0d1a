"""The plan by which the peers of a run agree on how good their models are, and whether to go on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossipfl.scores import Metric, Part
from gossipfl.stopping.rule import StopRule
from gossipfl.stopping.table import Layout
from gossipfl.weights import PeerId


@dataclass(frozen=True, eq=False, slots=True)
class AgreementPlan:
    """Every peer has its model scored on a held-out `part`, all of it or its own of the `shares`, every so many rounds
    of its local work; scores go on board of messages, in the form of the `layout`, from which all read how good the
    models are, and by the `rule` whether to go on.

    `metrics` are the trainer's, the loss first, in the order of the layout's columns. Where peers wait for each other,
    `known_in` gives for each round the one in which all know its scores; None: each goes by the newest that it has.
    With a `hub`, that one alone decides. Steps of mixing per round are `gossip_steps`.
    """

    layout: Layout
    metrics: tuple[Metric, ...]
    part: Part
    shares: Mapping[PeerId, NDArray[np.int64]] | None = None
    rule: StopRule | None = None
    known_in: tuple[int, ...] | None = None
    gossip_steps: int = 1
    hub: PeerId | None = None
