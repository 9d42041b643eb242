"""Units at their kink through feedback that is not the exact inverse: the messages that balance.

Owns which choice of messages, each within the interval that its unit may send there, leaves the
layer below nearest to rest, sample by sample: least squares with bounds. Does not own the intervals
(`circuit.verification.sliding`), nor the ruler. Of a stack of networks no unit counts as being at
its kink.
"""

from __future__ import annotations

import array_api_compat
import numpy as np

from circuit.numerics.arrays import Array, epsilon, namespace, smallest_normal, to_numpy
from circuit.shift_dynamics import LayerTerms, scale_ratio
from circuit.shifts import Shifts
from circuit.trial import Trial

NEAR_KINK = 0.5  # power of eps: how near a unit's drive is to its kink, beside how far drives moved
BETTER = 0.5  # of the residual without it, by which a state at kinks is to be nearer to rest


def hull_messages(
    trial: Trial,
    shifts: Shifts,
    layer: int,
    terms: LayerTerms,
    demand: Array,
    interval: tuple[Array, Array],
) -> tuple[Array, Array, Array]:
    """Which units of `layer` are at their kink, what all of them send down then, and the residual
    of the layer below, (..., batch).

    Parameters
    ----------
    demand : of the layer below
    interval : the least and the largest message of every unit at its kink; NaN for one that cannot
        rest there
    """
    xp, device = namespace(terms.message), array_api_compat.device(terms.message)
    weight = trial.circuit.strength(layer - 1) * scale_ratio(shifts, layer, layer - 1)
    residual = demand - weight * trial.circuit.pull(layer, terms.message)
    norms = np.asarray(np.linalg.norm(to_numpy(residual), axis=-1))
    message = np.array(to_numpy(terms.message))
    there = np.zeros(message.shape, dtype=bool)
    if message.ndim == 2:
        below = max(shifts.scales[layer - 2].value, smallest_normal(terms.message))
        away = to_numpy(trial.activity.drive(layer)) / below + to_numpy(terms.drive_shift)
        moved = np.abs(to_numpy(terms.drive_shift)).max(axis=-1, keepdims=True)
        least, largest = (to_numpy(end) for end in interval)
        near = (np.abs(away) <= epsilon(terms.message) ** NEAR_KINK * moved) & (least < largest)
        eye = xp.eye(message.shape[-1], dtype=terms.message.dtype, device=device)
        back = weight * to_numpy(trial.circuit.pull(layer, eye)).T
        rows = to_numpy(trial.network.weights[layer - 1])
        for sample in np.flatnonzero(near.any(axis=-1)):
            at = near[sample]
            ends = least[sample, at], largest[sample, at]
            found, left = _balanced(
                to_numpy(residual)[sample], back[:, at], message[sample, at], ends
            )
            left += float(np.linalg.norm(np.linalg.pinv(rows[at]) @ away[sample, at]))
            if left < BETTER * norms[sample]:
                there[sample], norms[sample] = at, left
                message[sample, at] = found
    return (
        xp.asarray(there, device=device),
        xp.asarray(message, dtype=terms.message.dtype, device=device),
        xp.asarray(norms, dtype=terms.message.dtype, device=device),
    )


def _balanced(
    residual: np.ndarray, back: np.ndarray, sent: np.ndarray, ends: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, float]:
    """The messages between `ends` that leave least of `residual`, in which units now send `sent`
    through the columns of `back`; and the norm of what is left.
    """
    from scipy.optimize import lsq_linear  # takes a while to load, and few circuits need it

    without = residual + back @ sent
    found = lsq_linear(back, without, bounds=ends, method="bvls").x
    return found, float(np.linalg.norm(without - back @ found))
