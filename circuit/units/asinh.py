"""Units whose rate is the inverse hyperbolic sine of their drive."""

from __future__ import annotations

import math

from circuit.activations import Activation, UnitText
from circuit.numerics.arrays import Array, namespace
from circuit.records.remembered import remembered
from circuit.units.scaled import clamped, everywhere


@remembered
def asinh() -> Activation:
    """f(h) = asinh(h): smooth, unbounded, with slope 1 at the origin.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import asinh
    >>> asinh().value(np.sinh([-2.0, 0.0, 3.0]))
    array([-2.,  0.,  3.])
    """

    def slope(h: Array) -> Array:
        return 1 / namespace(h).hypot(h, namespace(h).ones_like(h))

    def difference(h: Array, d: Array, s: float) -> Array:
        xp = namespace(h)
        s = clamped(s, h)
        a, b = h, h + s * d
        root_a, root_b = xp.sqrt(1 + a * a), xp.sqrt(1 + b * b)
        # asinh(b) - asinh(a) = asinh(b root_a - a root_b); where a and b have one sign the
        # argument is (b^2 - a^2) / (b root_a + a root_b), which does not cancel
        same_sign = a * b > 0
        denominator = xp.where(same_sign, b * root_a + a * root_b, xp.ones_like(h))
        sine = xp.where(same_sign, s * d * (a + b) / denominator, b * root_a - a * root_b)
        return xp.asinh(sine) / s

    def inverse_difference(y: Array, d: Array, s: float) -> Array:
        xp = namespace(y)
        s = clamped(s, y)
        return 2 * xp.cosh(y + s * d / 2) * (xp.sinh(s * d / 2) / s)

    return Activation(
        name="asinh",
        value=lambda h: namespace(h).asinh(h),
        slope=slope,
        curvature=lambda h: -h * slope(h) ** 3,
        inverse=lambda y: namespace(y).sinh(y),
        difference=difference,
        inverse_difference=inverse_difference,
        stays=lambda h, d, s: everywhere(h, False),
        largest_slope=1.0,
        smallest_slope=0.0,
        largest_curvature=2 / (3 * math.sqrt(3)),
        piecewise_linear=False,
    )


# Brian2 has neither arcsinh nor arctanh; this keeps the digits of small arguments
TEXT = UnitText(
    "sign(drive)*log1p(abs(drive) + drive**2/(1 + sqrt(1 + drive**2)))",
    "1/sqrt(1 + drive**2)",
    "sinh(sent)",
)
