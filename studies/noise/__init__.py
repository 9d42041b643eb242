"""Noise against bias: how weak may feedback be where rates fluctuate?

Told in docs/noise.md.
"""
