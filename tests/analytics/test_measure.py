"""Questions in one call, in virtual time: their answers, what they cost, and what is refused."""

import re

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relaying import Witness, graphs, powers

from gossipfl.analytics import Count, Histogram, Mean, Question, Sum, Values, Variance, asked, measure, predicted
from gossipfl.engines.virtual.network_model import IDEAL, LAN, WAN, Link, NetworkModel, Rates
from gossipfl.errors import ConfigurationError, DataError, LocalProtocolError
from gossipfl.topology import complete, named
from gossipfl.training.no_trainer import NoTrainer

NETWORKS = {
    "IDEAL": IDEAL,
    "LAN": LAN,
    "slow": NetworkModel(
        Rates(1e5, 1.5e5), Link(latency=0.1), peer_rates={"p0": Rates(3e4, 2e5), "p3": Rates(1e6, 1e4)}
    ),
    "uneven": NetworkModel(Rates(uplink=1e6), Link(0.01), links={("p1", "p2"): Link(0.3), ("p2", "p1"): Link(0.7)}),
}


@settings(max_examples=40)
@given(graph=graphs(), network=st.sampled_from(sorted(NETWORKS)))
def test_what_it_costs_is_known_before(graph, network):
    questions = [Question(Witness(3)), Question(Histogram(20)), Question(Count())]
    values = {name: [own] * 3 for name, own in powers(graph).items()}
    before = predicted(graph, questions, NETWORKS[network])
    found = asked(graph, questions, values, network=NETWORKS[network])
    assert (found.cost.num_passes, found.cost.num_messages) == (before.num_passes, before.num_messages)
    assert found.cost.num_bytes == before.num_bytes
    if graph.is_directed():
        assert found.cost.seconds == pytest.approx(before.seconds, rel=0.5)
    else:
        assert found.cost.seconds == pytest.approx(before.seconds, rel=1e-9)
    assert found.without == ()


@pytest.mark.parametrize(
    "network", [WAN, NetworkModel(LAN.rates, Link(latency=0.1, jitter=0.3))], ids=["WAN", "jitter"]
)
def test_a_jitter_counts_in_full(network):
    graph, questions = named("ring"), [Question(Variance())]
    values = {name: [Values([k])] for k, name in enumerate(graph)}
    assert asked(graph, questions, values, network=network).cost.seconds <= predicted(graph, questions, network).seconds


def test_no_message_is_repeated_where_none_is_lost():
    """However slow the network is."""
    graph, questions = named("line"), [Question(Mean(), 1000)]
    values = {name: [Values(np.ones((2, 1000)))] for name in graph}
    network = NetworkModel(Rates(1e3, 1e3), Link(latency=20.0))
    found = asked(graph, questions, values, network=network)
    assert found.cost.num_messages == predicted(graph, questions, network).num_messages
    assert found.cost.seconds > 900


def test_losses_cost_time_and_nobody_is_left_out():
    network = NetworkModel(link=Link(latency=0.02, jitter=0.05, loss=0.2))
    found = measure([Sum(), Variance()], range(60), topology=nx.random_regular_graph(3, 60, seed=1), network=network)
    assert [answer.num_peers for answer in found] == [60, 60]
    assert [answer.notes for answer in found] == [(), ()]
    assert found[0].value == 59 * 30


def test_means_of_tables_and_arrays_by_name_and_in_node_order():
    assert measure(Mean(over="peers"), [[1, 1, 1], [13]]).value == 7.0
    assert measure("mean", [[1, 1, 1], [13]]).value == 4.0
    assert measure("mean", [[1, 2], [13]], weights=[[3, 0], [1]]).value == 4.0
    assert measure("mean", {"a": 3, "b": 4}, topology=nx.Graph([("b", "a")])).value == 3.5
    assert measure("mean", {1: 3, 2: 4}).value == 3.5
    assert measure(["sum:age", "count:age"], {"a": {"age": [3, 4]}, "b": {"age": []}})[0].value == 7
    features = measure(Mean(), {"a": np.ones((3, 2)), "b": [], "c": [[5.0, 9.0]]}, network="IDEAL")
    assert features.value.tolist() == [2.0, 3.0]
    assert measure("mean", [pd.Series([1, 2], index=["a", "b"]), pd.Series([6.0])]).value == 3.0
    assert measure("classes", [["x", "y"], ["x"], [], ["z"]]).value == {"x": 2, "y": 1, "z": 1}


def test_a_table_is_counted_without_a_column_and_all_its_numbers_are_asked_for_by_name():
    """The order of a peer's columns does not matter."""
    tables = {
        "a": pd.DataFrame({"city": ["Oslo", "Bern"], "age": [30, 40], "height": [1.5, 1.7]}),
        "b": {"height": [1.9], "age": [50], "city": ["Rome"]},
        "c": pd.DataFrame({"height": [], "city": []}),
    }
    count, mean, least = measure(["count", "mean:*", "min:*"], tables)
    assert (count.value, count.num_peers) == (3, 3)
    assert mean.value.tolist() == pytest.approx([40, 1.7])
    assert least.value.tolist() == [30, 1.5]
    frames = {"a": pl.DataFrame({"age": [30, 40], "city": ["Oslo", "Bern"]}), "b": pa.table({"age": [50]})}
    assert measure("mean:age", frames).value == measure("mean:*", frames).value == 40
    rows = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]]
    assert measure("mean:*", rows).value.tolist() == measure("mean", rows).value.tolist() == [3, 4]


def test_a_peer_who_is_offline_is_left_out_and_the_answer_says_so():
    network = NetworkModel(offline={"3": ((0.0, 1e9),)})
    answer = measure(Sum(), range(16), topology="ring", network=network, patience=5.0)
    assert answer.num_peers == 10  # those behind it, on the way to the root, are not heard either
    assert "not all 16 peers are in it: peer 3 was silent" in answer.notes
    assert answer.notes[-1] == "6 of 16 peers do not come to know it: the first is 3"


@pytest.mark.parametrize(
    ("query", "values", "options", "why"),
    [
        ("mean", [[1], ["a"]], {}, "peer 1: mean takes numbers"),
        ("mean", [[1], [np.nan]], {}, "peer 1: "),
        ("mean:age", [[1], [2]], {}, "peer 0 has no columns, and 'age' is asked for"),
        ("mean", [{"age": [1]}], {}, "peer 0 has columns: say which one"),
        ("mean:age", [{"ages": [1]}], {}, "peer 0 has no column 'age'. Did you mean 'ages'?"),
        ("mean", [1, 2, 3], {"topology": "ring"}, "values of 3 peers, and the topology has 16 peers"),
        ("mean", {"a": 1}, {"topology": "four-hosts"}, "'amsterdam' has none"),
        ("mean", {"a": [1], "b": [2]}, {"topology": "ring"}, "such as networkx.cycle_graph(['a', 'b'])"),
        ("mean:*", [{"age": [1], "size": [2]}, {"age": [1], "height": [2]}], {}, "(age, size; age, height)"),
        ("mean:*", [{"city": ["Bern"]}, {"city": ["Rome"]}], {}, "peer 0 has no column of numbers"),
        ("mean:*", [{"age": [np.nan]}, {"age": [1]}], {}, "peer 0, column 'age': the number in row 1 is nan"),
        ("count", [{"age": [1], "size": [2, 3]}, {"age": [1]}], {}, "columns of peer 0 have 1 to 2 rows"),
        (
            "mean",
            {"a": 1},
            {"weights": {"a": [1], "b": [1]}},
            "weights are given by the names of peers, and 'b' is not",
        ),
        ("mean", [Values(1)], {"weights": [[1]]}, "bring their weights"),
        ("mean", [1], {"network": "MAN"}, "network is one of IDEAL, LAN, WAN"),
        ("mean", [1], {"patience": 0.0}, "patience is above 0 seconds"),
        ("mean", 5, {}, "values and weights have an entry for each peer, got 5"),
        ("mean", "abc", {}, "values and weights have an entry for each peer, got 'abc'"),
        ("average", [1], {}, "there is no query 'average'"),
        (Mean, [1], {}, "a query is a text as 'mean:age', or a value as Mean(), got <class"),
        ([], [1], {}, "a query is a text as 'mean:age', or a value as Mean(), got []"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(query, values, options, why):
    with pytest.raises((ConfigurationError, DataError), match=re.escape(why)):
        measure(query, values, **options)


def test_to_ask_nothing_is_refused():
    for ask in (lambda: predicted(named("ring"), []), lambda: asked(named("ring"), [], {})):
        with pytest.raises(ConfigurationError, match="no question is asked"):
            ask()


def test_a_thousand_peers_that_are_all_linked_take_no_longer_than_others():
    graph = complete(nx.path_graph([str(k) for k in range(1000)]))
    for position, name in enumerate(graph):
        graph.nodes[name]["position"] = position
    assert measure("mean", range(1000), topology=graph).value == 499.5


def test_a_trainer_for_those_who_ask_for_none():
    trainer = NoTrainer()
    trainer.prepare()
    for ask in (lambda: trainer.num_examples("a", 0, 1), lambda: trainer.train([]), lambda: trainer.evaluate([])):
        with pytest.raises(LocalProtocolError, match="peers without a model ask for no work"):
            ask()
    for ask in (lambda: trainer.score([]), lambda: trainer.batch_statistics(None, [], 1)):
        with pytest.raises(LocalProtocolError):
            ask()
