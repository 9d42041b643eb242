"""Hyperbolic tangent: units with rates inside (-1, 1)."""

from __future__ import annotations

import math

from circuit.activations import Activation, UnitText
from circuit.errors import TargetOutOfRange
from circuit.numerics.arrays import Array, any_true, largest, namespace
from circuit.records.remembered import remembered
from circuit.units.scaled import clamped, everywhere


@remembered
def tanh() -> Activation:
    """f(h) = tanh(h): smooth, with rates inside (-1, 1); targets outside have no inverse.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import tanh
    >>> tanh().inverse(np.tanh([0.5, -0.25]))
    array([ 0.5 , -0.25])
    """

    def slope(h: Array) -> Array:
        xp = namespace(h)
        decay = xp.exp(-2 * xp.abs(h))  # 1 - tanh^2 would cancel for large |h|
        return 4 * decay / (1 + decay) ** 2

    def difference(h: Array, d: Array, s: float) -> Array:
        # sinh(x) / (cosh(h + x) cosh(h)) with the exponentials taken out, so that none overflows
        xp = namespace(h)
        s = clamped(s, h)
        x = xp.abs(s * d)
        a, b = xp.abs(h), xp.abs(h + s * d)
        size = -2 * xp.expm1(-2 * x) / s * xp.exp(x - a - b)
        return xp.sign(d) * size / ((1 + xp.exp(-2 * a)) * (1 + xp.exp(-2 * b)))

    def inverse(y: Array) -> Array:
        _require_inside_unit_interval(y)
        return namespace(y).atanh(y)

    def inverse_difference(y: Array, d: Array, s: float) -> Array:
        _require_inside_unit_interval(y)
        x = clamped(s, y) * d
        _require_inside_unit_interval(y + x)
        # y + (1 - y) may be rounded to less than 1, and is the end all the same
        _require_inside_unit_interval(namespace(y).astype(room(y, x) <= 0, y.dtype))
        return inside_difference(y, d, s)

    def difference_or_nan(y: Array, d: Array, s: float) -> Array:
        xp = namespace(y)
        x = clamped(s, y) * d
        inside = (xp.abs(y) < 1) & (xp.abs(y + x) < 1) & (room(y, x) > 0)
        none = xp.zeros_like(y)
        found = inside_difference(xp.where(inside, y, none), xp.where(inside, d, none), s)
        return xp.where(inside, found, none + float("nan"))

    def room(y: Array, x: Array) -> Array:
        """(1 - v) (1 + u) of the difference from u to v, y and y + x, mirrored for x < 0."""
        return namespace(y).where(x > 0, ((1 - y) - x) * (1 + y), ((1 + y) + x) * (1 - y))

    def inside_difference(y: Array, d: Array, s: float) -> Array:
        xp = namespace(y)
        s = clamped(s, y)
        x = s * d
        # atanh(v) - atanh(u) = log1p(2 (v - u) / ((1 - v) (1 + u))) / 2 for v > u, mirrored below;
        # atanh((v - u) / (1 - u v)) would lose its digits where v and u are at opposite ends
        return xp.sign(d) * xp.log1p(2 * xp.abs(x) / room(y, x)) / (2 * s)

    return Activation(
        name="tanh",
        value=lambda h: namespace(h).tanh(h),
        slope=slope,
        curvature=lambda h: -2 * namespace(h).tanh(h) * slope(h),
        inverse=inverse,
        difference=difference,
        inverse_difference=inverse_difference,
        stays=lambda h, d, s: everywhere(h, False),
        largest_slope=1.0,
        smallest_slope=0.0,
        largest_curvature=4 / (3 * math.sqrt(3)),
        piecewise_linear=False,
        inverse_difference_or_nan=difference_or_nan,
    )


def _require_inside_unit_interval(y: Array) -> None:
    size = namespace(y).abs(y)
    if any_true(~(size < 1)):
        raise TargetOutOfRange(
            f"tanh has no inverse at a rate of size {largest(size):.6g}, which is not inside "
            "(-1, 1); use smaller targets or weaker feedback, an activation without bounds "
            "(asinh, leaky_relu), or clipped_tanh"
        )


# Brian2 has neither arcsinh nor arctanh; this keeps the digits of small arguments
TEXT = UnitText(
    "tanh(drive)",
    "4*exp(-2*abs(drive))/(1 + exp(-2*abs(drive)))**2",
    "0.5*(log1p(sent) - log1p(-sent))",
)
