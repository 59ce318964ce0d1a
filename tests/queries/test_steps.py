"""The laws of passes."""

import warnings

import numpy as np
import pytest
from asking import answered
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.errors import DataError
from gossipfl.queries import NO_MAXIMUM, QUERIES, Answer, Step, Summary, Values, Variance, merged

of_each_query = pytest.mark.parametrize("name", QUERIES)


def test_a_query_begins_again_where_peers_have_left() -> None:
    values = [Values([1, 2]), Values([5]), Values([9, 9]), Values([0])]
    step = Variance().first()
    squares = step.next(merged([step.local(own) for own in values]))
    assert isinstance(squares, Step)
    again = squares.next(merged([squares.local(own) for own in values[:3]]))
    assert isinstance(again, Step)
    assert again.sizes == step.sizes
    second = again.next(merged([again.local(own) for own in values[:3]]))
    assert isinstance(second, Step)
    answer = second.next(merged([second.local(own) for own in values[:3]]))
    assert isinstance(answer, Answer)
    assert (answer.value, answer.num_peers) == (answered(Variance(), values[:3]).value, 3)


@of_each_query
@settings(max_examples=30)
@given(data=st.data())
def test_totals_that_cannot_be_end_in_an_answer_or_a_sentence(name, data) -> None:
    """Whatever a peer makes up, it is refused, or gives an answer; no peer fails over it, nor goes on for ever."""
    step = QUERIES[name]().first()
    values = [Values([3.0, 4.5, 3.0, -1.0]), Values([2.0, 4.5])]
    made_up = st.sampled_from([0.0, 1.0, 6.0, 7.0, 3.5, -1.0, 2.0**40, 2.0**1000, NO_MAXIMUM])
    for _ in range(len(QUERIES[name]().passes())):
        sums, low, maxima = (np.array(array) for array in merged([step.local(own) for own in values]))
        assert all(np.abs(array).max(initial=0) <= 2.0**1000 for array in (sums, low, maxima))
        for array in (sums[3:], low, maxima):
            if array.size and data.draw(st.booleans()):
                places = data.draw(st.lists(st.integers(0, array.size - 1), max_size=3))
                array[places] = data.draw(made_up)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # sums of 2^1000 leave the range of float64
                step = step.next(Summary(sums, low, maxima))
        except DataError:
            return
        if isinstance(step, Answer):
            return
    pytest.fail("there were more passes than announced")


@of_each_query
def test_a_total_of_nobody_is_refused(name) -> None:
    step = QUERIES[name]().first()
    for counts in ([0.0, 0.0], [-1.0, 3.0], [1.5, 3.0], [2.0, -3.0], [2.0**1000, 3.0]):
        num_sums, num_maxima = step.sizes
        sums = np.concatenate([counts, [1.0], np.zeros(num_sums - 3)])
        with pytest.raises(DataError, match="do not fit together"):
            step.next(Summary(sums, np.zeros(num_sums), np.full(num_maxima, NO_MAXIMUM)))
