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
    """For every layer and sample, how far the read-out may be from its rule's shift, relatively.

    First order in the feedback strengths (docs/derivation.md, section 5). With r = gamma/(1-gamma),
    the GAIT pathway's shift exceeds its mismatch by what comes back from below,

        tau_l = sum_i  r^i  kappa_{l-i+2} ... kappa_l ,

    slopes being at most 1 and kappa_l the condition number of W_l; and the output's mismatch feels
    tau_L times the nudge. In the ITP pathway shifts have the rule's direction exactly. In both, the
    units' own non-linearity within the shift enters as nu_l, the part of a layer's message that its
    slopes do not explain, measured at the equilibrium; in the ITP pathway it also returns to the
    layer itself, times a_{l-1}.

    Parameters
    ----------
    shifts : the equilibrium's shifts
    readout : "shift" or "mismatch"

    Returns
    -------
    array (L, samples)
    """
    circuit, network = trial.circuit, trial.network
    depth = network.depth
    condition = np.array([factor.condition for factor in network.factors])
    strengths = np.array(circuit.strengths)
    nonlinearity, echo = _message_nonlinearity(trial, shifts)

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
    above = np.zeros_like(echo[0])
    bounds = np.zeros_like(echo)
    for layer in range(depth, 0, -1):
        # rule and circuit both bend, each by nu of the layers above, at slightly different points
        bent = 3 * (above + echo[layer - 1])
        bounds[layer - 1] = (1 + own[layer - 1]) * (1 + nudge) * (1 + bent) - 1
        above = above + nonlinearity[layer - 1] * condition[layer - 1]
    return bounds


def _message_nonlinearity(trial: Trial, shifts: Shifts) -> tuple[np.ndarray, np.ndarray]:
    """For layers 1 .. L (0 at layer 1) and samples: nu_l = |v - v_linear| / |v_linear|, and in the
    ITP pathway a_{l-1} |v - v_linear| / |d_l|.
    """
    terms, depth = balance(trial, shifts), trial.network.depth
    samples = int(np.prod(trial.error.shape[:-1]))
    bent, echo = np.zeros((depth, samples)), np.zeros((depth, samples))

    def ratio(part: Array, whole: Array) -> np.ndarray:
        norms, parts = to_numpy(row_norms(whole)).ravel(), to_numpy(row_norms(part)).ravel()
        return np.where(norms > 0, parts / np.where(norms > 0, norms, 1.0), 0.0)

    for layer in range(2, depth + 1):
        slope, value = trial.activity.slope(layer), shifts.values[layer - 1]
        gait = trial.circuit.pathway.gradient_adjusted
        linear = slope * terms.mismatches[layer - 1] if gait else value / slope
        rest = terms.messages[layer - 1] - linear
        bent[layer - 1] = ratio(rest, linear)
        if not gait:
            echo[layer - 1] = trial.circuit.ratios[layer - 2] * ratio(rest, value)
    return bent, echo


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
    sizes = to_numpy(row_norms(shift) * row_norms(below)).ravel()
    norm = float(np.linalg.norm(to_numpy(update.weights)))
    return float(np.mean(deviations * sizes)) / norm if norm > 0 else np.inf
