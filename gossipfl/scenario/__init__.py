"""Scenarios: what a run depends on, written as TOML or made in Python."""

from gossipfl.scenario.loading import given_scenario, load_scenario
from gossipfl.scenario.scenario import Scenario

__all__ = ["Scenario", "given_scenario", "load_scenario"]
