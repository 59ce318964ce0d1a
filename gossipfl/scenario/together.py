"""The defences of privacy and what goes together with each: one row for each pair that does not."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import networkx as nx

from gossipfl.algorithms import Algorithm
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.privacy import DifferentialPrivacySection, PrivacySection

if TYPE_CHECKING:
    from gossipfl.scenario.scenario import Scenario


class Case(NamedTuple):
    """One algorithm of a scenario, on its graph."""

    scenario: "Scenario"
    section: AlgorithmSection
    recipe: Algorithm
    network: nx.Graph

    @property
    def privacy(self) -> PrivacySection:
        return self.scenario.privacy

    @property
    def dp(self) -> DifferentialPrivacySection | None:
        return self.privacy.differential_privacy


class Refusal(NamedTuple):
    """A pair that does not go together: of a `defence`, with whatever `applies`, for a `reason`, as a clause."""

    defence: str
    other: str
    applies: Callable[[Case], bool]
    reason: str


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        "secure_aggregation",
        "encryption",
        lambda case: case.privacy.secure_aggregation is not None and case.privacy.encryption is not None,
        "both hide the same from a server, and masked sums are not ciphertexts: use one of them",
    ),
    Refusal(
        "secure_aggregation", "anything", lambda case: case.privacy.secure_aggregation is not None, "it is not there"
    ),
    Refusal("differential_privacy", "anything", lambda case: case.dp is not None, "it is not there"),
    Refusal("encryption", "anything", lambda case: case.privacy.encryption is not None, "it is not there"),
)
"""All of them; the first that applies is what is said."""


def refusal(case: Case) -> str | None:
    """The sentence on the first pair that does not go together; None: all do."""
    if not case.privacy.is_on:
        return None
    for row in REFUSALS:
        if row.applies(case):
            return f"privacy.{row.defence} does not go together with {row.other}: {row.reason}"
    return None
