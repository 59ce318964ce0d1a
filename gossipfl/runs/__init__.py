"""Runs on disk: the manifest, records, checkpoints, and what is made of them."""
