"""Hyperbolic tangent with an inverse everywhere, for target propagation."""

from __future__ import annotations

from dataclasses import replace

from circuit.activations import Activation
from circuit.checks.given import real
from circuit.errors import CircuitError
from circuit.numerics.arrays import Array, namespace
from circuit.records.remembered import remembered
from circuit.units.scaled import clamped
from circuit.units.tanh import tanh


def clipped_tanh(limit: float = 0.999) -> Activation:
    """`tanh` with an inverse everywhere: f^-1(y) = atanh(y clipped to +-`limit`).

    For target propagation, whose targets leave (-1, 1): the output's are its ends. Nothing else is
    changed, the forward pass and the slopes are those of tanh, and with it no target is refused:
    `clips` tells which were clipped. It is no inverse there, so that no circuit can be made of it.
    Raises `CircuitError` unless 0 < limit < 1.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import clipped_tanh
    >>> clipped_tanh(0.9).inverse(np.array([0.0, 0.9, 1.5])).round(3)
    array([0.   , 1.472, 1.472])
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
        s = clamped(s, y)
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
