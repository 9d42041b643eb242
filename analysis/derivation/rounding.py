"""What float64 can do to the library's side of a claim.

Owns first-order bounds on rounding: each step adds its own, and carries on what was there with the
product of the network's own matrices, |error_k| <= sum over j of |map_k ... map_{j+1}| local_j.
A product with W adds (N + 2) eps |W| |x|, a solve (N + 4) eps cond(W) |W^-1 x| (Higham 2002,
chapters 3 and 9). Relative and absolute errors are Euclidean norms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

EPS = float(np.finfo(np.float64).eps)
WIDEST_SVD = 32  # units up to which the norm of a product is its largest singular value


def accumulated(maps: Sequence[np.ndarray], local: Sequence[float]) -> list[float]:
    """Error after every step; `maps[k]` carries on what was there before step k adds `local[k]`."""
    carried: list[tuple[np.ndarray, float]] = []
    errors = []
    for matrix, size in zip(maps, local, strict=True):
        carried = [(matrix @ product, old) for product, old in carried]
        carried.append((np.eye(len(matrix)), size))
        errors.append(sum(_norm(product) * old for product, old in carried))
    return errors


def _norm(matrix: np.ndarray) -> float:
    """Spectral norm, or the Frobenius norm above it where that is costly."""
    if len(matrix) <= WIDEST_SVD:
        return float(np.linalg.norm(matrix, 2))
    return min(float(np.linalg.norm(matrix)), float(np.sqrt(_one(matrix) * _one(matrix.T))))


def _one(matrix: np.ndarray) -> float:
    return float(np.abs(matrix).sum(axis=0).max())


def of_rates(
    weights: Sequence[np.ndarray], slopes: Sequence[np.ndarray], rates: Sequence[np.ndarray]
) -> list[float]:
    """Absolute error of y_0 .. y_L in the forward pass; slopes and rates are of layers 0 .. L."""
    maps, local = [], []
    for layer, W in enumerate(weights, 1):
        n = len(W)
        size = np.linalg.norm(W, 2) * np.linalg.norm(rates[layer - 1][:n])
        local.append((n + 2) * EPS * float(size))
        maps.append(np.pad(slopes[layer][:, None] * W, ((0, 0), (0, len(rates[layer - 1]) - n))))
    return [0.0, *accumulated(maps, local)]


def step_down(rule: str, W: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The linear map from delta_l to delta_{l-1}, per gain: of "bp" or a target rule."""
    if rule == "bp":
        return W.T * slope
    if rule == "grait":
        return np.linalg.inv(W) * (slope * np.sum(W**2, axis=1))
    return np.linalg.inv(W) * (slope if rule == "gait" else 1 / slope)


def of_shifts(
    rule: str,
    weights: Sequence[np.ndarray],
    slopes: Sequence[np.ndarray],
    shifts: Sequence[np.ndarray],
    slope_errors: Sequence[float] | None = None,
) -> list[float]:
    """Relative error of delta_1 .. delta_L of a rule in a linear piece.

    Parameters
    ----------
    slopes : of layers 0 .. L
    shifts : delta_1 .. delta_L, per gain
    slope_errors : relative, of layers 0 .. L, for smooth units whose slopes follow the rates
    """
    depth = len(weights)
    sizes = [float(np.linalg.norm(shift)) for shift in shifts]
    maps, local = [np.eye(len(slopes[-1]))], [EPS]
    for layer in range(depth, 1, -1):
        W, below = weights[layer - 1], sizes[layer - 2]
        sent = float(np.linalg.norm(slopes[layer] * shifts[layer - 1]))
        step = step_down(rule, W, slopes[layer])
        if rule == "bp":
            own = (len(W) + 2) * EPS * float(np.linalg.norm(W, 2)) * sent / below
        else:
            own = (len(W) + 4) * EPS * float(np.linalg.cond(W))
            own *= 2 if rule == "grait" else 1  # N^2 is a sum of as many squares
        if slope_errors is not None:
            own += slope_errors[layer] * float(np.linalg.norm(W, 2)) * sent / below
        missing = len(shifts[layer - 2]) - len(W)
        maps.append(np.pad(step * (sizes[layer - 1] / below), ((0, missing), (0, 0))))
        local.append(own)
    return accumulated(maps, local)[::-1]


def of_updates(
    rule: str,
    weights: Sequence[np.ndarray],
    slopes: Sequence[np.ndarray],
    rates: Sequence[np.ndarray],
    shifts: Sequence[np.ndarray],
    *,
    smooth: bool = False,
) -> list[float]:
    """Relative error of A_l delta_l y_{l-1}^T, l = 1 .. L.

    `smooth`: the units' slopes depend on the rates. Then |f''/f'| <= 1 carries the absolute error
    of the drives, which is at most that of the product, into a relative one of the slopes.
    """
    rate_errors = of_rates(weights, slopes, rates)
    slope_errors = None
    if smooth:
        slope_errors = [0.0]
        for layer, W in enumerate(weights, 1):
            below = rates[layer - 1][: len(W)]
            norm = float(np.linalg.norm(W, 2))
            product = (len(W) + 2) * EPS * norm * float(np.linalg.norm(below))
            slope_errors.append(norm * rate_errors[layer - 1] + product)
    errors = of_shifts(rule, weights, slopes, shifts, slope_errors)
    found = []
    for layer in range(1, len(weights) + 1):
        shift, slope = shifts[layer - 1], slopes[layer]
        gained = float(np.linalg.norm(shift) / np.linalg.norm(slope * shift))
        presynaptic = float(np.linalg.norm(rates[layer - 1][: len(shift)]))
        relative = errors[layer - 1] * gained + rate_errors[layer - 1] / presynaptic + 4 * EPS
        found.append(relative + (slope_errors[layer] if slope_errors else 0.0))
    return found


def departure(W: np.ndarray) -> float:
    """|W^T W - I|, to rounding: how far an orthogonal matrix in float64 is from being one."""
    return float(np.linalg.norm(W.T @ W - np.eye(len(W)), 2)) + len(W) * EPS


def row_departure(W: np.ndarray) -> float:
    """|W^-1 N^2 - W^T| <= |W^-1| |N^2 - W W^T|, to rounding, for rows that are meant orthogonal."""
    gram = W @ W.T
    apart = float(np.linalg.norm(gram - np.diag(np.diag(gram)), 2)) + len(W) * EPS * float(
        np.linalg.norm(W, 2) ** 2
    )
    return float(np.linalg.norm(np.linalg.inv(W), 2)) * apart
