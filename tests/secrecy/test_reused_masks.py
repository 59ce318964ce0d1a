"""Masks that are used for two steps are seen by the attack of an audit, which then has the difference of two models."""

import numpy as np
import pytest
import sums
from sums import SIZE, Play, ring

from gossipfl.attacks.broken import difference_under_one_mask
from gossipfl.secrecy.fixed_point import FixedPoint
from gossipfl.secrecy.terms import Phase, SumId

FIXED = FixedPoint(64.0)


def masked_by_a(model: np.ndarray) -> np.ndarray:
    """The vector that whoever adds up gets of peer a, whose model has a third of the weight."""
    play = Play(["a", "b", "c"])
    play.terms["a"] = FIXED.encode(model, 1 / 3)
    return next(ring(payload) for name, phase, payload in play.run().seen if (name, phase) == ("a", Phase.MASKED))


@pytest.mark.parametrize("is_broken", [True, False])
def test_only_masks_that_are_used_twice_show_how_a_model_changed(monkeypatch, is_broken) -> None:
    first, second = np.random.default_rng(0).normal(size=(2, SIZE))
    seen = [masked_by_a(first)]
    if not is_broken:
        monkeypatch.setattr(sums, "SUM", SumId("run", "hub", 4))
    seen.append(masked_by_a(second))
    found = difference_under_one_mask(*seen, FIXED.bits)
    if is_broken:
        assert found == pytest.approx((first - second) / 3, abs=2.0**-FIXED.bits)
    else:
        assert found is None
