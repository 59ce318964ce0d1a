"""What every recipe offers: which peers an algorithm needs, and how to make each of them.

A recipe is a frozen value. It makes one peer at a time, so that a host builds its own peer and not all n.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol, TypeAlias, get_args

import networkx as nx

from gossipfl.actions import LocalWork
from gossipfl.errors import ConfigurationError
from gossipfl.messages import NumberSchema
from gossipfl.peers import Peer, Sharing
from gossipfl.randomness import Randomness
from gossipfl.weights import ModelVectors, PeerId

Weighting: TypeAlias = Literal["uniform", "examples"]

LARGEST_NUM_EXAMPLES = 10**9
"""What a peer may claim to have trained on; one that claims more would outweigh all others."""

NUM_EXAMPLES = NumberSchema(1, LARGEST_NUM_EXAMPLES, is_integer=True)


class Algorithm(Protocol):
    """A frozen recipe for the peers of one algorithm.

    The first sentence of a recipe's docstring says what it does, and names its paper. Its fields are the parameters
    that a scenario may give, each `Annotated` with what it means; `sharing` and `weighting` come from elsewhere in a
    scenario. A combination that is not sound is refused when the recipe is made, or by `network`.
    """

    hub: ClassVar[PeerId | None]
    """A participant without data that keeps the model, joins no per-peer statistic and counts the rounds."""
    pools_data: ClassVar[bool]
    """Whether all data lie at one participant."""
    weightings: ClassVar[frozenset[str]]
    """The goals that the algorithm can keep: the mean of the peers' objectives, "uniform" or by "examples"."""
    extra_vectors: ClassVar[frozenset[str]]
    """Names of the vectors, each of the size of the weights, that messages carry beside the shared ones."""
    needs_everybody: ClassVar[str | None]
    """Why no participant can be shut out of a run, as a clause; None: one can."""

    def numbers(self, num_peers: int, rounds: int) -> Mapping[str, NumberSchema]:
        """The numbers that messages may carry, by name, with their bounds: among `num_peers` participants, each of
        which does `rounds` rounds of local work in the mean."""
        ...

    @property
    def patience(self) -> float | None:
        """Seconds after which a silent peer is no longer waited for; None waits for ever."""
        ...

    @property
    def gossip_steps(self) -> int:
        """Steps of mixing per round, by which messages are numbered."""
        ...

    @property
    def follows_links(self) -> bool:
        """Whether peers talk along the links of the topology; else the algorithm brings its own."""
        ...

    @property
    def sharing(self) -> Sharing:
        """What happens to a model's parts beside its weights."""
        ...

    def network(self, graph: nx.Graph) -> nx.Graph:
        """Who takes part and who talks to whom, made from the graph of the data holders.

        Raises ConfigurationError where the algorithm is not sound on this graph.
        """
        ...

    def caveat(self, graph: nx.Graph) -> str | None:
        """What it does not keep of the goal on the graph of the data holders, as the end of a sentence on it; None:
        nothing."""
        ...

    def num_rounds(self, rounds: int, num_peers: int) -> int:
        """Rounds by which messages are numbered, when each of `num_peers` does `rounds` rounds of local work in the
        mean."""
        ...

    def make_peer(
        self,
        peer_id: PeerId,
        network: nx.Graph,
        initial: ModelVectors,
        work: LocalWork,
        randomness: Randomness,
    ) -> Peer:
        """One participant of `network`, which `Algorithm.network` has given."""
        ...


class Recipe:
    """What most recipes have in common; a recipe that differs says so."""

    __slots__ = ()

    hub: ClassVar[PeerId | None] = None
    pools_data: ClassVar[bool] = False
    follows_links: ClassVar[bool] = True
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform"})
    extra_vectors: ClassVar[frozenset[str]] = frozenset()
    needs_everybody: ClassVar[str | None] = None
    gossip_steps: ClassVar[int] = 1

    def caveat(self, graph: nx.Graph) -> str | None:
        return None

    def num_rounds(self, rounds: int, num_peers: int) -> int:
        return rounds

    def numbers(self, num_peers: int, rounds: int) -> Mapping[str, NumberSchema]:
        return {}


def check_weighting(weighting: str) -> None:
    """Raises ConfigurationError for a goal that there is not."""
    if weighting not in get_args(Weighting):
        raise ConfigurationError(f"weighting is uniform or examples, got {weighting!r}")


def check_patience(patience: float | None) -> None:
    """Raises ConfigurationError for a patience that is not a time."""
    if patience is not None and not 0 < patience < float("inf"):
        raise ConfigurationError(f"patience must be above 0 seconds (or absent, to wait for ever), got {patience}")
