"""Examples: their sources, and how they are dealt to peers."""
