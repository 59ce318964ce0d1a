"""A tap hears exactly what reaches a place, and changes nothing of the run."""

import numpy as np
import pytest
from federation import complete, final_weights, identical, make_simulator, random_shards, ring
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import Algorithm, FedAvg, SynchronousGossip
from gossipfl.audits.places import Attacker, last_model, observed, places_of
from gossipfl.audits.tap import Tap
from gossipfl.compression import decompress
from gossipfl.engines.virtual.simulator import Simulator
from gossipfl.errors import ConfigurationError


def simulator(algorithm: Algorithm, graph) -> Simulator:
    return make_simulator(algorithm, graph, NumpyTrainer(random_shards(graph)), num_rounds=3)


def tapped(algorithm: Algorithm, graph) -> tuple[Tap, Simulator]:
    run = simulator(algorithm, graph)
    tap = Tap.on(run)
    run.run()
    return tap, run


@pytest.mark.parametrize(("algorithm", "graph"), [(SynchronousGossip(), ring(5)), (FedAvg(), complete(4))])
def test_a_tapped_run_is_the_same_run(algorithm, graph) -> None:
    plain = simulator(algorithm, graph)
    plain.run()
    tap, run = tapped(algorithm, graph)
    assert plain.history.last == run.history.last
    assert identical(final_weights(plain), final_weights(run))
    assert len(tap.envelopes) == run.traffic.num_messages == sum(map(len, tap.wire.values()))


def test_a_neighbor_hears_its_neighbors_and_nobody_else() -> None:
    tap, _ = tapped(SynchronousGossip(), ring(5))
    assert {message.sender for message in tap.wire["0"]} == {"1", "4"}
    assert {message.receiver for message in tap.wire["0"]} == {"0"}
    assert tap.wire["0"] == tap.opened["0"]  # nothing is wrapped around it


def test_what_a_neighbor_knows_of_the_first_training_is_what_came_of_it() -> None:
    graph = ring(5)
    trainer = NumpyTrainer(random_shards(graph))
    initial = trainer.initial().weights
    (job,) = simulator(SynchronousGossip(), graph).peers["3"].start(0.0)
    tap, _ = tapped(SynchronousGossip(), graph)
    places = places_of(tap, Attacker.NEIGHBOR, graph, None)
    assert places.keys() == set(graph)
    assert places["3"] in {"2", "4"}
    observation = observed(tap, "3", places["3"], initial, 1, None)
    assert observation.num_models == 1
    assert observation.before is initial
    assert np.array_equal(observation.after, trainer.train([job])[0].weights)
    assert not np.array_equal(last_model(tap, "3", places["3"], initial.size), observation.after)


def test_who_combines_first_tells_of_its_training_in_the_second_message() -> None:
    graph = ring(5)
    tap, _ = tapped(SynchronousGossip(order="combine_then_adapt"), graph)
    initial = NumpyTrainer(random_shards(graph)).initial().weights
    observation = observed(tap, "1", "0", initial, 1, None)
    second = [message for message in tap.wire["0"] if message.sender == "1"][1]
    assert np.array_equal(decompress(second.vectors["weights"]), observation.after)


def test_a_server_knows_the_model_that_it_sent() -> None:
    graph = complete(4)
    tap, run = tapped(FedAvg(), graph)
    assert set(places_of(tap, Attacker.SERVER, graph, "server").values()) == {"server"}
    observation = observed(tap, "2", "server", run.peers["0"].value, 1, "server")
    assert np.array_equal(decompress(tap.wire["2"][0].vectors["weights"]), observation.before)


def test_a_sum_is_told_by_all_that_are_in_it() -> None:
    """As the peer inside a secure aggregation is given one mean for each of its neighbors."""
    tap, run = tapped(SynchronousGossip(), ring(5))
    first, other = tap.opened["0"][:2]
    tap.opened["0"][1] = other._replace(vectors=first.vectors)
    observation = observed(tap, first.sender, "0", np.zeros(run.peers["0"].value.size), 1, None)
    assert observation.num_models == 2


def test_an_eavesdropper_has_envelopes_alone() -> None:
    tap, run = tapped(SynchronousGossip(), ring(5))
    assert places_of(tap, Attacker.EAVESDROPPER, run.peers, None) == {}
    assert sum(envelope.num_bytes for envelope in tap.envelopes) <= run.traffic.num_bytes


@pytest.mark.parametrize(
    ("attacker", "hub", "said"), [(Attacker.SERVER, None, "has no server"), (Attacker.NEIGHBOR, "hub", "no neighbor")]
)
def test_places_that_an_algorithm_has_not_are_refused(attacker, hub, said) -> None:
    with pytest.raises(ConfigurationError, match=said):
        attacker.check("fedavg", hub)
