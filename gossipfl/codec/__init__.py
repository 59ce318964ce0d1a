"""Messages as bytes, and how many bytes they are."""
