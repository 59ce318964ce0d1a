"""Server optimizers: equal to plain loops over the papers' formulas, in the dtype of the model, and convergent."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.methods.server_optimizers import SERVER_OPTIMIZERS, ServerAdagrad, ServerAdam, ServerSGD, ServerYogi
from gossipfl.weights import frozen

OPTIMIZERS = [
    ServerSGD(),
    ServerSGD(0.3),
    ServerSGD(momentum=0.6),
    ServerSGD(0.7, momentum=0.6, nesterov=True),
    ServerAdagrad(0.5, adaptivity=0.1),
    ServerAdam(0.05, adaptivity=0.1),
    ServerYogi(0.05, adaptivity=0.1),
]
of_each = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)


def run(optimizer, x, deltas):
    """The models after each of some rounds that have changed the mean by `deltas`."""
    memory, models = {}, []
    for delta in deltas:
        x, memory = optimizer.step(x, frozen(x + delta), memory)
        models.append(x)
    return np.stack(models)


def deltas(num_rounds=20, size=5, seed=0):
    return list(np.random.default_rng(seed).normal(size=(num_rounds, size)))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
def test_without_momentum_and_at_rate_1_it_is_the_mean_itself(values):
    x, mean = (np.array([value], np.float32) for value in values)
    after, memory = ServerSGD().step(x, frozen(mean), {})
    assert after.tobytes() == mean.tobytes()
    assert memory == {}


def test_momentum_is_fedavgm():
    x, v, expected = np.ones(5), np.zeros(5), []
    for delta in deltas():
        v = 0.9 * v - delta
        x = x - 0.3 * v
        expected.append(x)
    np.testing.assert_allclose(run(ServerSGD(0.3, 0.9), np.ones(5), deltas()), expected, atol=1e-13)


def test_nesterov_is_that_of_sgd_on_the_negative_delta():
    x, buffer, expected = np.ones(5), np.zeros(5), []
    for delta in deltas():
        gradient = -delta
        buffer = 0.9 * buffer + gradient
        x = x - 0.7 * (gradient + 0.9 * buffer)
        expected.append(x)
    np.testing.assert_allclose(run(ServerSGD(0.7, 0.9, nesterov=True), np.ones(5), deltas()), expected, atol=1e-13)


@pytest.mark.parametrize("kind", [ServerAdagrad, ServerAdam, ServerYogi])
def test_adaptive_optimizers_are_those_of_the_paper(kind):
    rate, b1, b2, tau = 0.1, 0.9, 0.99, 1e-2
    x, m, v, expected = np.ones(5), np.zeros(5), np.full(5, tau**2), []
    for delta in deltas():
        m = b1 * m + (1 - b1) * delta
        if kind is ServerAdagrad:
            v = v + delta**2
        elif kind is ServerAdam:
            v = b2 * v + (1 - b2) * delta**2
        else:
            v = v - (1 - b2) * delta**2 * np.sign(v - delta**2)
        x = x + rate * m / (np.sqrt(v) + tau)
        expected.append(x)
    options = {} if kind is ServerAdagrad else {"beta_2": b2}
    optimizer = kind(learning_rate=rate, beta_1=b1, adaptivity=tau, **options)
    np.testing.assert_allclose(run(optimizer, np.ones(5), deltas()), expected, atol=1e-12)


@of_each
def test_they_keep_the_dtype_and_write_nothing_they_were_given(optimizer):
    for dtype in (np.float32, np.float64):
        x, memory = frozen(np.ones(3, dtype)), {}
        for delta in deltas(3, 3):
            mean = frozen(x + delta.astype(dtype))
            before = {name: vector.copy() for name, vector in memory.items()}
            after, next_memory = optimizer.step(x, mean, memory)
            assert all(np.array_equal(memory[name], vector) for name, vector in before.items())
            assert not any(vector.flags.writeable for vector in (after, *next_memory.values()))
            assert {vector.dtype for vector in (after, *next_memory.values())} == {np.dtype(dtype)}
            x, memory = after, next_memory


@of_each
def test_they_end_where_local_training_no_longer_moves_the_mean(optimizer):
    x, memory, b, contraction = np.zeros(3), {}, np.array([3.0, -1.0, 0.5]), np.array([0.1, 0.3, 0.6])
    for _ in range(2000):
        x, memory = optimizer.step(x, frozen(x + contraction * (b - x)), memory)
    np.testing.assert_allclose(x, b, atol=1e-10)


def test_they_are_values_with_names():
    assert {name: kind() for name, kind in SERVER_OPTIMIZERS.items()} == {
        "sgd": ServerSGD(1.0, 0.0, False),
        "adam": ServerAdam(0.01, 0.9, 0.99, 1e-3),
        "yogi": ServerYogi(0.01, 0.9, 0.99, 1e-3),
        "adagrad": ServerAdagrad(0.1, 0.0, 1e-3),
    }
    for optimizer in OPTIMIZERS:
        assert pickle.loads(pickle.dumps(optimizer)) == optimizer
        assert hash(optimizer) == hash(pickle.loads(pickle.dumps(optimizer)))


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        (ServerSGD, {"learning_rate": 0.0}, "learning_rate"),
        (ServerSGD, {"learning_rate": float("inf")}, "learning_rate"),
        (ServerSGD, {"learning_rate": float("nan")}, "learning_rate"),
        (ServerSGD, {"momentum": 1.0}, "momentum"),
        (ServerSGD, {"momentum": -0.1}, "momentum"),
        (ServerSGD, {"nesterov": True}, "nesterov needs a momentum"),
        (ServerAdagrad, {"beta_1": 1.0}, "beta_1"),
        (ServerAdam, {"adaptivity": 0.0}, "adaptivity"),
        (ServerAdam, {"beta_2": 1.0}, "beta_2"),
        (ServerYogi, {"beta_2": float("nan")}, "beta_2"),
    ],
)
def test_impossible_options_are_refused(kind, options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        kind(**options)
