"""Peers as processes of their own cannot do all of a scenario: some of it needs all of them in one place."""

from gossipfl.errors import ConfigurationError
from gossipfl.scenario.scenario import Scenario


def refuse_between_processes(scenario: Scenario) -> None:
    """Raise ConfigurationError, with the reason, for what peers as processes of their own cannot do."""
    if scenario.stop is not None:
        raise ConfigurationError(
            "stop needs somebody who sees all peers at one moment; peers that are processes of their own have nobody, "
            "and would have to agree that they end. Use simulate, compare or launch with all peers in one process, or "
            "leave stop out"
        )
    if scenario.evaluation.recalibrate is not None:
        raise ConfigurationError(
            "evaluation.recalibrate needs the average model and batches of all peers in one place; of peers that are "
            "processes of their own, nobody has them. Use simulate, compare or launch with all peers in one process, "
            "or leave evaluation.recalibrate out"
        )
