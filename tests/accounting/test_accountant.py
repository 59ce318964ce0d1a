"""Epsilon is what the library says of the same events, and budgets are kept to the last use."""

import logging

import dp_accounting
import pytest
from dp_accounting import rdp
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.accounting.accountant import count_within, epsilon, noise_for
from gossipfl.errors import ConfigurationError
from gossipfl.privacy.spending import Mechanism

logging.getLogger("absl").setLevel(logging.ERROR)


def of_the_library(events, delta):
    accountant = rdp.RdpAccountant()
    for event, count in events:
        accountant.compose(event, count)
    return accountant.get_epsilon(delta)


def test_the_tutorial_of_mnist():
    """That of TensorFlow Privacy: 60,000 examples, batches of 256, 60 epochs, noise 1.1: epsilon 2.60 at 1e-5."""
    spent = {Mechanism(1.1, 256 / 60_000): 60 * 60_000 // 256}
    assert epsilon(spent, 1e-5) == pytest.approx(2.60, abs=0.01)


def test_mixed_events_are_composed_as_the_library_does():
    sampled = dp_accounting.PoissonSampledDpEvent(0.02, dp_accounting.GaussianDpEvent(1.3))
    whole = dp_accounting.GaussianDpEvent(4.0)
    expected = of_the_library([(sampled, 300), (whole, 7)], 1e-5)
    assert epsilon({Mechanism(1.3, 0.02): 300, Mechanism(4.0): 7}, 1e-5) == expected


def test_uses_that_nothing_amplifies_are_one_gaussian():
    exact = dp_accounting.get_epsilon_gaussian(2.0 / 5, 1e-5)
    assert epsilon({Mechanism(2.0): 25}, 1e-5) == pytest.approx(exact, rel=1e-12)
    assert exact < of_the_library([(dp_accounting.GaussianDpEvent(2.0), 25)], 1e-5)
    assert epsilon({Mechanism(2.0, 1.0): 25}, 1e-5) == epsilon({Mechanism(2.0): 25}, 1e-5)


def test_nothing_spent_is_nothing_and_hardly_any_noise_is_everything():
    assert epsilon({}, 1e-5) == epsilon({Mechanism(1.0): 0}, 1e-5) == 0
    assert epsilon({Mechanism(1e-8): 1}, 1e-5) == float("inf")


@settings(max_examples=15, deadline=None)
@given(
    noise=st.floats(0.6, 5),
    rate=st.none() | st.floats(0.001, 0.5),
    count=st.integers(1, 500),
    more=st.integers(1, 100),
)
def test_a_ledger_only_grows_and_more_noise_costs_less(noise, rate, count, more):
    before = epsilon({Mechanism(noise, rate): count}, 1e-5)
    assert before <= epsilon({Mechanism(noise, rate): count + more}, 1e-5)
    assert epsilon({Mechanism(1.5 * noise, rate): count}, 1e-5) <= before
    if rate is not None:
        assert before <= epsilon({Mechanism(noise): count}, 1e-5) * (1 + 1e-9) + 0.5  # Renyi's bound is not tight


@pytest.mark.parametrize("rate", [None, 0.05])
@pytest.mark.parametrize("budget", [0.5, 8.0])
def test_the_noise_for_a_budget_is_the_least(rate, budget):
    noise = noise_for(budget, 1e-5, 200, rate)
    assert epsilon({Mechanism(noise, rate): 200}, 1e-5) <= budget
    assert epsilon({Mechanism(noise - 2e-4, rate): 200}, 1e-5) > budget


@pytest.mark.parametrize("mechanism", [Mechanism(3.0), Mechanism(1.1, 0.05)])
def test_the_count_within_a_budget_is_the_largest(mechanism):
    count = count_within(mechanism, 3.0, 1e-5)
    assert epsilon({mechanism: count}, 1e-5) <= 3.0 < epsilon({mechanism: count + 1}, 1e-5)
    assert count_within(mechanism, 1e-3, 1e-5) == 0


def test_no_noise_is_enough_for_nothing():
    with pytest.raises(ConfigurationError, match="no noise keeps 1000000000 uses within epsilon 1e-09"):
        noise_for(1e-9, 1e-12, 10**9)


@pytest.mark.parametrize("bad", [(0.0, None), (float("nan"), None), (float("inf"), None), (1.0, 0.0), (1.0, 1.5)])
def test_what_is_no_mechanism_is_refused(bad):
    with pytest.raises(ConfigurationError):
        Mechanism(*bad)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5])
def test_delta_is_a_probability(delta):
    with pytest.raises(ConfigurationError, match="delta"):
        epsilon({Mechanism(1.0): 1}, delta)
