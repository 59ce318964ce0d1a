"""What depends on no clock is the same in every bit in virtual time and over HTTP."""

from collections.abc import Callable
from pathlib import Path

import pytest
from federation import make_simulator, ring, unequal_shards
from issued import new_run
from loopback import bits, run_loopback
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import Algorithm, FedAvg, LocalOnly, SynchronousGossip
from gossipfl.engines.http.credentials import load_credentials
from gossipfl.engines.http.hosting import Hosting
from gossipfl.peers import Sharing

GRAPH = ring(4)

ALGORITHMS: dict[str, Callable[[Sharing], Algorithm]] = {
    "synchronous": lambda sharing: SynchronousGossip(sharing=sharing),
    "fedavg by examples": lambda sharing: FedAvg(weighting="examples", sharing=sharing),
    "fedavg uniform": lambda sharing: FedAvg(weighting="uniform", sharing=sharing),
    "fedavg of some": lambda sharing: FedAvg(client_fraction=0.5, server_learning_rate=0.7, sharing=sharing),
    "local": lambda sharing: LocalOnly(sharing=sharing),
}


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
        sent = sum(neighbor.sent for neighbor in host.neighbors.values())
        received = sum(neighbor.received_bytes for neighbor in host.neighbors.values())
        assert (sent, received) == history.peer_bytes[peer_id]
