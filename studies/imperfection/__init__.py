"""Feedback that is not the exact inverse: what it does to alignment and stability.

Told in docs/imperfect_pathway.md.
"""
