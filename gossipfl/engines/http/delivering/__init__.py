"""Delivery to neighbors: outboxes, retries, goodbyes."""
