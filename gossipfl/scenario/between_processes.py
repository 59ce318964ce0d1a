"""Peers as processes of their own cannot do all of a scenario: some of it needs all of them in one place."""

from gossipfl.errors import ConfigurationError
from gossipfl.scenario.scenario import Scenario


def between_processes(scenario: Scenario) -> Scenario:
    """The scenario as peers carry it out that are processes of their own: they agree themselves when they stop.

    Raises ConfigurationError, with the reason, for what they cannot do.
    """
    if scenario.evaluation.recalibrate is not None:
        raise ConfigurationError(
            "evaluation.recalibrate needs the average model and batches of all peers in one place; of peers that are "
            "processes of their own, nobody has them. Use simulate, compare or launch with all peers in one process, "
            "or leave evaluation.recalibrate out"
        )
    stop = scenario.stop
    if stop is None or stop.by == "peers":
        return scenario
    if stop.by == "engine":
        raise ConfigurationError(
            'stop.by is "engine", and no engine sees all peers at one moment where they are processes of their own. '
            "Use simulate, compare or launch with all peers in one process, or leave stop.by out: the peers then agree "
            "themselves when they end"
        )
    return scenario.with_changes(stop=stop.model_copy(update={"by": "peers"}))
