"""Lateral inhibition."""
