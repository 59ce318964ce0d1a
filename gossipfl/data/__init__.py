"""Where examples come from, and how they are dealt to peers."""
