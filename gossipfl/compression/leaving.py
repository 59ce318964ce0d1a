"""The vectors that leave one peer pass the chain of its stages, which remembers some from message to message."""

from collections.abc import Mapping

import numpy as np

from gossipfl.compression.dense_floats import encoded
from gossipfl.compression.encodings import decompress
from gossipfl.compression.outgoing import Chain
from gossipfl.messages import Encoded
from gossipfl.randomness import Randomness
from gossipfl.snapshot import Snapshot, compose, encoded_of_snapshot, part, read_only, snapshot_of_encoded
from gossipfl.weights import Vector, frozen


class Leaving:
    """The vectors of a peer's messages on their way out, by a chain; `first` are those that all peers begin with."""

    def __init__(self, chain: Chain, first: Mapping[str, Vector], randomness: Randomness) -> None:
        self._chain = chain
        self._randomness = randomness
        self._memory = chain.first(first)
        self._num_messages = 0
        self._sent: Mapping[str, Encoded] = {}
        self._seen: dict[str, Vector] = {}  # what others see in place of one's own, where that is not the same

    def encode(self, vectors: Mapping[str, Vector]) -> Mapping[str, Encoded]:
        """The vectors of a new message, as they leave."""
        if not self._chain.stages:
            return encoded(vectors)
        randomness = self._randomness.of("message", self._num_messages)
        self._sent, self._memory = self._chain.apply(vectors, self._memory, randomness)
        self._num_messages += 1
        decoded = {name: decompress(vector) for name, vector in self._sent.items()}
        self._seen = {name: v for name, v in decoded.items() if not np.array_equal(v, vectors[name])}
        return self._sent

    def again(self, vectors: Mapping[str, Vector]) -> Mapping[str, Encoded]:
        """The vectors of the message before, which was made of these, as they left."""
        return self._sent if self._chain.stages else encoded(vectors)

    def seen(self, own: Mapping[str, Vector]) -> Mapping[str, Vector]:
        """One's own vectors as others see them."""
        return {**own, **self._seen} if self._seen else own

    def with_the_rest(self, own: Mapping[str, Vector], mixed: dict[str, Vector]) -> dict[str, Vector]:
        """The mix of others' vectors and one's own `seen` ones, and what was held back of one's own:

            x_i <- sum_j w_ij s_j + (x_i - s_i)

        so that the mean of all x is that of before, where that of the mixed s is (CHOCO; Koloskova et al., 2019). From
        then on, the message before is no more.
        """
        if not self._sent:
            return mixed
        seen, self._seen, self._sent = self._seen, {}, {}
        return mixed | {name: _with_rest(mixed[name], own[name], theirs) for name, theirs in seen.items()}

    def snapshot(self) -> Snapshot:
        values = {"num_messages": self._num_messages, "seen": list(self._seen)}
        return compose(values, {"memory": (self._memory, {}), "sent": snapshot_of_encoded(self._sent)})

    def restore(self, snapshot: Snapshot) -> None:
        self._num_messages = snapshot[1]["num_messages"]
        self._memory = read_only(part("memory", snapshot)[0])
        self._sent = encoded_of_snapshot(part("sent", snapshot))
        self._seen = {name: decompress(self._sent[name]) for name in snapshot[1]["seen"]}


def _with_rest(mixed: Vector, own: Vector, seen: Vector) -> Vector:
    rest = own - seen
    rest += mixed
    return frozen(rest)
