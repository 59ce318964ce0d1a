"""A ledger tells what is spent, of what, and nothing where nobody agreed on privacy."""

from gossipfl.accounting.accountant import epsilon
from gossipfl.accounting.ledger import ledger_row
from gossipfl.privacy.spending import Mechanism

AGREED = {"level": "peer", "delta": 1e-5, "epsilon": 8.0, "noise": 2.0}


def test_a_row_has_epsilon_delta_level_budget_and_uses():
    row = ledger_row(AGREED, {Mechanism(2.0): 5})
    assert row == {
        "level": "peer",
        "epsilon": epsilon({Mechanism(2.0): 5}, 1e-5),
        "delta": 1e-5,
        "budget": 8.0,
        "uses": 5,
    }
    assert ledger_row(AGREED, {})["epsilon"] == 0


def test_without_privacy_there_is_none():
    assert ledger_row(None, {Mechanism(2.0): 5}) == ledger_row(AGREED, None) == {}
