"""Training with Keras: many peers of one model in one compiled call."""
