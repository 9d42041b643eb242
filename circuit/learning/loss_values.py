"""Values of the losses that have a name, for reports: no synapse learns from them."""

from __future__ import annotations

from circuit.losses import Loss
from circuit.numerics.arrays import Array, namespace


def quadratic_value(outputs: Array, targets: Array) -> Array:
    """1/2 |y - t|^2 (Eq. 2) of each sample, `(..., batch, n_outputs) -> (..., batch)`."""
    xp, miss = namespace(outputs), outputs - targets
    return xp.linalg.vecdot(miss, miss) / 2


def cross_entropy_value(outputs: Array, targets: Array) -> Array:
    """Minus the sum of t log softmax(y) of each sample, `(..., batch, n_outputs) -> (..., batch)`.

    With the largest output taken out, so that nothing overflows.
    """
    xp = namespace(outputs)
    below = outputs - xp.max(outputs, axis=-1, keepdims=True)
    total = xp.log(xp.sum(xp.exp(below), axis=-1, keepdims=True))
    return xp.linalg.vecdot(targets, total - below)


VALUES: dict[str, Loss] = {"quadratic": quadratic_value, "cross_entropy": cross_entropy_value}
