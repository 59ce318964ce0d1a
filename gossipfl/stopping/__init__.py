"""Peers agree on how good their models are, on board of the messages that go anyway, and on when to end."""
