"""What scaled differences of any unit need: a scale that is not too small, and answers for all."""

from __future__ import annotations

import math

import array_api_compat
import numpy as np

from circuit.numerics.arrays import Array, is_numpy, namespace, smallest_normal


def everywhere(h: Array, answer: bool) -> Array:
    """`answer` for every unit."""
    if is_numpy(h):
        return np.full(h.shape, answer)
    xp = namespace(h)
    return xp.full(h.shape, answer, dtype=xp.bool, device=array_api_compat.device(h))


def clamped(scale: float, array: Array) -> float:
    """`scale`, or the size below which a difference equals its limit to rounding if larger."""
    return max(scale, math.sqrt(smallest_normal(array)))
