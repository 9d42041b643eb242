"""Feedback that learns to invert the feed-forward weights, and the circuit that goes through it."""
