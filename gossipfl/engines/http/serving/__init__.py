"""The room that listens: connections, requests, and their limits."""
