"""How well two sets of weight updates agree, and how well they must.

Owns the measures (cosine, relative error, norm ratio) and the bound within which the update that a
circuit's equilibrium carries has to agree with the rule that its pathway stands for. Does not own
updates or circuits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuit.arrays import Array, row_norms, to_numpy
from circuit.dynamics import Trial, balance
from circuit.plasticity import Update
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
    size = np.max(np.abs(b), initial=0.0)
    if size == 0:
        return Agreement(np.nan, np.nan, np.nan)
    a, b = a / size, b / size  # squares of updates at depth 100 leave the range of floats
    norm_a, norm_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    cosine = float(a @ b) / (norm_a * norm_b) if norm_a > 0 else np.nan
    return Agreement(cosine, float(np.linalg.norm(a - b)) / norm_b, norm_a / norm_b)


def shift_deviation_bounds(trial: Trial, shifts: Shifts, readout: str = "shift") -> np.ndarray:
    """For every layer, how far a sample's read-out may be from its rule's shift, relatively.

    First order in the feedback strengths (docs/derivation.md, section 5). With r = gamma/(1-gamma),
    the GAIT pathway's shift exceeds its mismatch by what comes back from below,

        tau_l = sum_i  r^i  kappa_{l-i+2} ... kappa_l ,

    slopes being at most 1 and kappa_l the condition number of W_l; and the output's mismatch feels
    tau_L times the nudge. In the ITP pathway shifts have the rule's direction exactly. In both, the
    units' own non-linearity within the shift enters as nu_l, the part of a layer's message that its
    slopes do not explain, measured at the equilibrium.

    Parameters
    ----------
    shifts : the equilibrium's shifts
    readout : "shift" or "mismatch"

    Returns
    -------
    array (L,)
    """
    circuit, network = trial.circuit, trial.network
    depth = network.depth
    condition = np.array([factor.condition for factor in network.factors])
    strengths = np.array(circuit.strengths)
    nonlinearity = _message_nonlinearity(trial, shifts)

    returned = np.zeros(depth)  # tau_l
    if circuit.pathway.gradient_adjusted:
        r = strengths / (1 - strengths)
        for layer in range(2, depth + 1):
            # what returns to layer l-1 is lifted through W_l once more
            returned[layer - 1] = r[layer - 2] * (1 + condition[layer - 2] * returned[layer - 2])
        nudge = strengths[-1] * returned[-1] * (1 + returned[-1])
    else:
        nudge = 0.0
    own = returned if readout == "shift" else np.zeros(depth)
    bounds = np.zeros(depth)
    for layer in range(depth, 0, -1):
        # rule and circuit both bend, each by nu of the layers above, at slightly different points
        above = 3 * np.sum(nonlinearity[layer:] * condition[layer:]) if layer < depth else 0.0
        bounds[layer - 1] = (1 + own[layer - 1]) * (1 + nudge) * (1 + above) - 1
    return bounds


def _message_nonlinearity(trial: Trial, shifts: Shifts) -> np.ndarray:
    """nu_l: the worst sample's |v - v_linear| / |v_linear| at layers 1 .. L (0 at layer 1)."""
    terms, depth = balance(trial, shifts), trial.network.depth
    parts = [0.0]
    for layer in range(2, depth + 1):
        slope = trial.activity.slope(layer)
        if trial.circuit.pathway.gradient_adjusted:
            linear = slope * terms.mismatches[layer - 1]
        else:
            linear = shifts.values[layer - 1] / slope
        norms = to_numpy(row_norms(linear)).ravel()
        bent = to_numpy(row_norms(terms.messages[layer - 1] - linear)).ravel()
        parts.append(float(np.max(np.where(norms > 0, bent / np.where(norms > 0, norms, 1.0), 0))))
    return np.array(parts)


def coherence(trial: Trial, shift: Array, update: Update, layer: int) -> float:
    """Mean over samples of |delta| |y_{l-1}|, over the norm of the averaged update.

    Samples' contributions cancel in an average, their deviations need not: this is the factor
    between a deviation per sample and one of the update.
    """
    below = trial.activity.rates[layer - 1][..., : trial.network.widths[layer]]
    sizes = to_numpy(row_norms(shift) * row_norms(below))
    norm = float(np.linalg.norm(to_numpy(update.weights)))
    return float(np.mean(sizes)) / norm if norm > 0 else np.inf
