"""Files that are whole or not there: JSON, weights, checkpoints."""
