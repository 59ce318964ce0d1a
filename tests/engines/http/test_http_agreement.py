"""What depends on no clock is the same in every bit in virtual time and over HTTP."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exam import CANDIDATES
from federation import make_simulator, random_models, ring, unequal_shards
from issued import new_run
from liars import LIES, FragileTrainer, WithLiar
from loopback import bits, run_loopback
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import Algorithm, FedAvg, LocalOnly, Scaffold, SynchronousGossip
from gossipfl.compression import Bfloat16
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.trust.credentials import load_credentials
from gossipfl.methods.server_optimizers import ServerSGD
from gossipfl.peers import PushSumPeer, Sharing

GRAPH = ring(4)

ALGORITHMS: dict[str, Callable[[Sharing], Algorithm]] = {
    "synchronous": lambda sharing: SynchronousGossip(sharing=sharing),
    "fedavg by examples": lambda sharing: FedAvg(weighting="examples", sharing=sharing),
    "fedavg uniform": lambda sharing: FedAvg(weighting="uniform", sharing=sharing),
    "fedavg of some": lambda sharing: FedAvg(0.5, ServerSGD(0.7, momentum=0.5), sharing),
    "scaffold": lambda sharing: Scaffold(sharing=sharing),
    "local": lambda sharing: LocalOnly(sharing=sharing),
}


@pytest.mark.parametrize("name", [name for name, candidate in CANDIDATES.items() if candidate.waits])
def test_what_waits_for_everybody_gives_the_bits_of_the_simulator(name):
    candidate = CANDIDATES[name]
    graph = candidate.graph(8)

    def trainer() -> NumpyTrainer:
        return NumpyTrainer(unequal_shards(graph), momentum=0.9, batch_size=2, has_statistics=True, has_local=True)

    simulator = make_simulator(candidate.recipe, graph, trainer(), seed=3, num_rounds=4)
    simulator.run()
    loopback = run_loopback(candidate.recipe, graph, trainer(), seed=3, num_rounds=4)
    assert bits(loopback.peers) == bits(simulator.peers)
    assert loopback.undisturbed


@pytest.mark.parametrize("name", [name for name, candidate in CANDIDATES.items() if not candidate.waits])
def test_what_does_not_wait_keeps_its_invariants(name):
    """Without training, the sum of the models, each times its mass, is what it was, and the peers come closer."""
    candidate = CANDIDATES[name]
    models = random_models(GRAPH)
    trainer = NumpyTrainer(unequal_shards(GRAPH), learning_rate=0.0)
    loopback = run_loopback(candidate.recipe, GRAPH, trainer, num_rounds=25, initial=models)
    masses = np.array([peer.mass if isinstance(peer, PushSumPeer) else 1.0 for peer in loopback.peers.values()])
    begin = np.stack([model.weights for model in models.values()])
    end = np.stack([peer.weights for peer in loopback.peers.values()])
    assert loopback.undisturbed
    assert masses.sum() == pytest.approx(len(GRAPH), abs=1e-12)
    if candidate.conserves:
        np.testing.assert_allclose(masses @ end / masses.sum(), begin.mean(axis=0), atol=1e-13)
    assert np.std(end, axis=0).max() < 0.5 * np.std(begin, axis=0).min()


def trainer() -> NumpyTrainer:
    return NumpyTrainer(unequal_shards(GRAPH), momentum=0.9, batch_size=2, has_statistics=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_run(tmp_path_factory.mktemp("certificates"), *GRAPH, "server")


@pytest.mark.parametrize("policy", ["keep", "average", "reset"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_http_gives_the_bits_of_the_simulator(name, policy):
    algorithm = ALGORITHMS[name](Sharing(optimizer_state=policy))
    simulator = make_simulator(algorithm, GRAPH, trainer(), seed=3)
    simulator.run()
    loopback = run_loopback(algorithm, GRAPH, trainer(), seed=3)
    assert bits(loopback.peers) == bits(simulator.peers)
    assert loopback.undisturbed


@pytest.mark.parametrize("name", ["synchronous", "fedavg by examples"])
def test_signatures_and_tls_change_nothing(name, certificates):
    algorithm = ALGORITHMS[name](Sharing(optimizer_state="average", statistics="local"))
    simulator = make_simulator(algorithm, GRAPH, trainer())
    simulator.run()
    loopback = run_loopback(
        algorithm,
        GRAPH,
        trainer(),
        hosting=lambda peer_id: Hosting(credentials=load_credentials(certificates, peer_id), linger=20.0),
    )
    assert bits(loopback.peers) == bits(simulator.peers)
    assert loopback.undisturbed
    assert all(url.startswith("https:") for url in loopback.addresses.values())


@pytest.mark.parametrize("name", ["synchronous", "fedavg by examples"])
def test_large_models_are_worked_on_in_threads_with_the_same_bits(name):
    """Above 1 MiB the reactions of a peer, digests and checks leave the event loop."""
    algorithm = ALGORITHMS[name](Sharing())

    def large_trainer() -> NumpyTrainer:
        return NumpyTrainer(unequal_shards(GRAPH, size=150_000), momentum=0.9)

    simulator = make_simulator(algorithm, GRAPH, large_trainer(), num_rounds=3)
    simulator.run()
    loopback = run_loopback(algorithm, GRAPH, large_trainer(), num_rounds=3)
    assert bits(loopback.peers) == bits(simulator.peers)
    assert loopback.undisturbed


@pytest.mark.parametrize("name", ["synchronous", "fedavg by examples", "fedavg of some"])
def test_bytes_are_counted_as_the_simulator_counts_them(name):
    algorithm = ALGORITHMS[name](Sharing())
    history = make_simulator(algorithm, GRAPH, trainer()).run()
    loopback = run_loopback(algorithm, GRAPH, trainer())
    for peer_id, host in loopback.hosts.items():
        sent = sum(neighbor.traffic.sent for neighbor in host.neighbors.values())
        received = sum(neighbor.traffic.received for neighbor in host.neighbors.values())
        assert (sent, received) == history.peer_bytes[peer_id]


def test_bfloat16_agrees_in_bits_and_bytes():
    recipe = SynchronousGossip(gossip_steps=2, outgoing=(Bfloat16(),))

    def single() -> NumpyTrainer:
        return NumpyTrainer(unequal_shards(GRAPH), momentum=0.9, has_statistics=True, dtype="float32")

    simulator = make_simulator(recipe, GRAPH, single(), num_rounds=3)
    history = simulator.run()
    loopback = run_loopback(recipe, GRAPH, single(), num_rounds=3)
    assert bits(loopback.peers) == bits(simulator.peers)
    for peer_id, host in loopback.hosts.items():
        assert sum(neighbor.traffic.sent for neighbor in host.neighbors.values()) == history.peer_bytes[peer_id][0]


@pytest.mark.parametrize("lie", ["giants", "just below the bound"])
@pytest.mark.parametrize(
    "name", ["synchronous", "synchronous, combine then adapt", "gradient_tracking", "sgp", "fedavg"]
)
def test_what_is_refused_and_taken_out_again_is_the_same_too(name, lie):
    candidate = CANDIDATES[name]
    recipe = WithLiar(candidate.recipe, "1", LIES[lie])

    def trainer() -> NumpyTrainer:
        return FragileTrainer(unequal_shards(GRAPH), momentum=0.5, has_statistics=True)

    simulator = make_simulator(recipe, GRAPH, trainer(), seed=3, num_rounds=6)
    history = simulator.run()
    loopback = run_loopback(recipe, GRAPH, trainer(), seed=3, num_rounds=6)
    assert bits(loopback.peers) == bits(simulator.peers)
    assert history.num_refused + history.num_rollbacks > 0
    hosts = loopback.hosts.values()
    assert sum(host.refusals["not_taken_in"] for host in hosts) == history.num_refused
    assert sum(host.num_rollbacks for host in hosts) == history.num_rollbacks
