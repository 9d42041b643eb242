"""Means over seeds with their confidence intervals.

Owns Student's interval for a few independent repetitions, some of which may be missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95


FEWEST = 3  # repetitions whose interval is told; of two it is as wide as their distance is long


def told(values: np.ndarray | Sequence[float], form: str = ".3f", spread: str = ".2g") -> str:
    """Mean +- half the interval of one vector; of fewer than three values, each; "-" of none."""
    there = np.asarray(values, dtype=float).ravel()
    there = there[np.isfinite(there)]
    if len(there) < FEWEST:
        return ", ".join(f"{value:{form}}" for value in there) or "-"
    mean, half = over_repetitions(there)
    return f"{float(mean):{form}} +- {float(half):{spread}}"


def over_repetitions(
    values: np.ndarray, level: float = LEVEL, fewest: int = FEWEST
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and half-width of its confidence interval (Student's t), over the first axis.

    Parameters
    ----------
    values : array (repetitions, ...). A NaN is a repetition that is missing there.

    Returns
    -------
    Two arrays (...). The mean is NaN where all are missing, the half-width where fewer than
    `fewest` are there, 2 or more: an interval of two tells no more than the two.
    """
    values = np.asarray(values, dtype=float)
    there = np.isfinite(values)
    count = there.sum(axis=0)
    filled = np.where(there, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=0) / count
        squares = np.where(there, (values - mean) ** 2, 0.0).sum(axis=0)
        error = np.sqrt(squares / (count - 1) / count)
        # the quantile of Student's t; scipy.stats takes a third of a second to import
        half = stdtrit(np.maximum(count - 1, 1), (1 + level) / 2) * error
    return np.where(count > 0, mean, np.nan), np.where(count >= max(2, fewest), half, np.nan)
