"""The facts that all peers of a run agree on; whoever disagrees takes part in another run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gossipfl.codec.messages import VERSION
from gossipfl.codec.sizes import MAX_ARRAYS_PER_VECTOR, largest_size
from gossipfl.files.strict_json import without_nan
from gossipfl.messages import Message, NumberSchema, VectorSchema
from gossipfl.weights import ModelVectors

LARGEST_SHARE = 0.25
"""A value may be this share of a dtype's largest number, so that differences and sums of two stay finite."""


@dataclass(frozen=True)
class RunFacts:
    """`agreed` is everything that must be the same at every peer, as JSON-ready values; `vectors` and `numbers` are
    what a message may carry, by name."""

    agreed: Mapping[str, Any]
    vectors: Mapping[str, VectorSchema]
    num_rounds: int
    numbers: Mapping[str, NumberSchema] = field(default_factory=dict)
    gossip_steps: int = 1
    """Gossip steps per round, by which messages are numbered."""

    @cached_property
    def run_id(self) -> str:
        """The id of the run, that of what was agreed."""
        return run_id_of(self.agreed)

    @cached_property
    def schema(self) -> str:
        """SHA-256 (hex) over the wire format, and the vectors and numbers that messages carry."""
        vectors = {name: asdict(schema) for name, schema in self.vectors.items()}
        numbers = {name: asdict(schema) for name, schema in self.numbers.items()}
        return hashlib.sha256(json.dumps([VERSION, vectors, numbers], sort_keys=True).encode()).hexdigest()

    @cached_property
    def max_body_bytes(self) -> int:
        """Size of the largest message of the run."""
        payload = sum(schema.size * np.dtype(schema.dtype).itemsize for schema in self.vectors.values())
        return largest_size(payload, MAX_ARRAYS_PER_VECTOR * len(self.vectors))

    def absurdity(self, message: Message) -> str | None:
        """A message's claim that cannot be true, or None; that its numbers are within their bounds is the codec's."""
        if message.round > self.num_rounds * self.gossip_steps:
            return f"round {message.round} of {self.num_rounds * self.gossip_steps}"
        for name, encoded in message.vectors.items():
            if self.vectors[name].dtype == "uint8":  # bytes are no numbers
                continue
            largest = float(np.finfo(self.vectors[name].dtype).max) * LARGEST_SHARE
            for array in encoded.arrays.values():
                if array.size and not -largest <= float(array.min()) <= float(array.max()) <= largest:
                    return f"values of {name} that are no longer finite once they are averaged"
        return None


def run_id_of(agreed: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over what the peers of a run agree on, in whichever order its fields are.

    >>> run_id_of({"rounds": 5, "model": "softmax"}) == run_id_of({"model": "softmax", "rounds": 5})
    True
    """
    return hashlib.sha256(json.dumps(without_nan(agreed), sort_keys=True).encode()).hexdigest()


def digest_of_model(model: ModelVectors) -> str:
    """SHA-256 (hex) over the little-endian bytes of weights, statistics and, if there is one, the local part."""
    digest = hashlib.sha256()
    for vector in (model.weights, model.statistics, *([model.local] if model.local.size else [])):
        portable = np.ascontiguousarray(vector, dtype=vector.dtype.newbyteorder("<"))
        digest.update(f"{portable.dtype.str} {portable.size}\n".encode())
        digest.update(portable.data)
    return digest.hexdigest()
