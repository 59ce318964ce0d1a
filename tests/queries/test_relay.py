"""Peers that answer questions along a tree: the same bits for all, whatever the network does; nobody waits for ever."""

import json
import math

import networkx as nx
import numpy as np
import pytest
from federation import ring
from hypothesis import given, settings
from hypothesis import strategies as st
from relaying import Witness, graphs, make, powers, simulator_of, who

from gossipfl.actions import Send, Update
from gossipfl.codec.messages import decode, encode
from gossipfl.compression import dense
from gossipfl.engines.virtual.network_model import Link, NetworkModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import ConfigurationError, DataError, LocalProtocolError, RemoteProtocolError
from gossipfl.messages import Kind
from gossipfl.queries import Count, Mean, Question, RelayPeer, RelayTree, Sum, Unanswered, Values, schemas
from gossipfl.topology import Neighbors, canonical, named

LOSSY = World(NetworkModel(link=Link(latency=0.02, jitter=0.3, loss=0.3)))
ASKED = [Question(Witness(3)), Question(Mean()), Question(Witness(1))]


def bits(peers):
    """What each peer has come to know, as bytes."""
    return {
        name: [(np.asarray(one.value).tobytes(), one.num_peers, one.num_examples, one.notes) for one in peer.answers]
        for name, peer in peers.items()
    }


@settings(max_examples=25)
@given(graph=graphs(), seed=st.integers(0, 99))
def test_all_know_the_same_bits_of_everybody_also_where_messages_are_lost_and_overtaken(graph, seed):
    ideal = simulator_of(make(graph, ASKED, powers(graph)))
    history = ideal.run()
    assert (history.evaluations, history.num_refused, history.num_open) == ([], 0, 0)
    assert ideal.network.traffic.num_messages == 3 * 2 * (len(graph) - 1)
    everybody = 2.0 ** len(graph) - 1
    for peer in ideal.peers.values():
        witnessed, mean, once = peer.answers
        assert witnessed.value.tolist() == [everybody] * 3
        assert once.value.tolist() == [everybody]
        assert abs(mean.value - everybody / len(graph)) <= mean.bound
        assert (mean.num_peers, mean.num_examples) == (len(graph), len(graph))
        assert (peer.round, peer.is_drained, peer.awaits, peer.standing) == (3, True, (), None)
    lossy = simulator_of(make(graph, ASKED, powers(graph)), LOSSY, seed)
    lossy.run()
    assert bits(lossy.peers) == bits(ideal.peers)
    assert len({str(one) for one in bits(lossy.peers).values()}) == 1


@settings(max_examples=15)
@given(graph=graphs(), seed=st.integers(0, 99), share=st.sampled_from([0.1, 1.0]))
def test_peers_that_are_replaced_by_their_snapshots_come_to_the_same_bits(graph, seed, share):
    """And so they do if everything arrives twice."""
    undisturbed, simulator = (simulator_of(make(graph, ASKED, powers(graph)), LOSSY, seed) for _ in range(2))
    undisturbed.run()
    rng, step, send = np.random.default_rng(seed), simulator.step, simulator._send

    def step_and_replace():
        step()
        if rng.random() < share:
            name = str(rng.choice(list(graph)))
            arrays, values = simulator.peers[name].snapshot()
            (twin,) = make(graph, ASKED, powers(graph), only=name).values()
            twin.restore(({key: np.array(array) for key, array in arrays.items()}, json.loads(json.dumps(values))))
            simulator.peers[name] = twin

    def send_twice(message):
        for _ in range(2):
            send(message)

    simulator.step, simulator._send = step_and_replace, send_twice
    simulator.run()
    assert bits(simulator.peers) == bits(undisturbed.peers)


@settings(max_examples=40)
@given(graph=graphs(), seed=st.integers(0, 999), rate=st.sampled_from([0.01, 0.1]))
def test_with_patience_nobody_waits_for_ever_and_no_answer_is_wrong(graph, seed, rate):
    """Some peers go offline, for a while or for good; some begin anew, and have forgotten everything."""
    rng = np.random.default_rng(seed)
    offline = {
        name: ((start := float(rng.uniform(0, 3)), start + float(rng.choice([1.0, 5.0, 1e6]))),)
        for name in graph
        if rng.random() < 0.25
    }
    model = NetworkModel(link=Link(latency=0.02, jitter=0.2, loss=0.2), offline=offline)
    simulator = simulator_of(make(graph, ASKED, powers(graph), patience=2.0), World(model), seed)
    step = simulator.step

    def step_and_forget():
        step()
        if rng.random() < rate:
            name = str(rng.choice(list(graph)))
            if not simulator.peers[name].finished:
                (simulator.peers[name],) = make(graph, ASKED, powers(graph), only=name, patience=2.0).values()
                simulator._call(simulator.peers[name], simulator.peers[name].start)

    simulator.step = step_and_forget
    simulator.run()  # a stall would be an error
    assert simulator.now < 1000
    for peer in simulator.peers.values():
        for outcome in peer.answers:
            if isinstance(outcome, Unanswered):
                assert "was silent or is gone" in outcome.why
                continue
            known = np.atleast_1d(outcome.value)
            if known.size == 3:
                assert len(set(known)) == 1  # the same peers in all passes
            if outcome is not peer.answers[1]:
                assert len(who(known[0])) == outcome.num_peers
            assert (outcome.num_peers == len(graph)) != any("was silent" in note for note in outcome.notes)


def test_a_dead_peer_costs_its_patience_and_the_answer_says_so():
    graph = named("line", {"n": 5})
    for dead, known, there in (("0", {1, 2, 3, 4}, "1234"), ("1", {2, 3, 4}, "234")):
        world = World(NetworkModel(link=Link(latency=0.01), offline={dead: ((0.0, 1e6),)}))
        peers = make(graph, [Question(Witness(2)), Question(Count())], powers(graph), patience=3.0)
        simulator = simulator_of(peers, world)
        simulator.run()
        for name in there:
            witnessed, count = peers[name].answers
            assert [who(sums) for sums in witnessed.value] == [known, known]
            assert (count.value, count.num_peers) == (len(known), len(known))
            assert f"not all 5 peers are in it: peer {dead} was silent" in count.notes
        assert all(isinstance(outcome, Unanswered) for outcome in peers[dead].answers)
    cut_off = peers["0"].answers[0]
    assert cut_off.why == (
        "there is no answer: no total of pass 1 came, because peer 1 was silent or is gone; ask again, without it or "
        "with more patience"
    )


def test_nobody_counts_as_silent_while_others_may_still_be_starting():
    # Peer 1 waits for peer 2, which never comes, before it begins; peer 0 has all its neighbors, and began long before.
    world = World(NetworkModel(link=Link(latency=0.01), offline={"1": ((0.0, 29.0),), "2": ((0.0, 1e6),)}))
    for all_are_there, num_peers in ((30.0, 2), (0.0, None)):
        graph = named("line", {"n": 3})
        peers = make(graph, [Question(Count())], powers(graph), patience=4.0, all_are_there=all_are_there)
        simulator_of(peers, world).run()
        (outcome,) = peers["0"].answers
        assert (None if isinstance(outcome, Unanswered) else outcome.num_peers) == num_peers


def test_questions_that_are_open_begin_again_when_somebody_leaves_between_passes():
    graph = named("line", {"n": 3})
    world = World(NetworkModel(link=Link(latency=1.0), offline={"0": ((1.5, 1e6),)}))
    peers = make(graph, [Question(Witness(3)), Question(Count())], powers(graph), patience=10.0, timeout=5.0)
    simulator_of(peers, world).run()
    witnessed, count = peers["2"].answers
    assert [who(sums) for sums in witnessed.value] == [{1, 2}] * 3
    assert count.value == 3  # it was answered before
    assert peers["2"].round == 5  # three, after two of which the second told that somebody had left


def test_a_peer_that_forgets_what_it_was_told_hears_it_again():
    graph = canonical(nx.Graph([(0, 1), (1, 2), (2, 3), (3, 4), (1, 5)]), "tree")
    links = {("5", "1"): Link(latency=3.0)}  # so that 1 forgets between two arrivals
    peers, world = make(graph, ASKED, powers(graph)), World(NetworkModel(link=Link(latency=0.1), links=links))
    simulator = simulator_of(peers, world)
    step = simulator.step

    def step_and_forget():
        step()
        if simulator.peers["1"] is peers["1"] and peers["1"].awaits == ("5",):
            (simulator.peers["1"],) = make(graph, ASKED, powers(graph), only="1").values()
            simulator._call(simulator.peers["1"], simulator.peers["1"].start)

    simulator.step = step_and_forget
    simulator.run()
    assert simulator.peers["1"] is not peers["1"]
    assert all(peer.answers[0].value.tolist() == [63.0] * 3 for peer in simulator.peers.values())


def test_neighbors_that_are_gone_are_silent_at_once():
    graph = named("line", {"n": 5})
    peers = make(graph, [Question(Sum())], powers(graph))
    assert [peers[name].awaits for name in graph] == [("1",), ("0",), ("1", "3"), ("4",), ("3",)]
    for name in "12":
        gone = {"2"} if name == "1" else {"1"}
        assert peers[name].neighbors_changed(Neighbors.of(graph, name).without(gone), 0.0) == []
    simulator = simulator_of(peers)
    simulator.run()
    assert peers["2"].answers[0].value == 4 + 8 + 16
    assert "peer 1 was silent" in peers["3"].answers[0].notes[-1]
    for name, whom in (("0", "2"), ("1", "2")):  # who hears it from 1 is told whom 1 misses
        assert f"because peer {whom} was silent or is gone" in peers[name].answers[0].why


def test_of_hundreds_below_one_looks_who_is_missing_once_a_pass(monkeypatch):
    graph = canonical(nx.star_graph(400), "star")
    looks = []
    missing = RelayPeer._missing
    monkeypatch.setattr(RelayPeer, "_missing", lambda peer: (looks.append(peer.peer_id), missing(peer))[1])
    peers = make(graph, [Question(Witness(3))], {name: Values([1.0]) for name in graph})
    simulator_of(peers).run()
    assert peers["7"].answers[0].value.tolist() == [401.0] * 3
    assert looks.count("0") < 30


def test_messages_have_the_sizes_that_are_declared_and_nothing_is_filled_up():
    graph, questions = ring(4), [Question(Witness(2)), Question(Mean(), 3)]
    values = {name: [Values([1.0]), Values(np.ones((2, 3)))] for name in graph}
    peers = make(graph, questions, values)
    vectors, numbers = schemas(questions, len(graph))
    sent = []
    simulator = simulator_of(peers)
    simulator._send, send = (lambda message: (sent.append(message), send(message))), simulator._send
    simulator.run()
    assert len(sent) == 2 * 2 * 3
    for message in sent:
        again = decode(encode(message), vectors, numbers)
        assert again._replace(vectors={}) == message._replace(vectors={})
        assert (
            again.vectors["summary"].arrays["values"].tobytes() == message.vectors["summary"].arrays["values"].tobytes()
        )
    sizes = [message.vectors["summary"].num_bytes // 8 for message in sent]
    mean = 2 * questions[1].query.passes(3)[0][0]
    assert (max(sizes), min(sizes)) == (9 + mean, 9)


def test_what_breaks_a_rule_changes_nothing():
    graph = ring(6)
    peers = make(graph, ASKED, powers(graph))
    root = peers[RelayTree.of(graph).root]
    sends = {name: [a.message for a in peer.start(0.0) if isinstance(a, Send)] for name, peer in peers.items()}
    leaf = next(name for name, peer in peers.items() if sends[name])
    (push,) = sends[leaf]
    receiver = peers[push.receiver]
    before = receiver.snapshot()[1]
    wrong = [
        (push._replace(sender="3" if leaf != "3" else "0"), "expects no such push from peer"),
        (push._replace(kind=Kind.MODEL), "expects no such model"),
        (push._replace(round=1), "expects no such push"),
        (push._replace(kind=Kind.FINAL, round=1), "expects no such final"),
        (push._replace(vectors={}), "sends 0 numbers in pass 1"),
        (push._replace(vectors={"summary": dense(np.zeros(2))}), "sends 2 numbers in pass 1"),
        (push._replace(numbers={"agreed": 7}), "goes by other passes before pass 1"),
        (push._replace(numbers={}), "carries no agreed"),
    ]
    for message, why in wrong:
        with pytest.raises(RemoteProtocolError, match=why):
            receiver.receive(message, 0.0)
    assert receiver.snapshot()[1] == before
    with pytest.raises(LocalProtocolError, match="asked for no work"):
        root.completed(Update("1", 0, push, push, {}, 1, 1, {}), 0.0)


def test_a_summary_that_nobody_can_have_leaves_everybody_without_an_answer_and_no_peer_stops():
    graph = named("line", {"n": 5})
    peers = make(graph, [Question(Mean()), Question(Witness(1))], powers(graph))
    simulator = simulator_of(peers)

    def lying(message):
        if message.sender == "0" and message.kind is Kind.PUSH:
            lie = message.vectors["summary"].arrays["values"].copy()
            lie[0] = 0.25  # peers
            message = message._replace(vectors={"summary": dense(lie)})
        send(message)

    send, simulator._send = simulator._send, lying
    simulator.run()
    for peer in peers.values():
        mean, witnessed = peer.answers
        assert mean.why.startswith("there is no answer: the totals of a pass do not fit together")
        assert witnessed.value == [31]


def test_values_that_a_question_does_not_take_are_refused_before_anything_runs():
    with pytest.raises(DataError, match="mean takes numbers"):
        make(ring(3), [Question(Mean())], {"0": Values(["a"])})
    with pytest.raises(ConfigurationError, match="patience is above 0 seconds and finite, got inf"):
        make(ring(3), [Question(Mean())], powers(ring(3)), patience=math.inf)
