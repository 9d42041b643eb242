"""circuit.learning.regulariser: Eq. 23 as printed, its gradient by differences, and its zeros."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from mpmath import mp, mpf

from circuit.errors import CircuitError
from circuit.initialisation.weights import orthogonal
from circuit.learning.regulariser import descent, distance
from tests.conftest import Backend

SIDES = ("rows", "columns")


def printed(weights: list[list[mpf]], strength: float) -> mpf:
    """Eq. 23, entry by entry: lambda |(W W^T) o (J - I)|^2."""
    n = len(weights)
    return mpf(strength) * sum(
        sum(weights[i][k] * weights[j][k] for k in range(n)) ** 2
        for i in range(n)
        for j in range(n)
        if i != j
    )


def as_printed(weights: np.ndarray, of: str) -> list[list[mpf]]:
    """The matrix whose rows Eq. 23 is about."""
    return [[mpf(x) for x in row] for row in (weights if of == "rows" else weights.T).tolist()]


def value(weights: np.ndarray, of: str) -> float:
    """Eq. 23 with lambda 1."""
    return float(printed(as_printed(weights, of), 1.0))


@pytest.mark.parametrize("of", SIDES)
def test_gradient_of_the_printed_formula(of: str, rng: np.random.Generator) -> None:
    """Central differences in mpmath, step 1e-20 (error of order 1e-40); rows of unequal lengths."""
    weights = rng.standard_normal((4, 4)) * [[0.3], [1.0], [2.0], [5.0]]
    with mp.workdps(60):
        exact, step = as_printed(weights, of), mpf(10) ** -20
        slopes = np.zeros((4, 4))
        for i in range(4):
            for j in range(4):
                here = exact[i][j]
                exact[i][j] = here + step
                above = printed(exact, 0.7)
                exact[i][j] = here - step
                slopes[i, j] = (above - printed(exact, 0.7)) / (2 * step)
                exact[i][j] = here
    wanted = -(slopes if of == "rows" else slopes.T)
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(descent(weights, 0.7, of), wanted, rtol=0, atol=1e-13 * scale)


@pytest.mark.parametrize("of", SIDES)
def test_nothing_to_do_for_orthogonal_weights(of: str, rng: np.random.Generator) -> None:
    q = orthogonal(12, rng)
    assert value(q, of) < 1e-27
    assert np.abs(descent(q, 1.0, of)).max() < 1e-14


def test_lengths_of_the_chosen_side_are_free(rng: np.random.Generator) -> None:
    """Orthogonal rows of unequal lengths: nothing to do for rows, something for columns."""
    q, lengths = orthogonal(8, rng), np.linspace(0.5, 3, 8)
    unequal = {"rows": lengths[:, None] * q, "columns": q * lengths}
    for of, other in (SIDES, SIDES[::-1]):
        assert np.abs(descent(unequal[of], 1.0, of)).max() < 1e-12
        assert value(unequal[of], other) > 1
        assert np.abs(descent(unequal[of], 1.0, other)).max() > 0.1


def test_columns_are_the_rows_of_the_transpose(rng: np.random.Generator) -> None:
    weights = rng.standard_normal((9, 9))
    turned = descent(weights.T, 0.2, "rows").T
    np.testing.assert_allclose(descent(weights, 0.2, "columns"), turned, rtol=0, atol=1e-12)


@pytest.mark.parametrize("of", SIDES)
def test_following_it_makes_weights_orthogonal(of: str, rng: np.random.Generator) -> None:
    weights = rng.standard_normal((10, 10)) / np.sqrt(10)
    at_first = value(weights, of)
    for _ in range(4000):
        weights = weights + descent(weights, 0.05, of)
    assert value(weights, of) < 1e-6 * at_first


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("of", SIDES)
def test_added_onto_a_direction(of: str, dtype: str, rng: np.random.Generator) -> None:
    """The sum, in the dtype of the weights, and the weights as they were."""
    weights, direction = (rng.standard_normal((6, 6)).astype(dtype) for _ in range(2))
    before, alone = weights.copy(), descent(weights, 0.3, of)
    wanted = direction.astype(float) + alone
    got = descent(weights, 0.3, of, onto=direction.copy())
    assert got.dtype == alone.dtype == dtype
    np.testing.assert_allclose(got, wanted, rtol=0, atol=60 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(weights, before)


@pytest.mark.parametrize("of", SIDES)
def test_every_library_and_a_stack(of: str, backend: Backend, rng: np.random.Generator) -> None:
    """As one matrix after the other in NumPy, where a product of its own is used."""
    stack, directions = rng.standard_normal((2, 3, 5, 5))
    ours = backend.asarray(stack)
    got = descent(ours, 0.1, of)
    onto = descent(ours, 0.1, of, onto=backend.asarray(directions))
    distances = distance(ours)
    for array in (got, onto, distances):
        assert isinstance(array, backend.array_type)
    for i, weights in enumerate(stack):
        wanted = descent(weights, 0.1, of)
        np.testing.assert_allclose(np.asarray(got[i, ...]), wanted, rtol=0, atol=1e-13)
        np.testing.assert_allclose(
            np.asarray(onto[i, ...]), wanted + directions[i], rtol=0, atol=1e-13
        )
        assert float(distances[i]) == pytest.approx(float(distance(weights)), rel=1e-12)


def test_distance_is_that_to_the_polar_factor(rng: np.random.Generator) -> None:
    """The nearest orthogonal matrix is the polar factor (Fan and Hoffman 1955)."""
    weights = rng.standard_normal((7, 7))
    nearest, _ = scipy.linalg.polar(weights)
    gap = np.linalg.norm(weights - nearest) / np.sqrt(7)
    assert distance(weights) == pytest.approx(gap, rel=1e-12)
    q = orthogonal(7, rng)
    assert distance(q) < 1e-14
    assert distance(1.5 * q) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3)])
def test_an_unknown_side_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CircuitError, match="'diagonals' is unknown; choose from rows, columns"):
        descent(np.ones(shape), 1.0, "diagonals")
