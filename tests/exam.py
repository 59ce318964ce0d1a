"""The table of all algorithms that sits the common exams: adding an algorithm is adding a row.

The exams: tests/test_algorithms.py (values, budgets, seeds, conservation, agreement, bias), tests/peers/
test_snapshots.py and tests/engines/virtual/test_simulator_snapshots.py (stopped at any event), tests/engines/http/
test_http_agreement.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import networkx as nx
from federation import ring

from gossipfl.aggregators import Median
from gossipfl.algorithms import (
    Algorithm,
    Centralized,
    D2Gossip,
    DFedAvgM,
    DiLoCo,
    EpidemicLearning,
    ExactDiffusion,
    FedAvg,
    FedNova,
    FedProx,
    GoSGD,
    GossipLearning,
    GradientTrackingGossip,
    LocalOnly,
    LocalSGD,
    PairwiseGossip,
    QuasiGlobalMomentumGossip,
    RelaySumGossip,
    Scaffold,
    StochasticGradientPush,
    SynchronousGossip,
)
from gossipfl.compression import Clip
from gossipfl.methods.server_optimizers import ServerAdam, ServerSGD, ServerYogi
from gossipfl.peers import Sharing
from gossipfl.schedules import SCHEDULES, Static
from gossipfl.topology import canonical

AVERAGE = Sharing(optimizer_state="average")
CLIPPED = (Clip(0.3),)  # of models whose training moves them by about 1


def tree(num_peers: int) -> nx.Graph:
    return canonical(nx.star_graph(num_peers - 1) if num_peers < 4 else nx.full_rary_tree(2, num_peers), "tree")


def odd_ring(num_peers: int) -> nx.Graph:
    """A ring whose mixing matrix has all eigenvalues above -1/3, as D2 needs it."""
    return ring(num_peers + 1 - num_peers % 2)


@dataclass(frozen=True)
class Candidate:
    """`graph(n)` is where it runs. `waits` says that a round does not depend on any clock, so that virtual time and
    HTTP agree in every bit; `conserves` that without training the sum of the models (each times its mass) stays;
    `agrees` that without training all peers come to one model. `unbiased` says with how many local steps it ends at
    the minimiser of the mean objective on different data, where D-PSGD does not. `patient` is the same with a patience,
    for networks that lose messages; `is_random` says that who meets whom depends on the seed."""

    recipe: Algorithm
    graph: Callable[[int], nx.Graph] = ring
    waits: bool = True
    conserves: bool = True
    agrees: bool = True
    unbiased: Literal["never", "one", "many"] = "never"
    has_own_momentum: bool = False
    is_random: bool = False
    patient: Algorithm | None = None


CANDIDATES: dict[str, Candidate] = {
    "pairwise": Candidate(
        PairwiseGossip(), is_random=True, waits=False, patient=PairwiseGossip(timeout=0.2, max_backoff=1.0)
    ),
    "gosgd": Candidate(GoSGD(), is_random=True, waits=False, patient=GoSGD(timeout=0.2, max_backoff=1.0)),
    "gossip_learning": Candidate(
        GossipLearning(), is_random=True, waits=False, conserves=False, patient=GossipLearning()
    ),
    "gossip_learning, limited": Candidate(
        GossipLearning("limited"), is_random=True, waits=False, conserves=False, patient=GossipLearning("limited")
    ),
    "synchronous": Candidate(SynchronousGossip(), patient=SynchronousGossip(patience=0.2)),
    "synchronous, combine then adapt": Candidate(
        SynchronousGossip(order="combine_then_adapt"),
        patient=SynchronousGossip(order="combine_then_adapt", patience=0.2),
    ),
    "synchronous, three gossip steps": Candidate(
        SynchronousGossip(gossip_steps=3), patient=SynchronousGossip(gossip_steps=3, patience=0.2)
    ),
    "synchronous, median": Candidate(
        SynchronousGossip(aggregator=Median()),
        conserves=False,
        agrees=False,
        patient=SynchronousGossip(aggregator=Median(), patience=0.2),
    ),
    "synchronous, lazy": Candidate(SynchronousGossip(Static(lazy=True))),
    "synchronous, clipped": Candidate(
        SynchronousGossip(outgoing=CLIPPED), patient=SynchronousGossip(patience=0.2, outgoing=CLIPPED)
    ),
    "synchronous, combine then adapt, clipped": Candidate(
        SynchronousGossip(order="combine_then_adapt", outgoing=CLIPPED),
        patient=SynchronousGossip(order="combine_then_adapt", patience=0.2, outgoing=CLIPPED),
    ),
    "synchronous, three gossip steps, clipped": Candidate(SynchronousGossip(gossip_steps=3, outgoing=CLIPPED)),
    "gossip_learning, clipped": Candidate(
        GossipLearning(outgoing=CLIPPED),
        is_random=True,
        waits=False,
        conserves=False,
        patient=GossipLearning(outgoing=CLIPPED),
    ),
    "epidemic_learning": Candidate(EpidemicLearning(), is_random=True, patient=EpidemicLearning(patience=0.2)),
    "epidemic_learning, local": Candidate(
        EpidemicLearning(variant="local"),
        is_random=True,
        conserves=False,
        patient=EpidemicLearning(variant="local", patience=0.2),
    ),
    "dfedavgm": Candidate(DFedAvgM(LocalSGD(momentum=0.9)), patient=DFedAvgM(LocalSGD(momentum=0.9), patience=0.2)),
    "d2": Candidate(D2Gossip(), graph=odd_ring, unbiased="one"),
    "exact_diffusion": Candidate(ExactDiffusion(), unbiased="one"),
    "gradient_tracking": Candidate(GradientTrackingGossip(), unbiased="many"),
    "gradient_tracking, two gossip steps": Candidate(GradientTrackingGossip(gossip_steps=2), unbiased="many"),
    "quasi_global_momentum": Candidate(
        QuasiGlobalMomentumGossip(LocalSGD(0.1)),
        has_own_momentum=True,
        patient=QuasiGlobalMomentumGossip(LocalSGD(0.1), patience=0.2),
    ),
    "diloco": Candidate(DiLoCo(), has_own_momentum=True, patient=DiLoCo(patience=0.2)),
    "sgp": Candidate(StochasticGradientPush(Static())),
    "sgp, by examples": Candidate(StochasticGradientPush(weighting="examples")),
    "relay_sum": Candidate(
        RelaySumGossip(), graph=tree, conserves=False, unbiased="one", patient=RelaySumGossip(patience=0.2)
    ),
    "fedavg": Candidate(FedAvg(), patient=FedAvg(client_fraction=0.6, patience=0.5)),
    "fedavg, adam": Candidate(
        FedAvg(server_optimizer=ServerAdam(0.1)),
        has_own_momentum=True,
        patient=FedAvg(server_optimizer=ServerSGD(0.7, momentum=0.5), patience=0.5),
    ),
    "fedavg, median": Candidate(
        FedAvg(aggregator=Median(), weighting="uniform"),
        patient=FedAvg(aggregator=Median(), weighting="uniform", client_fraction=0.6, patience=0.5),
    ),
    "fedprox": Candidate(FedProx(mu=0.5), patient=FedProx(server_optimizer=ServerYogi(), mu=0.5, patience=0.5)),
    "scaffold": Candidate(Scaffold(), unbiased="many", patient=Scaffold(client_fraction=0.6)),
    "fednova": Candidate(FedNova(), patient=FedNova(sgd=LocalSGD(momentum=0.9), patience=0.5)),
    "local": Candidate(LocalOnly(), agrees=False, patient=LocalOnly()),
    "local, scoring itself": Candidate(
        LocalOnly(scores_itself=True), agrees=False, patient=LocalOnly(scores_itself=True)
    ),
    "centralized": Candidate(Centralized(), patient=Centralized()),
}
RANDOM = ("random_matchings", "epidemic_oracle", "epidemic_local")
for name, schedule in SCHEDULES.items():
    if name != "static":
        CANDIDATES |= {
            f"synchronous, {name}": Candidate(
                SynchronousGossip(schedule()), conserves=schedule().keeps_mean, is_random=name in RANDOM
            ),
            f"sgp, {name}": Candidate(StochasticGradientPush(schedule()), is_random=name in RANDOM),
        }
        if schedule().keeps_mean:
            CANDIDATES[f"gradient_tracking, {name}"] = Candidate(
                GradientTrackingGossip(schedule()), unbiased="many", is_random=name in RANDOM
            )
