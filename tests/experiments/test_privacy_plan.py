"""A plan keeps the budget at every peer and in every algorithm, and wastes none of it."""

import pytest

from gossipfl.accounting.accountant import epsilon
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.privacy_plan import planned
from gossipfl.privacy.spending import Mechanism
from gossipfl.scenario import Scenario

SIZES = {"0": 500, "1": 1200, "2": 3000, "3": 700}


def plan(rounds=20, algorithms=("synchronous",), sizes=SIZES, training=None, **privacy):
    scenario = Scenario(
        topology={"generator": "cycle_graph", "arguments": {"n": 4}},
        algorithms=list(algorithms),
        training=training or {},
        privacy={"differential_privacy": {"level": "peer", **privacy}},
    )
    return planned(scenario, rounds, sizes)


def test_the_noise_for_a_budget_spends_it_to_the_last_digit():
    found = plan(epsilon=8.0)
    assert found.rounds == found.budget_rounds == 20
    assert 7.99 < found.epsilon <= 8.0
    assert all(peer.uses == 20 and peer.epsilon == found.epsilon for peer in found.peers)
    assert epsilon({Mechanism(found.noise): 20}, 1e-5) == found.epsilon


def test_rounds_end_where_the_next_one_would_spend_too_much():
    found = plan(noise=2.0, epsilon=4.0, rounds=1000)
    assert found.rounds < 1000
    spent = [epsilon({Mechanism(2.0): n}, 1e-5) for n in (found.rounds, found.rounds + 1)]
    assert spent[0] <= 4.0 < spent[1]
    said = " ".join(found.sentences(protects=False))
    assert f"Of 1,000 rounds there are {found.rounds}" in said
    assert "protects nobody" in said
    assert "protects nobody" not in " ".join(found.sentences(protects=True))


def test_a_budget_that_is_not_needed_takes_nothing_away():
    assert plan(noise=5.0, epsilon=100.0).rounds == 20
    assert plan(noise=5.0).rounds == 20


def test_a_sampled_client_may_be_in_every_round_of_its_server():
    found = plan(algorithms=[{"name": "fedavg", "client_fraction": 0.5}], noise=3.0)
    assert {peer.uses for peer in found.peers} == {40}


def test_a_comparison_has_one_noise_that_is_enough_for_each_algorithm():
    both = plan(algorithms=["synchronous", {"name": "fedavg", "client_fraction": 0.5}, "local"], epsilon=6.0)
    assert both.noise == plan(algorithms=[{"name": "fedavg", "client_fraction": 0.5}], epsilon=6.0).noise


def test_no_round_within_the_budget_is_an_error_that_says_what_to_do():
    with pytest.raises(ConfigurationError, match=r"one round with the noise multiplier 0\.1 .* give more noise"):
        plan(noise=0.1, epsilon=1.0)


def test_noise_that_swamps_the_model_is_told_with_its_figures():
    (said,) = plan(noise=2.0, rounds=11).swamped(650, 4)
    assert (
        "of a norm of at most 1, it adds one of about z C sqrt(d) = 51 (650 weights), 25.5 in the mean of all 4" in said
    )
    assert "after all 11 uses it is 7.7 times" in said
    assert plan(noise=2.0, rounds=11).swamped(650, 400) == [], "many peers average the noise away"
    assert plan(noise=0.1, rounds=11).swamped(650, 4) == []
    batches = plan(level="example", noise=1.5, rounds=11)
    assert batches.swamped(650, 4) == []
    (said,) = batches.swamped(10**8, 4)
    assert "the gradients of a batch of 32, of a norm of at most 32" in said


def test_where_nobody_talks_or_nothing_is_wanted_there_is_no_plan():
    assert plan(algorithms=["local"], noise=1.0) is None
    assert planned(Scenario(), 5, SIZES) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"evaluation": {"agreed": True}}, "scores on a peer's own examples would leave"),
        ({"stop": {"patience": 2, "by": "peers"}}, "scores on a peer's own examples would leave"),
        ({"training": {"class_weight": "balanced"}}, "means, deviations and counts would leave"),
        ({"data": {"normalize": "federated"}}, "means, deviations and counts would leave"),
        ({"evaluation": {"recalibrate": 3}}, "means and variances of batches"),
        ({"algorithms": [{"name": "synchronous", "optimizer_state": "average"}]}, "momenta would leave"),
    ],
)
def test_what_would_leave_without_noise_is_refused(changes, why):
    fields = {"algorithms": ["synchronous"], "privacy": {"differential_privacy": {"level": "peer", "noise": 1.0}}}
    Scenario(**fields)
    with pytest.raises(ConfigurationError, match=why):
        Scenario(**{**fields, **changes})


def test_who_knows_its_own_examples_alone_adds_its_part_of_the_noise_all_the_same():
    """As a host with a shard of its own does: how many others share the noise stands in the scenario."""
    scenario = Scenario(
        topology={"generator": "cycle_graph", "arguments": {"n": 6}},
        algorithms=["fedavg"],
        privacy={
            "secure_aggregation": {"colluders": 1},
            "differential_privacy": {"level": "server", "noise": 1.0},
        },
    )
    shares = [planned(scenario, 5, sizes).protection_of("0") for sizes in (SIZES, {"0": 500})]
    assert [share.sharers for share in shares] == [4, 4]
