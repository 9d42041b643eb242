"""What the units of one layer make of a shift: the response upwards and the message downwards.

Owns the two pathways' messages as functions of the arrays of one layer. Almost no unit crosses its
kink, and then a shift is multiplied by a slope; only the units that do pay for the exact
difference.

Shapes: all arrays are (..., batch, units) of one layer; `below` and `scale` are the scales in which
the drive shift k and the layer's own shift are measured.
"""

from __future__ import annotations

from circuit.activations import Activation
from circuit.feedback import Gain
from circuit.numerics.arrays import Array, epsilon, namespace, smallest_normal
from circuit.numerics.crossing import where_crossing


def response(
    unit: Activation, h: Array, slope: Array, k: Array, below: float, stays: Array | None = None
) -> Array:
    """[f(h + s k) - f(h)] / s, with s the scale `below` and `slope` f'(h).

    `stays` is unit.stays(h, k, below), where it is known already; so in `gait_message`.
    """
    return where_crossing(
        unit.stays(h, k, below) if stays is None else stays,
        slope * k,
        lambda h, k: unit.difference(h, k, below),
        (h, k),
    )


def itp_message(
    unit: Activation,
    h: Array,
    y: Array,
    slope: Array,
    shift: Array,
    scale: float,
    *,
    refuses: bool = False,
) -> Array:
    """[f^-1(y + s d) - f^-1(y)] / s: what is reported down in the ITP pathway.

    NaN where there is no inverse; `TargetOutOfRange` is raised instead where it `refuses`.
    """
    message = shift / slope
    difference = unit.inverse_difference if refuses else unit.sends
    return where_crossing(
        unit.stays(h, message, scale),
        message,
        lambda y, shift: difference(y, shift, scale),
        (y, shift),
    )


def gait_message(
    unit: Activation,
    h: Array,
    slope: Array,
    k: Array,
    below: float,
    mismatch: Array,
    scale: float,
    gain: Gain,
    stays: Array | None = None,
) -> Array:
    """[f^-1(u + s A^2 m) - f^-1(u)] / s: what is reported down in the GAIT pathway.

    u and A are those at the drive h + s_below k that the layer now receives. In the GRAIT pathway
    the mismatch m is given times N^2. NaN where there is no inverse.

    With an ITP `gain` it is what the corrected circuit sends in the ITP pathway through another
    feedback than the exact inverse, [f^-1(u + s m) - f^-1(u)] / s.
    """
    message = slope * mismatch if gain.gradient_adjusted else mismatch / slope
    stays = unit.stays(h, k, below) if stays is None else stays
    stays = stays & unit.stays(h + below * k, message, scale)
    return where_crossing(
        stays,
        message,
        lambda h, k, mismatch: exact_gait_message(unit, h, k, below, mismatch, scale, gain),
        (h, k, mismatch),
    )


def exact_gait_message(
    unit: Activation, h: Array, k: Array, below: float, mismatch: Array, scale: float, gain: Gain
) -> Array:
    """`gait_message` without the question whether a unit crosses its kink."""
    drive = h + below * k
    deviation = gain.local(unit.slope(drive), mismatch)
    return unit.sends(unit.value(drive), deviation, scale)


def plain_message(
    unit: Activation,
    h: Array,
    k: Array,
    below: float,
    feedforward: Array,
    mismatch: Array,
    scale: float,
    ratio: float,
    gain: Gain,
    still: Array,
) -> Array:
    """[f^-1(sent) - f^-1(sent at rest)] / s: what is reported down in a plain circuit.

    At rest, in its free phase, a unit has the drive h and the mismatch `still`, in units of rates;
    since then its feed-forward rate and its mismatch have changed by what is given, in units of s.
    Both mismatches come times N^2 in the GRAIT pathway; `ratio` is `below` over s.
    """
    at_rest = unit.value(h) + gain.local(unit.slope(h), still)
    change = feedforward + gain.local(unit.slope(h + below * k), mismatch)
    if gain.gradient_adjusted:
        both = unit.slope(h + below * k) + unit.slope(h)
        change = change + ratio * slope_change(unit, h, k, below) * both * still
    return unit.sends(at_rest, change, scale)


def slope_change(unit: Activation, h: Array, k: Array, scale: float) -> Array:
    """[f'(h + s k) - f'(h)] / s; its limit where s k is so small that the difference drowns."""
    xp, moved = namespace(h), scale * k
    difference = (unit.slope(h + moved) - unit.slope(h)) / max(scale, smallest_normal(h))
    if unit.piecewise_linear:
        return difference
    small = xp.abs(moved) < epsilon(h) ** 0.5  # there both are wrong by about as much
    return xp.where(small, unit.curvature(h) * k, difference)
