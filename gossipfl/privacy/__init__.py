"""Differential privacy: noise, the events that spend a budget, and what a neighbor's view adds up to."""
