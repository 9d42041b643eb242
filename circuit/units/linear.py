"""Linear units."""

from __future__ import annotations

from circuit.activations import Activation, UnitText
from circuit.numerics.arrays import namespace
from circuit.records.remembered import remembered
from circuit.units.scaled import everywhere


@remembered
def linear() -> Activation:
    """f(h) = h.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import linear
    >>> linear().value(np.array([-2.0, 3.0]))
    array([-2.,  3.])
    """
    return Activation(
        name="linear",
        value=lambda h: h,
        slope=lambda h: namespace(h).ones_like(h),
        curvature=lambda h: namespace(h).zeros_like(h),
        inverse=lambda y: y,
        difference=lambda h, d, s: d,
        inverse_difference=lambda y, d, s: d,
        stays=lambda h, d, s: everywhere(h, True),
        largest_slope=1.0,
        smallest_slope=1.0,
        largest_curvature=0.0,
        piecewise_linear=True,
    )


TEXT = UnitText("drive", "1", "sent")
