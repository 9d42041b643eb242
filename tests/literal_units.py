"""Activation functions in mpmath, for oracles that compute without rounding.

Owns f, f' and f^-1 written down once more, and the way from floats to mpmath. Not from the code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np
from mpmath import mpf

LEAK = 0.1


@dataclass(frozen=True)
class Literal:
    """f, f' and f^-1 in mpmath."""

    value: Callable[[mpf], mpf]
    slope: Callable[[mpf], mpf]
    inverse: Callable[[mpf], mpf]


LITERAL = {
    "linear": Literal(lambda h: h, lambda h: mpf(1), lambda y: y),
    "leaky_relu": Literal(
        lambda h: h if h > 0 else LEAK * h,
        lambda h: mpf(1) if h > 0 else mpf(LEAK),
        lambda y: y if y > 0 else y / LEAK,
    ),
    "asinh": Literal(mpmath.asinh, lambda h: 1 / mpmath.sqrt(1 + h * h), mpmath.sinh),
    "tanh": Literal(mpmath.tanh, lambda h: mpmath.sech(h) ** 2, mpmath.atanh),
}


def exactly(array: np.ndarray) -> list:
    """An array as nested lists of mpf, without rounding."""
    return [exactly(row) if row.ndim else mpf(float(row)) for row in array]
