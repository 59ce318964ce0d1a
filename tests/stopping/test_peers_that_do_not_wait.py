"""Peers that do not wait for each other go by the newest scores; whoever finds that the run ends calls the others."""

import pytest
from agreeing import agreeing_simulator, ends_of
from exam import CANDIDATES
from federation import final_weights, identical, make_simulator, random_shards, ring
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import FedAvg, GoSGD, GossipLearning, PairwiseGossip, SynchronousGossip
from gossipfl.engines.virtual.compute_model import ComputeModel
from gossipfl.engines.virtual.network_model import Link, NetworkModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.messages import Kind
from gossipfl.scores import LOSS
from gossipfl.stopping.rule import StopRule

GRAPH = ring(6)
EVENTUALLY = {
    "pairwise": PairwiseGossip(timeout=0.2, max_backoff=1.0),
    "gosgd": GoSGD(timeout=0.2, max_backoff=1.0),
    "gossip_learning": GossipLearning(),
    "synchronous": SynchronousGossip(patience=0.2),
    "combine then adapt": SynchronousGossip(patience=0.2, order="combine_then_adapt", gossip_steps=2),
}
PATIENT = {
    name: one
    for name, one in CANDIDATES.items()
    if one.patient is not None and one.recipe.agrees and one.recipe.hub is None
}
AT_ONCE = StopRule(LOSS, value=1e9)
"""Holds as soon as more than half of the peers are heard of."""


def new_trainer():
    return NumpyTrainer(random_shards(GRAPH), momentum=0.5)


@pytest.mark.parametrize("name", PATIENT)
def test_all_end_soon_after_the_first_finds_that_they_do(name):
    recipe, graph = PATIENT[name].patient, PATIENT[name].graph(8)
    trainer = NumpyTrainer(random_shards(graph), momentum=0.5)
    world = World(NetworkModel(link=Link(latency=0.01, jitter=0.02)), ComputeModel(0.01, {"1": 0.5, "2": 1.7}))
    rule = StopRule(LOSS, patience=3)
    simulator = agreeing_simulator(recipe, graph, trainer, num_rounds=60, rule=rule, world=world)
    ends = ends_of(simulator)
    history = simulator.run()
    first = min(time for time, _ in ends.values())
    assert all(time <= first + 4 * 0.03 for time, _ in ends.values())  # 4 links, at most 0.03 s each
    for peer_id, peer in simulator.peers.items():
        assert peer.finished
        assert peer.is_drained
        assert peer.rounds_done - ends[peer_id][1] in (0, 1)  # no more than the round that was under way
        assert peer.round < 60
        assert peer.standing.stopped is not None
    assert history.num_refused == 0
    assert any(
        "in 3 evaluations the loss in the mean over" in peer.standing.stopped for peer in simulator.peers.values()
    )


@settings(max_examples=20)
@given(
    st.sampled_from(sorted(EVENTUALLY)),
    st.floats(0, 0.4),
    st.floats(0, 0.05),
    st.lists(st.floats(0.3, 3), min_size=6, max_size=6),
    st.integers(0, 5),
    st.integers(0, 9),
)
def test_whatever_is_lost_or_late_or_away_all_end(name, loss, jitter, speeds, away, seed):
    network = NetworkModel(link=Link(latency=0.01, jitter=jitter, loss=loss), offline={str(away): ((0.2, 1.0),)})
    world = World(network, ComputeModel(0.01, dict(zip(GRAPH, speeds, strict=True))))
    simulator = agreeing_simulator(
        EVENTUALLY[name], GRAPH, new_trainer(), num_rounds=30, rule=AT_ONCE, world=world, seed=seed
    )
    ends = ends_of(simulator)
    simulator.run()
    for peer_id, peer in simulator.peers.items():
        assert peer.finished
        if peer_id in ends:  # else it had done its rounds before
            assert peer.rounds_done - ends[peer_id][1] in (0, 1)
        assert (peer.standing.stopped is None) == (peer.round == 30)


def test_one_that_was_cut_off_while_all_ended_ends_when_it_is_back():
    network = NetworkModel(link=Link(latency=0.001), offline={"3": ((3.0, 400.0),)})
    world = World(network, ComputeModel(0.5))
    simulator = agreeing_simulator(GossipLearning(), GRAPH, new_trainer(), num_rounds=900, rule=AT_ONCE, world=world)
    ends = ends_of(simulator)
    simulator.run()
    assert all(time < 10 for peer_id, (time, _) in ends.items() if peer_id != "3")
    assert 400 <= ends["3"][0] < 403  # its first model that arrives is answered with a call
    assert simulator.peers["3"].round < 210


def test_scores_of_a_part_of_the_peers_decide_nothing():
    """With the others away, no more than half of them are heard of, and each ends after its rounds."""
    offline = dict.fromkeys(("0", "2", "4"), ((0.0, 1000000.0),))
    world = World(NetworkModel(offline=offline), ComputeModel(0.01), linger=1.0)
    simulator = agreeing_simulator(GossipLearning(), GRAPH, new_trainer(), num_rounds=7, rule=AT_ONCE, world=world)
    assert simulator.run().stopped is None
    assert {peer.round for peer in simulator.peers.values()} == {7}


@pytest.mark.parametrize("name", EVENTUALLY)
def test_training_is_the_same_with_and_without(name):
    runs = [
        agreeing_simulator(EVENTUALLY[name], GRAPH, new_trainer(), num_rounds=6),
        make_simulator(EVENTUALLY[name], GRAPH, new_trainer(), num_rounds=6),
    ]
    for run in runs:
        run.run()
    if name in ("synchronous", "combine then adapt"):  # of the others, who meets whom when depends on every event
        weights = {peer_id: peer.inner.weights for peer_id, peer in runs[0].peers.items()}
        assert identical(weights, final_weights(runs[1]))
    assert {peer.round for peer in runs[0].peers.values()} == {6}


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_a_server_judges_by_what_its_clients_measure(fraction, every):
    recipe = FedAvg(client_fraction=fraction)
    simulator = agreeing_simulator(recipe, GRAPH, new_trainer(), num_rounds=8, every=every)
    history = simulator.run()
    agreed = {one.round: one for one in history.agreed}
    if fraction == 1:
        measured = {one.round: one for one in history}
        assert list(agreed) == list(range(0, 8, every))
        for round, one in agreed.items():
            assert (one.known_in, one.num_peers, one.oldest) == (round + 1, 6, None)
            assert one.loss.mean == pytest.approx(measured[round].loss.deployed, rel=1e-12)
    assert max(one.num_peers for one in agreed.values()) == 6


def test_a_server_ends_all_with_the_round_in_which_it_knows():
    free = agreeing_simulator(FedAvg(), GRAPH, new_trainer(), num_rounds=8).run()
    value = free.evaluations[4].loss.deployed
    rule = StopRule(LOSS, value=value * (1 + 1e-9))
    simulator = agreeing_simulator(FedAvg(), GRAPH, new_trainer(), num_rounds=8, rule=rule)
    history = simulator.run()
    assert {peer.round for peer in simulator.peers.values()} == {5} == {history.last.round}
    assert [one.round for one in history] == [0, 1, 2, 3, 4, 5]
    assert simulator.peers["server"].standing.stopped.startswith("in round 5: by the scores of round 4, the loss")
    assert simulator.peers["1"].standing.stopped == "in round 5: server said so, by the rule"


@pytest.mark.parametrize("recipe", [PairwiseGossip(), FedAvg(), SynchronousGossip(), SynchronousGossip(patience=0.5)])
def test_a_reason_of_a_peers_own_ends_all(recipe):
    world = World(NetworkModel(link=Link(latency=0.001)), ComputeModel(0.01))
    simulator = agreeing_simulator(recipe, GRAPH, new_trainer(), num_rounds=50, world=world)
    peer = simulator.peers["2"]
    while peer.rounds_done < 5:
        simulator.next()
    simulator._call(peer, lambda now: peer.end("its budget is spent", now))
    history = simulator.run()
    rounds = {one.round for one in simulator.peers.values()}
    assert max(rounds) < 12
    if recipe == SynchronousGossip():
        assert rounds == {peer.round} == {9}  # it says so in round 5, from the next on all hear of it within 3 rounds
    assert all(one.finished for one in simulator.peers.values())
    own = peer.standing.stopped
    assert own == f"in round {peer.round}: its budget is spent"
    assert "2 said so, for a reason of its own" in history.stopped


def test_calls_are_confirmed_and_given_up_after_some_minutes():
    network = NetworkModel(offline={"3": ((0.0, 1e9),)})
    simulator = agreeing_simulator(
        GossipLearning(), GRAPH, new_trainer(), num_rounds=90, rule=AT_ONCE, world=World(network, ComputeModel(0.01))
    )
    calls = []
    send = simulator._send

    def counting(message):
        if message.kind is Kind.STOP:
            calls.append((message.sender, message.receiver))
        send(message)

    simulator._send = counting
    simulator.run()
    assert all(peer.is_drained for peer in simulator.peers.values())
    assert len(calls) < 60
    assert ("2", "3") in calls
    assert simulator.peers["3"].round == 90  # which hears of nothing
