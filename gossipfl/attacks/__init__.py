"""The mathematics of attacks on what peers send: what gradients tell of examples, and how like two examples are."""
