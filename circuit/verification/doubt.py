"""How well an output error is known, the outputs being rounded: what a bound has to allow for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from circuit.numerics.arrays import Array, epsilon, largest, namespace


@dataclass(frozen=True)
class Doubt:
    """How well an output error is known.

    It is off by at most `steepness` times what the outputs are off by, plus `rounding` (Euclidean
    norms, per sample).
    """

    steepness: float = 0.0
    rounding: float = 0.0


AS_GIVEN = Doubt()  # what a user's own loss returns is the error, to the last digit


def doubt(targets: Array, loss: str | Callable[[Array, Array], Array]) -> Doubt:
    """How well the error of `loss` is known from computed outputs.

    |de/dy| is 1 for t - y, whose subtraction rounds relative to the error itself. For t - softmax
    it is at most half the sum of t, and softmax rounds relative to its own size.
    """
    if loss == "quadratic":
        return Doubt(steepness=1.0)
    if loss == "cross_entropy":
        total = largest(namespace(targets).sum(namespace(targets).abs(targets), axis=-1))
        return Doubt(total / 2, 4 * epsilon(targets) * total)
    return AS_GIVEN
