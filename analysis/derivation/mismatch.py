"""Claims on what a layer's mismatch is: back-propagation's error where weights are orthogonal.

Owns, for each settled circuit, the recursion that its mismatches obey, and the bound between. The
circuits and their residuals are those of `analysis.derivation.equilibria`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.derivation import rounding
from analysis.derivation.both_sides import ORTHOGONAL, compared
from analysis.derivation.claim import Check, ClaimPlan
from analysis.derivation.equilibria import per_unit, settled, undecided
from analysis.derivation.random_networks import Case, cases
from analysis.derivation.rounding import EPS
from circuit.outcome import Equilibrium

SMALLEST_ERROR = 12  # powers of 1/8 tried before a circuit is left undecided


def mismatch(plan: ClaimPlan) -> Iterator[Check]:
    """Orthogonal W, no message across a kink: m_l = r_l W^T A m_{l+1} with the state's slopes."""
    for found in cases(plan, ORTHOGONAL, (1e-6, 0.01), wide=True):
        yield mismatch_chain(found)
    # deeper than this, strong feedback meets a kink at every error: no equilibrium is without one
    for found in cases(plan, ORTHOGONAL, (0.1,), wide=True, deepest=10):
        yield mismatch_chain(found)
    for found in cases(plan, ORTHOGONAL, (0.3, 0.5), wide=True, deepest=3):
        yield mismatch_chain(found)


def mismatch_is_not_bp(plan: ClaimPlan) -> Iterator[Check]:
    """Control: Gaussian W."""
    for found in cases(plan, (("leaky_relu", "gaussian"),), (0.01,), shallowest=2, deepest=12):
        yield mismatch_chain(found, control=True)


def mismatch_chain(found: Case, pathway: str = "gait", *, control: bool = False) -> Check:
    """One settled circuit's mismatches against what the recursion makes of the layer above."""
    network, depth, gammas = found.network, found.network.depth, found.gammas
    adjusted = pathway == "grait"
    if found.subject.units == "linear":
        record = settled(found, pathway)
    else:  # the largest error, in steps, for which there is an equilibrium that says something
        for _ in range(SMALLEST_ERROR):
            record = settled(found, pathway, ("direct",))
            if record is not None and not _message_crosses(found, record, adjusted):
                break
            record, found = None, found.with_error(found.error / 8)
    if record is None:
        return undecided(found, "no equilibrium found without a message across a kink")
    state = [found.inputs[0], *(rates[0] for rates in record.activities)]
    drives = [network.weights[k] @ state[k] for k in range(depth)]
    leak = 1.0 if found.subject.units == "linear" else 0.1
    slopes = [np.where(drive > 0, 1.0, leak) for drive in drives]
    # all divided by what the recursion itself puts before the matrices, gamma_L prod r_j
    gains = [gammas[-1]]
    for gamma in gammas[-2::-1]:
        gains.append(gains[-1] * gamma / (1 - gamma))
    gains.reverse()
    shift_sizes = [
        float(np.linalg.norm(per_unit(record.shifts, k, gain))) for k, gain in enumerate(gains, 1)
    ]
    # m_L = gamma_L (t_L - g_L(y_{L-1})); with one layer nothing below shifts
    deviation = (
        slopes[-1] * drives[-1] - found.rates[-1] if depth > 1 else np.zeros(len(drives[-1]))
    )
    value = found.error[0] - deviation
    rate_error = 2 * rounding.of_rates(network.weights, found.slopes, found.rates)[-1]
    size, residual = float(np.linalg.norm(value)), max(record.relative_residuals)
    own = residual * shift_sizes[-1] + (rate_error if depth > 1 else 0.0)
    m, local, maps = [value], [own / size + 4 * EPS], [np.eye(len(value))]
    for layer in range(depth - 1, 0, -1):
        W, above = network.weights[layer], float(np.linalg.norm(m[-1]))
        sent = slopes[layer] * m[-1]
        m.append(W.T @ sent)
        size, norm = float(np.linalg.norm(m[-1])), float(np.linalg.norm(sent))
        left = residual * shift_sizes[layer - 1] / (1 - gammas[layer - 1])
        apart = 0.0
        if not control:
            apart = rounding.row_departure(W) if adjusted else rounding.departure(W)
        steps = (len(W) + 4) * 2 * EPS
        if adjusted:  # the products with N^2 and W^-1 round before they make the transpose
            steps *= float(np.linalg.cond(W)) ** 2 * float(np.linalg.norm(W, 2))
        local.append((left + (steps + apart) * norm) / size)
        maps.append(W.T * slopes[layer] * (above / size))
    m.reverse()
    bounds = rounding.accumulated(maps, local)[::-1]
    # the mismatch is read as d_l - p_l, which rounds with the shift and not with itself
    read = [
        bound + 4 * (len(one) + 4) * EPS * shift / float(np.linalg.norm(one))
        for bound, one, shift in zip(bounds, m, shift_sizes, strict=True)
    ]
    measured = [per_unit(record.mismatches, k, gain) for k, gain in enumerate(gains, 1)]
    last = -1 if control else None
    return compared(found, measured[:last], m[:last], read[:last], control=control)


def _message_crosses(found: Case, record: Equilibrium, adjusted: bool) -> bool:
    """Whether A^2 m (A^2 N^2 m where `adjusted`) takes any sender's drive u across its kink, or a
    unit rests there, with a slope that is neither of its two.
    """
    if found.subject.units == "linear":
        return False
    if any(np.any(np.asarray(slopes) > 0) for slopes in record.sliding_slopes):
        return True
    state = [found.inputs[0], *(rates[0] for rates in record.activities)]
    for layer in range(2, found.network.depth + 1):
        drive = found.network.weights[layer - 1] @ state[layer - 1]
        slope = np.where(drive > 0, 1.0, 0.1)
        message = slope * np.asarray(record.mismatches.absolute(layer)[0])
        if adjusted:
            message = message * np.sum(found.network.weights[layer - 1] ** 2, axis=1)
        if np.any(drive * (drive + message) <= 0):
            return True
    return False
