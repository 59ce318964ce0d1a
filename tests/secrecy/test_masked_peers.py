"""Peers with secure sums end with the models of peers without, to the bound of the fixed point, in every algorithm."""

import json

import numpy as np
import pytest
from softmax_trainer import SoftmaxTrainer

from gossipfl.actions import Send, Update
from gossipfl.audits.tap import Tap
from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.errors import ConfigurationError, RemoteProtocolError, TrainingError
from gossipfl.experiments.experiment import Experiment
from gossipfl.messages import Kind
from gossipfl.randomness import SeededSecrets
from gossipfl.scenario import Scenario
from gossipfl.secrecy.secret_messages import SECRET
from gossipfl.secrecy.terms import Phase
from gossipfl.snapshot import read_only

ALGORITHMS = [
    "synchronous",
    {"name": "synchronous", "order": "combine_then_adapt"},
    {"name": "synchronous", "gossip_steps": 3},
    {"name": "synchronous", "patience": 60.0},
    "epidemic_learning",
    "dfedavgm",
    "d2",
    "exact_diffusion",
    "quasi_global_momentum",
    "diloco",
    {"name": "fedavg", "server_optimizer": {"name": "adam", "learning_rate": 0.1}},
    {"name": "fedprox", "patience": 60.0},
]


def experiment(algorithm="synchronous", secure=True, n=6, d=4, rounds=4, topology=None, **fields):
    generator = np.random.default_rng(0)
    x, y = generator.random((72, 6), np.float32), np.arange(72, dtype=np.int32) % 3
    dataset = Dataset("some", Examples(x[:60], y[:60]), Examples(x[60:], y[60:]), num_classes=3)
    momentum = 0.9 * (algorithm == "dfedavgm")
    scenario = Scenario(
        rounds=rounds,
        topology=topology or {"generator": "random_regular_graph", "arguments": {"d": d, "n": n}},
        training={"batch_size": 4, "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": momentum}},
        algorithms=[algorithm],
        **({"privacy": {"secure_aggregation": secure}} if secure else {}),
        **fields,
    )
    return Experiment(scenario, dataset, make_trainer=lambda _, data, batches, *__: SoftmaxTrainer(data, batches))


def apart(n, share, **fields):
    """The mixing of a complete graph of so many in which each half gives the other little or nothing."""
    half = np.ones((n // 2, n // 2)) / (n // 2)
    rows = np.kron(np.eye(2), half) * (1 - share) + share / n
    return {"name": "synchronous", "schedule": {"name": "static", "mixing": rows.tolist()}, **fields}


def complete(n):
    return {"generator": "complete_graph", "arguments": {"n": n}}


def simulator(one):
    return one.simulator(one.scenario.algorithms[0])


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_they_end_with_the_models_of_plain_peers(algorithm):
    secure, plain = simulator(experiment(algorithm)), simulator(experiment(algorithm, secure=False))
    secure.run()
    plain.run()
    for name, peer in secure.peers.items():
        assert peer.finished
        assert peer.is_drained
        assert np.abs(peer.value - plain.peers[name].value).max() < 1e-5, name
        assert peer.rounds_done == 4


def test_clients_count_by_their_examples_as_without():
    def model(secure):
        data = {"partition": {"name": "quantity", "alpha": 1.0}}
        algorithm = {"name": "fedavg", "examples_bound": False}
        one = simulator(experiment(algorithm, secure=secure, rounds=2, weighting="examples", data=data))
        one.run()
        return one.peers["server"].value

    assert np.abs(model(True) - model(False)).max() < 1e-5


def test_a_server_is_told_no_update():
    one = simulator(experiment("fedavg"))
    tap = Tap.on(one)
    one.run()
    for receiver, messages in tap.wire.items():
        assert {message.kind for message in messages} == (
            {Kind.SECRET, Kind.ACKNOWLEDGE} if receiver == "server" else {Kind.SECRET, Kind.MODEL, Kind.FINAL}
        )
    with pytest.raises(RemoteProtocolError, match="sent vectors that everybody"):
        one.peers["server"].receive(tap.opened["server"][0], 0.0)


@pytest.mark.parametrize("topology", ["hypercube", "torus"])
def test_on_graphs_of_all_kinds(topology):
    secure = simulator(experiment(topology={"name": topology}, rounds=2))
    plain = simulator(experiment(topology={"name": topology}, rounds=2, secure=False))
    secure.run()
    plain.run()
    assert max(np.abs(secure.peers[n].value - plain.peers[n].value).max() for n in plain.peers) < 1e-5


def test_no_model_of_a_single_peer_goes_over_the_wire():
    """Nothing but bytes of secure sums does; and the same run has the same bits again."""
    one = simulator(experiment())
    tap = Tap.on(one)
    one.run()
    for messages in tap.wire.values():
        for message in messages:
            assert message.kind is Kind.SECRET
            assert {*message.vectors} == {SECRET}
    again = simulator(experiment())
    again.run()
    assert all((one.peers[name].value == again.peers[name].value).all() for name in one.peers)


def test_a_peer_gets_the_same_mean_for_every_neighbor():
    one = simulator(experiment())
    tap = Tap.on(one)
    one.run()
    for messages in tap.opened.values():
        by_step = {}
        for message in messages:
            by_step.setdefault(message.round, []).append(message.vectors["weights"].arrays["values"])
        for vectors in by_step.values():
            assert len(vectors) == 4
            assert all((vector == vectors[0]).all() for vector in vectors)


@pytest.mark.parametrize("algorithm", ["synchronous", {"name": "synchronous", "patience": 60.0}, "fedavg"], ids=str)
def test_a_snapshot_at_any_moment_changes_nothing(algorithm):
    """After every event each peer is put away, and another one goes on from there."""
    expected = simulator(experiment(algorithm, rounds=2))
    expected.run()
    one = experiment(algorithm, rounds=2)
    cast = one.cast(one.scenario.algorithms[0])
    found = simulator(one)
    for peer in found.peers.values():
        _goes_on_from_snapshots(peer, cast)
    found.run()
    assert all((found.peers[name].value == peer.value).all() for name, peer in expected.peers.items())


def _goes_on_from_snapshots(peer, cast):
    for name in ("receive", "completed"):
        before = getattr(peer, name)

        def handled(*arguments, before=before):
            actions = before(*arguments)
            fresh = cast.make_peer(peer.peer_id, SeededSecrets(0))
            arrays, values = peer.snapshot()
            fresh.restore((read_only(arrays), json.loads(json.dumps(values))))  # as a checkpoint gives it back
            for attribute, value in vars(fresh).items():
                if attribute not in ("receive", "completed"):
                    vars(peer)[attribute] = value
            return actions

        vars(peer)[name] = handled


def test_a_key_outlives_a_life_with_its_terms_alone():
    """Who goes on from before its training may end it with another model, which must have another mask."""
    one = experiment(rounds=1)
    cast = one.cast(one.scenario.algorithms[0])

    def advert_after(peer, change):
        (job,) = peer.start(0.0)
        update = Update(peer.peer_id, job.job, job.weights + change, job.statistics, {}, 1, job.num_steps, {})
        return next(action.message for action in peer.completed(update, 0.0) if isinstance(action, Send))

    def next_life(peer):
        fresh = cast.make_peer(peer.peer_id, SystemSecrets())
        fresh.restore(peer.snapshot())
        return fresh

    def advert(message):
        return message.vectors[SECRET].arrays["values"].tobytes()

    first = cast.make_peer("0", SystemSecrets())
    first.start(0.0)
    neighbor = cast.make_peer(next(iter(cast.network["0"])), SystemSecrets())
    first.receive(advert_after(neighbor, np.float32(0.5))._replace(receiver="0"), 0.0)  # it begins to add up
    lives = [next_life(first), next_life(first)]
    shown = [advert_after(life, np.float32(change)) for life, change in zip(lives, (1, 2), strict=True)]
    assert advert(shown[0]) != advert(shown[1])
    again = next_life(lives[0])
    assert advert(again.start(0.0)[0].message) == advert(shown[0])
    assert bytes([Phase.ADVERT]) + again._parts[shown[0].receiver, 0].advert() == advert(shown[0])


def test_with_patience_a_dead_client_is_left_out():
    def model(secure):
        one = simulator(experiment({"name": "fedavg", "patience": 5.0}, secure=secure, rounds=3))
        dead = one.peers["3"]
        vars(dead)["start"] = lambda now: []
        vars(dead)["receive"] = lambda message, now: []
        one.next()  # the evaluation of what all begin with
        while not one.peers["server"].finished:
            one.step()
        return one.peers["server"]

    secure, plain = model(True), model(False)
    assert secure.rounds_done == plain.rounds_done == 2, "15 updates of 6 clients"
    assert np.abs(secure.value - plain.value).max() < 1e-5


def test_with_patience_who_is_dead_is_left_out():
    """A peer that never says anything: the others add up without it, and their models are those of plain peers."""

    def run(secure):
        one = simulator(experiment({"name": "synchronous", "patience": 5.0}, secure=secure, n=6, d=5, rounds=3))
        dead = one.peers["3"]
        vars(dead)["start"] = lambda now: []
        vars(dead)["receive"] = lambda message, now: []
        with pytest.raises(ConfigurationError, match=r"1 of 6 peers \(the first is 3"):
            one.run()
        return one

    secure, plain = run(True), run(False)
    for name, peer in secure.peers.items():
        if name != "3":
            assert peer.finished
            assert np.abs(peer.value - plain.peers[name].value).max() < 1e-5


@pytest.mark.parametrize("slowness", [4, 100])
def test_who_is_slow_skips_ahead_as_without_and_nothing_stays_open(slowness):
    """Four times slower is too late for the keys of a step, but not for the step; a hundred times is steps behind."""

    def run(secure):
        compute = {"seconds_per_example": 0.01, "speeds": {"3": 1 / slowness}}
        algorithm = {"name": "synchronous", "patience": 1.0}
        one = simulator(experiment(algorithm, secure=secure, d=5, rounds=12, compute=compute))
        one.run()
        return one.peers

    secure, plain = run(True), run(False)
    assert [peer.rounds_done for peer in secure.values()] == [peer.rounds_done for peer in plain.values()]
    for peer in secure.values():
        assert peer.is_drained
        assert all(one.is_over and one._seed == one._mask_key == b"" for one in peer._parts.values())


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"topology": {"generator": "path_graph", "arguments": {"n": 4}}}, r"too few have 0 \(1\), 3 \(1\)"),
        # Of the sum of a model and nothing the model is told.
        ({"algorithm": apart(4, 0.0), "topology": complete(4)}, r"too few have 0 \(1\), 1 \(1\), 2 \(1\), 3 \(1\)"),
        ({"algorithm": apart(4, 1e-9), "topology": complete(4)}, r"too few have 0 \(1\), 1 \(1\)"),
        ({"algorithm": apart(6, 0.0, patience=60.0), "topology": complete(6)}, r"too few have 0 \(0\)"),
        ({"secure": {"colluders": 3}}, r"needs \d+ others .* too few have 0 \(4\)"),
        ({"algorithm": "pairwise"}, "for gossip in rounds in which all neighbors get the same model"),
        ({"algorithm": "fednova"}, "for gossip in rounds"),
        ({"algorithm": {"name": "fedavg", "client_fraction": 0.5}}, "use all in each round"),
        ({"algorithm": "fedavg", "weighting": "examples"}, "set examples_bound = false"),
        (
            {"algorithm": "fedavg", "n": 2, "topology": {"generator": "path_graph", "arguments": {"n": 1}}},
            r"too few have server \(1\)",
        ),
        ({"algorithm": "sgp"}, "for gossip in rounds"),
        ({"algorithm": {"name": "epidemic_learning", "variant": "local"}}, "of one alone there is no sum"),
        ({"algorithm": {"name": "synchronous", "aggregator": "median"}}, "nobody sees single models"),
        ({"algorithm": {"name": "synchronous", "outgoing": ["bfloat16"]}}, "leave them out"),
        ({"algorithm": {"name": "synchronous", "optimizer_state": "average"}}, "the size of momenta"),
        ({"evaluation": {"agreed": True}}, "scores of single peers"),
        ({"secure": {"threshold": 0.3}}, "threshold"),
    ],
)
def test_what_does_not_go_together_is_refused(fields, why):
    with pytest.raises(ConfigurationError, match=why):
        experiment(**fields)


def test_links_without_a_share_may_be_there_beside_enough_with_one():
    secure, plain = (simulator(experiment(apart(6, 0.0), one, topology=complete(6), rounds=1)) for one in (True, False))
    secure.run()
    plain.run()
    assert max(np.abs(secure.peers[n].value - plain.peers[n].value).max() for n in plain.peers) < 1e-5


def test_who_is_beyond_the_range_ends_with_a_sentence():
    one = simulator(experiment(secure={"range": 1e-3}))
    with pytest.raises(TrainingError, match=r"have numbers beyond 0\.001, the range of secure sums: give"):
        one.run()
