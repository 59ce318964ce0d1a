"""The names that users type: how they are spelled, found and shown."""
