"""A peer that makes up its summaries ends questions, or is left out: nobody fails over it, nobody waits for ever."""

import numpy as np
import pytest
from relaying import make, simulator_of

from gossipfl.compression.beginning import beginning
from gossipfl.errors import DataError
from gossipfl.queries import Answer, Distinct, Mean, Question, Sum, Summary, Unanswered, Values, Variance
from gossipfl.topology import named

QUESTIONS = [Question(Mean()), Question(Variance())]


def asked_with(lie):
    """What peers answer on a line where peer 0 sends what `lie` makes of its summaries."""
    graph = named("line", {"n": 4})
    peers = make(graph, QUESTIONS, {name: Values([1.0, 2.0]) for name in graph}, patience=2.0)
    simulator = simulator_of(peers)
    send = simulator._send

    def send_lies(message):
        if message.sender == "0" and message.vectors:
            vector = message.vectors["summary"]
            made_up = np.array(vector.arrays["values"])
            message = message._replace(vectors={"summary": beginning(lie(made_up), vector.size)})
        send(message)

    simulator._send = send_lies
    history = simulator.run()
    return {name: peer.answers for name, peer in peers.items()}, history.num_refused


@pytest.mark.parametrize("lie", [lambda it: it * 1.25, lambda it: it * -8], ids=["too many", "too few"])
def test_totals_that_no_values_make_leave_all_without_an_answer(lie):
    answers, _ = asked_with(lie)
    for outcomes in answers.values():
        assert all(isinstance(one, Unanswered) and "do not fit together" in one.why for one in outcomes)


def test_numbers_that_no_values_make_are_refused_and_the_others_go_on_without_the_liar():
    answers, num_refused = asked_with(lambda it: np.full_like(it, 4e307))
    assert num_refused >= 1
    for name in "123":
        mean, variance = answers[name]
        assert (mean.value, mean.num_peers, variance.value) == (1.5, 3, 0.25)
        assert "not all 4 peers are in it: peer 0 was silent" in mean.notes


def test_weights_below_nothing_and_sums_above_their_sizes_are_refused():
    for query in (Mean(), Sum(), Variance()):
        step = query.first()
        sums, low, maxima = step.local(Values([1.0, -5.0]))
        for place, made_up in ((3, -2.0), (4, 100.0), (5, 0.0)):
            wrong = np.array(sums)
            wrong[place] = made_up
            with pytest.raises(DataError, match="do not fit together"):
                step.next(Summary(wrong, low, maxima))
        assert not isinstance(step.next(Summary(sums, low, maxima)), Unanswered)


def test_registers_that_are_all_full_are_no_number_of_values():
    step = Distinct(precision=4).first()
    sums, low, maxima = step.local(Values([1.0]))
    with pytest.raises(DataError, match="do not fit together"):
        step.next(Summary(sums, low, np.full_like(maxima, 2.0**900)))
    assert isinstance(step.next(Summary(sums, low, maxima)), Answer)
