"""How far what a circuit's synapses read may lie from the rule that its pathway stands for.

Owns the bound that decides the main command's verdict (docs/derivation.md, section 5): what keeps a
settled circuit from its rule has two causes, each of which is followed down through the network's
own weights and feedback, image by image. Has none for plain circuits, nor for the ITP pathway where
feedback is not the exact inverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from circuit.activations import Activation
from circuit.numerics.arrays import (
    Array,
    epsilon,
    flattened,
    frobenius_norm,
    largest,
    namespace,
    product_rounding,
    row_norms,
    to_numpy,
    widened,
)
from circuit.plasticity import Update, local_update
from circuit.records.brief import Brief
from circuit.shift_dynamics import Balance, balance, scale_ratio
from circuit.shifts import Shifts, require_readout
from circuit.trial import Trial
from circuit.verification.sliding import with_messages_at_kinks

EXACT = 1e-3  # relative, on top of both causes: rounding of the bound itself and of the averages


@dataclass(frozen=True, eq=False, repr=False)
class Deviation(Brief):
    """One layer's deviation from its rule, per gain.

    Attributes
    ----------
    returned : (..., batch, N_l), caused by what comes back from below, and by the residual
    bent : (..., batch, N_l), caused by increments that are not small, and by drives that moved
    unsure : (samples,), norm of what rounding and the tolerance may add
    """

    returned: Array
    bent: Array
    unsure: np.ndarray


def deviations(
    trial: Trial,
    shifts: Shifts,
    rule: Shifts,
    readout: str = "shift",
    tolerance: float = 0.0,
    kinks: Sequence[Array] | None = None,
) -> tuple[Deviation, ...]:
    """The deviations of the layers 1 .. L (docs/derivation.md, section 5).

    Parameters
    ----------
    shifts : the equilibrium's shifts
    rule : those of the rule that the pathway stands for
    readout : "shift" or "mismatch"
    tolerance : relative, what is allowed for in the shift of every layer beside rounding
    kinks : `Equilibrium.sliding_slopes`, the slopes of units that rest at their kink

    Raises `CircuitError` for an unknown read-out.
    """
    require_readout(readout)
    network, gait = trial.network, trial.circuit.pathway.gradient_adjusted
    xp, terms = namespace(trial.error), balance(trial, shifts)
    if kinks is not None:
        terms = with_messages_at_kinks(trial, shifts, terms, kinks)
    found: list[Deviation] = []
    returned = bent = xp.zeros_like(trial.error)
    unsure = np.zeros(int(np.prod(trial.error.shape[:-1])))
    for layer in range(network.depth, 0, -1):
        returned = returned + _fresh(trial, shifts, terms, layer)
        size = _norms(rule.per_gain(layer))
        unsure = unsure + tolerance * (size + _norms(returned) + _norms(bent))
        seen = returned
        if gait and readout == "shift" and layer > 1:
            # the shift is the mismatch and what the layer's own drive adds
            seen = seen + _per_gain(shifts, layer, _driven(shifts, terms, layer))
        found.append(Deviation(seen, bent, unsure))
        if layer == 1:
            break
        steepness, fresh, size = _passage(
            trial, shifts, rule, terms, layer, None if kinks is None else kinks[layer - 1]
        )
        below = network.widths[layer - 1]
        inverse_norm, condition = _norms_of_feedback(trial, layer)
        steepest = to_numpy(xp.max(steepness, axis=-1)).reshape(-1)
        rounding = product_rounding(epsilon(trial.error), network.widths[layer])
        unsure = inverse_norm * (steepest * unsure + (1 + condition) * rounding * _norms(size))
        returned = widened(trial.circuit.pull(layer, steepness * returned), below)
        bent = widened(trial.circuit.pull(layer, steepness * bent + fresh), below)
    return tuple(found[::-1])


def _norms_of_feedback(trial: Trial, layer: int) -> tuple[float, float]:
    """|B| and |B| |W| of `layer`, with B what leads back through it."""
    factor, model = trial.network.factors[layer - 1], trial.circuit.feedback
    if model is None:
        return factor.inverse_norm, factor.condition
    norm = model.norms[layer - 2]
    return norm, norm * factor.norm


def shift_bounds(rule: Shifts, found: tuple[Deviation, ...]) -> np.ndarray:
    """For every layer and sample, the bound on the read-out's distance from the rule's shift.

    Relative to the rule's shift, (L, samples); 0 where that is 0.
    """
    bounds = []
    for layer, deviation in enumerate(found, 1):
        total = _norms(deviation.returned) + _norms(deviation.bent) + deviation.unsure
        size = _norms(rule.per_gain(layer))
        bounds.append(np.where(size > 0, total / np.where(size > 0, size, 1.0), 0.0))
    return (1 + EXACT) * np.array(bounds)


def update_bound(trial: Trial, update: Update, layer: int, deviation: Deviation) -> float:
    """How far the averaged update of `layer` may be from `update`, its rule's, relatively.

    Each cause is averaged over samples as the update itself is; what is unsure cannot be, and
    counts with its norm. Infinite where the rule's update is 0.
    """
    network, activity = trial.network, trial.activity
    slope = activity.slope(layer)
    read = activity.rates[layer - 1][..., : network.n_projecting(layer - 1)]
    causes = (deviation.returned, deviation.bent)
    parts = [local_update(slope, cause, read).weights for cause in causes]
    steepest = to_numpy(namespace(slope).max(slope, axis=-1)).reshape(-1)
    unsure = float(np.mean(deviation.unsure * steepest * _norms(read)))
    total = sum(float(frobenius_norm(to_numpy(part).astype(np.float64))) for part in parts)
    norm = float(frobenius_norm(to_numpy(update.weights).astype(np.float64)))
    return (1 + EXACT) * (total + unsure) / norm if norm > 0 else np.inf


def _fresh(trial: Trial, shifts: Shifts, terms: Balance, layer: int) -> Array:
    """What `layer` adds to the deviation: what its drive returns other than a linear circuit's
    would (ITP) or draws off the nudge (GAIT), and what the state leaves unbalanced; per gain.
    """
    circuit, network = trial.circuit, trial.network
    n, gamma = network.n_projecting(layer), circuit.strength(layer)
    demand, value = terms.demands[layer - 1], shifts.values[layer - 1]
    if layer < network.depth:
        weight = gamma * scale_ratio(shifts, layer + 1, layer)
        supply = weight * circuit.pull(layer + 1, terms.messages[layer])
    else:
        supply = 0 * demand
    residual, driven = demand - supply[..., :n], _driven(shifts, terms, layer)
    if circuit.pathway.gradient_adjusted:
        if layer < network.depth:
            fresh = residual / (1 - gamma)
        else:
            fresh = residual - gamma * driven[..., :n]
        rest = (value - driven)[..., n:]  # a mismatch of units that get no feedback
    else:
        below = circuit.ratios[layer - 2] if layer > 1 else 0.0
        echo = driven[..., :n] - below * value[..., :n]
        fresh = (residual + (1 - gamma) * echo) / (1 - (1 - gamma) * below)
        rest = value[..., n:]
    return _per_gain(shifts, layer, namespace(value).concat([fresh, rest], axis=-1))


def _driven(shifts: Shifts, terms: Balance, layer: int) -> Array:
    """p_l, the shift that a layer's own drive gives it, in units of the layer's scale."""
    return shifts.values[layer - 1] - terms.mismatches[layer - 1]


def _passage(
    trial: Trial, shifts: Shifts, rule: Shifts, terms: Balance, layer: int, kinks: Array | None
) -> tuple[Array, Array, Array]:
    """What the message of `layer` makes of a deviation (the slope of the secant between circuit and
    rule), the deviation that it adds of its own, and the rule's message; per gain.
    """
    circuit, unit, activity = trial.circuit, trial.network.activation(layer), trial.activity
    i, gain = layer - 1, circuit.pathway
    direction, scale = rule.per_gain(layer), shifts.gains[i].value
    if gain.gradient_adjusted:
        start = activity.drive(layer) + shifts.scales[i - 1].value * terms.drive_shifts[i]
        slope = unit.slope(start)
        if kinks is not None:
            xp = namespace(start)
            start, slope = xp.where(kinks > 0, 0 * start, start), xp.where(kinks > 0, kinks, slope)
        there = unit.value(start)
        state = terms.mismatches[i]
    else:
        there, slope = activity.rates[layer], activity.slope(layer)
        state = shifts.values[i]
    apart = _apart(_per_gain(shifts, layer, state) - direction, direction)
    sent = gain.local(slope, circuit.by_rows(layer, direction))
    farther = gain.local(slope, circuit.by_rows(layer, apart))
    secant = unit.inverse_difference(there + scale * sent, farther, scale) / apart
    own = _rule_message(unit, trial, rule, layer)
    return secant, unit.inverse_difference(there, sent, scale) - own, own


def _apart(apart: Array, direction: Array) -> Array:
    """`apart` with something small in place of 0, for a secant to be a slope there."""
    xp = namespace(apart)
    least = epsilon(apart) * (largest(xp.abs(direction)) or 1.0)
    return xp.where(apart == 0, least + 0 * apart, apart)


def _rule_message(unit: Activation, trial: Trial, rule: Shifts, layer: int) -> Array:
    """f^-1(y + epsilon delta) - f^-1(y) of the rule (Eqs. 12, 17), divided by its gain."""
    direction = trial.circuit.by_rows(layer, rule.per_gain(layer))
    sent = trial.circuit.pathway.local(trial.activity.slope(layer), direction)
    scale = rule.gains[layer - 1].times(trial.circuit.strength(layer)).value
    return unit.inverse_difference(trial.activity.rates[layer], sent, scale)


def _per_gain(shifts: Shifts, layer: int, value: Array) -> Array:
    """A value in units of the layer's scale, in units of its gain."""
    one = Shifts((value,), (shifts.scales[layer - 1],), (shifts.gains[layer - 1],))
    return one.per_gain(1)


def _norms(values: Array) -> np.ndarray:
    """Norm of every sample, (samples,)."""
    return flattened(row_norms(values)).astype(np.float64)
