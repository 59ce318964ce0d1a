"""Peers as processes of their own cannot do all of a scenario: some of it needs all of them in one place."""

from collections.abc import Sequence

from gossipfl.algorithms import ALGORITHMS
from gossipfl.errors import ConfigurationError
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.scenario import Scenario


def between_processes(scenario: Scenario, sections: Sequence[AlgorithmSection]) -> Scenario:
    """The scenario as peers of these algorithms carry it out that are processes of their own: they agree themselves
    when they stop.

    Raises ConfigurationError, with the reason, for what they cannot do.
    """
    if scenario.evaluation.recalibrate is not None:
        raise ConfigurationError(
            "evaluation.recalibrate needs the average model and batches of all peers in one place; of peers that are "
            "processes of their own, nobody has them. Use simulate, compare or launch with all peers in one process, "
            "or leave evaluation.recalibrate out"
        )
    stop = scenario.stop
    if stop is None:
        return scenario
    if alone := [section.name for section in sections if not ALGORITHMS[section.name].agrees]:
        raise ConfigurationError(
            f"stop needs peers that talk to each other, and those of {alone[0]!r} do not: as processes of their own "
            "they have nobody who ends them: leave stop or the algorithm out, or use simulate or launch with all peers "
            "in one process"
        )
    if stop.by == "peers":
        return scenario
    if stop.by == "engine":
        raise ConfigurationError(
            'stop.by is "engine", and no engine sees all peers at one moment where they are processes of their own. '
            "Use simulate, compare or launch with all peers in one process, or leave stop.by out: the peers then agree "
            "themselves when they end"
        )
    return scenario.with_changes(stop=stop.model_copy(update={"by": "peers"}))
