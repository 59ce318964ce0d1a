"""Questions that peers answer together over HTTP, without a model: asked on their own, or before a run begins."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx

from gossipfl.actions import Job, Scores, Update
from gossipfl.agreements import Agreement
from gossipfl.deploy.addresses import Where
from gossipfl.deploy.exposure import Reach, opened
from gossipfl.deploy.peer_options import NEEDS_CERTIFICATES
from gossipfl.deploy.process_start import shown
from gossipfl.engines.http import loop_reports
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.serving.descriptors import caps_of_peer
from gossipfl.engines.http.status import PeerStatus, status_of
from gossipfl.engines.http.trust.certified_cipher import certified_cipher
from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.engines.http.wire.envelope import PROTOCOL
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.errors import ConfigurationError, LocalProtocolError
from gossipfl.peers.random_neighbors import Backoff
from gossipfl.queries import Masking, Outcome, Question, RelayPeer, RelayTree, Values, most_passes, schemas
from gossipfl.randomness import PublicRandomness
from gossipfl.scenario.http import HTTPSection
from gossipfl.weights import PeerId

_LOGGER = logging.getLogger(__name__)

_ASKS_AGAIN = Backoff(2.0, 30.0)
"""The seconds after which a total is asked for again: HTTP delivers, unless the neighbor begins a new life."""


SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""The signals that end a program which asks."""


@dataclass(frozen=True)
class Asking:
    """Questions to all peers of a graph, with the values of one of them for each.

    `agreed` is what else must be the same at all, as JSON has it. A peer goes on without those for whom it has waited
    `patience`, in seconds for each link on the way. With `colluders` (0 or more), sums are those of terms that nobody
    sees, also if so many peers tell each other what they know: then it goes on without nobody.
    """

    graph: nx.Graph
    questions: Sequence[Question]
    values: Sequence[Values]
    agreed: Mapping[str, Any]
    patience: float
    colluders: int | None = None

    def facts(self) -> RunFacts:
        """The facts that all who answer must agree on."""
        agreed = {
            "protocol": PROTOCOL,
            "questions": [repr(question) for question in self.questions],
            "participants": list(self.graph),
            "links": [list(link) for link in self.graph.edges],
            **self.agreed,
        }
        is_masked, num_peers = self.colluders is not None, len(self.graph)
        if is_masked:
            agreed["colluders"] = self.colluders
        vectors, numbers = schemas(self.questions, num_peers, is_masked=is_masked)
        num_passes = most_passes(self.questions, num_peers, is_masked=is_masked)
        return RunFacts(agreed, vectors, num_passes, numbers, gossip_steps=2)

    def masking(self, credentials: Credentials | None) -> Masking | None:
        """The keys of a peer with these credentials, where sums are of terms that nobody sees.

        Raises ConfigurationError without credentials: keys go by way of other peers, and nothing else says whose they
        are.
        """
        if self.colluders is None:
            return None
        if credentials is None:
            raise ConfigurationError(NEEDS_CERTIFICATES)
        return Masking(certified_cipher(credentials, SystemSecrets()), self.facts().run_id, self.colluders)


@dataclass(frozen=True)
class Heard:
    """The outcome of each question, None where the peer was stopped before, and how it stood at its end; whether it was
    stopped, by SIGTERM or Ctrl-C, or by the latter."""

    outcomes: tuple[Outcome, ...] | None
    status: PeerStatus
    is_stopped: bool
    is_interrupted: bool


async def heard(
    reach: Reach,
    where: Mapping[PeerId, str | None],
    listen: Where | None,
    credentials: Credentials | None,
    http: HTTPSection,
    asking: Asking,
    on_outcomes: Callable[[tuple[Outcome, ...]], None] = lambda outcomes: None,
    was_stopped: Callable[[], bool] = lambda: False,
    signals: Sequence[int] = SIGNALS,
) -> Heard:
    """Answer the questions with the others, as one peer that ends when those with whom it talks know the answers, too.

    `on_outcomes` is told them as soon as they are there. The `signals` end it early, also a SIGTERM that came before,
    as `was_stopped` says; without any, the loop is somebody else's, and stays as it is. The port is free afterwards.

    Raises DataError for values that a question does not take, and ConfigurationError when the port is taken, all with
    whom it talks say that they answer other questions, or sums are to be secure and cannot be.
    """
    loop = asyncio.get_running_loop()
    if signals:
        loop.set_exception_handler(loop_reports.report)
    place = RelayTree.of(asking.graph).places[reach.name]
    peer = RelayPeer(
        place,
        asking.questions,
        asking.values,
        backoff=_ASKS_AGAIN,
        generator=PublicRandomness(0).generator("asking", reach.name),
        patience=asking.patience,
        all_are_there=http.meeting_seconds,
        masking=asking.masking(credentials),
    )
    neighbors = {name: address for name, address in where.items() if name in place.neighbors}
    caps = caps_of_peer(len(neighbors), http.max_connections)
    hosting = Hosting(
        replace(http.limits(), max_connections=caps.messages),
        credentials,
        linger=min(http.linger, asking.patience),
        meeting_seconds=http.meeting_seconds,
        listens=where[reach.name] is not None,
        revoked=frozenset(http.revoked),
        incarnation=time.time_ns() // 10**6,  # it keeps nothing on disk: the clock tells its lives apart
    )
    host = HTTPPeer(peer, asking.facts(), _NoRoom(), tuple(neighbors), _Listener(peer, on_outcomes), hosting)
    host.connect(neighbors)
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        host.stop()

    for number in signals:
        loop.add_signal_handler(number, stop, number)
    if was_stopped():
        stop(signal.SIGTERM)
    try:
        listening = await opened(host, reach, listen, credentials, stays_open=True)
        _LOGGER.info("listening on %s; questions %s", shown(listening), host.facts.run_id[:12])
        await host.run()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
    return Heard(peer.answers, status_of(host), bool(received), is_interrupted=signal.SIGINT in received)


class _NoRoom:
    """Peers without a model have no jobs."""

    async def run(self, job: Job) -> Update | Scores:
        raise LocalProtocolError(f"peer {job.peer_id} has no model, and asks for work on one")


class _Listener:
    """The `Watcher` of a peer that answers questions."""

    def __init__(self, peer: RelayPeer, on_outcomes: Callable[[tuple[Outcome, ...]], None]) -> None:
        self._peer = peer
        self._on_outcomes = on_outcomes
        self._has_told = False

    def reacted(self, host: HTTPPeer, round_before: int) -> None:
        if self._peer.answers is not None and not self._has_told:
            self._has_told = True
            self._on_outcomes(self._peer.answers)

    def trained(self, host: HTTPPeer, update: Update) -> None: ...

    def agreed(self, host: HTTPPeer, agreement: Agreement) -> None: ...

    def contact(self, host: HTTPPeer, neighbor: PeerId, event: str) -> None: ...
