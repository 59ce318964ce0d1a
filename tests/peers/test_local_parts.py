"""What of a model is a peer's own stays there, whatever the algorithm; evaluations have it, or the mean of it."""

from dataclasses import replace

import numpy as np
import pytest
from exam import CANDIDATES
from federation import final_weights, identical, make_simulator, random_shards
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import SERVER, FedAvg, SynchronousGossip
from gossipfl.engines.evaluation import EvaluationPlan, average_model, standings_of
from gossipfl.peers import Sharing

SIZE = 8


def run(recipe, graph, *, has_local=True, on_send=lambda peer, trainer: None):
    trainer = NumpyTrainer(random_shards(graph), momentum=0.9, batch_size=3, has_statistics=True, has_local=has_local)
    simulator = make_simulator(recipe, graph, trainer, num_rounds=4)
    send = simulator.network.send

    def checked(message, now):
        assert "local" not in message.vectors
        on_send(simulator.peers[message.sender], trainer)
        return send(message, now)

    simulator.network.send = checked
    simulator.run()
    return simulator, trainer


def of_training_alone(trainer, peer_id, num_steps):
    local = np.zeros(3)
    for step in range(num_steps):
        local = 0.9 * local + 0.1 * trainer.batch(peer_id, step).mean(axis=0)
    return local


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_local_part_is_what_training_alone_makes_of_it(name):
    candidate = CANDIDATES[name]
    graph = candidate.graph(SIZE)
    simulator, trainer = run(candidate.recipe, graph)
    without, _ = run(candidate.recipe, graph, has_local=False)
    assert identical(final_weights(simulator), final_weights(without))
    for peer_id, peer in simulator.peers.items():
        num_steps = peer.local.num_jobs * peer.local.work.steps_per_round
        assert (peer.standing.model.local == of_training_alone(trainer, peer_id, num_steps)).all()
        assert (num_steps > 0) == (peer_id != SERVER)


@pytest.mark.parametrize("recipe", [SynchronousGossip(), SynchronousGossip(gossip_steps=2)])
def test_while_a_peer_waits_to_mix_all_of_its_model_is_of_one_round(recipe):
    def check(peer, trainer):
        assert peer.local.num_jobs == peer.round + 1
        mixed = of_training_alone(trainer, peer.peer_id, peer.round * peer.local.work.steps_per_round)
        assert (peer.standing.model.local == mixed).all()
        checked.append(peer.peer_id)

    checked = []
    run(recipe, CANDIDATES["synchronous"].graph(4), on_send=check)
    assert len(checked) >= 4 * 4


def test_an_optimizer_that_begins_afresh_leaves_it_as_it_is():
    graph = CANDIDATES["synchronous"].graph(4)
    for state in ("keep", "reset"):
        simulator, trainer = run(SynchronousGossip(sharing=Sharing(optimizer_state=state)), graph)
        for peer_id, peer in simulator.peers.items():
            assert (peer.standing.model.local == of_training_alone(trainer, peer_id, 8)).all()


@pytest.mark.parametrize("recipe", [SynchronousGossip(), FedAvg()])
def test_the_average_model_has_the_mean_of_it_and_each_peer_its_own(recipe):
    graph = CANDIDATES["synchronous"].graph(4)
    simulator, trainer = run(recipe, graph)
    standings = standings_of(peer for peer_id, peer in simulator.peers.items() if peer_id != SERVER)
    average = simulator.average()
    np.testing.assert_allclose(average.local, np.mean([one.model.local for one in standings], axis=0), atol=1e-15)
    hub = simulator.peers.get(SERVER)
    if hub is not None:
        assert average.weights is hub.weights
        assert average.statistics is hub.standing.model.statistics
        assert (hub.standing.model.local == 0).all()
        local = average_model(standings, EvaluationPlan(statistics="local"), hub.standing.model)
        assert local.statistics is not hub.standing.model.statistics
    last = simulator.history.last
    (score,) = trainer.evaluate([average])
    assert last.loss.average == score.loss
    for standing in standings:
        (score,) = trainer.evaluate([standing.model])
        assert last.loss.peers[standing.peer_id] == score.loss
        (other,) = trainer.evaluate([replace(standing.model, local=average.local)])
        assert other.loss != score.loss
