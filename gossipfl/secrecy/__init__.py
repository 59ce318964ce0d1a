"""Sums of which nobody sees the terms: masks, shares, and the protocol by which peers agree on them."""
