"""circuit.numerics.small_systems against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from circuit.numerics.small_systems import solved
from tests.conftest import Backend


def cramer(matrix: np.ndarray, right: np.ndarray) -> list[Fraction]:
    """The solution of two equations with whole numbers."""
    (a, b), (c, d) = [[Fraction(int(x)) for x in row] for row in matrix]
    e, f = (Fraction(int(x)) for x in right)
    return [(e * d - b * f) / (a * d - b * c), (a * f - e * c) / (a * d - b * c)]


def test_one_singular_system_leaves_the_others_torch_among_them(
    backend: Backend, rng: np.random.Generator
) -> None:
    """A stack of two batches; one matrix has no inverse, to the last bit."""
    matrices = rng.integers(1, 9, (2, 4, 2, 2)).astype(float)
    matrices[..., 0, 0] += 10  # so that none of the others is singular
    matrices[..., 1, 1] += 10
    rights = rng.integers(-9, 9, (2, 4, 2)).astype(float)
    whole = np.asarray(solved(backend.asarray(matrices), backend.asarray(rights)))
    matrices[1, 2] = [[1.0, 2.0], [2.0, 4.0]]
    found = np.asarray(solved(backend.asarray(matrices), backend.asarray(rights)))
    assert np.isnan(found[1, 2]).all()
    for place in np.ndindex(2, 4):
        if place != (1, 2):
            wanted = [float(x) for x in cramer(matrices[place], rights[place])]
            np.testing.assert_allclose(found[place], wanted, rtol=1e-13, atol=1e-15)
            np.testing.assert_allclose(whole[place], wanted, rtol=1e-13, atol=1e-15)
