"""Feedback that learns to invert."""
