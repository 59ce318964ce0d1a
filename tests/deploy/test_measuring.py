"""Questions over HTTP: the bits of virtual time, whoever is late, absent, or asks something else."""

import asyncio
import socket
from contextlib import suppress

import numpy as np
import pytest
from relaying import make, simulator_of

from gossipfl import analytics, topology
from gossipfl.deploy.measuring import Asking, heard
from gossipfl.deploy.measuring_peer import MeasuringOptions
from gossipfl.engines.http.trust.certificates import create_authority, issue
from gossipfl.engines.http.trust.credentials import load_credentials
from gossipfl.errors import ConfigurationError
from gossipfl.queries import Answer, Count, Histogram, Maximum, Mean, Quantiles, Question, Unanswered, Values, Variance
from gossipfl.scenario.http import HTTPSection

PATIENT = 60.0
HTTP = HTTPSection(meeting_seconds=20.0, linger=60.0)
QUERIES = (Mean(), Variance(), Quantiles(at=(0.25, 0.5)), Maximum(), Count())


def numbers_of(graph):
    generator = np.random.default_rng(5)
    return {peer: generator.normal(40.0, 20.0, generator.integers(1, 30)) for peer in graph}


def asking(graph, values, queries=QUERIES, patience=PATIENT, colluders=None):
    questions = [Question(query) for query in queries]
    return Asking(graph, questions, [Values(values)] * len(queries), {}, patience, colluders)


async def one_life(one, peer):
    return await one(peer)


def asked(graph, askings, http=HTTP, polling=None, live=one_life, certificates=None):
    """Ask as the peers of `askings` at once, each on a port of its own; gives what each of them has heard."""
    sockets = {peer: socket.create_server(("127.0.0.1", 0)) for peer in graph}
    scheme = "http" if certificates is None else "https"
    urls = {peer: f"{scheme}://127.0.0.1:{listener.getsockname()[1]}" for peer, listener in sockets.items()}

    async def one(peer):
        names = (peer, *topology.all_neighbors(graph, peer))
        where = {name: None if name == polling else urls[name] for name in names}
        options = MeasuringOptions(peer, listen_fd=None if peer == polling else sockets[peer].fileno())
        credentials = None if certificates is None else load_credentials(certificates, peer)
        return await heard(options, where, None, credentials, http, askings[peer])

    async def all_at_once():
        return await asyncio.gather(*(live(one, peer) for peer in askings), return_exceptions=True)

    try:
        return dict(zip(askings, asyncio.run(all_at_once()), strict=True))
    finally:
        for listener in sockets.values():
            listener.close()


def in_virtual_time(graph, numbers):
    values = {peer: Values(own) for peer, own in numbers.items()}
    peers = make(graph, [Question(query) for query in QUERIES], values)
    simulator_of(peers).run()
    return peers[next(iter(graph))].answers


def told(answer):
    """All that an answer says, so that equal is equal in every bit."""
    assert isinstance(answer, Answer)
    arrays = [np.asarray(answer.value).tobytes(), np.asarray(answer.bound).tobytes()]
    return [*arrays, answer.num_peers, answer.num_examples, answer.notes]


@pytest.mark.parametrize(
    "graph",
    [
        topology.named("ring", {"n": 6}),
        topology.from_links(["a", "b", "c", "d"], [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")], directed=True),
        topology.from_links(["a"], []),
    ],
    ids=["ring", "one way", "alone"],
)
def test_all_answers_have_the_bits_of_virtual_time(graph):
    numbers = numbers_of(graph)
    results = asked(graph, {peer: asking(graph, numbers[peer]) for peer in graph})
    expected = [told(answer) for answer in in_virtual_time(graph, numbers)]
    for result in results.values():
        assert [told(answer) for answer in result.outcomes] == expected
    everything = np.concatenate(list(numbers.values()))
    assert expected[2][0] == np.quantile(everything, [0.25, 0.5]).tobytes()
    assert sum(result.status.num_messages for result in results.values()) % max(1, 2 * (len(graph) - 1)) == 0


def test_without_a_silent_peer_the_others_have_an_answer_that_says_so():
    graph = topology.named("line", {"n": 4})
    numbers = numbers_of(graph)
    present = list(graph)[:3]
    http = replace_http(meeting_seconds=0.1, linger=0.2)
    results = asked(graph, {peer: asking(graph, numbers[peer], (Mean(),), 0.3) for peer in present}, http)
    for result in results.values():
        (answer,) = result.outcomes
        assert answer.num_peers == 3
        assert answer.value == pytest.approx(np.concatenate([numbers[peer] for peer in present]).mean(), abs=1e-12)
        assert any("3" in note and "silent" in note for note in answer.notes)


def test_cut_off_from_the_rest_a_peer_ends_with_a_sentence():
    graph = topology.named("line", {"n": 5})
    numbers = numbers_of(graph)
    http = replace_http(meeting_seconds=0.1, linger=0.2)
    first = next(iter(graph))
    results = asked(graph, {first: asking(graph, numbers[first], (Mean(),), 0.2)}, http)
    (outcome,) = results[first].outcomes
    assert isinstance(outcome, Unanswered)
    assert "silent" in outcome.why


def test_one_that_cannot_be_reached_polls():
    graph = topology.named("star", {"n": 3})
    numbers = numbers_of(graph)
    hidden = list(graph)[-1]
    results = asked(graph, {peer: asking(graph, numbers[peer]) for peer in graph}, polling=hidden)
    assert len({str([told(answer) for answer in result.outcomes]) for result in results.values()}) == 1


def test_one_that_begins_anew_answers_in_its_new_life():
    graph = topology.named("line", {"n": 3})
    numbers = numbers_of(graph)
    first, _, last = graph
    askings = {peer: asking(graph, numbers[peer], (Mean(),)) for peer in graph}

    is_gone = asyncio.Event()

    async def lives(one, peer):
        if peer == first:
            with suppress(TimeoutError):  # long enough to say its word, and nothing comes of it without the last
                await asyncio.wait_for(one(peer), 0.2)
            is_gone.set()
        if peer == last:
            await is_gone.wait()
        return await one(peer)

    results = asked(graph, askings, replace_http(meeting_seconds=0.05), live=lives)
    everything = np.concatenate(list(numbers.values()))
    for result in results.values():
        (answer,) = result.outcomes
        assert (answer.num_peers, answer.num_examples) == (3, len(everything))
        assert answer.value == pytest.approx(everything.mean(), abs=1e-12)


def test_who_asks_something_else_is_told_so():
    graph = topology.from_links(["a", "b"], [("a", "b")])
    askings = {"a": asking(graph, [1.0], (Mean(),)), "b": asking(graph, [2.0], (Count(),))}
    results = asked(graph, askings, replace_http(meeting_seconds=0.5, linger=0.5))
    assert all(isinstance(result, ConfigurationError) for result in results.values())
    assert "refused a as a peer of another run" in str(results["a"])


def test_peers_go_from_one_run_to_the_next_each_in_its_own_time():
    """A neighbor that is still in the run before refuses those who are ahead of it: they wait until it comes."""
    graph = topology.named("line", {"n": 4})
    numbers = numbers_of(graph)
    urls, listens = {}, {}
    for peer in graph:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listens[peer] = listener.getsockname()
            urls[peer] = f"http://127.0.0.1:{listens[peer][1]}"

    async def one(peer):
        where = {name: urls[name] for name in (peer, *topology.all_neighbors(graph, peer))}
        options = MeasuringOptions(peer)
        found = []
        for query in (Mean(), Maximum(), Count()):
            result = await heard(options, where, listens[peer], None, HTTP, asking(graph, numbers[peer], (query,)))
            found.append(result.outcomes[0].value)
        return found

    async def all_at_once():
        return await asyncio.gather(*map(one, graph))

    everything = np.concatenate(list(numbers.values()))
    for mean, maximum, count in asyncio.run(all_at_once()):
        assert mean == pytest.approx(everything.mean(), abs=1e-12)
        assert (maximum, count) == (everything.max(), len(everything))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    create_authority(directory)
    for peer in TestSecureSums.GRAPH:
        issue(directory, peer)
    return directory


class TestSecureSums:
    QUERIES = (Mean(), Variance(), Histogram(edges=(-100.0, 40.0, 200.0)), Count())
    GRAPH = topology.named("line", {"n": 4})

    def askings(self, numbers, patience=PATIENT):
        return {peer: asking(self.GRAPH, own, self.QUERIES, patience, colluders=1) for peer, own in numbers.items()}

    def test_they_have_the_bits_of_virtual_time(self, certificates):
        numbers = numbers_of(self.GRAPH)
        results = asked(self.GRAPH, self.askings(numbers), certificates=certificates)
        questions = [Question(query) for query in self.QUERIES]
        values = {peer: [Values(own)] * len(questions) for peer, own in numbers.items()}
        expected = analytics.asked(self.GRAPH, questions, values, colluders=1).answers
        for result in results.values():
            assert [told(answer) for answer in result.outcomes] == [told(answer) for answer in expected]

    def test_without_a_silent_peer_nobody_has_an_answer(self, certificates):
        numbers = numbers_of(self.GRAPH)
        *present, _ = self.GRAPH
        http = replace_http(meeting_seconds=0.1, linger=0.2)
        askings = self.askings({peer: numbers[peer] for peer in present}, 0.3)
        for result in asked(self.GRAPH, askings, http, certificates=certificates).values():
            assert all(isinstance(one, Unanswered) and "peer 3 was silent" in one.why for one in result.outcomes)

    def test_they_take_certificates(self):
        results = asked(self.GRAPH, self.askings(numbers_of(self.GRAPH)))
        assert all("secure_aggregation needs certificates" in str(result) for result in results.values())


def replace_http(**changes):
    return HTTP.model_copy(update=changes)
