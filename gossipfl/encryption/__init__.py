"""A server that adds up what it cannot read: clients encrypt what they send to it, and decrypt the sum."""
