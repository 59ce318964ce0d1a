"""Every recipe says which peers an algorithm needs, and makes each of them.

A recipe is a frozen value. It makes one peer at a time, so that a host builds its own peer and not all n.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias, get_args

import networkx as nx

from gossipfl.algorithms.seat import Seat
from gossipfl.compression import Stage
from gossipfl.errors import ConfigurationError
from gossipfl.messages import NumberSchema
from gossipfl.peers import Peer, Sharing
from gossipfl.weights import PeerId

Weighting: TypeAlias = Literal["uniform", "examples"]

LARGEST_NUM_EXAMPLES = 10**9
"""A peer may claim to have trained on so many; one that claims more would outweigh all others."""

NUM_EXAMPLES = NumberSchema(1, LARGEST_NUM_EXAMPLES, is_integer=True)

OutgoingField: TypeAlias = Annotated[
    tuple[Stage, ...],
    "Stages that what a peer sends passes on its way out, one after the other (`gossipfl algorithms` lists them).",
]

Family: TypeAlias = Literal["gossip in rounds", "asynchronous gossip", "with a server", "bounds"]


class Algorithm(ABC):
    """A frozen recipe for the peers of one algorithm.

    The first sentence of a recipe's docstring says what it does, and names its paper. Its fields are the parameters
    that a scenario may give, each `Annotated` with what it means; those of the types `Sharing`, `Weighting` and
    `LocalSGD` come from elsewhere in a scenario. A combination that is not sound is refused when the recipe is made, or
    by `network`.
    """

    __slots__ = ()

    family: ClassVar[Family]
    """Beside which others it is listed."""
    hub: ClassVar[PeerId | None] = None
    """A participant without data that keeps the model, joins no per-peer statistic and counts the rounds."""
    pools_data: ClassVar[bool] = False
    """True if all data lie at one participant."""
    follows_links: ClassVar[bool] = True
    """True if peers talk along the links of the topology, where no schedule says otherwise; else the algorithm brings
    its own."""
    weightings: ClassVar[frozenset[str]] = frozenset({"uniform"})
    """The goals that the algorithm can keep: the mean of the peers' objectives, "uniform" or by "examples"."""
    calculates_with: ClassVar[tuple[str, ...]] = ()
    """The fields of `LocalSGD` that it calculates with."""
    needs_everybody: ClassVar[str | None] = None
    """Why no participant can be shut out of a run, as a clause; None: one can."""
    agrees: ClassVar[bool] = True
    """True if participants talk, and so can agree on how good their models are."""
    takes_no: ClassVar[Mapping[str, str]] = {}
    """Why the algorithm has no field by which others take one of a kind (`aggregator`, `outgoing`), as a clause."""

    @property
    @abstractmethod
    def sharing(self) -> Sharing:
        """The policies for a model's parts beside its weights."""

    @property
    @abstractmethod
    def patience(self) -> float | None:
        """Seconds after which a silent peer is no longer waited for; None waits for ever."""

    @property
    def gossip_steps(self) -> int:
        """Steps of mixing per round, by which messages are numbered."""
        return 1

    def known_in(self, network: nx.Graph, rounds: int, seed: int) -> tuple[int, ...] | None:
        """For each round the one in which everybody knows what each peer has said from its beginning on, on board of
        every message, where nobody goes on without the others (`gossipfl.stopping.known`); None: peers do."""
        return None

    @property
    def extra_vectors(self) -> frozenset[str]:
        """Names of the vectors, each of the size of the weights, that messages carry beside the shared ones."""
        return frozenset()

    def numbers(self, num_peers: int, rounds: int) -> Mapping[str, NumberSchema]:
        """The numbers that messages may carry, by name, with their bounds: among `num_peers` participants, each of
        which does `rounds` rounds of local work in the mean."""
        return {}

    def num_rounds(self, rounds: int, num_peers: int) -> int:
        """Rounds by which messages are numbered, when each of `num_peers` does `rounds` rounds of local work in the
        mean."""
        return rounds

    def caveat(self, graph: nx.Graph) -> str | None:
        """The part of the goal that it does not keep on the graph of the data holders, as the end of a sentence; None:
        nothing."""
        return None

    @abstractmethod
    def network(self, graph: nx.Graph) -> nx.Graph:
        """The graph of who takes part and who talks to whom, made from that of the data holders.

        Raises ConfigurationError where the algorithm is not sound on this graph.
        """

    @abstractmethod
    def make_peer(self, seat: Seat) -> Peer:
        """One participant."""


def check_weighting(weighting: str) -> None:
    """Raises ConfigurationError for a goal that there is not."""
    if weighting not in get_args(Weighting):
        raise ConfigurationError(f"weighting is uniform or examples, got {weighting!r}")


def check_patience(patience: float | None) -> None:
    """Raises ConfigurationError for a patience that is not a time."""
    if patience is not None and not 0 < patience < float("inf"):
        raise ConfigurationError(f"patience must be above 0 seconds (or absent, to wait for ever), got {patience}")
