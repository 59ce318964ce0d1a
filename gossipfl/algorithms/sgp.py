"""Stochastic gradient push: push-sum in rounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import networkx as nx

from gossipfl.algorithms.algorithm import LARGEST_NUM_EXAMPLES, Weighting, check_weighting
from gossipfl.algorithms.rounds import GossipSteps, ScheduleField, SynchronousRecipe
from gossipfl.algorithms.seat import Seat
from gossipfl.errors import ConfigurationError
from gossipfl.messages import NumberSchema
from gossipfl.mixing import Mixing, PushSumMixing
from gossipfl.mixing.push_sum import SMALLEST_MASS
from gossipfl.peers import Sharing
from gossipfl.schedules import OnePeerExponential
from gossipfl.topology import least_stationary_mass, push_matrix

_LEAST_MASS = 0.1  # of the mean; steps of training grow by its inverse


@dataclass(frozen=True, slots=True)
class StochasticGradientPush(SynchronousRecipe):
    """Push-sum in rounds, on graphs whose links may go one way and change (SGP; Assran et al., 2019)."""

    schedule: ScheduleField = field(default_factory=OnePeerExponential)
    gossip_steps: GossipSteps = 1
    weighting: Weighting = "uniform"
    sharing: Sharing = field(default_factory=Sharing)

    takes_no: ClassVar[Mapping[str, str]] = {
        "aggregator": (
            "the sums over peers of models times masses have to stay as they are, and no other rule keeps them"
        ),
        "outgoing": "a share of the mass goes with what is sent, and what a stage held back would go with none",
    }
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform", "examples"})

    def __post_init__(self) -> None:
        SynchronousRecipe.__post_init__(self)
        check_weighting(self.weighting)

    def numbers(self, num_peers: int, rounds: int) -> Mapping[str, NumberSchema]:
        first = LARGEST_NUM_EXAMPLES if self.weighting == "examples" else 1
        return {"mass": NumberSchema(SMALLEST_MASS, first * num_peers)}

    def network(self, graph: nx.Graph) -> nx.Graph:
        """Raises ConfigurationError where a peer would keep so little mass that its steps of training explode."""
        if graph.is_directed() and self.schedule.follows_links:
            least = least_stationary_mass(push_matrix(graph))
            if least < _LEAST_MASS:
                raise ConfigurationError(
                    f"push-sum leaves a peer of topology {graph.name!r} {least:.2g} of the mean mass: its steps of "
                    f"training would be {1 / max(least, 1e-300):.3g} times as long (at most {1 / _LEAST_MASS:g}); add "
                    "links to peers that hear from few others, or take the schedule one_peer_exponential"
                )
        return self.schedule.links(graph)

    def caveat(self, graph: nx.Graph) -> str | None:
        return None  # the sums of value and mass stay as they are on every schedule

    def mixing_of(self, seat: Seat) -> Mixing:
        return PushSumMixing(seat.peer_id, float(seat.work.num_examples) if self.weighting == "examples" else 1.0)
