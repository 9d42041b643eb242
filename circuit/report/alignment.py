"""How well two sets of weight updates agree, and how well they must.

Owns the measures (cosine, relative error, norm ratio) and the bound within which the update that a
circuit's equilibrium carries has to agree with the rule that its pathway stands for. Does not own
updates or circuits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuit.dynamics import Trial
from circuit.numerics.arrays import Array, flattened, frobenius_norm, row_norms, to_numpy
from circuit.plasticity import Update
from circuit.shift_dynamics import balance
from circuit.shifts import Shifts


@dataclass(frozen=True)
class Agreement:
    """Agreement of one update with a reference update of the same layer.

    Attributes
    ----------
    cosine : of the angle between the two
    relative_error : |update - reference| / |reference|
    norm_ratio : |update| / |reference|
    """

    cosine: float
    relative_error: float
    norm_ratio: float


def agreement(update: Array, reference: Array) -> Agreement:
    """Compare two arrays of one shape as vectors (Frobenius norm). NaN where the reference is 0."""
    a = to_numpy(update).astype(np.float64).ravel()
    b = to_numpy(reference).astype(np.float64).ravel()
    if not b.any():
        return Agreement(np.nan, np.nan, np.nan)
    b = b / np.max(np.abs(b))  # squares of updates at depth 100 leave the range of floats
    a = a / np.max(np.abs(to_numpy(reference).astype(np.float64)))
    norm_a, norm_b, apart = (float(row_norms(one)) for one in (a, b, a - b))
    cosine = float((a / norm_a) @ (b / norm_b)) if norm_a > 0 else np.nan
    return Agreement(cosine, apart / norm_b, norm_a / norm_b)


def shift_deviation_bounds(
    trial: Trial, shifts: Shifts, rule: Shifts, readout: str = "shift"
) -> np.ndarray:
    """For every layer and sample, how far the read-out may be from its rule's shift, relatively.

    First order in the feedback strengths (docs/derivation.md, section 5). With r = gamma/(1-gamma),
    the GAIT pathway's shift exceeds its mismatch by what comes back from below,

        tau_l = r (|v_l| / |m_l|) (1 + kappa_l tau_{l-1}) ,  tau_1 = 0 ,

    slopes being at most 1 and kappa_l the condition number of W_l; and the output's mismatch feels
    tau_L times the nudge. In the ITP pathway shifts have the rule's direction exactly. In both, the
    units' own non-linearity within the shift enters as nu_l, the part of a layer's message that its
    slopes do not explain, measured in the circuit and in the rule; in the ITP pathway it also
    returns to the layer itself, times a_{l-1}, and from there to the layers above.

    Parameters
    ----------
    shifts : the equilibrium's shifts
    rule : those of the rule that the pathway stands for
    readout : "shift" or "mismatch"

    Returns
    -------
    array (L, samples)
    """
    circuit, network, gait = trial.circuit, trial.network, trial.circuit.pathway.gradient_adjusted
    depth, samples = network.depth, int(np.prod(trial.error.shape[:-1]))
    condition = np.array([factor.condition for factor in network.factors])
    returned = np.zeros((depth, samples))  # tau_l, or the echo of the ITP pathway
    bent = np.zeros((depth, samples))  # |v - v_linear| of circuit and rule together, per gain
    terms = balance(trial, shifts)
    for layer in range(2, depth + 1):
        i, slope = layer - 1, trial.activity.slope(layer)
        value = terms.mismatches[i] if gait else shifts.values[i]
        plain = slope * circuit.by_rows(layer, value) if gait else value / slope
        rest = terms.messages[i] - plain
        bent[i] = _norms(rest) * shifts.scales[i].over(shifts.gains[i]).value
        bent[i] += _rule_bend(trial, rule, layer)
        ratio = circuit.ratios[layer - 2]
        if gait:
            # W_l m_{l-1} is r v_l; what W_{l-1} returned to layer l-1 is lifted through W_l too
            lifted = _ratio(_norms(terms.messages[i]), _norms(value))
            returned[i] = ratio * lifted * (1 + condition[i] * returned[i - 1])
        else:
            steepness = to_numpy(slope).max() / to_numpy(slope).min()
            lifted = condition[i] * steepness * returned[i - 1]
            returned[i] = ratio * (_ratio(_norms(rest), _norms(value)) + lifted) / (1 - ratio)
    nudge = circuit.strengths[-1] * returned[-1] * (1 + returned[-1]) if gait else 0.0
    bounds = np.zeros((depth, samples))
    error = nudge * _norms(rule.per_gain(depth))  # of the mismatch (GAIT) or the shift (ITP)
    for layer in range(depth, 0, -1):
        i, value = layer - 1, rule.per_gain(layer)
        size = _norms(value)
        if not gait:
            error = error + returned[i] * (size + error)
        total = error
        if gait and readout == "shift":
            total = error + returned[i] * (size + error)
        bounds[i] = _ratio(total, size)
        slope = to_numpy(trial.activity.slope(layer)).reshape(samples, -1)
        if circuit.pathway.row_adjusted:
            slope = slope * to_numpy(circuit.by_rows(layer, value * 0 + 1)).reshape(samples, -1)
        steepest = np.max(slope if gait else 1 / slope, axis=-1)
        error = network.factors[i].inverse_norm * (steepest * error + bent[i])
    return bounds


def _norms(values: Array) -> np.ndarray:
    """Norm of every sample, (samples,)."""
    return to_numpy(row_norms(values)).ravel().astype(np.float64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part / whole; where the whole is 0, 0 of nothing and infinitely much of something."""
    return np.where(
        whole > 0, part / np.where(whole > 0, whole, 1.0), np.where(part > 0, np.inf, 0)
    )


def _rule_bend(trial: Trial, rule: Shifts, layer: int) -> np.ndarray:
    """|v - v_linear| of the rule at `layer` (Eqs. 12, 17), divided by its gain."""
    unit, slope = trial.network.activation(layer), trial.activity.slope(layer)
    deviation = trial.circuit.by_rows(layer, rule.values[layer - 1])
    sent = trial.circuit.pathway.local(slope, deviation)
    scale = rule.scales[layer - 1].times(trial.circuit.strength(layer)).value
    message = unit.inverse_difference(trial.activity.rates[layer], sent, scale)
    return _norms(message - sent / slope) * rule.scales[layer - 1].over(rule.gains[layer - 1]).value


def update_deviation_bound(
    trial: Trial, shift: Array, update: Update, layer: int, deviations: np.ndarray | float
) -> float:
    """How far the averaged update of a layer may be off, relatively, when shifts are by so much.

    The mean over samples of deviation |delta| |y_{l-1}|, over |update|. Samples' contributions
    cancel in an average, their deviations need not.

    Parameters
    ----------
    shift : array (..., batch, N_l), in the units in which `update` was made
    deviations : relative, one for all samples or an array (samples,)
    """
    below = trial.activity.rates[layer - 1][..., : trial.network.widths[layer]]
    sizes = flattened(row_norms(shift)) * flattened(row_norms(below))
    norm = float(frobenius_norm(to_numpy(update.weights)))
    return float(np.mean(deviations * sizes)) / norm if norm > 0 else np.inf
