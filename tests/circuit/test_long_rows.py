"""The slowest mode of the GRAIT circuit where rows of weights are long (derivation, section 8)."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from circuit.linearisation.matrix import dense_jacobian
from tests.circuit.test_row_adjusted import _quiet, rows_of

GAMMA, DEPTH = 0.2, 3


def _slowest(length: float, nudged: int, rng: np.random.Generator) -> float:
    """The rate of the slowest mode over 1/tau, by a general solver of eigenvalues."""
    network = rows_of((4,) * (DEPTH + 1), (length, length), rng, "linear", nudged)
    trial = _quiet(network, "grait", GAMMA)
    return -scipy.linalg.eigvals(dense_jacobian(trial, trial.at_rest())).real.max()


@pytest.mark.parametrize("length", [10.0, 30.0])
def test_the_slowest_mode_is_the_nudges_or_slower_without_limit(
    length: float, rng: np.random.Generator
) -> None:
    """With |x| = 1 the least |M x|^2 has all rows of M x but the last at 0, x falling by
    sqrt(1 - gamma) / (sqrt(gamma) N) a layer: gamma_L of the nudge. Without a nudge the first row
    is left in its place, (1 - gamma) / (gamma N^2) a layer, but 1 / (gamma N^2) for the top one.
    """
    step = 1 / (GAMMA * length**2)
    assert _slowest(length, 4, rng) == pytest.approx(GAMMA, rel=3 * step)
    wanted = (1 - GAMMA) * step * ((1 - GAMMA) * step) ** (DEPTH - 2)
    assert _slowest(length, 3, rng) == pytest.approx(wanted, rel=10 * step)
