"""Lateral inhibition inside the plastic circuit: does it keep weights orthogonal?

Told in docs/open_questions/lateral_inhibition.md.
"""
