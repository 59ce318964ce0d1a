"""DFedAvgM: local steps with a momentum of their own, then mix."""

from dataclasses import dataclass, field

from gossipfl.algorithms.rounds import GossipSteps, Patience, ScheduleField, SynchronousRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.peers import Sharing
from gossipfl.schedules import Static


@dataclass(frozen=True, slots=True)
class DFedAvgM(SynchronousRecipe):
    """Several local steps with momentum that starts afresh every round, then mix (DFedAvgM; Sun et al., 2023)."""

    local_momentum: float
    schedule: ScheduleField = field(default_factory=Static)
    gossip_steps: GossipSteps = 1
    patience: Patience = None
    sharing: Sharing = field(default_factory=lambda: Sharing(optimizer_state="reset"))

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        if not 0 < self.local_momentum < 1:
            raise ConfigurationError(
                f"DFedAvgM needs an optimizer with momentum between 0 and 1, got {self.local_momentum}: give it one, "
                'such as optimizer = {name = "sgd", learning_rate = 0.1, momentum = 0.9}; without momentum it is '
                '"synchronous"'
            )
        if self.sharing.optimizer_state != "reset":
            raise ConfigurationError(
                f"the momentum of DFedAvgM starts afresh every round, got optimizer_state = "
                f'"{self.sharing.optimizer_state}"; use "synchronous" to keep or average it'
            )
