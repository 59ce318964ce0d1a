"""Peers as programs: from a scenario to processes and hosts."""
