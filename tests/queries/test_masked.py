"""Questions in sums whose terms nobody sees: the plain answers, views that say nothing more, and else no answer."""

import json

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relaying import graphs, make, simulator_of

from gossipfl.analytics import asked
from gossipfl.engines.ciphers import cipher_of_seed
from gossipfl.engines.virtual.network_model import Link, NetworkModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import ConfigurationError, DataError, RemoteProtocolError
from gossipfl.messages import Encoded, Kind
from gossipfl.queries import (
    QUERIES,
    Answer,
    Count,
    Histogram,
    Masking,
    Mean,
    Quantiles,
    Question,
    RelayTree,
    StandardDeviation,
    Sum,
    Unanswered,
    Values,
    Variance,
    in_sums,
)
from gossipfl.queries.inquiry import Inquiry
from gossipfl.queries.masked_inquiry import _Key
from gossipfl.secrecy import exact_ring
from gossipfl.secrecy.packing import pack_by_peer, unpack_by_peer
from gossipfl.secrecy.terms import SumId
from gossipfl.topology import canonical, named

LOSSY = World(NetworkModel(link=Link(latency=0.02, jitter=0.3, loss=0.3)))
ASKED = [Question(Mean()), Question(Variance()), Question(Histogram(edges=(-1.0, 0.0, 1.0, 50.0)))]


def masking(name, cipher=cipher_of_seed, run="run"):
    return Masking(cipher(0, name), run)


def masked(graph, questions, values, **options):
    return make(graph, questions, values, **{"masking": masking, **options})


def numbers_of(graph, seed=0):
    generator = np.random.default_rng(seed)
    return {name: Values(generator.normal(3.0, 20.0, generator.integers(1, 9))) for name in graph}


def outcomes(simulator):
    """What all peers have come to, as bytes."""
    return [
        [(np.asarray(one.value).tobytes(), one.num_examples, one.notes) for one in peer.answers]
        for peer in simulator.peers.values()
    ]


def why_not(simulator):
    """Why each peer has no answer: nobody has one."""
    answers = [peer.answers for peer in simulator.peers.values()]
    assert all(isinstance(one, Unanswered) for of_one in answers for one in of_one)
    return [of_one[0].why for of_one in answers]


def changed(simulator, change):
    """Have what is sent be as `change` makes it of each message; what it makes None is lost."""
    send = simulator._send

    def send_changed(message):
        message = change(message)
        if message is not None:
            send(message)

    simulator._send = send_changed
    return simulator


def carrying(message, summary):
    return message._replace(vectors={"summary": Encoded("bytes", {"values": summary}, summary.size)})


class TestAnswers:
    QUERIES = (
        Mean(),
        Mean(over="peers"),
        Sum(),
        Count(),
        Variance(),
        StandardDeviation(1),
        Histogram(edges=(-10.0, 0.0, 7.5, 100.0)),
        Quantiles((0.0, 0.3, 1.0)),
        Quantiles((0.5,), resolution=0.5),
    )

    @settings(max_examples=8)
    @given(graph=graphs(fewest=3, most=5), seed=st.integers(0, 99), scale=st.sampled_from([1.0, 1e80, 1e-90]))
    def test_they_are_those_of_plain_sums(self, graph, seed, scale):
        generator = np.random.default_rng(seed)
        values, weighted = {}, {}
        for name in graph:
            own = np.rint(generator.normal(3.0, 20.0, generator.integers(1, 9)))
            values[name] = Values(own * scale)
            weighted[name] = Values(own * scale, generator.random(own.size))
        questions = [Question(query) for query in self.QUERIES]
        both = {name: [*[values[name]] * len(questions), weighted[name], weighted[name]] for name in graph}
        questions += [Question(Mean()), Question(Variance())]
        plain, secure = asked(graph, questions, both), asked(graph, questions, both, colluders=0)
        for query, one, other in zip(questions, plain.answers, secure.answers, strict=True):
            assert (one.num_peers, one.num_examples, one.notes) == (other.num_peers, other.num_examples, other.notes)
            assert (np.abs(np.asarray(one.value) - other.value) <= np.add(one.bound, other.bound)).all(), query
            if isinstance(query.query, Count | Histogram | Quantiles):
                assert np.array_equal(one.value, other.value)
        assert secure.without == ()

    @settings(max_examples=8)
    @given(graph=graphs(fewest=3, most=6), seed=st.integers(0, 99), share=st.sampled_from([0.1, 1.0]))
    def test_losses_and_peers_replaced_by_their_snapshots_change_no_bit(self, graph, seed, share):
        values = numbers_of(graph, seed)
        undisturbed = simulator_of(masked(graph, ASKED, values))
        undisturbed.run()
        simulator = simulator_of(masked(graph, ASKED, values), LOSSY, seed)
        rng, step = np.random.default_rng(seed), simulator.step

        def step_and_replace():
            step()
            if rng.random() < share:
                name = str(rng.choice(list(graph)))
                arrays, state = simulator.peers[name].snapshot()
                twin = masked(graph, ASKED, values, only=name)[name]
                twin.restore(({key: np.array(array) for key, array in arrays.items()}, json.loads(json.dumps(state))))
                simulator.peers[name] = twin

        simulator.step = step_and_replace
        simulator.run()
        assert outcomes(simulator) == outcomes(undisturbed)
        assert len({str(one) for one in outcomes(undisturbed)}) == 1


class Shifted:
    """A cipher whose mask of a pair is another one, by what is said of the two."""

    def __init__(self, cipher, shifts):
        self._cipher, self._shifts, self._of = cipher, shifts, {}

    def __getattr__(self, name):
        return getattr(self._cipher, name)

    def agree(self, private, public, purpose):
        key = self._cipher.agree(private, public, purpose)
        self._of[key] = frozenset((self._cipher.public(private), public))
        return key

    def stream(self, key, size):
        shift = self._shifts.get(self._of[key])
        drawn = np.frombuffer(self._cipher.stream(key, size), "<u4").reshape(-1, exact_ring.WORDS)
        return (drawn if shift is None else exact_ring.total([(1, drawn), (1, shift)])).astype("<u4").tobytes()


class NoMask(Shifted):
    def stream(self, key, size):
        return bytes(size)


def terms(questions, own):
    sums = Inquiry(questions, [own]).own.reshape(2, -1).sum(axis=0)
    return exact_ring.encoded([1, *map(exact_ring.whole, sums.tolist())])


def view(graph, values, viewer, cipher):
    """All that a peer is sent, after the keys."""
    seen = []

    def watch(message):
        if message.receiver == viewer and message.round > 1:
            seen.append((message.sender, message.kind, message.vectors["summary"].arrays["values"].tobytes()))
        return message

    peers = masked(graph, [Question(Sum())], values, masking=lambda name: masking(name, cipher))
    changed(simulator_of(peers), watch).run()
    return seen


class TestViews:
    @settings(max_examples=25)
    @given(graph=graphs(fewest=3, most=7), seed=st.integers(0, 99))
    def test_other_numbers_with_the_same_sum_look_the_same_to_everybody(self, graph, seed):
        """For each of these there are masks, as likely as the true ones, with which a peer is sent the same bytes."""
        generator = np.random.default_rng(seed)
        names = list(graph)
        viewer = names[generator.integers(len(names))]
        others = [name for name in names if name != viewer]
        first = {
            name: float(number) for name, number in zip(names, generator.integers(1, 100, len(names)), strict=True)
        }
        moved = generator.integers(0, int(min(first.values())) + 1)
        second = {**first, others[0]: first[others[0]] - moved, others[-1]: first[others[-1]] + moved}
        one, other = ({name: Values([x]) for name, x in numbers.items()} for numbers in (first, second))
        # The mask of the two, which only they know, takes up what was moved.
        questions = [Question(Sum())]
        taken = exact_ring.total([(1, terms(questions, one[others[0]])), (-1, terms(questions, other[others[0]]))])
        ciphers = {name: cipher_of_seed(0, name) for name in names}
        pair = frozenset(
            ciphers[name].public(ciphers[name].secret("key of questions", "run")) for name in (others[0], others[-1])
        )
        shifts = {pair: taken}  # the first of the two in node order adds the mask
        seen = view(graph, one, viewer, lambda seed, name: Shifted(ciphers[name], {}))
        assert seen == view(graph, other, viewer, lambda seed, name: Shifted(ciphers[name], shifts))
        for sender, kind, sent in seen:  # of single peers: no number is there as it is
            if kind is Kind.PUSH and not RelayTree.of(graph).places[sender].below:
                assert sent != terms(questions, one[sender]).tobytes()

    def test_without_masks_a_parent_sees_them(self):
        """The view of the test before says something where nothing hides it."""
        graph = named("star", {"n": 4})
        root = RelayTree.of(graph).root
        leaves = [name for name in graph if name != root]
        first = {name: Values([float(k)]) for k, name in enumerate(graph, 1)}
        second = first | {leaves[0]: first[leaves[1]], leaves[1]: first[leaves[0]]}

        def seen(values):
            return view(graph, values, root, lambda seed, name: NoMask(cipher_of_seed(seed, name), {}))

        assert seen(first) != seen(second)
        assert {sender: sent for sender, kind, sent in seen(first) if kind is Kind.PUSH} == {
            name: terms([Question(Sum())], first[name]).tobytes() for name in leaves
        }

    def test_each_pass_and_each_asking_has_other_masks(self):
        graph = named("star", {"n": 4})
        leaf = next(name for name in graph if name != RelayTree.of(graph).root)
        same = {name: Values([2.0]) for name in graph}
        sent = []

        def watch(message):
            if message.sender == leaf and message.kind is Kind.PUSH and message.round:
                sent.append(message.vectors["summary"].arrays["values"].tobytes()[: exact_ring.NUMBER_BYTES])
            return message

        for run in ("one", "two"):
            questions = [Question(Variance())]
            peers = masked(graph, questions, same, masking=lambda name, run=run: masking(name, run=run))
            changed(simulator_of(peers), watch).run()
        assert len({*sent}) == len(sent) == 4  # of the same number, 1


class TestWhoChangesKeysOrTotals:
    GRAPH = named("line", {"n": 5})  # 0 - 1 - 2 - 3 - 4, and 2 is the root

    def run(self, change, questions=ASKED, why_not=why_not):
        simulator = changed(simulator_of(masked(self.GRAPH, questions, numbers_of(self.GRAPH), patience=5.0)), change)
        simulator.run()
        return why_not(simulator)

    def swapped(self, which, key_of):
        """With the key of peer 0 changed in messages of which this is true."""

        def change(message):
            if message.round > 1 or not which(message):
                return message
            keys = unpack_by_peer(message.vectors["summary"].arrays["values"].tobytes())
            keys = {name: key_of(keys) if name == "0" else key for name, key in keys.items()}
            packed = pack_by_peer({name: key for name, key in keys.items() if key is not None})
            return carrying(message, np.frombuffer(packed, np.uint8))

        return change

    @staticmethod
    def signed(by="0", run="run", private=bytes(range(32)), public=None, holds=bytes([1, 1, 1])):
        """A key of peer 0, signed by whom it may be."""
        cipher = cipher_of_seed(0, by)
        key = _Key(cipher.public(private) if public is None else public, holds, cipher.credential)
        return key._replace(signature=cipher.sign(key.text(SumId(run, "", 0), "0"))).packed()

    @pytest.mark.parametrize(
        ("key_of", "why"),
        [
            (
                lambda keys: TestWhoChangesKeysOrTotals.signed(by="1"),
                "none: a signature in a secure sum is not that of",
            ),
            (
                lambda keys: TestWhoChangesKeysOrTotals.signed(run="another"),
                "a signature in a secure sum is not that of",
            ),
            (lambda keys: keys["1"], "a signature in a secure sum is not that of peer 0"),
            (lambda keys: TestWhoChangesKeysOrTotals.signed(public=bytes(32)), "none that can be agreed with"),
            (lambda keys: TestWhoChangesKeysOrTotals.signed(holds=b""), "peer 0 answers 0 questions, and there are 3"),
            (lambda keys: None, "keys are missing, of 0"),
        ],
    )
    def test_swapped_keys_are_noticed_by_all_and_nobody_gets_a_number(self, key_of, why):
        """By way of the neighbor: peer 1 hands on another key of peer 0 than it has got."""
        told = self.run(self.swapped(lambda message: (message.sender, message.kind) == ("1", Kind.PUSH), key_of))
        assert all(why in one or "is handed another key than its own" in one for one in told[1:])
        assert "is handed another key than its own" in told[0] or why in told[0]

    def test_who_shows_the_key_of_another_as_its_own_takes_no_mask_off(self):
        """Peer 1 adds the mask of 2 and takes off that of 0, and both would be one mask: 0 has signed the key of 2."""
        graph, sent = canonical(nx.Graph([("0", "1"), ("0", "2")]), "star"), []  # 0 is the root
        values = {name: Values([3.0]) for name in graph}
        peers, robbed = masked(graph, [Question(Sum())], values), cipher_of_seed(0, "2")
        stolen = _Key(robbed.public(robbed.secret("key of questions", "run")), bytes([1]), b"")
        signed = stolen._replace(signature=cipher_of_seed(0, "0").sign(stolen.text(SumId("run", "", 0), "0"))).packed()
        peers["0"]._inquiry._key = lambda: signed
        changed(simulator_of(peers), lambda one: sent.append(one) or one).run()
        (own,) = [one for one in sent if (one.sender, one.round) == ("1", 2)]
        plain = terms([Question(Sum())], values["1"])
        words = own.vectors["summary"].arrays["values"].view("<u4").reshape(plain.shape)
        assert np.count_nonzero(words != plain) > 0.9 * plain.size

    def test_two_keys_of_one_peer_have_masks_that_do_not_cancel(self):
        """Both are signed by it; peer 4 alone is shown the other one, behind which somebody might listen."""
        told = self.run(self.swapped(lambda message: message.receiver == "4", lambda keys: self.signed()))
        assert all("the masks of a sum do not cancel" in one or "no total of pass 2" in one for one in told)

    def test_whoever_is_asked_another_thing_than_the_others_tells_nothing(self):
        """Peer 4 is shown another mean, around which its squares would be others; so its masks are others, too. Who did
        that has hidden that peer 4 goes by another total."""
        said = []

        def change(message):
            said.append(message)
            if (message.receiver, message.round) == ("4", 3):
                words = message.vectors["summary"].arrays["values"].copy()
                words[5 * exact_ring.NUMBER_BYTES + 130] ^= 1
                return carrying(message, words)
            if (message.sender, message.round) == ("4", 4):
                return message._replace(numbers=honest)
            return message

        variance = [Question(Variance())]
        self.run(lambda message: said.append(message) or message, variance, lambda simulator: None)
        (honest, *_) = [one.numbers for one in said if (one.sender, one.round) == ("4", 4)]
        told = self.run(change, variance)
        assert [one for one in said if (one.sender, one.round, one.kind) == ("2", 5, Kind.FINAL)]
        assert [one for one in told[:4] if "the masks of a sum do not cancel" not in one] == []

    def test_a_sum_that_somebody_has_spoiled_is_none(self):
        def change(message):
            if message.sender != "1" or message.round != 2:
                return message
            words = message.vectors["summary"].arrays["values"].copy()
            words[0] ^= 1
            return carrying(message, words)

        assert all("the masks of a sum do not cancel" in one for one in self.run(change))

    def test_what_is_malformed_is_refused_at_its_receiver(self):
        peers = masked(self.GRAPH, ASKED, numbers_of(self.GRAPH))
        said = []
        changed(simulator_of(peers), lambda message: said.append(message) or message).run()
        peer = masked(self.GRAPH, ASKED, numbers_of(self.GRAPH), only="1")["1"]
        peer.start(0.0)
        (keys, *_), (sums, *_) = ([one for one in said if (one.sender, one.round) == ("0", k)] for k in (0, 2))
        for wrong in (
            carrying(keys, np.zeros(3, np.uint8)),
            carrying(keys, np.frombuffer(pack_by_peer({"0": b""}), np.uint8)),
        ):
            with pytest.raises(RemoteProtocolError, match="sends keys that are none"):
                peer.receive(wrong, 0.0)
        short = pack_by_peer({"0": _Key(b"1", b"", b"", bytes(64)).packed()})
        with pytest.raises(RemoteProtocolError, match="a key has 32 bytes"):
            peer.receive(carrying(keys, np.frombuffer(short, np.uint8)), 0.0)
        peer.receive(keys, 0.0)
        (total,) = [one for one in said if (one.receiver, one.round) == ("1", 1)]
        peer.receive(total, 0.0)
        with pytest.raises(RemoteProtocolError, match="sends 8 bytes in pass 2, which has"):
            peer.receive(carrying(sums, np.zeros(8, np.uint8)), 0.0)


@settings(max_examples=20)
@given(graph=graphs(fewest=3, most=6), seed=st.integers(0, 99), begins=st.integers(0, 8))
def test_without_somebody_there_is_no_answer(graph, seed, begins):
    """Whoever is silent, from whichever pass on: what some have learned of all before stays right."""
    values = numbers_of(graph, seed)
    undisturbed = simulator_of(masked(graph, ASKED, values))
    undisturbed.run()
    silent = str(np.random.default_rng(seed).choice(list(graph)))

    def change(message):
        return None if message.sender == silent and message.round >= begins else message

    simulator = changed(simulator_of(masked(graph, ASKED, values, patience=3.0)), change)
    simulator.run()
    for peer, right in zip(simulator.peers.values(), undisturbed.peers.values(), strict=True):
        for one, other in zip(peer.answers, right.answers, strict=True):
            if isinstance(one, Answer):
                assert (np.asarray(one.value).tobytes(), one.num_peers) == (
                    np.asarray(other.value).tobytes(),
                    len(graph),
                )
            else:
                assert "silent or is gone" in one.why
    if begins < 2:
        why_not(simulator)


class TestRefusals:
    @pytest.mark.parametrize("name", sorted(QUERIES))
    def test_only_sums_are_masked(self, name):
        query = QUERIES[name]()
        if name in ("mean", "sum", "count", "variance", "std", "quantiles"):
            (question,) = in_sums([Question(query)])
            assert all(num_maxima == 0 for _, num_maxima in question.passes)
            return
        with pytest.raises(ConfigurationError, match="secure_aggregation: it is made of maxima"):
            asked(named("ring"), [Question(query)], {}, colluders=0)

    @pytest.mark.parametrize(("num_peers", "colluders"), [(1, 0), (2, 0), (4, 2)])
    def test_too_few_peers_hide_nothing(self, num_peers, colluders):
        graph = named("line", {"n": num_peers})
        with pytest.raises(ConfigurationError, match=f"takes {3 + colluders} peers to ask, and there are 0"):
            asked(graph, [Question(Sum())], {name: [Values([1.0])] for name in graph}, colluders=colluders)

    def test_of_too_few_with_examples_nobody_tells_anything(self):
        graph, summaries = named("ring", {"n": 6}), []
        values = {name: Values([1.0] if name in "024" else []) for name in graph}
        questions = [Question(Sum())]
        assert asked(graph, questions, {name: [own] for name, own in values.items()}, colluders=0).answers[0].value == 3
        with pytest.raises(DataError, match="is asked of those with examples, 0, 2, 4, and from the sum of fewer"):
            asked(graph, questions, {name: [own] for name, own in values.items()}, colluders=1)
        values["4"] = Values([])
        simulator = simulator_of(masked(graph, questions, values))
        changed(simulator, lambda one: summaries.append(one.round) or one).run()
        assert all("of those with examples, 0, 2, and from" in one for one in why_not(simulator))
        assert {*summaries} == {0, 1}  # keys, and no sum

    def test_a_peer_who_is_offline_is_not_left_out(self):
        network = NetworkModel(offline={"3": ((0.0, 1e9),)})
        values = {name: [Values([1.0])] for name in named("ring")}
        with pytest.raises(DataError, match="peer 3 was silent"):
            asked(named("ring"), [Question(Sum())], values, network=network, patience=5.0, colluders=0)


def test_one_that_was_started_again_says_so():
    graph = canonical(nx.path_graph(["a", "b", "c"]), "line")
    values = numbers_of(graph)
    keys = {}

    def change(message):
        if message.sender == "a" and message.round == 0:
            keys["a"] = keys.get("a", message)
            return keys["a"]  # of its life before
        return message

    before = masked(
        graph, ASKED, values, masking=lambda name: masking(name, lambda seed, name: cipher_of_seed(7, name))
    )
    keys["a"] = before["a"].start(0.0)[0].message
    simulator = changed(simulator_of(masked(graph, ASKED, values, patience=3.0)), change)
    simulator.run()
    assert "a is handed another key than its own: it was started again" in why_not(simulator)[0]
