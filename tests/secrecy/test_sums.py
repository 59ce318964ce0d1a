"""A secure sum is the sum, whoever drops out when; below the threshold there is none, and never a wrong one."""

import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sums import EVERYBODY, SIZE, SUM, Curious, Play, ring, terms_of, total

from gossipfl.engines.ciphers import cipher_of_seed
from gossipfl.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError
from gossipfl.secrecy.advert import Advert
from gossipfl.secrecy.aggregator import Aggregator
from gossipfl.secrecy.contributor import Contributor, mask_purpose
from gossipfl.secrecy.fixed_point import FixedPoint
from gossipfl.secrecy.packing import pack, pack_by_peer, unpack_by_peer
from gossipfl.secrecy.shamir import PRIME, secret_of, shares_of
from gossipfl.secrecy.step_keys import StepKeys
from gossipfl.secrecy.terms import Phase, Rules, SumId
from gossipfl.secrecy.whole_contributor import WholeContributor

PHASES = [Phase.ADVERT, Phase.SHARES, Phase.MASKED, Phase.SIGNED, Phase.REVEALED]


@pytest.mark.parametrize("rules", [None, EVERYBODY])
@pytest.mark.parametrize("num_peers", [2, 3, 5, 9])
def test_the_sum_is_exact(num_peers, rules):
    play = Play([str(k) for k in range(num_peers)], rules).run()
    assert (play.aggregator.total == total(play.terms, play.names)).all()
    assert play.aggregator.survivors == tuple(play.names)
    assert play.refused == []


@settings(max_examples=40, deadline=None)
@given(num_peers=st.integers(2, 7), data=st.data(), colluders=st.integers(0, 1))
def test_with_any_pattern_of_drop_outs_it_is_the_sum_of_the_survivors_or_none(num_peers, data, colluders):
    names = [str(k) for k in range(num_peers)]
    gone = {name: data.draw(st.sampled_from([*PHASES, None, None])) for name in names}
    rules = Rules(colluders=colluders)
    play = Play(names, rules, lambda name, phase: gone[name] is not None and phase >= gone[name]).run()
    reached = [sum(gone[name] is None or gone[name] > phase for name in names) for phase in PHASES]
    on_roster = reached[0]
    is_possible = rules.allows(on_roster) and all(n >= rules.needed(on_roster) for n in reached[1:])
    assert (play.aggregator.total is not None) == is_possible
    if is_possible:
        survivors = [name for name in names if gone[name] is None or gone[name] > Phase.MASKED]
        assert play.aggregator.survivors == tuple(survivors)
        assert (play.aggregator.total == total(play.terms, survivors)).all()


@given(num_peers=st.integers(2, 5), data=st.data())
def test_where_everybody_has_to_take_part_one_who_is_missing_leaves_no_sum_and_nothing_is_revealed(num_peers, data):
    names = [str(k) for k in range(num_peers)]
    gone, phase = data.draw(st.sampled_from(names)), data.draw(st.sampled_from([Phase.ADVERT, Phase.MASKED]))
    play = Play(names, EVERYBODY, lambda name, said: name == gone and said >= phase).run()
    assert play.aggregator.total is None
    assert {phase for _, phase, _ in play.seen} <= {Phase.ADVERT, Phase.MASKED}


@pytest.mark.parametrize("left", ["abc", "abcd"])
def test_where_everybody_has_to_take_part_no_roster_leaves_anybody_out(left):
    """Two colluders and one other are no sum of two others, whatever whoever adds up says of who is there."""
    play = Play("abcd", EVERYBODY)
    peer = play.peers["a"]
    roster = pack_by_peer({name: play.peers[name].advert() for name in left})
    if left == "abcd":
        assert peer.take_roster(roster) is None
        assert peer.is_ready
    else:
        with pytest.raises(RemoteProtocolError, match="is not of all its neighbors"):
            peer.take_roster(roster)


def test_keys_of_everybody_are_of_one_step_and_not_of_others_and_swapped_ones_are_noticed():
    """One key serves for the sums of all aggregators, and for no other step, run or peer."""
    play = Play("abc", EVERYBODY)
    adverts = {name: peer.advert() for name, peer in play.peers.items()}
    cipher = cipher_of_seed(0, "b")
    for other in (
        StepKeys("b", "run", 4, cipher),
        StepKeys("b", "other", 3, cipher),
        StepKeys("b", "run", 3, cipher_of_seed(9, "b")),
    ):
        with pytest.raises(RemoteProtocolError, match="not that of peer b"):
            play.peers["a"].take_roster(pack_by_peer(adverts | {"b": other.advert()}))
        with pytest.raises(RemoteProtocolError, match="not that of peer b"):
            play.aggregator.receive("b", Phase.ADVERT, other.advert())
    with pytest.raises(RemoteProtocolError, match="not that of peer c"):
        play.peers["a"].take_roster(pack_by_peer(adverts | {"c": adverts["b"]}))
    at_another = WholeContributor(SumId("run", "bub", 3), "abc", play.keys["a"], cipher_of_seed(0, "a"))
    at_another.take_roster(pack_by_peer(adverts))
    play.peers["a"].take_roster(pack_by_peer(adverts))
    masked = [peer.masked(np.zeros(SIZE, np.uint32)) for peer in (play.peers["a"], at_another)]
    assert np.count_nonzero(masked[0] == masked[1]) < 3, "the masks of two sums have nothing to do with each other"


def test_who_shows_anothers_key_as_its_own_takes_no_mask_off():
    """c signs the key of b as its own. The mask of a with b is added, that with c taken off: they are not the same."""
    play = Play("bac", EVERYBODY)
    own = Advert.unpacked(play.keys["b"].advert())
    copied = replace(own, signature=cipher_of_seed(0, "c").sign(own._text(play.keys["c"]._name, "c")))
    adverts = {name: play.peers[name].advert() for name in "bac"} | {"c": copied.packed()}
    play.peers["a"].take_roster(pack_by_peer(adverts))
    left = play.peers["a"].masked(play.terms["a"]) - play.terms["a"]
    assert np.count_nonzero(left) > 0.9 * SIZE


def test_keys_for_sums_with_and_without_shares_do_not_go_together():
    with_shares, without = (Play("ab", rules).peers["a"].advert() for rules in (None, EVERYBODY))
    for rules, advert in ((None, without), (EVERYBODY, with_shares)):
        with pytest.raises(RemoteProtocolError, match="share secrets of a sum"):
            Play("ab", rules).aggregator.receive("a", Phase.ADVERT, advert)


# What whoever adds up can see


@pytest.mark.parametrize("rules", [None, EVERYBODY])
def test_a_masked_term_says_nothing_of_the_term(rules):
    """Of the same term, each sum has another masked one, and its bits are as many ones as zeros."""
    masked = []
    for seed in range(12):
        play = Play(["a", "b", "c"], rules, seed=seed)
        play.terms = {name: np.zeros(SIZE, np.uint32) for name in play.names}
        masked += [ring(p) for _, phase, p in play.run().seen if phase is Phase.MASKED]
    values = np.concatenate(masked)
    assert np.unique(values).size > 0.99 * values.size
    assert stats.kstest(values / 2**32, "uniform").pvalue > 1e-3


def test_a_colluding_neighbor_takes_off_its_own_masks_and_no_others():
    """With all that one contributor knows, too, what is left of another's term is still masked."""
    play = Play(["a", "b", "c"])
    secrets = {}
    for name, peer in play.peers.items():
        secrets[name] = (peer._mask_key, peer._seed)
    play.run()
    masked = {name: ring(payload) for name, phase, payload in play.seen if phase is Phase.MASKED}
    colluder = cipher_of_seed(0, "c")
    adverts = {n: Advert.unpacked(p) for n, phase, p in play.seen if phase is Phase.ADVERT}
    # The seeds of own masks are revealed to whoever adds up. What is left are the pair masks of a and b.
    seen = masked["a"] - ring(colluder.stream(secrets["a"][1], 4 * SIZE))

    def mask_with(other):
        purpose = mask_purpose(SUM, play.peers["a"]._digest(), "c", other)
        return ring(colluder.stream(colluder.agree(secrets["c"][0], adverts[other].mask_key, purpose), 4 * SIZE))

    seen -= mask_with("a")
    left = seen - play.terms["a"]
    assert np.count_nonzero(left) > 0.9 * SIZE
    both = left + (masked["b"] - ring(colluder.stream(secrets["b"][1], 4 * SIZE)) - mask_with("b") - play.terms["b"])
    assert not both.any(), "the two masks cancel: the sum of a and b is all that it learns"


def test_who_shows_the_mask_key_of_another_as_its_own_takes_no_mask_off():
    """Peer b adds the mask of c and takes off that of a, and both would be the same one: a has signed the key of c."""
    play = Play(["a", "b", "c"])
    stolen = replace(Advert.unpacked(play.peers["a"].advert()), mask_key=play.peers["c"]._cipher.public(b"c" * 32))
    play.peers["c"]._mask_key = b"c" * 32
    text = stolen._text(SUM, "a")
    packed = replace(stolen, signature=cipher_of_seed(0, "a").sign(text)).packed()
    play.peers["a"].advert = lambda: packed
    play.run()
    seed = play.peers["b"]._cipher.secret("seed", SUM.aggregator, SUM.step)
    (masked,) = (ring(payload) for name, phase, payload in play.seen if (name, phase) == ("b", Phase.MASKED))
    assert (
        np.count_nonzero(masked - ring(play.aggregator._cipher.stream(seed, 4 * SIZE)) - play.terms["b"]) > 0.9 * SIZE
    )


def test_of_no_peer_both_secrets_are_revealed():
    """Whoever adds up pretends that a survivor is missing, after the others have revealed its own mask."""
    play = Play(["a", "b", "c"]).run()
    revealed = {name: unpack_by_peer(payload) for name, phase, payload in play.seen if phase is Phase.REVEALED}
    assert {name: {*of} for name, of in revealed.items()} == {name: {*"abc"} for name in "abc"}
    for peer in play.peers.values():
        assert peer.is_over
        assert peer.take_survivors(pack([b"a", b"b"])) is None
        assert peer.take_signatures(pack_by_peer({})) is None
        assert peer._mask_key == peer._seed == b""
        assert not peer._shares


def test_two_lists_of_survivors_unmask_nothing():
    """One list for a and b, another for c and d: neither gets the three signatures that it takes."""

    def two_lists(note):
        if note.phase is Phase.SURVIVORS:
            return note._replace(payload=pack([b"a", b"b", b"c"] if note.receiver in "ab" else [b"b", b"c", b"d"]))
        return note

    play = Play("abcd", tamper=two_lists, kind=Curious).run()
    assert play.aggregator.total is None
    assert any("not that of peer" in why or "signed by others" in why for _, why in play.refused)
    assert not [1 for _, phase, _ in play.seen if phase is Phase.REVEALED]


def test_a_second_list_is_not_signed():
    signed = {}

    def stop(name, phase):
        return phase is Phase.SIGNED and signed.setdefault(name, True)

    play = Play("abcd", drop=stop).run()
    assert all(peer.take_survivors(pack([b"a", b"b", b"c"])) is None for peer in play.peers.values())


def test_swapped_keys_are_noticed():
    """Whoever adds up puts keys of its own into the roster, to open what is sealed with them."""
    own = Contributor("b", SUM, "abc", Rules(), cipher_of_seed(99, "b"))

    def swap(note):
        if note.phase is Phase.ROSTER and note.receiver == "a":
            adverts = unpack_by_peer(note.payload)
            return note._replace(payload=pack_by_peer({**adverts, "b": own.advert()}))
        return note

    play = Play("abc", tamper=swap).run()
    assert ("a", "a signature in a secure sum is not that of peer b") in play.refused


def test_keys_of_another_step_run_or_aggregator_are_noticed():
    for other in (SumId("run", "hub", 4), SumId("other", "hub", 3), SumId("run", "bub", 3)):
        replayed = Contributor("b", other, "abc", Rules(), cipher_of_seed(0, "b")).advert()
        play = Play("abc")
        with pytest.raises(RemoteProtocolError, match="not that of peer b"):
            play.aggregator.receive("b", Phase.ADVERT, replayed)
        adverts = {name: peer.advert() for name, peer in play.peers.items()} | {"b": replayed}
        with pytest.raises(RemoteProtocolError, match="not that of peer b"):
            play.peers["a"].take_roster(pack_by_peer(adverts))


def test_a_late_term_is_never_unmasked():
    """c is too late: the others have revealed the key of its pair masks, and so never reveal its own mask."""
    play = Play("abcd", drop=lambda name, phase: name == "c" and phase >= Phase.MASKED).run()
    assert (play.aggregator.total == total(play.terms, "abd")).all()
    revealed = [unpack_by_peer(payload) for _, phase, payload in play.seen if phase is Phase.REVEALED]
    points = {name: k for k, name in enumerate("abcd", 1)}
    shares = {points[by]: int.from_bytes(of["c"], "little") for by, of in zip("abd", revealed, strict=True)}
    key = secret_of(shares).to_bytes(66, "little")[:32]
    assert cipher_of_seed(0, "c").public(key) == play.aggregator._roster["c"].mask_key, "it is the key, not the seed"


def with_lies_of(liar, phase, lie, names="abcd", kind=Aggregator):
    """A play in which one contributor answers in one phase with `lie(payload)`."""
    play = Play(names, kind=kind)
    honest = play.answer

    def answer(note):
        said, payload = honest(note)
        return said, lie(payload) if (note.receiver, said) == (liar, phase) else payload

    play.answer = answer
    return play.run()


def test_shares_that_are_lies_give_no_sum():
    play = with_lies_of("b", Phase.REVEALED, lambda p: pack_by_peer({name: bytes(66) for name in unpack_by_peer(p)}))
    assert play.aggregator.total is None


def without_first(payload):
    return pack_by_peer(dict([*unpack_by_peer(payload).items()][1:]))


@pytest.mark.parametrize(
    ("phase", "lie", "survivors"),
    [
        (Phase.SHARES, lambda payload: payload[:-1], "acd"),
        (Phase.SHARES, without_first, "acd"),
        (Phase.MASKED, lambda payload: payload[:-1], "acd"),
        (Phase.SIGNED, lambda payload: bytes(64), "abcd"),
        (Phase.REVEALED, lambda payload: b"\x09", "abcd"),
        (Phase.REVEALED, without_first, "abcd"),
    ],
)
def test_who_answers_with_nonsense_is_refused_alone(phase, lie, survivors):
    play = with_lies_of("b", phase, lie)
    assert {name for name, _ in play.refused} == {"b"}
    assert (play.aggregator.total == total(play.terms, survivors)).all()


def test_a_key_with_which_nobody_can_agree_is_refused_alone():
    play = Play("abcd")
    peer = play.peers["b"]
    of_low_order = Advert(bytes(32), bytes(32), bytes(32), b"")
    signature = peer._cipher.sign(of_low_order._text(SUM, "b"))
    advert = replace(of_low_order, signature=signature).packed()
    peer.advert = lambda: advert
    play.run()
    assert {name for name, _ in play.refused} == {"b"}
    assert (play.aggregator.total == total(play.terms, "acd")).all()


@pytest.mark.parametrize("moment", [Phase.SURVIVORS, Phase.SIGNATURES])
def test_killed_and_restarted_it_reveals_no_second_secret(moment):
    """What goes on from the disk has signed the same list, or revealed the same shares, and nothing else."""
    play = Play("abcd", drop=lambda name, phase: phase > moment)
    play.run()
    restarted = Contributor("a", SUM, "abcd", Rules(), cipher_of_seed(0, "a"))
    restarted.restore(json.loads(json.dumps(["", play.peers["a"].snapshot()[1]])))
    assert restarted.take_survivors(pack([b"a", b"b", b"c"])) is None
    if moment is Phase.SIGNATURES:
        assert restarted.is_over
        assert not restarted._shares
    signed = Contributor("d", SUM, "abcd", Rules(), cipher_of_seed(0, "d"))._cipher.sign(b"other list")
    with suppress(RemoteProtocolError):
        assert restarted.take_signatures(pack_by_peer(dict.fromkeys("abc", signed))) is None


@given(num_peers=st.integers(2, 6), num_colluders=st.integers(0, 3), seed=st.integers(0, 99), everybody=st.booleans())
def test_other_terms_with_the_same_sum_look_the_same(num_peers, num_colluders, seed, everybody):
    """For any terms of the honest with one sum there are pair masks of theirs, as likely as the true ones, with which
    whoever adds up, and who colludes with it, sees the very same. So what they see says nothing but the sum."""
    generator = np.random.default_rng(seed)
    n = num_peers + num_colluders
    masks = np.triu(generator.integers(0, 2**32, (n, n), dtype=np.int64), 1)
    own = generator.integers(0, 1 if everybody else 2**32, n, dtype=np.int64)

    def view(terms, masks):
        return (terms + own + masks.sum(axis=1) - masks.sum(axis=0)) % 2**32, own, masks[num_peers:], terms[num_peers:]

    terms = generator.integers(0, 2**32, n, dtype=np.int64)
    others = generator.integers(0, 2**32, n, dtype=np.int64)
    others[num_peers:] = terms[num_peers:]
    others[0] += (terms - others).sum()
    other_masks = masks.copy()
    for k in range(num_peers - 1):  # along a path through the honest
        other_masks[k, k + 1] += (terms - others)[: k + 1].sum()
    assert all((one == other).all() for one, other in zip(view(terms, masks), view(others, other_masks), strict=True))
    assert (other_masks[:, num_peers:] == masks[:, num_peers:]).all(), "colluders know the masks of theirs"


@pytest.mark.parametrize("rules", [None, EVERYBODY])
def test_a_peer_masks_once(rules):
    play = Play("ab", rules)
    play.run()
    with pytest.raises(LocalProtocolError):
        play.peers["a"].masked(terms_of("a")["a"])


@given(st.binary(max_size=60))
def test_garbage_is_refused_and_changes_nothing(garbage):
    play = Play("abc")
    for take in (play.peers["a"].take_roster, play.peers["a"].take_survivors):
        with pytest.raises(RemoteProtocolError):
            take(garbage + b"\x09")
    with pytest.raises(RemoteProtocolError):
        play.aggregator.receive("a", Phase.ADVERT, garbage + b"\x09")
    assert (play.run().aggregator.total == total(play.terms, "abc")).all()


@pytest.mark.parametrize("names", ["a", "ax", "abx"])
def test_a_roster_that_is_too_small_or_of_strangers_is_refused(names):
    adverts = {n: Contributor(n, SUM, "abc", Rules(), cipher_of_seed(0, n)).advert() for n in names}
    peer = Contributor("a", SUM, "abc", Rules(colluders=int(names == "abx")), cipher_of_seed(0, "a"))
    with pytest.raises(RemoteProtocolError):
        peer.take_roster(pack_by_peer(adverts))


# Arithmetic


@given(
    rows=st.lists(st.lists(st.floats(-64, 64, width=32), min_size=3, max_size=3), min_size=1, max_size=8),
    seed=st.integers(0, 99),
)
def test_a_mean_in_fixed_point_is_within_its_bound(rows, seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(rows)))
    fixed = FixedPoint(64.0)
    terms = [fixed.encode(np.array(row, np.float32), weight) for row, weight in zip(rows, weights, strict=True)]
    sum_ = total_of(terms)
    mean = fixed.decode(sum_, weights.sum(), np.dtype(np.float64))
    exact = np.average(np.array(rows, np.float32).astype(float), axis=0, weights=weights)
    assert np.abs(mean - exact).max() <= fixed.bound(len(rows), weights.sum()) + 1e-12


def total_of(terms):
    return sum(terms, np.zeros(3, np.uint32))


def test_what_is_beyond_the_range_is_no_term():
    fixed = FixedPoint(8.0)
    for bad in (8.001, np.inf, np.nan):
        assert fixed.encode(np.array([1.0, bad], np.float32), 0.1) is None
    assert fixed.encode(np.array([8.0, -8.0], np.float32), 1.0) is not None


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf"), 2.0**30])
def test_a_range_leaves_room(bad):
    with pytest.raises(ConfigurationError):
        FixedPoint(bad)


@given(st.integers(0, 2**256 - 1), st.integers(1, 6), st.integers(0, 4), st.integers(0, 99))
def test_any_t_shares_give_the_secret(secret, needed, more, seed):
    generator = np.random.default_rng(seed)
    coefficients = [int.from_bytes(generator.bytes(65), "little") for _ in range(needed - 1)]
    points = list(range(1, needed + more + 1))
    shares = dict(zip(points, shares_of(secret, coefficients, points), strict=True))
    chosen = generator.permutation(points)[:needed].tolist()
    assert secret_of({point: shares[point] for point in chosen}) == secret
    if needed > 1:
        fewer = {point: shares[point] for point in chosen[1:]}
        assert secret_of(fewer) != secret or coefficients[-1] == 0
    assert all(0 <= share < PRIME for share in shares.values())


@pytest.mark.parametrize(("num_peers", "colluders"), [(n, c) for n in range(2, 12) for c in range(3)])
def test_two_lists_can_never_both_have_enough_signatures(num_peers, colluders):
    rules = Rules(threshold=0.51, colluders=colluders)
    if rules.allows(num_peers):
        honest = num_peers - colluders
        assert 2 * rules.needed(num_peers) > honest + 2 * colluders
        assert rules.needed(num_peers) - colluders >= 2
