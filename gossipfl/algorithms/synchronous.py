"""Synchronous gossip without corrections: train, send to the neighbors of the step, mix with what they have sent."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, TypeAlias

from gossipfl.algorithms.rounds import SynchronousRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.peers import Sharing
from gossipfl.schedules import EpidemicLocal, EpidemicOracle, Schedule, Static

ScheduleField: TypeAlias = Annotated[Schedule, "Who mixes with whom in which step (`gossipfl algorithms` lists them)."]
GossipSteps: TypeAlias = Annotated[
    int, "Steps of mixing per round. More: closer agreement, at the expense of as many times the bytes and delays."
]
Patience: TypeAlias = Annotated[
    float | None, "Seconds after which a peer mixes with whoever has answered; absent: it waits for ever."
]


@dataclass(frozen=True, slots=True)
class SynchronousGossip(SynchronousRecipe):
    """Train, swap with the neighbors of the round, mix by a mixing matrix (D-PSGD; Lian et al., 2017)."""

    schedule: ScheduleField = field(default_factory=Static)
    order: Annotated[
        Literal["adapt_then_combine", "combine_then_adapt"],
        "Mix trained weights, or mix those before training and add the step of training: they travel while peers "
        "train, so a round is shorter, at the expense of peers that agree less, and of a limit on local work: where "
        "the mixing matrix has negative eigenvalues (a lazy one has none), much of it makes the peers diverge.",
    ] = "adapt_then_combine"
    gossip_steps: GossipSteps = 1
    patience: Patience = None
    sharing: Sharing = field(default_factory=Sharing)

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        if self.order not in ("adapt_then_combine", "combine_then_adapt"):
            raise ConfigurationError(f"order is adapt_then_combine or combine_then_adapt, got {self.order!r}")

    @property
    def combines_first(self) -> bool:
        return self.order == "combine_then_adapt"


@dataclass(frozen=True, slots=True)
class EpidemicLearning(SynchronousRecipe):
    """Mix with a few random peers, others in every round (Epidemic Learning; de Vos et al., 2023)."""

    num_neighbors: Annotated[
        int, "Random peers that each sends to. More: faster agreement, at the expense of as many times the bytes."
    ] = 2
    variant: Annotated[
        Literal["oracle", "local"],
        "oracle: a random regular graph that all draw alike, which keeps the mean; local: each draws for itself whom "
        "it sends to, so that some receive more than others.",
    ] = "oracle"
    patience: Patience = None
    sharing: Sharing = field(default_factory=Sharing)

    follows_links: ClassVar[bool] = False

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        if self.variant not in ("oracle", "local"):
            raise ConfigurationError(f"variant is oracle or local, got {self.variant!r}")
        _ = self.schedule

    @property
    def schedule(self) -> Schedule:
        return (EpidemicOracle if self.variant == "oracle" else EpidemicLocal)(self.num_neighbors)


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
