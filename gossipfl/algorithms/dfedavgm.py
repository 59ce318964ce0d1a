"""DFedAvgM: local steps with a momentum of their own, then mix."""

from dataclasses import dataclass, field
from typing import ClassVar

from gossipfl.aggregators import Mean
from gossipfl.algorithms.algorithm import OutgoingField
from gossipfl.algorithms.local_sgd import LocalSGD, not_plain_sgd
from gossipfl.algorithms.rounds import AggregatorField, GossipSteps, Patience, ScheduleField, SynchronousRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.peers import Sharing
from gossipfl.schedules import Static


@dataclass(frozen=True, slots=True)
class DFedAvgM(SynchronousRecipe):
    """Several local steps with momentum that starts afresh every round, then mix (DFedAvgM; Sun et al., 2023)."""

    sgd: LocalSGD
    schedule: ScheduleField = field(default_factory=Static)
    gossip_steps: GossipSteps = 1
    aggregator: AggregatorField = field(default_factory=Mean)
    patience: Patience = None
    outgoing: OutgoingField = ()
    sharing: Sharing = field(default_factory=lambda: Sharing(optimizer_state="reset"))

    calculates_with: ClassVar[tuple[str, ...]] = ("momentum",)

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        if self.sgd.decay:
            raise not_plain_sgd(type(self).__name__, self.calculates_with, self.sgd)
        if not self.sgd.momentum:
            raise ConfigurationError(
                f"DFedAvgM needs an optimizer with momentum between 0 and 1, got {self.sgd.momentum}: give it one, "
                'such as optimizer = {name = "sgd", learning_rate = 0.1, momentum = 0.9}; without momentum it is '
                '"synchronous"'
            )
        if self.sharing.optimizer_state != "reset":
            raise ConfigurationError(
                f"the momentum of DFedAvgM starts afresh every round, got optimizer_state = "
                f'"{self.sharing.optimizer_state}"; use "synchronous" to keep or average it'
            )
