"""The laws of passes."""

from asking import answered

from gossipfl.queries import Answer, Step, Values, Variance, merged


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
