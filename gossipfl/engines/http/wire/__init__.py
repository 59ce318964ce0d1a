"""Everything that goes over the wire, byte for byte, and what is agreed on it."""
