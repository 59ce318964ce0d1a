"""Topologies of a scenario whose links go one way."""

import pytest
from pydantic import ValidationError

from gossipfl.scenario.sections import TopologySection

TRIANGLE = [("a", "b"), ("b", "c"), ("c", "a")]


def test_scenarios_say_whether_links_go_one_way():
    links = TopologySection(peers=["a", "b", "c"], links=TRIANGLE, directed=True)
    assert list(links.graph(0).edges) == TRIANGLE
    ring = TopologySection(generator="cycle_graph", arguments={"n": 4}, directed=True)
    assert ring.graph(0).is_directed()
    assert TopologySection(name="directed-ring-chords").graph(0).is_directed()
    for other in ({"name": "ring"}, {"file": "x.graphml"}):
        with pytest.raises(ValidationError, match="directed of a topology needs generator or peers"):
            TopologySection(**other, directed=True)
        TopologySection(**other, directed=False)
