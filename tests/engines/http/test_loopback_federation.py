"""The real engine with the simulator's face: the same iteration, the same history."""

import asyncio
import socket
from collections.abc import Sequence

import numpy as np
import pytest
from federation import make_peers, make_simulator, random_shards, ring
from loopback import bits, facts_for
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Action, Train, Update
from gossipfl.algorithms import Algorithm, FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.engines.evaluation import EvaluationPlan
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.loopback_federation import LoopbackFederation, Member
from gossipfl.engines.http.status import PeerStatus
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.errors import RemoteProtocolError, TrainingError
from gossipfl.messages import Kind, Message
from gossipfl.scores import LOSS, Score
from gossipfl.stopping.rule import StopRule
from gossipfl.weights import ModelVectors

GRAPH = ring(4)
HOSTING = Hosting(Limits(max_backoff=0.1), linger=60.0, meeting_seconds=5.0)


def new_trainer() -> NumpyTrainer:
    return NumpyTrainer(random_shards(GRAPH), momentum=0.9, has_statistics=True)


def federation(
    algorithm: Algorithm,
    trainer: NumpyTrainer | None = None,
    *,
    num_rounds: int = 5,
    ports: Sequence[int] = (),
    hosting: Hosting = HOSTING,
    **options: object,
) -> LoopbackFederation:
    trainer = trainer or new_trainer()
    network = algorithm.network(GRAPH)
    peers = make_peers(algorithm, GRAPH, trainer, num_rounds=num_rounds)
    members = [Member(peer, tuple(network.neighbors(peer_id)), hosting) for peer_id, peer in peers.items()]
    for k, port in enumerate(ports):
        members[k] = Member(members[k].peer, members[k].neighbors, HOSTING, port)
    facts = facts_for(trainer.initial(), num_rounds=num_rounds, num_participants=len(network), algorithm=algorithm)
    return LoopbackFederation(members, facts, trainer, hub=algorithm.hub, label="test", **options)


@pytest.mark.parametrize("algorithm", [SynchronousGossip(), FedAvg()], ids=["synchronous", "fedavg"])
def test_its_history_is_that_of_the_simulator_apart_from_time(algorithm):
    simulator = make_simulator(algorithm, GRAPH, new_trainer())
    virtual = simulator.run()
    running = federation(algorithm)
    real = running.run()
    assert bits(running.peers) == bits(simulator.peers)
    assert [evaluation.round for evaluation in real] == [evaluation.round for evaluation in virtual] == [*range(6)]
    assert real.peer_bytes == virtual.peer_bytes
    assert real.link_traffic == virtual.link_traffic
    assert real.average.weights.tobytes() == virtual.average.weights.tobytes()
    assert real.last.average_loss == virtual.last.average_loss
    assert real.last.peer_accuracy == virtual.last.peer_accuracy
    assert real.last.num_bytes == virtual.last.num_bytes
    times = [evaluation.time for evaluation in real]
    assert times[0] == 0.0
    assert times == sorted(times)
    assert real.contacts == []
    assert real.num_refused == real.num_open == 0


def test_pairwise_gossip_is_evaluated_in_equivalent_rounds():
    history = federation(PairwiseGossip(), num_rounds=6, plan=EvaluationPlan(every=2, peers=("1", "3"))).run()
    assert [evaluation.round for evaluation in history] == [0, 2, 4, 6]
    assert {tuple(evaluation.peer_accuracy) for evaluation in history} == {("1", "3")}
    assert history.last.training_loss is not None


def test_exchanges_that_stay_half_applied_are_counted():
    """One peer takes in no replies, so each of its exchanges is applied at its neighbors only."""
    hosting = Hosting(Limits(max_backoff=0.1), linger=0.5, meeting_seconds=5.0)
    running = federation(PairwiseGossip(timeout=0.1, max_backoff=0.2), num_rounds=3, hosting=hosting)
    peer = running.peers["0"]
    receive = peer.receive

    def deaf(message: Message, now: float) -> list[Action]:
        if message.kind is Kind.REPLY:
            raise RemoteProtocolError("it is not heard")
        return receive(message, now)

    peer.receive = deaf  # type: ignore[method-assign]
    history = running.run()
    assert history.num_open == len(peer.awaits) > 0


def test_it_can_be_left_in_the_middle():
    """Whatever stays open is a warning, and so an error."""
    running = federation(PairwiseGossip(), num_rounds=10**6)
    assert running.next().round == 0
    assert running.next().round == 1
    running.close()
    assert running.next() is None
    assert len(running.history) == 2
    assert running.history.final.keys() == set(GRAPH)


def test_it_can_be_closed_before_it_runs():
    running = federation(PairwiseGossip())
    running.close()
    assert running.next() is None


class FailingTrainer(NumpyTrainer):
    def __init__(self) -> None:
        super().__init__(random_shards(GRAPH))
        self.fails_in = ""

    def train(self, jobs: Sequence[Train]) -> list[Update]:
        if self.fails_in == "training" and any((job.peer_id, job.job) == ("2", 3) for job in jobs):
            raise TrainingError("NaN", peer_id="2", round=3)
        return super().train(jobs)

    def evaluate(self, models: Sequence[ModelVectors], part="test", examples=None) -> list[Score]:
        if self.fails_in == "evaluation" and np.any(models[0].weights):
            raise ValueError("no held-out data")
        return super().evaluate(models)


@pytest.mark.parametrize(("what", "error"), [("training", TrainingError), ("evaluation", ValueError)])
def test_what_fails_is_raised_as_it_is(what, error):
    trainer = FailingTrainer()
    trainer.fails_in = what
    running = federation(PairwiseGossip(timeout=0.5), trainer, num_rounds=100)
    with pytest.raises(error):
        running.run()
    running.close()
    assert running.next() is None


def test_a_port_that_is_taken_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = federation(PairwiseGossip(), ports=[0, 0, taken.getsockname()[1]])
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            running.run()
        running.close()


def test_somebody_may_look_while_it_runs():
    seen: list[Sequence[PeerStatus]] = []
    federation(SynchronousGossip(), look=seen.append).run()
    assert [status.peer for status in seen[-1]] == list(GRAPH)
    assert {status.state for status in seen[-1]} == {"over"}
    assert {status.round for status in seen[-1]} == {5}
    assert all(status.metrics["accuracy"] is not None for status in seen[-1])


def test_two_of_them_do_not_disturb_each_other():
    first, second = federation(SynchronousGossip()), federation(SynchronousGossip())
    assert [first.next().round, second.next().round, first.next().round, second.next().round] == [0, 0, 1, 1]
    assert first.run().last.round == second.run().last.round == 5
    assert bits(first.peers) == bits(second.peers)


def test_it_needs_no_running_event_loop_and_leaves_none():
    federation(SynchronousGossip()).run()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


@pytest.mark.parametrize("algorithm", [SynchronousGossip(), FedAvg()], ids=["synchronous", "fedavg"])
def test_it_is_stopped_where_the_simulator_is_with_the_models_of_that_moment(algorithm):
    whole = make_simulator(algorithm, GRAPH, new_trainer(), num_rounds=30).run()
    stop = StopRule(LOSS, value=whole.evaluations[4].loss.deployed)
    virtual = make_simulator(algorithm, GRAPH, new_trainer(), num_rounds=30, stop=stop).run()
    real = federation(algorithm, num_rounds=30, stop=stop).run()
    assert [evaluation.round for evaluation in real] == [evaluation.round for evaluation in virtual] == [*range(5)]
    assert real.stopped is not None
    assert "as good as" in real.stopped
    assert real.best_round == virtual.best_round
    assert real.best.weights.tobytes() == virtual.best.weights.tobytes()
    assert real.average.weights.tobytes() == virtual.average.weights.tobytes()
    assert real.final.keys() == virtual.final.keys()
    if algorithm.hub is None:
        for peer_id, model in real.final.items():
            assert model.weights.tobytes() == virtual.final[peer_id].weights.tobytes()


def test_it_is_stopped_before_anybody_has_begun():
    real = federation(PairwiseGossip(), stop=StopRule(LOSS, value=1e9)).run()
    assert [evaluation.round for evaluation in real] == [0]
    assert real.stopped is not None
