"""Experiments: the algorithms of a scenario, run side by side and compared."""
