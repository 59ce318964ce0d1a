"""Keys that came by way of somebody else are believed by the certificate of their peer, and by no other."""

import pytest

from gossipfl.engines.http.trust.certificates import create_authority, issue
from gossipfl.engines.http.trust.certified_cipher import certified_cipher
from gossipfl.engines.http.trust.credentials import load_credentials
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.errors import RemoteProtocolError
from gossipfl.secrecy.contributor import Contributor
from gossipfl.secrecy.packing import pack_by_peer
from gossipfl.secrecy.terms import Rules, SumId

SUM = SumId("run", "hub", 0)


@pytest.fixture(scope="module")
def ciphers(tmp_path_factory):
    found = {}
    for run in ("ours", "theirs"):
        directory = tmp_path_factory.mktemp(run)
        create_authority(directory)
        for name in "ab":
            issue(directory, name)
            found[run, name] = certified_cipher(load_credentials(directory, name), SystemSecrets())
    return found


def test_the_authority_and_the_name_are_what_counts(ciphers):
    ours = ciphers["ours", "a"]
    signature = ours.sign(b"text")
    ciphers["ours", "b"].check("a", b"text", signature, ours.credential)
    for name, signer, credential in (
        ("b", ours, ours.credential),  # its own certificate for another name
        ("a", ciphers["theirs", "a"], ciphers["theirs", "a"].credential),  # of another authority
        ("a", ciphers["ours", "b"], ours.credential),  # another key
    ):
        with pytest.raises(RemoteProtocolError):
            ciphers["ours", "b"].check(name, b"text", signer.sign(b"text"), credential)


def test_secrets_are_the_systems_and_in_no_text(ciphers):
    cipher = ciphers["ours", "a"]
    assert cipher.secret("mask") != cipher.secret("mask")
    assert repr(cipher) == "PeerCipher()"


def test_whoever_adds_up_cannot_put_its_own_keys_in_place_of_anothers(ciphers):
    honest = Contributor("a", SUM, "ab", Rules(), ciphers["ours", "a"])
    other = Contributor("b", SUM, "ab", Rules(), ciphers["ours", "b"])
    assert honest.take_roster(pack_by_peer({"a": honest.advert(), "b": other.advert()}))
    again = Contributor("a", SUM, "ab", Rules(), ciphers["ours", "a"])
    false = Contributor("b", SUM, "ab", Rules(), ciphers["theirs", "b"])
    with pytest.raises(RemoteProtocolError):
        again.take_roster(pack_by_peer({"a": again.advert(), "b": false.advert()}))
