"""Epidemic learning: gossip in rounds with a few random peers."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from gossipfl.aggregators import Mean
from gossipfl.algorithms.algorithm import OutgoingField
from gossipfl.algorithms.rounds import AggregatorField, Patience, SynchronousRecipe
from gossipfl.errors import ConfigurationError
from gossipfl.peers import Sharing
from gossipfl.schedules import EpidemicLocal, EpidemicOracle, Schedule


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
    aggregator: AggregatorField = field(default_factory=Mean)
    patience: Patience = None
    outgoing: OutgoingField = ()
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
