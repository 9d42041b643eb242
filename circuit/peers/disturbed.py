"""Feedback weights that learn from what becomes of a disturbance.

Owns the disturbance, its way up, and the step of least squares. Does not own what is regressed on
what, which is each rule's.

Disturbances are random signs (mean 0, variance 1) times sigma. All changes are in units of sigma,
found as differences, so that sigma may be as small as you like.
"""

from __future__ import annotations

from circuit.learned_inverse.model import PRACTICE
from circuit.messages import response
from circuit.network import Activity, Network
from circuit.numerics.arrays import (
    Array,
    all_finite,
    namespace,
    outer_sum,
    require_finite,
    rows_times,
)
from circuit.numerics.keyed_random import signs


def disturbance(keys: Array, step: int, again: int, *which: int, like: Array, units: int) -> Array:
    """Random signs `(..., batch, units)` for the `again`-th practice in a step of the network."""
    return signs(keys, (PRACTICE, step, again, *which), like, units)


def raised(network: Network, activity: Activity, layer: int, change: Array, scale: float) -> Array:
    """What a change of the rates below makes of `layer`, `(..., batch, N_l)`."""
    unit, pushed = network.activation(layer), network.push(layer, change)
    return response(unit, activity.drive(layer), activity.slope(layer), pushed, scale)


def regressed(weights: Array, wanted: Array, read: Array, rate: float, decay: float) -> Array:
    """B after one step down the gradient of <|wanted - B read|^2> + decay |B|^2.

    The rate is over what keeps it stable below 2, the mean square of all that is read together,
    plus the decay. But for what that fluctuates by from batch to batch, a fraction of about
    1 / (N batch), it ends in the mean at <wanted read^T> (<read read^T> + decay)^-1.

    Parameters
    ----------
    weights : (..., n, N)
    wanted, read : (..., batch, n) and (..., batch, N)
    """
    xp, batch = namespace(read), read.shape[-2]
    error = wanted - rows_times(read, weights)
    square = xp.mean(read * read, axis=(-2, -1), keepdims=True) * read.shape[-1] + decay
    step = rate / xp.where(square > 0, square, xp.ones_like(square))  # 0 teaches nothing
    return weights + step * (outer_sum(error, read) / batch - decay * weights)


def require_learnt(name: str, weights: tuple[Array, ...], first_layer: int) -> tuple[Array, ...]:
    """The weights. Raises `NotFinite` with the layer where they have come to infinity."""
    if not all_finite(weights):
        for layer, array in enumerate(weights, first_layer):
            remedy = f"use a lower {name} rate or learning rate"
            require_finite(array, f"the feedback of layer {layer}", remedy)
    return weights
