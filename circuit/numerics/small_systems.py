"""Small systems of linear equations, one for each sample of a batch.

Owns what becomes of one that is singular: it has no solution, and the others have theirs.
"""

from __future__ import annotations

import array_api_compat
import numpy as np

from circuit.numerics.arrays import Array, namespace, to_numpy


def solved(matrix: Array, right: Array) -> Array:
    """The solution of each sample's equations, (..., n, n), (..., n) -> (..., n).

    NaN where the matrix is singular.
    """
    xp = namespace(matrix)
    try:
        return xp.linalg.solve(matrix, right[..., None])[..., 0]
    except (np.linalg.LinAlgError, RuntimeError):  # one of them is singular
        n, device = right.shape[-1], array_api_compat.device(right)
        pairs = zip(to_numpy(matrix).reshape(-1, n, n), to_numpy(right).reshape(-1, n), strict=True)
        found = np.stack([_solved_alone(one, side) for one, side in pairs])
        return xp.asarray(found.reshape(right.shape), dtype=right.dtype, device=device)


def _solved_alone(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        return np.full_like(right, np.nan)
