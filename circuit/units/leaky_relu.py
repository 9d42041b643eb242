"""Leaky-ReLU units: two linear pieces, with a kink at the origin."""

from __future__ import annotations

from circuit.activations import Activation, UnitText
from circuit.checks.given import real
from circuit.errors import CircuitError
from circuit.numerics.arrays import Array, namespace
from circuit.records.remembered import remembered
from circuit.units.scaled import clamped


def leaky_relu(slope: float = 0.1) -> Activation:
    """f(h) = h for h > 0 and `slope` * h below (paper section 7; 0.1 as in the public code).

    Raises `CircuitError` unless 0 < slope < 1.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import leaky_relu
    >>> leaky_relu(0.2).value(np.array([-2.0, 3.0]))
    array([-0.4,  3. ])
    """
    slope = real("leaky-ReLU slope", slope)
    if not 0 < slope < 1:
        raise CircuitError(f"leaky-ReLU slope {slope} is not between 0 and 1; use for example 0.1")
    return _leaky_relu(slope)


@remembered
def _leaky_relu(slope: float) -> Activation:
    def value(h: Array) -> Array:
        return namespace(h).maximum(h, h * slope)

    def derivative(h: Array) -> Array:
        xp = namespace(h)
        return xp.maximum(xp.astype(h > 0, h.dtype), slope)

    def inverse(y: Array) -> Array:
        return namespace(y).minimum(y, y / slope)

    # f is positively homogeneous, so f(h + s d) - f(h) = s (f(h/s + d) - f(h/s)). Written as
    # slope * d plus the part of d that lies above the kink, no two terms have opposite signs.
    def difference(h: Array, d: Array, s: float) -> Array:
        xp = namespace(h)
        h = h / clamped(s, h)
        above = xp.maximum(d + xp.minimum(h, 0.0), -xp.maximum(h, 0.0))
        return slope * d + (1 - slope) * above

    def inverse_difference(y: Array, d: Array, s: float) -> Array:
        xp = namespace(y)
        y = y / clamped(s, y)
        below = xp.minimum(d + xp.maximum(y, 0.0), -xp.minimum(y, 0.0))
        return d + (1 / slope - 1) * below

    return Activation(
        name="leaky_relu",
        value=value,
        slope=derivative,
        curvature=lambda h: namespace(h).zeros_like(h),
        inverse=inverse,
        difference=difference,
        inverse_difference=inverse_difference,
        stays=lambda h, d, s: h * (h + s * d) > 0,
        largest_slope=1.0,
        smallest_slope=slope,
        largest_curvature=0.0,
        piecewise_linear=True,
    )


TEXT = UnitText(
    "int(drive > 0)*drive + int(drive <= 0)*leak*drive",
    "int(drive > 0) + int(drive <= 0)*leak",
    "int(sent > 0)*sent + int(sent <= 0)*sent/leak",
)
