"""What lateral inhibition that teaches pulls weights towards, beside the descent on Eq. 23.

Owns the expected pull at the fixed point of lateral plasticity, in closed form, the pull of lateral
circuits that learn from finite samples, and the cosine of both with Eq. 23; and of training runs by
several methods the choice of each one's setting.

With S = <x x^T> of presynaptic rates and C = W S W^T of drives,

    weak      dW = -4 lambda offdiag(C) W S        inhibitory currents L u, with L = <u u^T> learnt
                                                   from drives that inhibition hardly changes
    settled   dW = -8 lambda (1 - R) W S           populations at rest; whitening where c > k^2
              R with the eigenvectors of C and eigenvalues min(1/k, c^-1/2)

In spontaneous phases S = 1, and the first is minus the gradient of Eq. 23 itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from circuit.lateral_inhibition import teaching
from circuit.learning import regulariser
from circuit.report.alignment import agreement

PULLS = ("weak", "settled")


def second_moments(rates: np.ndarray) -> np.ndarray:
    """<x x^T> over samples, `(samples, n) -> (n, n)`."""
    return rates.T @ rates / len(rates)


def weak_pull(weights: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Expected change of W `(n_post, n_pre)` for lambda 1, of weak inhibition between units."""
    currents = weights @ moments @ weights.T
    np.fill_diagonal(currents, 0)
    return -4 * currents @ weights @ moments


def settled_pull(weights: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Expected change of W `(n_post, n_pre)` for lambda 1, of populations at rest."""
    response = resting_response(weights @ moments @ weights.T)
    return 8 * (response @ weights - weights) @ moments


def resting_response(covariance: np.ndarray) -> np.ndarray:
    """R of r = R u at the fixed point of the populations, for drives of this covariance."""
    values, vectors = np.linalg.eigh(covariance)
    strongest = 1 / teaching.LEAK
    with np.errstate(divide="ignore"):
        gains = np.minimum(strongest, 1 / np.sqrt(np.clip(values, 0, None)))
    return (vectors * gains) @ vectors.T


def expected_cosines(weights: Sequence[np.ndarray], moments: Sequence[np.ndarray]) -> np.ndarray:
    """Cosines of the expected pulls with the descent on Eq. 23.

    Parameters
    ----------
    weights : L arrays (n_post, n_pre)
    moments : L arrays (n_pre, n_pre), of the presynaptic rates

    Returns
    -------
    array (len(PULLS), L)
    """
    found = [
        [agreement(pull(w, s), regulariser.descent(w, 1.0)).cosine for pull in _EXPECTED]
        for w, s in zip(weights, moments, strict=True)
    ]
    return np.array(found).T


_EXPECTED = (weak_pull, settled_pull)


def sampled_cosine(
    name: str,
    weights: np.ndarray,
    generator: np.random.Generator,
    *,
    samples: int,
    rate: float,
    steps: int,
    averaged: int,
) -> float:
    """Cosine of the pull from finite samples of spontaneous activity with the descent on Eq. 23.

    Lateral synapses learn for `steps` steps, W standing still; then the pull is averaged over so
    many more.

    Raises
    ------
    CircuitError
        Where the lateral circuit has no stable rest.
    """
    kind = teaching.MECHANISMS[name]
    synapses, total = kind.begin(weights.shape[0], weights), np.zeros_like(weights)
    for step in range(steps + averaged):
        rates = 2.0 * generator.integers(0, 2, (samples, weights.shape[1])) - 1
        direction, synapses = teaching.teach(name, synapses, weights, rates, rate, 1.0)
        if step >= steps:
            total += direction
    return agreement(total, regulariser.descent(weights, 1.0)).cosine


def best_setting(data: xr.Dataset, method: str) -> float:
    """The setting of a method with the highest mean validation accuracy; of equal ones the least.

    Settings of which fewer runs completed come after all others: whoever trains sees that they
    fail.

    Parameters
    ----------
    data : with `validation_accuracy_chosen`, `status` (cell) and coordinates method, setting
    """
    own = data["method"].values == method
    settings = np.unique(data["setting"].values[own])

    def merit(setting: float) -> tuple[float, float]:
        part = own & (data["setting"].values == setting)
        completed = np.mean(data["status"].values[part] == "completed")
        return float(completed), float(np.mean(data["validation_accuracy_chosen"].values[part]))

    return float(max(settings[::-1], key=lambda one: (merit(one), -one)))


def runs_of(data: xr.Dataset, method: str, setting: float) -> xr.Dataset:
    """The training runs of a method at a setting, in the order of their seeds."""
    part = (data["method"].values == method) & (data["setting"].values == setting)
    return data.isel(cell=part).sortby("seed")
