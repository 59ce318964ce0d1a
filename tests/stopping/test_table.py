"""Tables of scores are one by what is newest: however often and in whichever order they come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.compression import dense
from gossipfl.errors import RemoteProtocolError
from gossipfl.messages import Encoded
from gossipfl.scores import LOSS, Metric
from gossipfl.stopping.table import End, Layout

PEERS = ("a", "b", "c")
NEWEST = Layout(PEERS, (LOSS, Metric("accuracy")), num_rounds=9, every=1)
WINDOW = Layout(PEERS, (LOSS, Metric("accuracy")), num_rounds=9, every=2, window=2)

ends = st.none() | st.builds(End, st.integers(0, 9), st.integers(0, 3), st.booleans())
rows = st.dictionaries(st.integers(0, 2), st.tuples(st.sampled_from([0, 2, 4, 6, 8]), st.floats(allow_nan=True)))


def table_of(layout, rows, end=None):
    """A row says the same wherever it is heard: it depends on its peer and round."""
    table = layout.empty()
    for position, (round, _) in rows.items():
        table = layout.with_row(table, position, round, [float(position), round / 10])
    return table if end is None else layout.with_end(table, end)


@given(st.lists(st.tuples(rows, ends), min_size=1, max_size=5), st.randoms(), st.sampled_from([NEWEST, WINDOW]))
def test_neither_order_nor_repetition_matters(said, random, layout):
    tables = [table_of(layout, rows, end) for rows, end in said]
    results = []
    for _ in range(2):
        result = layout.empty()
        for table in tables:
            result = layout.merged(result, table, None)
        results.append(result.tobytes())
        tables += tables
        random.shuffle(tables)
    assert results[0] == results[1]
    assert layout.end(result) == min((end for _, end in said if end is not None), default=None)
    assert layout.merged(result, tables[0], None) is result


def test_nobody_takes_a_row_of_its_own_or_one_of_later_rounds():
    theirs = table_of(NEWEST, {0: (4, 0), 1: (6, 0), 2: (8, 0)})
    agreed = NEWEST.agreement(NEWEST.merged(NEWEST.empty(), theirs, 0, last=6), None, 9)
    assert (agreed.peers, agreed.round, agreed.oldest) == (("b",), 6, None)


def test_what_is_no_number_is_said_and_who_has_no_examples_does_not_count():
    table = NEWEST.with_row(NEWEST.empty(), 0, 3, [float("nan"), 0.5])
    table = NEWEST.with_row(table, 1, 2, [float("inf"), 1e300])
    table = NEWEST.with_row(table, 2, 3, None)
    assert np.isfinite(table).all()
    agreed = NEWEST.agreement(table, None, 5)
    assert (agreed.peers, agreed.of_peers, agreed.round, agreed.oldest) == (("a", "b"), 2, 3, 2)
    np.testing.assert_array_equal(agreed.scores, [[np.nan, 0.5], [np.nan, np.nan]])
    assert NEWEST.agreement(NEWEST.empty(), None, 5) is None


def test_rows_of_several_rounds_are_there_at_a_time():
    table = WINDOW.empty()
    for round in (2, 4):
        for position in range(3):
            table = WINDOW.with_row(table, position, round, [position, round])
    assert WINDOW.agreement(table, 2, 5).scores.tolist() == [[0, 2], [1, 2], [2, 2]]
    table = WINDOW.with_row(table, 1, 6, [7, 7])  # in the place of round 2
    assert WINDOW.agreement(table, 2, 7).peers == ("a", "c")
    assert WINDOW.agreement(table, 4, 7).num_peers == 3


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 11.0),
        (0, 0.5),
        (0, -1.0),
        (1, 4.0),
        (2, 2.0),
        (3, 11.0),
        (3, 1.5),
        (4, 2.0),
        (4, -1.0),
        (5, np.nan),
        (5, 1e300),
    ],
)
def test_what_cannot_be_true_is_refused(place, value):
    table = np.array(table_of(NEWEST, {0: (4, 0)}, End(3, 1, by_rule=True)))
    NEWEST.received(dense(np.array(table)), "b")
    table[place] = value
    with pytest.raises(RemoteProtocolError, match="the scores from peer b cannot be true"):
        NEWEST.received(dense(table), "b")


def test_a_row_stands_in_its_place_and_a_table_has_its_size():
    table = np.array(table_of(WINDOW, {0: (4, 0)}))
    table[3] = 1 + 6.0
    with pytest.raises(RemoteProtocolError, match="of every 2 rounds, 2 at a time"):
        WINDOW.received(dense(table), "b")
    for other in (np.zeros(5), np.zeros(WINDOW.size, np.float32)):
        with pytest.raises(RemoteProtocolError, match=f"are not {WINDOW.size} numbers"):
            WINDOW.received(Encoded("dense", {"values": other}, other.size), "b")
