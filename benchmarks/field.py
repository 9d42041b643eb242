"""The circuit's equations once more, for JAX and PyTorch: what the other libraries are given.

Owns the residual of the leaky-ReLU circuit as one function that can be compiled, in the best form
that we know: shifts from the forward pass, each layer in units of its own natural scale, the
inverse weights explicit, all that does not change computed beforehand. A second function has the
rates themselves, as the equations are printed. Tests hold both against the circuit.

`xp` is `jax.numpy` or `torch`. States are tuples of L arrays (batch, units); time is in units of
the time constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuit.shift_dynamics import scale_ratio
from circuit.shifts import Shifts
from circuit.trial import Trial

State = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class FieldConstants:
    """Constants of the equations. Lists are indexed by layer, from 0 (input) to L.

    Attributes
    ----------
    weights, inverses : W_l^T and W_l^-T, ready to stand on the right of a batch
    drives : h_l / s_{l-1}
    rates : y_l / s_l
    error : e / s_L
    nudge : gamma_L at the units with an error signal, 0 at the others
    alpha, weight : s_{l-1} / s_l and gamma_l s_{l+1} / s_l
    """

    xp: Any
    trial: Trial
    start: Shifts
    weights: list[Any]
    inverses: list[Any]
    drives: list[Any]
    rates: list[Any]
    error: Any
    nudge: Any
    alpha: list[float]
    weight: list[float]
    leak: float

    @property
    def depth(self) -> int:
        """L."""
        return self.trial.network.depth

    @property
    def gait(self) -> bool:
        """Whether the pathway scales deviations by the squared gain."""
        return self.trial.circuit.pathway.gradient_adjusted

    def shifts(self, state: State) -> Shifts:
        """A state as the project's record of shifts."""
        return self.start.with_values(tuple(np.asarray(values) for values in state))


def make_field(trial: Trial, xp: Any, asarray: Callable[[np.ndarray], Any]) -> FieldConstants:
    """Everything that can be computed before the clock starts."""
    network, activity, start = trial.network, trial.activity, trial.at_rest()
    depth, scales = network.depth, [1.0, *(scale.value for scale in start.scales)]
    layers = range(1, depth + 1)
    nudge = np.zeros(network.widths[-1])
    nudge[: network.n_outputs] = trial.circuit.strengths[-1]

    def ratio(upper: int, lower: int) -> float:
        return scale_ratio(start, upper, lower)

    return FieldConstants(
        xp=xp,
        trial=trial,
        start=start,
        weights=[None, *(asarray(weights.T.copy()) for weights in network.weights)],
        inverses=[None, *(asarray(factor.inverse.T.copy()) for factor in network.factors)],
        drives=[None, *(asarray(activity.drive(n) / scales[n - 1]) for n in layers)],
        rates=[None, *(asarray(activity.rates[n] / scales[n]) for n in layers)],
        error=asarray(trial.error / scales[-1]),
        nudge=asarray(nudge),
        alpha=[0.0, 0.0, *(ratio(n - 1, n) for n in layers[1:])],
        weight=[0.0, *(trial.circuit.strength(n) * ratio(n + 1, n) for n in layers[:-1])],
        leak=network.activation(1).smallest_slope,
    )


def residual(field: FieldConstants, state: State) -> State:
    """R_1 .. R_L of shift coordinates (see `circuit.shift_dynamics`); dd_l/dt = -R_l."""
    xp, leak, zero = field.xp, field.leak, 0 * field.error
    pushed, messages, mismatches = [None, None], [None, None], [None, state[0]]
    for layer in range(2, field.depth + 1):
        h, alpha = field.drives[layer], field.alpha[layer]
        k = state[layer - 2] @ field.weights[layer]
        above = xp.maximum(k + xp.minimum(h, zero), -xp.maximum(h, zero))
        p = alpha * (leak * k + (1 - leak) * above)  # f(h + k) - f(h) without cancellation
        mismatch = state[layer - 1] - p
        sent, y = state[layer - 1], field.rates[layer]
        if field.gait:
            slope = xp.where(h + k > 0, zero + 1, zero + leak)
            sent, y = slope * slope * mismatch, alpha * xp.maximum(h + k, leak * (h + k))
        below = xp.minimum(sent + xp.maximum(y, zero), -xp.minimum(y, zero))
        pushed.append(p)
        mismatches.append(mismatch)
        messages.append(sent + (1 / leak - 1) * below)  # f^-1(y + sent) - f^-1(y)
    residuals = []
    for layer in range(1, field.depth):
        gamma = field.trial.circuit.strength(layer)
        asked = (1 - gamma) * mismatches[layer]
        if not field.gait:
            asked = state[layer - 1]
            asked = asked if layer == 1 else asked - (1 - gamma) * pushed[layer]
        pulled = messages[layer + 1] @ field.inverses[layer + 1]
        residuals.append(asked - field.weight[layer] * pulled)
    output = mismatches[-1] - field.nudge * (field.error - pushed[-1])
    return (*residuals, output)


def velocity(field: FieldConstants, rates: State) -> State:
    """dy_1/dt .. dy_L/dt of the rates themselves, as a user would write them (biases are 0)."""
    xp, leak, circuit = field.xp, field.leak, field.trial.circuit
    below = (xp.asarray(field.trial.activity.rates[0]), *rates)
    target, velocities = xp.asarray(field.trial.target), []
    drives = [None, *(y @ w for y, w in zip(below, field.weights[1:], strict=False))]
    driven = [None, *(xp.maximum(h, leak * h) for h in drives[1:])]
    for layer in range(1, field.depth + 1):
        own, y = driven[layer], rates[layer - 1]
        if layer == field.depth:
            velocities.append(own - y + field.nudge * (target - own))
            continue
        sent = rates[layer]
        if field.gait:
            one = xp.ones_like(sent)
            slope = xp.where(drives[layer + 1] > 0, one, leak * one)
            sent = driven[layer + 1] + slope * slope * (sent - driven[layer + 1])
        feedback = xp.minimum(sent, sent / leak) @ field.inverses[layer + 1]
        velocities.append(own - y + circuit.strength(layer) * (feedback - own))
    return tuple(velocities)


def worst_ratio(field: FieldConstants, state: State, residuals: State) -> Any:
    """The largest |R_l| / |d_l| over layers and samples: the ruler, compiled."""
    xp, n = field.xp, field.trial.network.n_outputs
    worst = []
    for layer, (d, r) in enumerate(zip(state, residuals, strict=True), 1):
        if layer == field.depth:
            d, r = d[:, :n], r[:, :n]
        size = xp.sqrt(xp.sum(d * d, 1))
        worst.append(xp.max(xp.sqrt(xp.sum(r * r, 1)) / xp.maximum(size, 1e-300 + 0 * size)))
    return xp.max(xp.stack(worst))
