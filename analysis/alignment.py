"""How well two sets of weight updates agree: cosine, relative error, norm ratio.

Does not own updates or circuits, nor how well a circuit's must agree (`analysis.deviation`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuit.arrays import Array, to_numpy


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
