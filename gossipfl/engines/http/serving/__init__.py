"""What listens: connections, requests, and their limits."""
