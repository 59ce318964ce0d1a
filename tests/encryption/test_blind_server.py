"""A server that reads nothing gives what one gives that reads all."""

import numpy as np
import pytest
from softmax_trainer import SoftmaxTrainer

from gossipfl.actions import Send
from gossipfl.audits.tap import Tap
from gossipfl.compression import dense
from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.deploy.loopback import loopback_federation
from gossipfl.encryption.blind_server import BlindServer
from gossipfl.encryption.encrypting_client import CIPHERTEXT
from gossipfl.engines.ckks import CKKSKey
from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.experiments.experiment import Experiment
from gossipfl.messages import Encoded, Kind
from gossipfl.scenario import Scenario

SMALL = {"polynomial_degree": 4096, "coefficient_bits": [54, 54], "scale_bits": 20}


def dataset():
    generator = np.random.default_rng(0)
    x, y = generator.random((70, 6), np.float32), (np.arange(70) % 3).astype(np.int32)
    return Dataset("some", Examples(x[:58], y[:58]), Examples(x[58:], y[58:]), num_classes=3)


def experiment(encryption, algorithm=None, data=None, **scenario):
    made = Scenario(
        rounds=3,
        topology={"generator": "complete_graph", "arguments": {"n": 4}},
        training={"batch_size": 4, "optimizer": {"name": "sgd", "learning_rate": 0.5}},
        algorithms=[algorithm or {"name": "fedavg"}],
        privacy={"encryption": encryption},
        **scenario,
    )
    return Experiment(made, data or dataset(), make_trainer=lambda _, data, batches, *__: SoftmaxTrainer(data, batches))


def simulator(encryption, **changes):
    one = experiment(encryption, **changes)
    return one.simulator(one.scenario.algorithms[0])


def final(simulator):
    simulator.run()
    return {name: model.weights for name, model in simulator.history.final.items()}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"algorithm": {"name": "fedprox", "mu": 0.1}},
        {"algorithm": {"name": "fedavg", "client_fraction": 0.5}},
        {"algorithm": {"name": "fedavg", "examples_bound": False}, "weighting": "examples"},
    ],
    ids=["fedavg", "fedprox", "half of the clients", "by examples"],
)
def test_the_blind_mean_is_the_mean(changes):
    blind, plain = simulator(SMALL, **changes), simulator(False, **changes)
    models, expected = final(blind), final(plain)
    assert set(models) == set(expected) - {"server"} == {"0", "1", "2", "3"}
    for name in models:
        np.testing.assert_allclose(models[name], expected[name], atol=4e-6)
    assert plain.history.last.time != 0
    assert blind.history.last.loss.deployed == pytest.approx(plain.history.last.loss.deployed, abs=1e-4)


def test_two_runs_have_the_same_bits_though_their_ciphertexts_differ():
    first, second = simulator(SMALL), simulator(SMALL)
    models, again = final(first), final(second)
    assert all(np.array_equal(models[name], again[name]) for name in models)
    assert first.history.last.time == second.history.last.time
    assert first.history.last.num_bytes == second.history.last.num_bytes


def test_nothing_but_ciphertexts_reaches_the_server_and_it_never_has_a_model():
    one = simulator(SMALL)
    tap = Tap.on(one)
    one.run()
    messages = [message for wire in tap.wire.values() for message in wire]
    updates = [message for message in messages if message.kind is Kind.UPDATE]
    assert len(updates) == 12
    assert all(set(message.vectors) == {CIPHERTEXT} for message in updates)
    assert {name for message in messages for name in message.vectors} == {CIPHERTEXT}
    server = one.peers["server"]
    assert isinstance(server, BlindServer)
    assert server.standing is None
    assert not server.value.size
    key = CKKSKey(one.peers["0"]._key._parameters)
    content = server._packing.parted(updates[0].vectors[CIPHERTEXT], "0")
    with pytest.raises(RemoteProtocolError, match="cannot be decrypted"):  # by another key
        server._packing.mean([key.decrypt(one) for one in content], 1, np.dtype(np.float32))


def test_the_final_model_leaves_the_server_encrypted_and_no_client_sends_it_back():
    one = simulator(SMALL)
    tap = Tap.on(one)
    one.run()
    last = [message for wire in tap.wire.values() for message in wire if message.kind in (Kind.FINAL, Kind.ACKNOWLEDGE)]
    assert all(set(message.vectors) == {CIPHERTEXT} for message in last if message.kind is Kind.FINAL)
    assert not any(message.vectors for message in last if message.kind is Kind.ACKNOWLEDGE)


def an_update(one, client="0"):
    server, peer = one.peers["server"], one.peers[client]
    (model,) = [
        action.message for action in server.start(0.0) if isinstance(action, Send) and action.message.receiver == client
    ]
    (job,) = peer.receive(model, 0.0)
    (update,) = one._trainer.train([job])
    (send,) = peer.completed(update, 1.0)
    return send.message


def test_what_is_no_ciphertext_does_not_count_and_is_told():
    one = simulator(SMALL)
    server = one.peers["server"]
    update = an_update(one)
    content = bytearray(update.vectors[CIPHERTEXT].arrays["values"].tobytes())
    content[2000:2100] = bytes([255] * 100)
    garbled = Encoded("bytes", {"values": np.frombuffer(bytes(content), np.uint8)}, update.vectors[CIPHERTEXT].size)
    server.receive(update._replace(vectors={CIPHERTEXT: garbled}), 2.0)
    actions = [server.receive(update._replace(sender=name), 2.0) for name in ("1", "2", "3")][-1]
    assert str(actions[0].sender) == "0"
    assert "no ciphertext" in actions[0].why
    assert server._total == 3


def test_who_is_silent_is_not_in_the_sum():
    one = simulator(SMALL, algorithm={"name": "fedavg", "patience": 5.0})
    server, update = one.peers["server"], an_update(one)
    for name in ("1", "3"):
        server.receive(update._replace(sender=name), 2.0)
    sent = [action.message for action in server.wake(6.0) if isinstance(action, Send)]
    assert len(sent) == 4
    assert sent[0].numbers == {"total": 2}
    assert server.receive(update, 6.5) == []  # late
    one.peers["0"].receive(sent[0], 7.0)
    expected = one.peers["0"]._packing.mean(
        [2 * one.peers["0"]._key.decrypt(part) for part in server._packing.parted(update.vectors[CIPHERTEXT], "0")],
        2,
        np.dtype(np.float32),
    )
    assert np.array_equal(one.peers["0"].value, expected["weights"])


def test_a_model_in_the_clear_is_refused_on_both_sides():
    one = simulator(SMALL)
    update = an_update(one)
    plain = {"weights": dense(one.peers["0"].value)}
    with pytest.raises(RemoteProtocolError, match="no ciphertext"):
        one.peers["server"].receive(update._replace(vectors=plain), 2.0)
    with pytest.raises(RemoteProtocolError, match="expected a ciphertext"):
        one.peers["0"].receive(update._replace(sender="server", receiver="0", kind=Kind.MODEL, vectors=plain), 2.0)


@pytest.mark.parametrize("moment", [3, 9, 15, 22])
def test_peers_go_on_from_their_snapshots_to_the_same_bits(moment):
    expected = final(simulator(SMALL))
    one = experiment(SMALL)
    first = one.simulator(one.scenario.algorithms[0])
    first.next()
    for _ in range(moment):
        first.step()
    two = one.simulator(one.scenario.algorithms[0])  # of the same key
    two.restore(first.snapshot())
    models = final(two)
    assert all(np.array_equal(models[name], expected[name]) for name in expected)
    with pytest.raises(ConfigurationError, match="encrypted with another key"):
        simulator(SMALL).restore(first.snapshot())


def test_a_model_that_is_too_large_is_refused_with_its_size():
    with pytest.raises(
        ConfigurationError, match=r"21 weights, and max_weights is 20: each message would have up to 0 MB"
    ):
        simulator({**SMALL, "max_weights": 20})


def test_weights_beyond_the_range_end_the_run_with_a_sentence():
    one = simulator({**SMALL, "range": 1e-6})
    with pytest.raises(Exception, match="raise it, or lower the learning rate"):
        one.run()


def test_sizes_and_times_are_told_before_the_run():
    (sentence,) = experiment(SMALL).encryption.sentences
    assert "1 ciphertexts of 2,048 numbers" in sentence
    assert "whoever has the key, as each client does" in sentence


@pytest.mark.parametrize(
    ("algorithm", "more", "reason"),
    [
        ("synchronous", {}, "fedavg and fedprox"),
        ("scaffold", {}, "fedavg and fedprox"),
        ("diloco", {}, "fedavg and fedprox"),
        ({"name": "fedavg", "aggregator": "median"}, {}, "beside the mean"),
        ({"name": "fedavg", "server_optimizer": {"name": "adam"}}, {}, "beside the mean"),
        ("fedavg", {"weighting": "examples"}, "examples_bound"),
        ({"name": "fedavg", "optimizer_state": "average"}, {}, "optimizer_state"),
        ("fedavg", {"evaluation": {"agreed": True}}, "evaluation.agreed"),
        ("fedavg", {"data": {"source": "digits", "normalize": "federated"}}, "agree on before"),
    ],
)
def test_what_does_not_go_together_is_refused(algorithm, more, reason):
    with pytest.raises(ConfigurationError, match=reason):
        Scenario(algorithms=[algorithm], privacy={"encryption": True}, **more)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"polynomial_degree": 4096}, "109 at most"),
        ({"coefficient_bits": [40, 60]}, "room|leave -1 bits"),
        ({"coefficient_bits": [60]}, "at least 2"),
    ],
)
def test_parameters_that_are_not_secure_or_have_no_room_are_refused(fields, reason):
    with pytest.raises(ConfigurationError, match=reason):
        Scenario(algorithms=["fedavg"], privacy={"encryption": fields})


def test_over_http_it_gives_the_bits_of_virtual_time():
    one = experiment(SMALL)
    federation = loopback_federation(one, one.scenario.algorithms[0])
    models = final(federation)
    expected = final(simulator(SMALL))
    assert set(models) == set(expected)
    assert all(np.array_equal(models[name], expected[name]) for name in expected)
    assert not federation.history.num_refused
