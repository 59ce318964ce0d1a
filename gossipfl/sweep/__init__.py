"""Many independent simulations: a grid of changes to one scenario, each with several seeds, side by side."""
