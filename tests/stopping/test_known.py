"""The round in which all know what was said: by the diameter, and by telling it from peer to peer."""

import networkx as nx
import pytest
from federation import ring
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.schedules import BaseGraph, OnePeerExponential, RandomMatchings, Static
from gossipfl.stopping.known import known_in, window_of
from gossipfl.topology import canonical

SCHEDULES = [Static(), OnePeerExponential(), BaseGraph(), RandomMatchings()]


def told(schedule, links, gossip_steps, num_rounds, round):
    """The round by whose beginning everybody has heard of everybody, by sets."""
    heard = {peer_id: {peer_id} for peer_id in links}
    for step in range(round * gossip_steps, num_rounds * gossip_steps):
        meetings = {peer_id: schedule.meetings(links, peer_id, 3)(step).row for peer_id in links}
        heard = {peer_id: set().union(*(heard[other] for other in meetings[peer_id])) for peer_id in links}
        if (step + 1) % gossip_steps == 0 and all(len(known) == len(links) for known in heard.values()):
            return (step + 1) // gossip_steps
    return num_rounds + 1


@settings(max_examples=30)
@given(st.sampled_from(SCHEDULES), st.integers(2, 9), st.integers(1, 3), st.integers(1, 8), st.integers(0, 99))
def test_it_is_when_the_last_has_heard_of_the_last(schedule, num_peers, gossip_steps, num_rounds, seed):
    graph = canonical(nx.connected_watts_strogatz_graph(num_peers, 2, 0.5, seed=seed), "random")
    links = schedule.links(graph)
    found = known_in(schedule, links, gossip_steps, num_rounds, 3)
    assert list(found) == [told(schedule, links, gossip_steps, num_rounds, r) for r in range(num_rounds + 1)]


@pytest.mark.parametrize("gossip_steps", [1, 2, 3])
def test_of_a_fixed_graph_it_is_the_diameter(gossip_steps):
    graph = canonical(nx.grid_2d_graph(3, 4), "grid")
    delay = -(-nx.diameter(graph) // gossip_steps)
    assert known_in(Static(), graph, gossip_steps, 20, 0)[:9] == tuple(range(delay, delay + 9))


def test_one_way_links_and_a_peer_alone():
    one_way = canonical(nx.cycle_graph(5, create_using=nx.DiGraph), "one way")
    assert known_in(Static(), one_way, 1, 9, 0) == (4, 5, 6, 7, 8, 9, 10, 10, 10, 10)
    alone = canonical(nx.empty_graph(1), "alone")
    assert known_in(Static(), alone, 1, 3, 0) == (1, 2, 3, 4)


def test_so_many_rows_are_on_their_way():
    delays = known_in(Static(), ring(8), 1, 30, 0)
    assert delays[0] == 4
    assert [window_of(delays, every) for every in (1, 2, 4, 5)] == [5, 3, 2, 1]
    assert window_of((4, 4, 4), 1) == 5  # nothing is known in time
