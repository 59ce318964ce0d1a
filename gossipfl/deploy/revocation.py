"""Participants that are shut out of a run."""

from gossipfl.algorithms import ALGORITHMS
from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.weights import PeerId


def revoked(scenario: Scenario, section: AlgorithmSection) -> frozenset[PeerId]:
    """The participants shut out of an algorithm's run. Raises ConfigurationError where it cannot go on without them."""
    names, recipe = scenario.http.revoked, ALGORITHMS[section.name]
    if names and recipe.needs_everybody is not None:
        raise ConfigurationError(
            f"http.revoked names {names[0]!r}, but {section.name!r} cannot go on without a participant: "
            f"{recipe.needs_everybody}. Begin a new run without it, or use another algorithm"
        )
    if recipe.hub in names:
        raise ConfigurationError(f"http.revoked names {recipe.hub!r}, which keeps the model: begin a new run")
    return frozenset(names)


def refuse_revoked(scenario: Scenario) -> None:
    """Raises ConfigurationError when peers are shut out of a run all of whose peers are started at once, on one
    machine."""
    if scenario.http.revoked:
        raise ConfigurationError(
            f"http.revoked ({', '.join(scenario.http.revoked)}) is for peers that are started one by one (`gossipfl "
            "peer`), and here all are started: say --set http.revoked=[]"
        )
