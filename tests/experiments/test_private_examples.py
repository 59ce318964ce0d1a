"""DP-SGD in a whole run: what is sent is noised, the ledger counts steps, and a run that goes on has the same bits."""

import numpy as np
import pytest

pytest.importorskip("keras")

from gossipfl.audits.tap import Tap
from gossipfl.compression import decompress
from gossipfl.data.dataset import Dataset
from gossipfl.experiments.experiment import Experiment
from gossipfl.privacy.spending import Mechanism
from gossipfl.scenario import Scenario

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    generator = np.random.default_rng(0)
    x, y = generator.random((60, 6), np.float32), np.arange(60) % 3
    scenario = Scenario(
        rounds=3,
        model="softmax",
        topology={"name": "ring", "arguments": {"n": 4}},
        data={"partition": "contiguous"},
        training={"batch_size": 4, "steps": 2, "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}},
        algorithms=["synchronous", "local"],
        privacy={"differential_privacy": {"level": "example", "clip": 0.5, "noise": 1000.0}},
    )
    return Experiment(scenario, Dataset.from_arrays("some", (x[:48], y[:48]), (x[48:], y[48:])), slots=1)


def final(simulator) -> dict[str, bytes]:
    return {name: peer.value.tobytes() for name, peer in simulator.peers.items()}


def test_what_is_sent_is_noised_and_each_step_is_counted(experiment) -> None:
    simulator = experiment.simulator(experiment.scenario.algorithms[0])
    tap = Tap.on(simulator)
    simulator.run()
    initial = experiment.initial().weights
    for messages in tap.wire.values():
        for message in messages:
            assert np.abs(decompress(message.vectors["weights"]) - initial).std() > 5  # 0.1 * 1000 * 0.5 / 4 and more
    for peer in simulator.peers.values():
        assert peer.standing.spending == {Mechanism(1000.0, 4 / 12): 6}
    assert [peer.uses for peer in experiment.privacy.peers] == [6] * 4


def test_who_tells_nobody_anything_has_no_noise(experiment) -> None:
    simulator = experiment.simulator(experiment.scenario.algorithms[1])
    simulator.run()
    assert all(np.abs(peer.value).max() < 2 for peer in simulator.peers.values())


def test_a_run_that_goes_on_has_the_same_bits_and_the_same_ledger(experiment) -> None:
    section = experiment.scenario.algorithms[0]
    whole, begun, resumed = (experiment.simulator(section) for _ in range(3))
    whole.run()
    begun.next()
    while not any(peer.round == 1 and peer.outstanding is not None for peer in begun.peers.values()):
        begun.step()
    resumed.restore(begun.snapshot())
    for name, peer in resumed.peers.items():
        job = begun.peers[name].outstanding
        assert (peer.outstanding is None) == (job is None)
        assert peer.outstanding is None or len(peer.outstanding.secret) == 32
        assert peer.outstanding is None or peer.outstanding.secret == job.secret
    resumed.run()
    assert final(whole) == final(resumed)
    assert [peer.standing.spending for peer in resumed.peers.values()] == [{Mechanism(1000.0, 4 / 12): 6}] * 4
