from math import inf, nan

import numpy as np
import pytest
from federation import make_peers, random_models, ring, unequal_shards
from numpy_trainer import NumpyTrainer

from gossipfl.actions import Evaluate, Train
from gossipfl.algorithms import LocalOnly
from gossipfl.engines.evaluation import (
    EvaluationPlan,
    average_model,
    consensus_distance,
    evaluated_peers,
    mean_vector,
    standings_of,
)
from gossipfl.engines.virtual.compute_model import ComputeModel, drawn_speeds
from gossipfl.errors import ConfigurationError
from gossipfl.weights import ModelVectors, frozen

NOTHING = ModelVectors(frozen(np.zeros(1)), frozen(np.zeros(0)))


@pytest.mark.parametrize("seconds", [-1.0, inf, nan])
def test_an_impossible_pace_is_refused(seconds):
    with pytest.raises(ConfigurationError, match="seconds_per_example"):
        ComputeModel(seconds)


@pytest.mark.parametrize("speed", [0.0, -1.0, inf, nan])
def test_an_impossible_speed_is_refused(speed):
    with pytest.raises(ConfigurationError, match="the speed of peer a"):
        ComputeModel(speeds={"a": speed})


def test_computing_takes_examples_times_pace_over_speed():
    model = ComputeModel(0.5, {"a": 4.0})
    a, b = (Train(peer_id, 0, 0, 1, NOTHING.weights, NOTHING.statistics, {}) for peer_id in "ab")
    assert model.seconds(a, 8) == 1.0
    assert model.seconds(b, 8) == 4.0
    assert ComputeModel(0.0).seconds(a, 8) == 0.0
    assert model.seconds(Evaluate("b", 0, (NOTHING,) * 6, 0, 1), 8) == 6 / 3 * 4.0


def test_drawn_speeds_have_median_one():
    peers = [str(k) for k in range(2001)]
    speeds = drawn_speeds(peers, 0.5, np.random.default_rng(0))
    assert list(speeds) == peers
    assert np.median(list(speeds.values())) == pytest.approx(1.0, abs=0.05)
    assert np.std(np.log(list(speeds.values()))) == pytest.approx(0.5, abs=0.02)
    assert set(drawn_speeds(peers, 0.0, np.random.default_rng(0)).values()) == {1.0}


def test_an_impossible_plan_is_refused():
    with pytest.raises(ConfigurationError, match="every >= 1"):
        EvaluationPlan(every=0)
    with pytest.raises(ConfigurationError, match="at least one peer"):
        EvaluationPlan(peers=())


def test_evaluated_peers_are_all_or_a_sample_in_node_order():
    peers = ["10", "2", "30", "4"]
    rng = np.random.default_rng(0)
    assert evaluated_peers(peers, None, rng) == evaluated_peers(peers, 4, rng) == tuple(peers)
    for _ in range(10):
        sample = evaluated_peers(peers, 2, rng)
        assert [peer_id for peer_id in peers if peer_id in sample] == list(sample)
        assert len(sample) == 2


def test_the_mean_is_summed_in_float64():
    vectors = [np.full(2, value, np.float32) for value in (1e8, 1.0, -1e8, 3.0)]
    mean = mean_vector(vectors, [0.25] * 4)
    assert mean.dtype == np.float32
    assert not mean.flags.writeable
    np.testing.assert_array_equal(mean, [1.0, 1.0])


@pytest.mark.parametrize("num_peers", [3, 7, 10, 100])
def test_the_mean_of_one_vector_is_that_vector(num_peers):
    vector = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    np.testing.assert_array_equal(mean_vector([vector] * num_peers, [1 / num_peers] * num_peers), vector)


@pytest.fixture
def peers():
    graph = ring(4)
    models = random_models(graph)
    made = make_peers(LocalOnly(), graph, NumpyTrainer(unequal_shards(graph)), initial=models)
    return standings_of(made.values())


def test_the_average_model_is_uniform_or_by_examples(peers):
    weights = np.stack([peer.weights for peer in peers])
    np.testing.assert_allclose(average_model(peers, EvaluationPlan()).weights, weights.mean(axis=0), atol=1e-15)
    by_examples = np.average(weights, axis=0, weights=[1, 2, 3, 4])
    np.testing.assert_allclose(
        average_model(peers, EvaluationPlan(weighting="examples")).weights, by_examples, atol=1e-15
    )


def test_consensus_distance_is_the_spread_around_the_mean(peers):
    weights = np.stack([peer.weights for peer in peers])
    expected = np.sqrt(np.mean(np.sum((weights - weights.mean(axis=0)) ** 2, axis=1)))
    assert consensus_distance(peers) == pytest.approx(expected, rel=1e-14)
    assert consensus_distance(peers, average_model(peers, EvaluationPlan()).weights) == consensus_distance(peers)
    assert consensus_distance(peers[:1]) == 0.0
    assert consensus_distance([peers[0], peers[0]]) == 0.0
