"""A server that clips what its clients have changed, and adds noise to the sum."""

import numpy as np
import pytest
from softmax_trainer import SoftmaxTrainer

from gossipfl.audits.tap import Tap
from gossipfl.compression import decompress
from gossipfl.data.dataset import Dataset
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.messages import Kind
from gossipfl.privacy.noise import noised
from gossipfl.privacy.protection import AdaptiveClip, ProtectedSum, SumProtection
from gossipfl.privacy.spending import Mechanism
from gossipfl.randomness import SeededSecrets
from gossipfl.scenario import Scenario

CLIP, NOISE = 0.1, 2.0
AT_SERVER = {"level": "server", "noise": 1.0}


def experiment(algorithm="fedavg", rounds=3, noise=NOISE, **fields) -> Experiment:
    generator = np.random.default_rng(0)
    x, y = generator.random((60, 6), np.float32), np.arange(60) % 3
    entry = {"name": algorithm} if isinstance(algorithm, str) else algorithm
    usual = {
        "topology": {"name": "ring", "arguments": {"n": 4}},
        "training": {"batch_size": 4, "steps": 3},
        "privacy": {"differential_privacy": {"level": "server", "clip": CLIP, "noise": noise}},
    }
    scenario = Scenario(rounds=rounds, data={"partition": "contiguous"}, algorithms=[entry], **{**usual, **fields})
    dataset = Dataset.from_arrays("some", (x[:48], y[:48]), (x[48:], y[48:]))
    return Experiment(scenario, dataset, make_trainer=lambda _, data, batches, *__: SoftmaxTrainer(data, batches))


def run(one: Experiment):
    simulator = one.simulator(one.scenario.algorithms[0])
    tap = Tap.on(simulator)
    simulator.run()
    return simulator, tap


def models(messages, kind, round=0) -> list[np.ndarray]:
    return [decompress(m.vectors["weights"]) for m in messages if m.kind is kind and m.round == round]


@pytest.mark.parametrize("algorithm", ["fedavg", "fedprox"])
def test_the_model_is_that_of_clipped_updates_and_one_noise(algorithm) -> None:
    one = experiment(algorithm)
    _, tap = run(one)
    base = one.initial().weights
    changes = [update.astype(np.float64) - base for update in models(tap.wire["server"], Kind.UPDATE)]
    assert len(changes) == 4
    assert all(0 < np.linalg.norm(change) <= CLIP * (1 + 1e-6) for change in changes)
    secret = SeededSecrets(one.seed).of("noise", "server").random_bytes(32, "noise", 0)
    expected = base + noised(sum(changes), NOISE * CLIP, secret) / 4
    assert models(tap.wire["0"], Kind.MODEL, 1)[0] == pytest.approx(expected, abs=1e-5)


def test_the_server_counts_its_rounds_and_clients_spend_nothing_of_their_own() -> None:
    one = experiment()
    simulator, _ = run(one)
    assert simulator.peers["server"].standing.spending == {Mechanism(NOISE): 3}
    assert not simulator.peers["0"].standing.spending
    assert [peer.uses for peer in one.privacy.peers] == [3] * 4
    assert "everybody but the server" in one.privacy.sentences(protects=True)[0]


SHARED = [
    {defence: True, "differential_privacy": {"level": "server", "clip": CLIP, "noise": NOISE}}
    for defence in ("secure_aggregation", "encryption")
]


@pytest.mark.parametrize("algorithm", ["fedavg", "fedprox"])
def test_with_secure_sums_each_client_adds_a_part_and_without_its_own_the_sum_has_all_of_the_noise(algorithm) -> None:
    one = experiment(algorithm, rounds=1, privacy=SHARED[0])
    simulator, _ = run(one)
    hardly = {"level": "server", "clip": CLIP, "noise": 1e-9}
    without, _ = run(experiment(algorithm, rounds=1, privacy={**SHARED[0], "differential_privacy": hardly}))
    deviation = NOISE * CLIP / np.sqrt(4 - 1)
    secrets = [SeededSecrets(one.seed).of("noise", name).random_bytes(32, "noise", 0) for name in "0123"]
    parts = [noised(np.zeros(without.peers["server"].value.size), deviation, secret) for secret in secrets]
    added = simulator.peers["server"].value - without.peers["server"].value
    assert added == pytest.approx(sum(parts) / 4, abs=1e-6)
    assert not simulator.peers["server"].standing.spending
    assert all(simulator.peers[name].standing.spending == {Mechanism(NOISE): 1} for name in "0123")
    assert "the server and each client, as long as 3 other clients" in one.privacy.sentences(protects=True)[0]


def test_with_encryption_clients_share_the_noise_too() -> None:
    pytest.importorskip("tenseal")
    one = experiment(rounds=2, privacy=SHARED[1])
    assert "with encryption, the server adds up all" in one.privacy.sentences(protects=True)[0]
    simulator, _ = run(one)
    assert all(simulator.peers[name].standing.spending == {Mechanism(NOISE): 2} for name in "0123")
    assert one.privacy.protection_of("0").deviation == pytest.approx(NOISE * CLIP / np.sqrt(3))


def test_more_colluders_mean_more_noise_of_each() -> None:
    def deviation(colluders: int) -> float:
        sums = {**SHARED[0], "secure_aggregation": {"colluders": colluders}}
        one = experiment(topology={"name": "ring", "arguments": {"n": 8}}, privacy=sums)
        return one.privacy.protection_of("0").deviation

    assert [deviation(c) for c in (0, 3)] == pytest.approx([NOISE * CLIP / np.sqrt(m) for m in (7, 4)])


def test_of_clients_that_are_drawn_each_round_is_counted_for_all() -> None:
    one = experiment({"name": "fedavg", "client_fraction": 0.5})
    simulator, _ = run(one)
    assert simulator.peers["server"].standing.spending == {Mechanism(NOISE): 6}
    assert [peer.uses for peer in one.privacy.peers] == [6] * 4


def test_a_client_changes_the_model_by_no_more_than_its_share_of_the_clip_whatever_it_sends() -> None:
    base = np.zeros(50, np.float32)
    others = [np.full(50, 0.01, np.float32)] * 3

    def mean(*more: np.ndarray) -> np.ndarray:
        return ProtectedSum(SumProtection(CLIP, NOISE), SeededSecrets(1)).mean(base, [*others, *more], 4)

    for liar in (np.full(50, 1e6, np.float32), np.full(50, -0.001, np.float32)):
        assert np.linalg.norm(mean(liar) - mean()) <= CLIP / 4 * (1 + 1e-3)
    assert np.isfinite(mean()).all()


def test_nobody_at_all_is_noise_of_the_same_size() -> None:
    protected = ProtectedSum(SumProtection(CLIP, NOISE), SeededSecrets(1))
    first, second = (protected.mean(np.zeros(5000), [], 4) for _ in range(2))
    assert first.std() == pytest.approx(CLIP * NOISE / 4, rel=0.1)
    assert not np.array_equal(first, second)
    assert protected.uses == 2


def adaptive(quantile=0.8, noise=10.0) -> SumProtection:
    return SumProtection(CLIP, NOISE, AdaptiveClip(quantile, 0.2, noise))


@pytest.mark.parametrize("clip", [0.01, 100.0])
def test_an_adaptive_clip_goes_to_the_quantile_of_the_norms(clip) -> None:
    protection = SumProtection(clip, 1.0, AdaptiveClip(0.8, 0.2, 5.0))
    protected = ProtectedSum(protection, SeededSecrets(3))
    generator = np.random.default_rng(0)
    base = np.zeros(30)
    for _ in range(120):
        norms = generator.uniform(0.0, 2.0, 100)
        updates = [
            norm * vector / np.linalg.norm(vector)
            for norm, vector in zip(norms, generator.normal(size=(100, 30)), strict=True)
        ]
        protected.mean(base, updates, 100)
    assert protected.clip == pytest.approx(1.6, rel=0.15)


def test_sum_and_count_together_spend_what_the_noise_says() -> None:
    """Gaussian mechanisms compose: 1 / z^2 is the sum over both, and a client changes the count by a half."""
    protection = adaptive(noise=3.0)
    assert 1 / protection.noise_of_sum**2 + (0.5 / 3.0) ** 2 == pytest.approx(1 / NOISE**2)
    assert adaptive(noise=1e9).noise_of_sum == pytest.approx(NOISE)
    added = ProtectedSum(protection, SeededSecrets(1)).mean(np.zeros(5000), [], 4)
    assert added.std() == pytest.approx(CLIP * protection.noise_of_sum / 4, rel=0.1)


def test_an_adaptive_clip_clips_at_the_server_alone_and_is_saved() -> None:
    privacy = {"differential_privacy": {"level": "server", "clip": 0.01, "noise": NOISE, "adaptive": {"noise": 3.0}}}
    one = experiment(privacy=privacy)
    section = one.scenario.algorithms[0]
    whole, tap = run(one)
    changes = [update - one.initial().weights for update in models(tap.wire["server"], Kind.UPDATE)]
    assert max(np.linalg.norm(change) for change in changes) > 0.01
    begun, resumed = one.simulator(section), one.simulator(section)
    begun.next()
    while begun.peers["server"].round < 2:
        begun.step()
    resumed.restore(begun.snapshot())
    assert resumed.peers["server"].local.protection.clip == begun.peers["server"].local.protection.clip != 0.01
    resumed.run()
    assert resumed.peers["server"].value.tobytes() == whole.peers["server"].value.tobytes()


def test_a_run_that_goes_on_draws_no_noise_twice() -> None:
    one = experiment()
    section = one.scenario.algorithms[0]
    whole, begun, resumed = (one.simulator(section) for _ in range(3))
    whole.run()
    begun.next()
    while begun.peers["server"].round < 2:
        begun.step()
    resumed.restore(begun.snapshot())
    resumed.run()
    assert resumed.peers["server"].value.tobytes() == whole.peers["server"].value.tobytes()
    assert resumed.peers["server"].standing.spending == {Mechanism(NOISE): 3}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"algorithm": "synchronous"}, "fedavg and fedprox"),
        ({"algorithm": "fednova"}, "fedavg and fedprox"),
        ({"algorithm": "scaffold"}, "fedavg and fedprox|sums of gradients"),
        ({"weighting": "examples"}, "all clients count alike"),
        ({"algorithm": {"name": "fedavg", "aggregator": "median"}}, "all clients count alike"),
        (
            {"privacy": {"secure_aggregation": True, "differential_privacy": {**AT_SERVER, "adaptive": {}}}},
            "cannot count how many updates are clipped",
        ),
        (
            {"privacy": {"differential_privacy": {**AT_SERVER, "adaptive": {"noise": 0.4}}}},
            "spends more than all that the noise multiplier of 1 allows",
        ),
        (
            {"algorithm": {"name": "fedavg", "patience": 60.0}, "privacy": SHARED[0]},
            "without some of them there would be less",
        ),
        (
            {"algorithm": {"name": "fedavg", "client_fraction": 0.5}, "privacy": SHARED[1]},
            "without some of them there would be less",
        ),
        ({"http": {"revoked": ["1"]}, "privacy": SHARED[1]}, "without some of them there would be less"),
        (
            {"topology": {"name": "ring", "arguments": {"n": 3}}, "privacy": {"secure_aggregation": {"colluders": 2}}},
            "too few have server",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changes, said) -> None:
    with pytest.raises(ConfigurationError, match=said):
        _ = experiment(**changes).privacy
