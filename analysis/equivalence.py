"""Is a mean within a margin of zero, and how many repetitions would it take to say so?

Owns the two one-sided tests (TOST, Schuirmann 1987) of independent differences, their power, and
the power of the t test against zero. Does not own the differences (`analysis.comparison`), nor the
margin, which is for the question to name.

A margin says how large a difference would still not matter. The two tests are of "the mean is at
most -margin" and "the mean is at least margin"; both have to be refused. That no difference was
found is another thing, and says the less the fewer repetitions there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.integrate import quad
from scipy.special import gammaln, ndtr, xlogy
from scipy.stats import nct
from scipy.stats import t as student

from circuit.errors import CircuitError

SIZE = 0.05  # of each test
WANTED = 0.8  # power with which a number of repetitions is said to decide
MOST = 1000  # repetitions


def two_one_sided(differences: np.ndarray | Sequence[float], margin: float) -> float:
    """The larger p-value of the two one-sided t tests; small where the mean is within the margin.

    Parameters
    ----------
    differences : (n,), a NaN is a repetition that is missing
    margin : above 0, in units of the differences

    Returns
    -------
    float
        NaN of fewer than two differences.

    Examples
    --------
    >>> round(two_one_sided([0.1, -0.1, 0.05, 0.0], 0.3), 4)
    0.0025
    """
    _require_margin(margin)
    values = np.asarray(differences, dtype=float).ravel()
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return float("nan")
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    nearest = margin - abs(mean)
    if error == 0:
        return float(nearest <= 0)
    return float(student.sf(nearest / error, len(values) - 1))


def power_of_equivalence(
    mean: float, spread: float, repetitions: int, margin: float, size: float = SIZE
) -> float:
    """How often both tests refuse, if differences are normal with this mean and spread.

    Exact: for a given sample spread s the sample mean has to lie within margin - t s / sqrt(n); its
    probability is averaged over the distribution of s.
    """
    _require_margin(margin)
    error = spread / math.sqrt(repetitions)
    if error == 0:
        return float(abs(mean) < margin)
    return _power_of_both(mean / error, margin / error, repetitions - 1, size)


def _power_of_both(mean: float, margin: float, freedom: int, size: float) -> float:
    """The same with mean and margin in standard errors."""
    critical, half = float(student.ppf(1 - size, freedom)), freedom / 2
    whole = gammaln(half) + half * math.log(2)

    def both(ratio: float) -> float:  # of the sample spread to the true one
        reach = margin - critical * ratio
        square = freedom * ratio**2
        inside = ndtr(reach - mean) - ndtr(-reach - mean)
        # of chi^2; the distributions of scipy.stats take fifty times as long
        density = math.exp(xlogy(half - 1, square) - square / 2 - whole)
        return float(inside * 2 * freedom * ratio * density)

    width = 10 / math.sqrt(2 * freedom)
    low, high = max(0.0, 1 - width), min(margin / critical, 1 + width)
    return float(quad(both, low, high, limit=200)[0]) if high > low else 0.0


def power_of_difference(mean: float, spread: float, repetitions: int, size: float = SIZE) -> float:
    """How often the two-sided t test refuses that the mean is zero, on the side where it is."""
    if spread == 0:
        return float(mean != 0)
    freedom = repetitions - 1
    critical = float(student.ppf(1 - size / 2, freedom))
    return float(nct.sf(critical, freedom, abs(mean) / spread * math.sqrt(repetitions)))


def repetitions_needed(mean: float, spread: float, margin: float) -> int | None:
    """How few repetitions would decide, were this mean and this spread the true ones.

    Within the margin they are to show that (`power_of_equivalence`), else that the mean is not zero
    (`power_of_difference`), each with a power of `WANTED`.

    Returns
    -------
    int or None
        None where more than `MOST` are needed, or mean or spread are not known.
    """
    _require_margin(margin)
    if not (math.isfinite(mean) and math.isfinite(spread)):
        return None
    power: Callable[..., float] = power_of_difference
    others: tuple[Any, ...] = ()
    if abs(mean) < margin:
        power, others = power_of_equivalence, (margin,)

    def enough(repetitions: int) -> bool:
        return power(mean, spread, repetitions, *others) >= WANTED

    few, many = 1, 2
    while not enough(many):  # power grows with the repetitions
        few, many = many, 2 * many
        if few >= MOST:
            return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many if many <= MOST else None


def _require_margin(margin: float) -> None:
    if not 0 < margin < math.inf:
        raise CircuitError(f"margin {margin} of equivalence is not above 0; use for example 0.003")
