"""Jobs of peers take virtual time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gossipfl.actions import Job, Train
from gossipfl.errors import ConfigurationError
from gossipfl.weights import PeerId

FORWARD_SHARE = 1 / 3
"""The time of a forward pass, which scores an example, as a share of that of a step of training on it, whose backward
pass takes two forward ones: the gradients of a layer's weights and of its inputs are a product each."""


@dataclass(frozen=True, slots=True)
class ComputeModel:
    """Training on m examples takes m * `seconds_per_example` / speed seconds, and scoring k models on them k / 3 times
    as long; a peer's speed is 1 unless it is named."""

    seconds_per_example: float = 1e-4
    speeds: Mapping[PeerId, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.seconds_per_example < float("inf"):
            raise ConfigurationError(f"seconds_per_example must be at least 0, got {self.seconds_per_example}")
        for peer_id, speed in self.speeds.items():
            if not 0 < speed < float("inf"):
                raise ConfigurationError(f"the speed of peer {peer_id} must be above 0, got {speed}")

    def seconds(self, job: Job, num_examples: int) -> float:
        """The seconds that a job over so many examples takes."""
        seconds = num_examples * self.seconds_per_example / self.speeds.get(job.peer_id, 1.0)
        return seconds if isinstance(job, Train) else seconds * len(job.models) * FORWARD_SHARE


def drawn_speeds(peers: Sequence[PeerId], spread: float, generator: np.random.Generator) -> dict[PeerId, float]:
    """Log-normal speeds with median 1: exp(spread * z), z ~ N(0, 1); spread 0 makes all equal, 0.5 gives the slowest
    of 16 peers typically 0.4 of the median."""
    return {peer_id: float(np.exp(spread * generator.standard_normal())) for peer_id in peers}
