"""Secure sums that are played through in one process, with a network between that may lose, double and swap."""

from collections import deque

import numpy as np

from gossipfl.engines.ciphers import cipher_of_seed
from gossipfl.errors import RemoteProtocolError
from gossipfl.secrecy.aggregator import Aggregator, Note
from gossipfl.secrecy.contributor import Contributor
from gossipfl.secrecy.step_keys import StepKeys
from gossipfl.secrecy.terms import Phase, Rules, SumId
from gossipfl.secrecy.whole_contributor import WholeContributor

SUM = SumId("run", "hub", 3)
SIZE = 50


def ring(stream):
    return np.frombuffer(stream, "<u4")


def terms_of(names, seed=0):
    generator = np.random.default_rng(seed)
    return {name: generator.integers(0, 2**32, SIZE, dtype=np.uint32) for name in names}


def total(terms, names):
    return sum((terms[name] for name in names), np.zeros(SIZE, np.uint32))


class Curious(Aggregator):
    """One that would rather learn more than have its sum: it passes on whatever it is given."""

    def _check(self, sender, phase, payload):
        pass


EVERYBODY = "everybody"
"""In the place of rules: of a sum in which all take part."""


class Play:
    """An aggregator with its contributors; `drop(name, phase)` says whose answer of which phase never comes."""

    def __init__(
        self, names, rules=None, drop=lambda name, phase: False, tamper=lambda note: note, seed=0, kind=Aggregator
    ):
        self.rules = Rules() if rules is None or rules == EVERYBODY else rules
        self.names = list(names)
        self.terms = terms_of(self.names, seed)
        ciphers = {name: cipher_of_seed(seed, name) for name in [*self.names, "hub"]}
        self.keys = {
            name: StepKeys(name, SUM.run, SUM.step, cipher) if rules == EVERYBODY else None
            for name, cipher in ciphers.items()
        }
        self.aggregator = kind(SUM, self.names, self.rules, ciphers["hub"], SIZE, self.keys["hub"])
        self.peers = {
            n: Contributor(n, SUM, self.names, self.rules, ciphers[n])
            if self.keys[n] is None
            else WholeContributor(SUM, self.names, self.keys[n], ciphers[n])
            for n in self.names
        }
        self.drop, self.tamper = drop, tamper
        self.seen = []  # all that reaches whoever adds up
        self.refused = []

    def answer(self, note: Note):
        """The phase and payload with which a contributor answers, after what it was told."""
        peer = self.peers[note.receiver]
        match note.phase:
            case Phase.ROSTER:
                shares = peer.take_roster(note.payload)
                if peer.is_ready:
                    return Phase.MASKED, peer.masked(self.terms[note.receiver]).tobytes()
                return Phase.SHARES, shares
            case Phase.INBOX:
                peer.take_inbox(note.payload)
                return Phase.MASKED, peer.masked(self.terms[note.receiver]).tobytes() if peer.is_ready else None
            case Phase.SURVIVORS:
                return Phase.SIGNED, peer.take_survivors(note.payload)
            case _:
                return Phase.REVEALED, peer.take_signatures(note.payload)

    def run(self):
        said = deque((name, Phase.ADVERT, peer.advert()) for name, peer in self.peers.items())
        while not self.aggregator.is_over:
            notes = []
            while said:
                name, phase, payload = said.popleft()
                if payload is None or self.drop(name, phase):
                    continue
                self.seen.append((name, phase, payload))
                try:
                    notes += self.aggregator.receive(name, phase, payload)
                except RemoteProtocolError as error:
                    self.refused.append((name, str(error)))
            if not notes:
                notes = self.aggregator.close()  # whose patience is over
            for note in notes:
                try:
                    answered = self.answer(self.tamper(note))
                except RemoteProtocolError as error:
                    self.refused.append((note.receiver, str(error)))
                    continue
                said.append((note.receiver, *answered))
        return self
