"""Whatever the network does and whoever is killed: everything arrives, nothing is taken in twice, goodbyes end."""

from hypothesis import given
from hypothesis import strategies as st
from two_ends import End, Network

from gossipfl.engines.http.wire.limits import Limits

seeds = st.integers(0, 2**32)
numbers = st.integers(0, 12)
who_polls = st.sampled_from(["nobody", "a", "b"])
kills = st.lists(st.tuples(st.floats(0.0, 15.0), st.sampled_from(["a", "b"])), max_size=4)


SMALL = Limits(poll_seconds=5.0, max_backoff=2.0, outbox_messages=4)


def talk(network: Network, num_a: int, num_b: int, who_polls: str, kills: list[tuple[float, str]]) -> tuple[End, End]:
    a = End(network, "a", "b", num_a, 0.3, polls=who_polls == "a", is_polled=who_polls == "b")
    b = End(network, "b", "a", num_b, 0.7, polls=who_polls == "b", is_polled=who_polls == "a")
    for time, name in kills:
        network.at(time, network.ends[name].is_killed)
    network.run(until=300.0)
    return a, b


@given(seeds, st.floats(0.0, 0.6), st.floats(0.0, 4.0), st.floats(0.0, 0.5), numbers, numbers, who_polls, kills)
def test_everything_arrives_and_goodbyes_end(seed, loss, delay, doubles, num_a, num_b, who_polls, kills):
    network = Network(seed, loss, delay, doubles, limits=SMALL)
    a, b = talk(network, num_a, num_b, who_polls, kills)
    for end, num_messages in ((a, num_b), (b, num_a)):
        assert end.is_over
        assert end.may_linger or not end.has_lingered
        assert sorted(end.received) == list(range(1, num_messages + 1))
        assert len(end.taken) == len(set(end.taken))


@given(seeds, st.floats(0.0, 1.0), numbers, numbers, who_polls)
def test_what_does_not_fail_arrives_once_and_in_order(seed, delay, num_a, num_b, who_polls):
    """The network delays, and so reorders what is under way at the same time, but loses nothing."""
    a, b = talk(Network(seed, delay=delay), num_a, num_b, who_polls, [])
    for end, num_messages in ((a, num_b), (b, num_a)):
        assert end.received == list(range(1, num_messages + 1))
        assert len(end.taken) == num_messages
        assert end.is_over
        assert not end.has_lingered


@given(seeds, numbers, numbers, who_polls, st.sampled_from(["a", "b"]))
def test_one_that_is_killed_when_its_neighbor_has_ended_does_not_wait_for_it(seed, num_a, num_b, who_polls, last):
    """It has other neighbors, who need longer."""
    network = Network(seed, loss=0.3, delay=1.0, limits=SMALL)

    def kill() -> None:
        end = network.ends[last]
        assert network.ends[end.other].is_over
        end.busy_until = 200.0
        end.is_killed()

    network.at(0.0, lambda: setattr(network.ends[last], "busy_until", 1000.0))
    network.at(100.0, kill)
    talk(network, num_a, num_b, who_polls, [])
    assert network.ends[last].is_over
    assert not network.ends[last].has_lingered
