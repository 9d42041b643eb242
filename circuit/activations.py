"""Invertible activation functions of the units (paper section 7).

Owns f, its derivatives, its inverse, and the two differences that carry a shift through a unit
without cancellation. Does not own weights or layers.

All functions are elementwise on arrays of any shape. A *scaled* difference is

    difference(h, d, s)         = (f(h + s d) - f(h)) / s
    inverse_difference(y, d, s) = (f^-1(y + s d) - f^-1(y)) / s

for a positive float s of any size, also one that has underflowed to 0: there the difference is its
limit, the derivative times d. Subtracting the two values would lose every digit of a small shift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import array_api_compat

from circuit.checks.given import is_sequence, real, require_choice
from circuit.errors import CircuitError, TargetOutOfRange
from circuit.numerics.arrays import Array, any_true, largest, namespace, smallest_normal
from circuit.records.remembered import parts, remembered, whole

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


@remembered
def linear() -> Activation:
    """f(h) = h."""
    return Activation(
        name="linear",
        value=lambda h: h,
        slope=lambda h: namespace(h).ones_like(h),
        curvature=lambda h: namespace(h).zeros_like(h),
        inverse=lambda y: y,
        difference=lambda h, d, s: d,
        inverse_difference=lambda y, d, s: d,
        stays=lambda h, d, s: _everywhere(h, True),
        largest_slope=1.0,
        smallest_slope=1.0,
        largest_curvature=0.0,
        piecewise_linear=True,
    )


def leaky_relu(slope: float = 0.1) -> Activation:
    """f(h) = h for h > 0 and `slope` * h below (paper section 7; 0.1 as in the public code).

    Raises `CircuitError` unless 0 < slope < 1.
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
        h = h / _clamped(s, h)
        above = xp.maximum(d + xp.minimum(h, 0.0), -xp.maximum(h, 0.0))
        return slope * d + (1 - slope) * above

    def inverse_difference(y: Array, d: Array, s: float) -> Array:
        xp = namespace(y)
        y = y / _clamped(s, y)
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


@remembered
def asinh() -> Activation:
    """f(h) = asinh(h): smooth, unbounded, with slope 1 at the origin."""

    def slope(h: Array) -> Array:
        return 1 / namespace(h).hypot(h, namespace(h).ones_like(h))

    def difference(h: Array, d: Array, s: float) -> Array:
        xp = namespace(h)
        s = _clamped(s, h)
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
        s = _clamped(s, y)
        return 2 * xp.cosh(y + s * d / 2) * (xp.sinh(s * d / 2) / s)

    return Activation(
        name="asinh",
        value=lambda h: namespace(h).asinh(h),
        slope=slope,
        curvature=lambda h: -h * slope(h) ** 3,
        inverse=lambda y: namespace(y).sinh(y),
        difference=difference,
        inverse_difference=inverse_difference,
        stays=lambda h, d, s: _everywhere(h, False),
        largest_slope=1.0,
        smallest_slope=0.0,
        largest_curvature=2 / (3 * math.sqrt(3)),
        piecewise_linear=False,
    )


@remembered
def tanh() -> Activation:
    """f(h) = tanh(h): smooth, with rates inside (-1, 1); targets outside have no inverse."""

    def slope(h: Array) -> Array:
        xp = namespace(h)
        decay = xp.exp(-2 * xp.abs(h))  # 1 - tanh^2 would cancel for large |h|
        return 4 * decay / (1 + decay) ** 2

    def difference(h: Array, d: Array, s: float) -> Array:
        # sinh(x) / (cosh(h + x) cosh(h)) with the exponentials taken out, so that none overflows
        xp = namespace(h)
        s = _clamped(s, h)
        x = xp.abs(s * d)
        a, b = xp.abs(h), xp.abs(h + s * d)
        size = -2 * xp.expm1(-2 * x) / s * xp.exp(x - a - b)
        return xp.sign(d) * size / ((1 + xp.exp(-2 * a)) * (1 + xp.exp(-2 * b)))

    def inverse(y: Array) -> Array:
        _require_inside_unit_interval(y)
        return namespace(y).atanh(y)

    def inverse_difference(y: Array, d: Array, s: float) -> Array:
        _require_inside_unit_interval(y)
        x = _clamped(s, y) * d
        _require_inside_unit_interval(y + x)
        # y + (1 - y) may be rounded to less than 1, and is the end all the same
        _require_inside_unit_interval(namespace(y).astype(room(y, x) <= 0, y.dtype))
        return inside_difference(y, d, s)

    def difference_or_nan(y: Array, d: Array, s: float) -> Array:
        xp = namespace(y)
        x = _clamped(s, y) * d
        inside = (xp.abs(y) < 1) & (xp.abs(y + x) < 1) & (room(y, x) > 0)
        none = xp.zeros_like(y)
        found = inside_difference(xp.where(inside, y, none), xp.where(inside, d, none), s)
        return xp.where(inside, found, none + float("nan"))

    def room(y: Array, x: Array) -> Array:
        """(1 - v) (1 + u) of the difference from u to v, y and y + x, mirrored for x < 0."""
        return namespace(y).where(x > 0, ((1 - y) - x) * (1 + y), ((1 + y) + x) * (1 - y))

    def inside_difference(y: Array, d: Array, s: float) -> Array:
        xp = namespace(y)
        s = _clamped(s, y)
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
        stays=lambda h, d, s: _everywhere(h, False),
        largest_slope=1.0,
        smallest_slope=0.0,
        largest_curvature=4 / (3 * math.sqrt(3)),
        piecewise_linear=False,
        inverse_difference_or_nan=difference_or_nan,
    )


def clipped_tanh(limit: float = 0.999) -> Activation:
    """`tanh` with an inverse everywhere: f^-1(y) = atanh(y clipped to +-`limit`).

    For target propagation, whose targets leave (-1, 1): the output's are its ends. Nothing else is
    changed, the forward pass and the slopes are those of tanh, and with it no target is refused:
    `clips` tells which were clipped. It is no inverse there, so that no circuit can be made of it.
    Raises `CircuitError` unless 0 < limit < 1.
    """
    limit = real("limit of tanh", limit)
    if not 0 < limit < 1:
        raise CircuitError(f"limit {limit} of tanh is not between 0 and 1; use for example 0.999")
    return _clipped_tanh(limit)


@remembered
def _clipped_tanh(limit: float) -> Activation:
    exact = tanh()

    def inverse_difference(y: Array, d: Array, s: float) -> Array:
        xp = namespace(y)
        s = _clamped(s, y)
        start, end = xp.clip(y, -limit, limit), xp.clip(y + s * d, -limit, limit)
        kept = (start == y) & ~clips(y, d, s)  # of the others the digits are those of a rate
        return exact.inverse_difference(start, xp.where(kept, d, (end - start) / s), s)

    def clips(y: Array, d: Array, s: float) -> Array:
        return namespace(y).abs(y + s * d) > limit

    return replace(
        exact,
        name="clipped_tanh",
        inverse=lambda y: exact.inverse(namespace(y).clip(y, -limit, limit)),
        inverse_difference=inverse_difference,
        clips=clips,
        inverse_difference_or_nan=None,
    )


ACTIVATIONS: dict[str, Callable[[], Activation]] = {
    "linear": linear,
    "leaky_relu": leaky_relu,
    "asinh": asinh,
    "tanh": tanh,
    "clipped_tanh": clipped_tanh,
}


def activation(name: str) -> Activation:
    """The activation function called `name`, with its default parameters."""
    require_choice("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


def activations(given: str | Activation | Sequence[str | Activation], depth: int) -> Units:
    """One unit for all of `depth` layers, or one for each, as `Activation`s.

    Raises `CircuitError` for a name that is unknown, or what is neither a unit nor its name.
    """
    each: Sequence[Any] = list(given) if is_sequence(given) else [given] * depth
    return tuple(unit if isinstance(unit, Activation) else activation(unit) for unit in each)


def _everywhere(h: Array, answer: bool) -> Array:
    xp = namespace(h)
    return xp.full(h.shape, answer, dtype=xp.bool, device=array_api_compat.device(h))


def _clamped(scale: float, array: Array) -> float:
    """`scale`, or the size below which a difference equals its limit to rounding if larger."""
    return max(scale, math.sqrt(smallest_normal(array)))


def _require_inside_unit_interval(y: Array) -> None:
    size = namespace(y).abs(y)
    if any_true(~(size < 1)):
        raise TargetOutOfRange(
            f"tanh has no inverse at a rate of size {largest(size):.6g}, which is not inside "
            "(-1, 1); use smaller targets or weaker feedback, an activation without bounds "
            "(asinh, leaky_relu), or clipped_tanh"
        )


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


UNIT_TEXTS: dict[str, UnitText] = {
    "linear": UnitText("drive", "1", "sent"),
    "leaky_relu": UnitText(
        "int(drive > 0)*drive + int(drive <= 0)*leak*drive",
        "int(drive > 0) + int(drive <= 0)*leak",
        "int(sent > 0)*sent + int(sent <= 0)*sent/leak",
    ),
    # Brian2 has neither arcsinh nor arctanh; these keep the digits of small arguments
    "asinh": UnitText(
        "sign(drive)*log1p(abs(drive) + drive**2/(1 + sqrt(1 + drive**2)))",
        "1/sqrt(1 + drive**2)",
        "sinh(sent)",
    ),
    "tanh": UnitText(
        "tanh(drive)",
        "4*exp(-2*abs(drive))/(1 + exp(-2*abs(drive)))**2",
        "0.5*(log1p(sent) - log1p(-sent))",
    ),
}
