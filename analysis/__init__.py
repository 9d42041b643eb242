"""Measures and pictures of what circuits and rules do, as functions of arrays."""
