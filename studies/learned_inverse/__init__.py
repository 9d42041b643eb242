"""Learned inverse models: alignment and accuracy against feedback strength and noise.

Told in docs/open_questions/learned_inverse.md.
"""
