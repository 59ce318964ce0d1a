"""How often Python collects garbage during a simulation."""

import contextlib
import gc

import pytest
from federation import make_simulator, random_shards, ring
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import FedAvg, PairwiseGossip, SynchronousGossip
from gossipfl.engines.virtual.garbage import seldom_collected


@pytest.fixture(autouse=True)
def _as_before():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.enable()


def test_it_is_as_before_afterwards():
    gc.set_threshold(700, 9, 8)
    with seldom_collected():
        assert gc.get_threshold() == (1_000_000, 9, 8)
        with seldom_collected():
            assert gc.get_threshold() == (1_000_000, 9, 8)
        assert gc.get_threshold() == (1_000_000, 9, 8)
    assert gc.get_threshold() == (700, 9, 8)


def test_it_is_as_before_after_an_error():
    gc.set_threshold(700, 9, 8)
    with contextlib.suppress(ValueError), seldom_collected():
        raise ValueError("broken")
    assert gc.get_threshold() == (700, 9, 8)


@pytest.mark.parametrize("threshold", [0, 2_000_000])
def test_who_collects_never_or_more_seldom_is_left_alone(threshold):
    gc.set_threshold(threshold, 9, 8)
    with seldom_collected():
        assert gc.get_threshold() == (threshold, 9, 8)
    assert gc.get_threshold() == (threshold, 9, 8)


def test_what_is_set_meanwhile_stays():
    gc.set_threshold(700, 9, 8)
    with seldom_collected():
        gc.set_threshold(50, 1, 1)
    assert gc.get_threshold() == (50, 1, 1)


@pytest.mark.parametrize("algorithm", [SynchronousGossip(), PairwiseGossip(), FedAvg()])
def test_a_simulation_makes_no_garbage_that_only_the_collector_finds(algorithm):
    simulator = make_simulator(algorithm, ring(8), NumpyTrainer(random_shards(ring(8))), num_rounds=6)
    simulator.next()
    simulator.next()
    gc.collect()
    gc.disable()
    simulator.next()
    simulator.next()
    assert gc.collect() < 20  # not a handful for each of some 100 messages
