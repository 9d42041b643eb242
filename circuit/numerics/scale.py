"""Positive numbers that neither underflow nor overflow, and arrays times such a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from circuit.numerics.arrays import Array, is_numpy


class Scale(NamedTuple):
    """`mantissa * 2**exponent`, with the mantissa in [0.5, 1) (or 0)."""

    mantissa: float
    exponent: int

    @staticmethod
    def of(value: float) -> Scale:
        """The scale of a non-negative float."""
        return Scale(*math.frexp(value))

    def times(self, other: Scale | float) -> Scale:
        """The product, one rounding."""
        if not isinstance(other, Scale):
            other = Scale.of(other)
        mantissa, carry = math.frexp(self.mantissa * other.mantissa)
        return Scale(mantissa, self.exponent + other.exponent + carry)

    def over(self, other: Scale) -> Scale:
        """The quotient, one rounding."""
        mantissa, carry = math.frexp(self.mantissa / other.mantissa)
        return Scale(mantissa, self.exponent - other.exponent + carry)

    def shifted(self, powers_of_two: int) -> Scale:
        """`self * 2**powers_of_two`, exactly."""
        return Scale(self.mantissa, self.exponent + powers_of_two)

    @property
    def value(self) -> float:
        """The factor as a float: 0 where it underflows, infinity where it overflows."""
        if self.exponent > 1024:
            return math.inf if self.mantissa else 0.0
        try:
            return math.ldexp(self.mantissa, self.exponent)
        except OverflowError:
            return math.inf

    @property
    def log10(self) -> float:
        """Decimal logarithm (minus infinity for zero)."""
        if self.mantissa == 0:
            return -math.inf
        return math.log10(self.mantissa) + self.exponent * math.log10(2)


ONE = Scale.of(1.0)


def running_largest(scales: Sequence[Scale]) -> tuple[Scale, ...]:
    """The largest scale so far, at each place."""
    return tuple(accumulate(scales, lambda most, one: one if one.over(most).value > 1 else most))


def times(value: Array, factor: Scale) -> Array:
    """`value * factor`, where the factor may be out of range although the product is not."""
    # asking a dtype of NumPy for its name would take longer than the product
    light = value.dtype.itemsize == 4 if is_numpy(value) else "32" in str(value.dtype)
    step = 100 if light else 1000  # 2**step is in range
    if abs(factor.exponent) < step:
        return value * factor.value
    value, left = value * factor.mantissa, max(-3 * step, min(factor.exponent, 3 * step))
    while left:
        power = max(-step, min(left, step))
        value, left = value * 2.0**power, left - power
    return value


def power_words(log10: float) -> str:
    """10**log10 in two digits, also where it underflows."""
    if not math.isfinite(log10):
        return "0" if log10 < 0 else "not finite"
    exponent = math.floor(log10)
    return f"{10 ** (log10 - exponent):.1f}e{exponent:+03d}"
