"""Everything that the terminal shows."""
