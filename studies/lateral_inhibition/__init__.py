"""Orthogonality by lateral inhibition: which mechanism keeps GAIT-prop good?

Told in docs/open_questions/lateral_inhibition.md.
"""
