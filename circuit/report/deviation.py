"""How far what a circuit's synapses read may lie from the rule that its pathway stands for.

Owns the bound that decides the main command's verdict (docs/derivation.md, section 5): what keeps a
settled circuit from its rule has two causes, each of which is followed down through the network's
own weights and feedback, image by image.

Through another feedback than the exact inverse it is the mismatches that obey the rule's recursion,
in the ITP pathway too, with gamma / (1 - gamma) a layer: what is read per gain of the circuit
differs by a known factor and the layer's own drive. A plain circuit's nudge stands for the rule
with the difference correction: the free phase has taken the feedback's own error out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuit.activations import Activation
from circuit.circuit import Circuit
from circuit.messages import plain_message
from circuit.numerics.arrays import (
    Array,
    epsilon,
    flattened,
    frobenius_norm,
    largest,
    namespace,
    product_rounding,
    row_norms,
    smallest_normal,
    to_numpy,
    widened,
)
from circuit.numerics.scale import ONE, times
from circuit.plasticity import Update, local_update
from circuit.records.brief import Brief
from circuit.shift_dynamics import Balance, balance, scale_ratio
from circuit.shifts import Shifts, require_readout
from circuit.trial import Trial
from circuit.verification.sliding import has_kink, with_messages_at_kinks

EXACT = 1e-3  # relative, on top of both causes: rounding of the bound itself and of the averages


@dataclass(frozen=True, eq=False, repr=False)
class Deviation(Brief):
    """One layer's deviation from its rule, per gain.

    Attributes
    ----------
    returned : (..., batch, N_l), caused by what comes back from below, and by the residual
    bent : (..., batch, N_l), caused by increments that are not small, and by drives that moved
    unsure : (samples,), norm of what rounding and the tolerance may add

    Examples
    --------
    >>> from circuit import RULES, begin, build_circuit, initialise, settle
    >>> from circuit.report import deviations
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> record, error = settle(trial), trial.error
    >>> rule = RULES["gait"](trial.network, trial.activity, error, 0.01)
    >>> found = deviations(trial, record.shifts, rule)
    >>> found[0].returned.shape, found[0].unsure.shape
    ((1, 3), (1,))
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

    Examples
    --------
    >>> from circuit import RULES, begin, build_circuit, initialise, settle
    >>> from circuit.report import deviations
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> record, error = settle(trial), trial.error
    >>> rule = RULES["gait"](trial.network, trial.activity, error, 0.01)
    >>> found = deviations(trial, record.shifts, rule)
    >>> len(found), float(abs(found[-1].returned).max()) < 0.02
    (2, True)
    """
    require_readout(readout)
    network, circuit = trial.network, trial.circuit
    xp, terms = namespace(trial.error), balance(trial, shifts)
    if kinks is not None:
        terms = with_messages_at_kinks(trial, shifts, terms, kinks)
    read, shifts = shifts, replace(shifts, gains=circuit.mismatch_gains)
    found: list[Deviation] = []
    returned = bent = xp.zeros_like(trial.error)
    unsure = np.zeros(int(np.prod(trial.error.shape[:-1])))
    for layer in range(network.depth, 0, -1):
        returned = returned + _fresh(trial, shifts, rule, terms, layer)
        size = _norms(rule.per_gain(layer))
        unsure = unsure + tolerance * (size + _norms(returned) + _norms(bent))
        # of what is followed, how much is read: 1 but in the ITP pathway through another feedback
        share = shifts.gains[layer - 1].over(read.gains[layer - 1]).value
        seen = share * returned + (share - 1) * rule.per_gain(layer)
        if _by_mismatch(circuit) and readout == "shift" and layer > 1:
            # the shift is the mismatch and what the layer's own drive adds
            seen = seen + _per_gain(read, layer, _driven(shifts, terms, layer))
        if readout == "mismatch" and trial.still is not None:
            seen = seen + times(trial.still[layer - 1], ONE.over(read.gains[layer - 1]))
        found.append(Deviation(seen, share * bent, share * unsure))
        if layer == 1:
            break
        bends = kinks is not None and has_kink(network.activation(layer))
        at_kinks = kinks[layer - 1] if bends and kinks is not None else None
        steepness, fresh, size = _passage(trial, shifts, rule, terms, layer, at_kinks)
        below = network.widths[layer - 1]
        inverse_norm, condition = _norms_of_feedback(trial, layer)
        steepest = to_numpy(xp.max(steepness, axis=-1)).reshape(-1)
        rounding = product_rounding(epsilon(trial.error), network.widths[layer])
        unsure = inverse_norm * (steepest * unsure + (1 + condition) * rounding * _norms(size))
        returned = widened(trial.circuit.pull(layer, steepness * returned), below)
        bent = widened(trial.circuit.pull(layer, steepness * bent + fresh), below)
    return tuple(found[::-1])


def _by_mismatch(circuit: Circuit) -> bool:
    """Whether it is the mismatches that obey the rule's recursion, and not the shifts."""
    return circuit.pathway.gradient_adjusted or circuit.feedback is not None


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

    Examples
    --------
    >>> from circuit import RULES, begin, build_circuit, initialise, settle
    >>> from circuit.report import deviations, shift_bounds
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> record, error = settle(trial), trial.error
    >>> rule = RULES["gait"](trial.network, trial.activity, error, 0.01)
    >>> found = deviations(trial, record.shifts, rule)
    >>> bounds = shift_bounds(rule, found)
    >>> bounds.shape, bool(bounds.max() < 0.03)
    ((2, 1), True)
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

    Examples
    --------
    >>> from circuit import RULES, begin, build_circuit, initialise, settle, updates
    >>> from circuit.report import deviations, update_bound
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0)), [[0.1, 0.2, 0.3]], [1])
    >>> record, error = settle(trial), trial.error
    >>> rule = RULES["gait"](trial.network, trial.activity, error, 0.01)
    >>> found = deviations(trial, record.shifts, rule)
    >>> expected = updates(trial.network, trial.activity, rule)[0]
    >>> 0 < update_bound(trial, expected, 1, found[0]) < 0.03
    True
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


def _fresh(trial: Trial, shifts: Shifts, rule: Shifts, terms: Balance, layer: int) -> Array:
    """What `layer` adds to the deviation: what its drive returns other than a linear circuit's
    would (ITP) or draws off the nudge (GAIT), what the state leaves unbalanced, and of a plain
    circuit what feedback makes of the shift that it does not invert; per gain.
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
    if _by_mismatch(circuit):
        if layer == network.depth:
            fresh = residual - gamma * driven[..., :n]
            if circuit.is_plain:  # whose error is that of its free phase
                moved = (trial.error - rule.per_gain(layer))[..., :n]
                fresh = fresh + gamma * times(moved, ONE.over(shifts.scales[-1]))
        else:
            if circuit.is_plain:
                back = circuit.pull(layer + 1, terms.drive_shifts[layer])
                residual = residual + gamma * (back[..., :n] - value[..., :n])
            fresh = residual / (1 - gamma)
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
    if _by_mismatch(circuit):
        start = activity.drive(layer) + shifts.scales[i - 1].value * terms.drive_shifts[i]
        slope = unit.slope(start)
        if kinks is not None:
            xp = namespace(start)
            start, slope = xp.where(kinks > 0, 0 * start, start), xp.where(kinks > 0, kinks, slope)
        there = unit.value(start) + gain.local(slope, trial.still_by_rows(layer))
        state = terms.mismatches[i]
    else:
        there, slope = activity.rates[layer], activity.slope(layer)
        state = shifts.values[i]
    apart = _apart(_per_gain(shifts, layer, state) - direction, direction)
    sent = gain.local(slope, circuit.by_rows(layer, direction))
    farther = gain.local(slope, circuit.by_rows(layer, apart))
    secant = unit.inverse_difference(there + scale * sent, farther, scale) / apart
    own = _rule_message(unit, trial.from_forward_pass(), rule, layer)
    if circuit.is_plain:
        made = _plain_message(trial, shifts, rule, terms, layer, kinks)
    else:
        made = unit.inverse_difference(there, sent, scale)
    return secant, made - own, own


def _plain_message(
    trial: Trial, shifts: Shifts, rule: Shifts, terms: Balance, layer: int, kinks: Array | None
) -> Array:
    """What `layer` of a plain circuit would send beyond its drive shift, at the drive it has, with
    the rule's shift for its mismatch; per gain.
    """
    circuit, unit, i = trial.circuit, trial.network.activation(layer), layer - 1
    h, k, still = trial.activity.drive(layer), terms.drive_shifts[i], trial.still_by_rows(layer)
    gain, below = shifts.gains[i], shifts.scales[i - 1]
    deviation = circuit.by_rows(layer, rule.per_gain(layer))
    driven = _per_gain(shifts, layer, _driven(shifts, terms, layer))
    ratio = below.over(gain).value
    made = plain_message(
        unit, h, k, below.value, driven, deviation, gain.value, ratio, circuit.pathway, still
    )
    if kinks is not None:
        xp, size = namespace(made), max(gain.value, smallest_normal(made))
        sent = circuit.pathway.local(kinks, deviation + still / size)
        at_kink = unit.inverse_difference(0 * sent, sent, gain.value)
        at_kink = at_kink - trial.senders_at_rest(layer) / size
        made = xp.where(kinks > 0, at_kink, made)
    return made - ratio * k


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
