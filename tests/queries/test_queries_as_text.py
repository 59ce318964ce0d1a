"""Queries as people write them."""

import pytest

from gossipfl.errors import ConfigurationError
from gossipfl.queries import Count, Histogram, Mean, Quantiles, parsed


def test_a_text_is_a_query_and_its_column() -> None:
    assert parsed("mean:age,over=peers") == (Mean(over="peers"), "age")
    assert parsed("mean: a,b ") == (Mean(), "a,b")
    assert parsed("mean:time 12:30") == (Mean(), "time 12:30")
    assert parsed("count") == (Count(), None)
    assert parsed("quantiles:age, at=0/0.5, resolution=5") == (Quantiles((0.0, 0.5), 5.0), "age")
    assert parsed("histogram:age,edges=0/18/65,bins=3") == (Histogram(3, (0.0, 18.0, 65.0)), "age")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("men:age", "there is no query 'men'. Did you mean 'mean'"),
        ("mean:age,ovr=peers", "the query mean has no option 'ovr': it has over"),
        ("sum:age,over=peers", "the query sum has no option 'over': it has none"),
        ("mean:age,over=me", "over must be"),
        ("mean:age,over=peers,over=examples", "the option over twice"),
        ("", "there is no query ''"),
        ("top:city,k=2.5", "k=2.5 of the query top: a whole number is meant"),
        ("top:city,least_share=x", "a number is meant"),
        ("quantiles:age,at=0.1;0.9", "numbers with slashes between them are meant"),
        ("quantiles:age,at=0.1/nan", "at must be"),
    ],
)
def test_a_wrong_text_is_refused(text, message) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parsed(text)
