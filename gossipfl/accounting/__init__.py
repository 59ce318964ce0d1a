"""Epsilon of what was spent, by a kept library."""
