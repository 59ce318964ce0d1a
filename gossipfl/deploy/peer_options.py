"""The command line on one peer, beyond the scenario."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gossipfl.deploy.addresses import Where
from gossipfl.errors import ConfigurationError
from gossipfl.weights import PeerId

NEEDS_CERTIFICATES = (
    "privacy.secure_aggregation needs certificates, by which peers know each other's keys: --certs DIRECTORY "
    "(gossipfl certs init, gossipfl certs issue)"
)


@dataclass(frozen=True)
class PeerOptions:
    """The options of `gossipfl peer`."""

    name: PeerId
    run_directory: Path
    command: str
    algorithm: str | None = None
    seed: int | None = None
    listen: Where | None = None
    listen_fd: int | None = None
    mounted: bool = False
    addresses: Mapping[PeerId, str] = field(default_factory=dict)
    watch: Where | None = ("127.0.0.1", 0)
    certificates: Path | None = None
    behind_proxy: bool = False
    insecure: bool = False
    shard: str | None = None
    initial: Path | None = None
    resume: bool = False
    seconds: float | None = None
    download: bool = False
    gives_weights: bool = False
    key: Path | None = None
    stop_token: Path | None = None


def check_secure(options: PeerOptions) -> None:
    """Raises ConfigurationError where secure sums would protect nobody: keys go by way of the peer that is curious, and
    only certificates say whose they are; and the model of the moment is what they hide."""
    if options.certificates is None:
        raise ConfigurationError(NEEDS_CERTIFICATES)
    if options.gives_weights:
        raise ConfigurationError(
            "--give-weights would give whoever asks the model that privacy.secure_aggregation hides; leave one out"
        )
