"""How well two sets of weight updates agree: cosine, relative error, norm ratio.

Does not own updates or circuits, nor how well a circuit's must agree (`circuit.report.deviation`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuit.numerics.arrays import Array, row_norms, to_numpy


@dataclass(frozen=True)
class Agreement:
    """Agreement of one update with a reference update of the same layer.

    Attributes
    ----------
    cosine : of the angle between the two
    relative_error : |update - reference| / |reference|
    norm_ratio : |update| / |reference|

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.report import agreement
    >>> found = agreement(np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    >>> round(found.cosine, 3), round(found.relative_error, 3), round(found.norm_ratio, 3)
    (0.707, 0.707, 0.707)
    """

    cosine: float
    relative_error: float
    norm_ratio: float


def agreement(update: Array, reference: Array) -> Agreement:
    """Compare two arrays of one shape as vectors (Frobenius norm). NaN where the reference is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit.report import agreement
    >>> agreement(np.array([0.0, 2.0]), np.array([0.0, 1.0])).norm_ratio
    2.0
    """
    a = to_numpy(update).astype(np.float64).ravel()
    b = to_numpy(reference).astype(np.float64).ravel()
    if not b.any():
        return Agreement(np.nan, np.nan, np.nan)
    b = b / np.max(np.abs(b))  # squares of updates at depth 100 leave the range of floats
    a = a / np.max(np.abs(to_numpy(reference).astype(np.float64)))
    norm_a, norm_b, apart = (float(row_norms(one)) for one in (a, b, a - b))
    cosine = float((a / norm_a) @ (b / norm_b)) if norm_a > 0 else np.nan
    return Agreement(cosine, apart / norm_b, norm_a / norm_b)
