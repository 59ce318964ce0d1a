"""Before a run of peers with examples of their own: they agree on numbers over the examples of all.

They ask each other at the addresses, and along the links, of the run. What a peer has heard is on its disk before the
run begins, so that one that is started again goes on with it: the others do not answer any more.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import networkx as nx

from gossipfl.deploy.addresses import Where
from gossipfl.deploy.exposure import Reach
from gossipfl.deploy.measuring import SIGNALS, Asking, Heard, heard
from gossipfl.deploy.process_start import StoppedError
from gossipfl.deploy.revocation import without_revoked
from gossipfl.engines.http.trust.credentials import Credentials
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.agreed_numbers import AgreedNumbers, AskedNumbers
from gossipfl.queries import Answer, Outcome, Unanswered
from gossipfl.runs.numbers_file import NumbersFile
from gossipfl.scenario import Scenario
from gossipfl.weights import PeerId

_LOGGER = logging.getLogger(__name__)

PATIENCE = 600.0
"""Seconds, for each link on the way, after which a peer gives up that has not heard from another one."""


Hear: TypeAlias = Callable[[Coroutine[Any, Any, Heard]], Heard]
"""Runs the asking to its end in the event loop of somebody else, who says when it is to stop."""


@dataclass(frozen=True, eq=False)
class NumbersOverHTTP:
    """One peer of an algorithm's `network`, and how it reaches the others; called with what it asks, it asks them.

    Numbers without somebody's examples would not be those of the run: it waits for everybody, or gives up.
    """

    scenario: Scenario
    network: nx.Graph
    hub: PeerId | None
    reach: Reach
    where: Mapping[PeerId, str | None]
    listen: Where | None
    credentials: Credentials | None
    file: NumbersFile
    was_stopped: Callable[[], bool]
    """True if it was told to stop while it was starting, by a SIGTERM that went unheard."""
    hear: Hear | None = None
    """None: it asks in an event loop of its own, which signals stop."""

    def __call__(self, asked: AskedNumbers) -> AgreedNumbers:
        """The numbers that all agree on.

        Raises ConfigurationError when there are none, and StoppedError or KeyboardInterrupt when the peer is stopped.
        """
        name = self.reach.name
        values = asked.nothing() if name == self.hub else asked.values(name)
        agreed = {"for": self.scenario.name, "seed": self.scenario.seed, **asked.facts}
        graph = without_revoked(self.network, self.scenario.http.revoked, name)
        colluders = self.scenario.privacy.colluders
        asking = Asking(graph, asked.questions, values, agreed, PATIENCE, colluders)
        questions = asking.facts().run_id
        known = self.file.read(questions, asked.dataset.digest)
        if known is not None:
            return known
        _LOGGER.info("asking the other %d for numbers over the examples of all", len(graph) - 1)

        def keep(outcomes: Sequence[Outcome]) -> None:
            if fault_in(outcomes, len(graph)) is None:
                self.file.write(questions, asked.dataset.digest, asked.numbers(_answers(outcomes)))

        http = self.scenario.http
        http = http.model_copy(update={"linger": min(http.linger, http.meeting_seconds)})
        where = {other: address for other, address in self.where.items() if other in graph}
        signals = SIGNALS if self.hear is None else ()
        reach = self.reach, where, self.listen, self.credentials
        asked_for = heard(*reach, http, asking, keep, self.was_stopped, signals)
        if self.hear is not None:
            told = self.hear(asked_for)
        else:
            before = signal.getsignal(signal.SIGTERM)
            try:
                told = asyncio.run(asked_for)
            finally:
                signal.signal(signal.SIGTERM, before)  # the event loop has taken it away
        if told.outcomes is None or told.is_stopped:  # what it has heard is kept: it goes on from there
            raise KeyboardInterrupt if told.is_interrupted else StoppedError
        if (fault := fault_in(told.outcomes, len(graph))) is not None:
            raise ConfigurationError(f"the peers have not agreed on numbers over the examples of all: {fault}")
        numbers = asked.numbers(_answers(told.outcomes))
        _LOGGER.info(
            "there are %(num_examples)d training examples at all peers", {"num_examples": numbers.num_examples}
        )
        return numbers


def fault_in(outcomes: Sequence[Outcome], num_peers: int) -> str | None:
    """The reason why these are not the answers of so many peers, as a clause; None: they are."""
    for outcome in outcomes:
        if isinstance(outcome, Unanswered):
            return outcome.why
        if outcome.num_peers < num_peers:
            return "; ".join([*outcome.notes, "start all of them again"])
    return None


def _answers(outcomes: Sequence[Outcome]) -> list[Answer]:
    return [outcome for outcome in outcomes if isinstance(outcome, Answer)]
