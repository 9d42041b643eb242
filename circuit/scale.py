"""A positive factor of any size, kept exact to rounding.

A shift in layer l of a circuit with weak feedback has size gamma^(L+1-l), which leaves the range
of a floating-point number long before it leaves the range of interest. `Scale` is that factor as
mantissa and exponent. Owns the arithmetic of such factors and nothing else.
"""

from __future__ import annotations

import math
from typing import NamedTuple


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
