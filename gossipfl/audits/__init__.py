"""Attacks on runs, from the places of those who take part."""
