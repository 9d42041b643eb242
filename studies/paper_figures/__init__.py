"""Figures 2 and 3 of the paper: do the rules learn alike?

Told in docs/results.md.
"""
