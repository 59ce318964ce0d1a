"""Questions asked in virtual time, of peers on a simulated network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import networkx as nx

from gossipfl.analytics.cost import Cost, cost_on
from gossipfl.engines.ciphers import cipher_of_seed
from gossipfl.engines.virtual.network_model import LAN, NetworkModel
from gossipfl.engines.virtual.simulator import Simulator, World
from gossipfl.errors import DataError
from gossipfl.peers import Backoff
from gossipfl.queries import Answer, Masking, Question, RelayPeer, RelayTree, Unanswered, Values
from gossipfl.randomness import PublicRandomness
from gossipfl.training.no_trainer import NoTrainer
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class Asked:
    """The answers in the order of the questions, which are the same at all peers but those `without` any, and what they
    cost."""

    answers: tuple[Answer, ...]
    cost: Cost
    without: tuple[PeerId, ...] = ()


def asked(
    graph: nx.Graph,
    questions: Sequence[Question],
    values: Mapping[PeerId, Sequence[Values]],
    *,
    network: NetworkModel = LAN,
    seed: int = 0,
    patience: float | None = None,
    colluders: int | None = None,
) -> Asked:
    """Ask the peers of a graph in canonical form, whose `values` for each question these are.

    With `colluders` (0 or more), by sums whose terms nobody sees, also if so many peers tell each other what they know;
    in virtual time that protects nobody, as all keys come from the seed: it shows what it costs.

    `patience` (seconds for each link of the way; absent: ten minutes, or 200 times what all should take) is how long a
    peer waits for others. Raises DataError, naming the peer, for values that a question does not take, and where there
    is no answer.
    """
    tree = RelayTree.of(graph)
    cost = cost_on(tree, questions, network, is_masked=colluders is not None)
    timeout = max(1.0, 2 * cost.seconds)
    if patience is None:  # so often may a message be lost, and waiting costs nothing
        patience = max(600.0, 100 * timeout)
    randomness = PublicRandomness(seed)

    def peer(name: PeerId) -> RelayPeer:
        try:
            return RelayPeer(
                tree.places[name],
                questions,
                values[name],
                backoff=Backoff(timeout, 8 * timeout),
                generator=randomness.generator("relay", name),
                patience=patience,
                masking=None if colluders is None else Masking(cipher_of_seed(seed, name), "questions", colluders),
            )
        except DataError as error:
            raise DataError(f"peer {name}: {error}") from error

    peers = {name: peer(name) for name in graph}
    simulator = Simulator(peers, NoTrainer(), World(network), seed=seed)
    simulator.run()
    outcomes = peers[tree.root].answers or ()
    if none := next((one for one in outcomes if isinstance(one, Unanswered)), None):
        raise DataError(none.why)
    answers = tuple(one for one in outcomes if isinstance(one, Answer))
    without = tuple(name for name, one in peers.items() if not all(isinstance(a, Answer) for a in one.answers or ()))
    if without:
        note = f"{len(without)} of {len(peers)} peers do not come to know it: the first is {without[0]}"
        answers = tuple(replace(answer, notes=(*answer.notes, note)) for answer in answers)
    traffic = simulator.traffic
    num_passes = peers[tree.root].round
    return Asked(answers, Cost(num_passes, traffic.num_messages, traffic.num_bytes, simulator.now), without)
