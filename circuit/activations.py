"""Invertible activation functions of the units (paper section 7).

Owns what a unit is: f, its derivatives, its inverse, and the two differences that carry a shift
through it without cancellation. Those that have a name stand in `circuit.units`, one file each.

All functions are elementwise on arrays of any shape. A *scaled* difference is

    difference(h, d, s)         = (f(h + s d) - f(h)) / s
    inverse_difference(y, d, s) = (f^-1(y + s d) - f^-1(y)) / s

for a positive float s of any size, also one that has underflowed to 0: there the difference is its
limit, the derivative times d. Subtracting the two values would lose every digit of a small shift.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from circuit.numerics.arrays import Array
from circuit.records.remembered import parts, whole

Elementwise = Callable[[Array], Array]
ScaledDifference = Callable[[Array, Array, float], Array]


@dataclass(frozen=True, repr=False)
class Activation:
    """An invertible, strictly increasing activation function.

    Attributes
    ----------
    value, slope, curvature
        f, f', f'' as functions of the pre-activation h. At a kink the slope is that of the left.
    inverse
        f^-1 as a function of the rate y. Raises `TargetOutOfRange` outside the range of f.
    difference, inverse_difference
        The scaled differences of the module's docstring.
    stays
        Which units surely keep to their linear piece when h goes to h + s d, so that the difference
        is slope times d.
    largest_slope, smallest_slope
        Supremum and infimum of f'.
    largest_curvature
        Supremum of |f''| away from kinks.
    piecewise_linear
        Whether f'' is zero wherever it exists.
    clips
        Which targets y + s d are clipped before they are inverted; None where none ever are.
    inverse_difference_or_nan
        `inverse_difference` with NaN in place of `TargetOutOfRange`, entry by entry, for what looks
        for states and may come by some that have no inverse. None where that is the same function.
    """

    name: str
    value: Elementwise
    slope: Elementwise
    curvature: Elementwise
    inverse: Elementwise
    difference: ScaledDifference
    inverse_difference: ScaledDifference
    stays: Callable[[Array, Array, float], Array]
    largest_slope: float
    smallest_slope: float
    largest_curvature: float
    piecewise_linear: bool
    clips: Callable[[Array, Array, float], Array] | None = None
    inverse_difference_or_nan: ScaledDifference | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return whole, parts(self)  # its functions have no names of their own

    def __repr__(self) -> str:
        slope = f" of slope {self.smallest_slope:g}" if self.name == "leaky_relu" else ""
        return f"Activation({self.name}{slope})"

    def sends(self, y: Array, d: Array, s: float) -> Array:
        """The scaled difference of f^-1; NaN where y or y + s d has no inverse."""
        return (self.inverse_difference_or_nan or self.inverse_difference)(y, d, s)


Units = tuple[Activation, ...]  # of the layers 1 .. L


# --- the same in the language of Brian2 ---


@dataclass(frozen=True)
class UnitText:
    """An activation function in Brian2's language.

    Attributes
    ----------
    response : f at `drive`
    slope : f' at `drive`
    inverse : f^-1 at `sent`
    """

    response: str
    slope: str
    inverse: str
