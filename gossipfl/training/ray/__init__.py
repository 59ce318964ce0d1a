"""Training on the cores of a Ray cluster."""
