"""circuit.numerics.following_inverse and singular_values: inverses of weights that move, as
exact as fresh ones.

The yardsticks are a fresh LU solve by LAPACK, solves in mpmath, and singular values by LAPACK.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from mpmath import mp

from circuit.errors import NotFinite, SingularWeights
from circuit.initialisation.networks import initialise
from circuit.initialisation.weights import gaussian, orthogonal
from circuit.numerics import following_inverse
from circuit.numerics.arrays import product_rounding
from circuit.numerics.following_inverse import MovingWeights, usual_residual
from circuit.numerics.inverse import Factorised
from circuit.numerics.singular_values import bounded
from tests.conftest import Backend

DRAW = {"orthogonal": orthogonal, "gaussian": gaussian}


def course(
    weights: np.ndarray, steps: int, size: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Weights under steps like Adam's: of one size everywhere, and of a few ranks in the main."""
    n, passed = weights.shape[-1], [weights]
    for _ in range(steps):
        left, right = (rng.standard_normal((*weights.shape[:-2], n, 3)) for _ in range(2))
        noise = rng.standard_normal(weights.shape)
        step = np.sign(left @ np.swapaxes(right, -1, -2) + noise)
        passed.append(passed[-1] + (size * step).astype(weights.dtype))
    return passed


def residual(weights: np.ndarray, rates: np.ndarray, solution: np.ndarray) -> float:
    """|v - W x|, root mean square over samples, each over |v| or |W|_F |x| / sqrt(n); in float64,
    or beyond for float64.
    """
    precise = np.longdouble if weights.dtype == np.float64 else np.float64
    w, v, x = (array.astype(precise) for array in (weights, rates, solution))
    left = np.sqrt(np.sum((v - x @ w.T) ** 2, axis=-1))
    norms = [np.sqrt(np.sum(array**2, axis=-1)) for array in (v, x)]
    size = np.sqrt(np.sum(w**2) / len(w))
    return float(np.sqrt(np.mean((left / np.maximum(norms[0], size * norms[1])) ** 2)))


def fresh(weights: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """A solve by LAPACK with weights that are factorised for it."""
    return scipy.linalg.lu_solve(scipy.linalg.lu_factor(weights), rates.T).T


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("init", DRAW)
@pytest.mark.parametrize(("n", "size"), [(24, 1e-4), (24, 3e-2), (160, 1e-4), (160, 3e-3)])
def test_as_exact_as_a_fresh_solve(
    n: int, size: float, init: str, dtype: str, rng: np.random.Generator
) -> None:
    """Step after step, whatever the steps; batches of few and of many samples."""
    factors = None
    for weights in course(DRAW[init](n, rng).astype(dtype), 40, size, rng):
        factors = MovingWeights(weights, 2) if factors is None else factors.moved(weights)
        for batch in (5, 60):
            rates = rng.standard_normal((batch, n)).astype(dtype)
            solution = factors.solve(rates)
            assert solution.shape == rates.shape
            assert solution.dtype == dtype
            own, other = (residual(weights, rates, x) for x in (solution, fresh(weights, rates)))
            # the check is made on random sums and with rounding: half as much again
            assert own <= 1.5 * max(other, usual_residual(np.finfo(dtype).eps, n))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("init", DRAW)
def test_what_is_usual_is_what_a_fresh_solve_leaves(init: str, dtype: str) -> None:
    """In the mean over matrices: as much for orthogonal ones, half of it for Gaussian ones."""
    rng = np.random.default_rng(2)
    for n in (16, 64, 256):
        left = []
        for _ in range(4):
            weights = DRAW[init](n, rng).astype(dtype)
            rates = rng.standard_normal((60, n)).astype(dtype)
            left.append(residual(weights, rates, fresh(weights, rates)))
        ratio = np.mean(left) / usual_residual(np.finfo(dtype).eps, n)
        assert (0.5 if init == "orthogonal" else 0.2) < ratio < 2


def test_against_mpmath_after_many_steps(rng: np.random.Generator) -> None:
    """The error is at most the condition number times what the residual may be."""
    factors = MovingWeights(gaussian(8, rng), 1)
    rates = rng.standard_normal((3, 8))
    for weights in course(factors.weights, 30, 2e-3, rng)[1:]:
        factors = factors.moved(weights)
        solution = factors.solve(rates)
    with mp.workdps(50):
        exact = [mp.lu_solve(mp.matrix(weights.tolist()), mp.matrix(v)) for v in rates.tolist()]
        wanted = np.array([[float(x) for x in column] for column in exact])
    allowed = 3 * np.linalg.cond(weights) * usual_residual(np.finfo(float).eps, 8)
    assert np.linalg.norm(solution - wanted) <= allowed * np.linalg.norm(wanted)


def test_a_stack_as_its_members(rng: np.random.Generator) -> None:
    """The worst member decides when enough is enough, and each is as exact as alone."""
    stack = np.stack([orthogonal(20, rng), gaussian(20, rng), 3 * orthogonal(20, rng)])
    factors = None
    for weights in course(stack, 25, 1e-3, rng):
        factors = MovingWeights(weights, 1) if factors is None else factors.moved(weights)
        rates = rng.standard_normal((3, 30, 20))
        solution = factors.solve(rates)
        for i in range(3):
            limit = max(
                residual(weights[i], rates[i], fresh(weights[i], rates[i])),
                usual_residual(np.finfo(float).eps, 20),
            )
            assert residual(weights[i], rates[i], solution[i]) <= 2 * limit


def test_weights_that_have_nothing_to_do_with_the_last_ones(rng: np.random.Generator) -> None:
    """No trust without a check: another matrix altogether is solved all the same."""
    factors = MovingWeights(orthogonal(30, rng), 1)
    rates = rng.standard_normal((40, 30))
    factors.solve(rates)
    for weights in (gaussian(30, rng), -orthogonal(30, rng), 1e6 * orthogonal(30, rng)):
        factors = factors.moved(weights)
        np.testing.assert_allclose(
            factors.solve(rates), fresh(weights, rates), rtol=0, atol=1e-10 * 30
        )


def test_one_inverse_serves_many_steps(rng: np.random.Generator, monkeypatch) -> None:
    """What it is for; with steps as large as the weights it serves none."""
    inverted = []
    original = following_inverse._inverted
    monkeypatch.setattr(following_inverse, "_inverted", lambda w: inverted.append(1) or original(w))
    rates = rng.standard_normal((60, 64)).astype("float32")
    served = {}
    for size in (1e-5, 0.1):
        inverted.clear()
        factors = None
        for weights in course(orthogonal(64, rng).astype("float32"), 30, size, rng):
            factors = MovingWeights(weights, 1) if factors is None else factors.moved(weights)
            factors.solve(rates)
        served[size] = len(inverted)
    assert served[1e-5] <= 3
    assert served[0.1] >= 28


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_columns_of_an_inverse_of_which_few_rows_learn(
    dtype: str, rng: np.random.Generator, monkeypatch
) -> None:
    """As exact as fresh ones, step after step, and had without the inverse. Where the other rows
    learn too they are as exact, but not had so.
    """
    used = []
    original = following_inverse.KeptInverse.apply
    monkeypatch.setattr(
        following_inverse.KeptInverse, "apply", lambda *args: used.append(1) or original(*args)
    )
    passed = course(gaussian(40, rng).astype(dtype), 40, 1e-3, rng)
    units, like = np.eye(4, 40, dtype=dtype), np.zeros((60, 4), dtype)
    limit = usual_residual(np.finfo(dtype).eps, 40)
    for few in (True, False):
        used.clear()
        factors = None
        for weights in passed:
            if few:
                weights = np.concatenate([weights[:4], passed[0][4:]])
            factors = MovingWeights(weights, 1) if factors is None else factors.moved(weights)
            columns = factors.columns(like)
            least = residual(weights, units, fresh(weights, units))
            assert residual(weights, units, columns) <= 1.5 * max(least, limit)
        assert len(used) <= 1 if few else len(used) > 30


def test_columns_of_other_weights_altogether(rng: np.random.Generator) -> None:
    """Earlier columns that the new ones do not lie near, or whose images vanish, do no harm."""
    factors, like = MovingWeights(orthogonal(30, rng), 1), np.zeros((60, 4))
    factors.columns(like)
    swapped = np.roll(factors.weights, 15, axis=0)  # the images of the earlier columns are zero
    for weights in (gaussian(30, rng), swapped, orthogonal(30, rng)):
        factors = factors.moved(weights)
        np.testing.assert_allclose(factors.columns(like), np.linalg.inv(weights).T[:4], atol=1e-11)
    assert factors.columns(np.zeros((60, 5))).shape == (5, 30)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_columns_of_weights_that_become_singular(dtype: str, rng: np.random.Generator) -> None:
    """Also where only rows learn whose columns could be followed: refused at the next step over
    the limit, and no step earlier.
    """
    rows, like = orthogonal(40, rng), np.zeros((60, 4), dtype)
    factors = MovingWeights(rows.astype(dtype), 1)
    factors.columns(like)
    limit, condition = factors.worst_condition, 1.0
    for halvings in range(1, 60):
        weights = rows.copy()
        weights[0] = rows[1] + 0.5**halvings * (rows[0] - rows[1])
        weights = weights.astype(dtype)
        factors, before = factors.moved(weights), condition
        condition = np.linalg.cond(weights.astype(float))
        try:
            factors.columns(like)
        except SingularWeights:
            break
        assert condition <= 2 * limit
    assert before <= 2 * limit
    assert condition > limit


def test_what_a_batch_taught_is_enough_for_that_batch(rng: np.random.Generator) -> None:
    """The block form of Broyden's update: afterwards B v is what it was corrected to."""
    weights = orthogonal(40, rng)
    start = following_inverse.KeptInverse(weights)
    rates = rng.standard_normal((6, 40))
    rates[3] = 0
    short = rates @ (0.01 * gaussian(40, rng))
    before, others = start.apply(rates), rng.standard_normal((4, 40))
    # samples that are orthogonal to all of the batch are left as they were
    others -= others @ np.linalg.pinv(rates) @ rates
    untouched = start.apply(others)
    start.learn(rates, short)
    np.testing.assert_allclose(start.apply(rates), before + short, rtol=0, atol=1e-7)
    np.testing.assert_allclose(start.apply(others), untouched, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_side_near_the_last_one_begins_with_its_solution(
    dtype: str, rng: np.random.Generator, monkeypatch
) -> None:
    """As exact as a fresh solve, from one product with B; what is far off begins anew."""
    n, batch = 160, 60
    products, times = [], following_inverse.rows_times
    counted = lambda rows, matrix: products.append(len(rows)) or times(rows, matrix)  # noqa: E731
    factors = None
    for weights in course(orthogonal(n, rng).astype(dtype), 3, 1e-4, rng):
        factors = MovingWeights(weights, 2) if factors is None else factors.moved(weights)
        first = rng.standard_normal((batch, n)).astype(dtype)
        size = 1e3 * np.finfo(dtype).eps
        near = first + (size * rng.standard_normal((batch, n))).astype(dtype)
        odd = first + (0.05 * rng.standard_normal((batch, n))).astype(dtype)
        far, other = -first, 1e-8 * first
        factors.solve(first)
        with monkeypatch.context() as patch:
            patch.setattr(following_inverse, "rows_times", counted)
            products.clear()
            solution = factors.solve(near)
            assert products.count(batch) == 1
        for rates, found in ((near, solution), *((v, factors.solve(v)) for v in (odd, far, other))):
            enough = max(residual(weights, rates, fresh(weights, rates)), factors._enough)
            assert residual(weights, rates, found) <= 1.5 * enough
            # a sample's own error counts, not that of what was solved before
            np.testing.assert_allclose(
                found @ weights.T, rates, rtol=0, atol=enough * 10 * abs(rates).max()
            )


@pytest.mark.parametrize("batch", [3, 60])
def test_the_residual_on_random_sums(batch: int, rng: np.random.Generator) -> None:
    """The true one within a third, over many solutions that are wrong in different ways."""
    weights = gaussian(50, rng)
    factors, ratios = MovingWeights(weights, 1), []
    for spread in np.linspace(0, 2, 40):
        rates = rng.standard_normal((batch, 50))
        wrong = fresh(weights, rates)
        wrong += 1e-6 * rng.standard_normal(wrong.shape) * rng.lognormal(0, spread, (batch, 1))
        estimate = factors._residual(rates, wrong, np.linalg.norm(weights) / 50**0.5)
        ratios.append(estimate / residual(weights, rates, wrong))
    if batch == 3:  # few samples are looked at one by one
        np.testing.assert_allclose(ratios, 1, rtol=1e-9)
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)
    assert 0.67 < min(ratios) < max(ratios) < 1.5


def test_every_library(backend: Backend, rng: np.random.Generator) -> None:
    """Each by its own linear algebra, and with its own arrays."""
    factors = None
    for weights in course(gaussian(12, rng), 10, 1e-3, rng):
        ours = backend.asarray(weights)
        factors = MovingWeights(ours, 1) if factors is None else factors.moved(ours)
        rates = rng.standard_normal((20, 12))
        solution = factors.solve(backend.asarray(rates))
        assert isinstance(solution, backend.array_type)
        allowed = 20 * np.linalg.cond(weights) * usual_residual(np.finfo(float).eps, 12)
        wanted = fresh(weights, rates)
        gap = np.linalg.norm(np.asarray(solution) - wanted)
        assert gap <= allowed * np.linalg.norm(wanted)
        low = factors.quick_pull(backend.library.asarray(backend.asarray(rates), copy=True))
        np.testing.assert_allclose(np.asarray(low), wanted, rtol=1e-6, atol=1e-6)
    push = factors.quick_push(backend.asarray(rates.astype("float32")))
    assert "float32" in str(push.dtype)
    np.testing.assert_allclose(np.asarray(push), rates @ weights.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dtype", "least"), [("float64", 1e-310), ("float32", 1e-42)])
def test_a_condition_number_beyond_all_floats_is_infinite(dtype: str, least: float, rng) -> None:
    """One over a number that has no digits left; NumPy warns of that quotient, we do not."""
    sound = np.eye(6, dtype=dtype)
    factors = MovingWeights(sound, 4)
    rates = rng.standard_normal((20, 6)).astype(dtype)
    factors.solve(rates)
    broken = np.diag(np.array([1, 1, 1, 1, 1, least], dtype=dtype))
    assert 0 < np.linalg.svd(broken, compute_uv=False)[-1] < np.finfo(dtype).smallest_normal
    with pytest.raises(SingularWeights, match=r"layer 4 has come to a condition number of inf"):
        factors.moved(broken).solve(rates)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_weights_that_become_singular_are_named(dtype: str, rng: np.random.Generator) -> None:
    """Exactly, or as good as: with the layer and the condition number."""
    rates = rng.standard_normal((20, 6)).astype(dtype)
    sound = orthogonal(6, rng)
    for smallest in (0.0, 1e-3 * np.finfo(dtype).eps):
        factors = MovingWeights(sound.astype(dtype), 4)
        factors.solve(rates)
        broken = sound.copy()
        broken[5] = broken[4] + smallest * broken[5]
        with pytest.raises(SingularWeights, match=r"layer 4 has come to a condition number of"):
            factors.moved(broken.astype(dtype)).solve(rates)


def test_ill_conditioned_weights_are_solved_while_two_digits_are_left(
    rng: np.random.Generator,
) -> None:
    """The limit is that of the spectral condition number, as for weights that do not move."""
    u, v = orthogonal(30, rng), orthogonal(30, rng)
    rates = rng.standard_normal((20, 30))
    for condition in (1e4, 1e9, 2e13):
        weights = u * np.geomspace(1, 1 / condition, 30) @ v
        start = MovingWeights(orthogonal(30, rng), 1)
        start.solve(rates)
        solution = start.moved(weights).solve(rates)
        limit = usual_residual(np.finfo(float).eps, 30)
        assert residual(weights, rates, solution) <= 3 * limit
    weights = u * np.geomspace(1, 1e-15, 30) @ v
    for factors in (MovingWeights(weights, 1), Factorised(weights, 1)):
        with pytest.raises(SingularWeights):
            factors.solve(rates)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [1e-4, 3e-2])
def test_bounds_of_singular_values_hold_while_weights_move(
    size: float, dtype: str, rng: np.random.Generator
) -> None:
    """And stay of use: within a factor, not only on the right side."""
    factors = None
    for weights in course(orthogonal(20, rng).astype(dtype), 60, size, rng):
        factors = MovingWeights(weights, 1) if factors is None else factors.moved(weights)
        values = np.linalg.svd(weights.astype(float), compute_uv=False)
        rounding = 1 + product_rounding(np.finfo(dtype).eps, 20)
        least, most = factors.extreme_singular_values
        assert least <= values[-1] * rounding
        assert most >= values[0] / rounding
        assert factors.inverse_norm >= 1 / (values[-1] * rounding)
        assert factors.condition >= values[0] / values[-1] / rounding
        # halved by sqrt(2) at most when found, and by 2 until found anew
        assert least > 0.33 * values[-1]
        assert most < 20**0.5 * values[0] + values[-1]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bounds_against_singular_values(
    dtype: str, backend: Backend, rng: np.random.Generator
) -> None:
    """Orthogonal, Gaussian, lopsided, nearly singular, singular; one by one and as a stack."""
    n = 15
    lopsided = orthogonal(n, rng) * np.geomspace(1, 1e-2, n) @ orthogonal(n, rng)
    nearly = orthogonal(n, rng) * np.geomspace(1, np.finfo(dtype).eps, n) @ orthogonal(n, rng)
    singular = np.diag(np.arange(float(n)))
    matrices = [orthogonal(n, rng), gaussian(n, rng), lopsided, nearly, singular]
    stack = np.stack(matrices).astype(dtype)
    found = bounded(backend.asarray(stack))
    assert tuple(found.least.shape) == tuple(found.most.shape) == (5,)
    values = np.linalg.svd(stack.astype(float), compute_uv=False)
    rounding = product_rounding(np.finfo(dtype).eps, n)
    for i in range(5):
        least, most = float(found.least[i]), float(found.most[i])
        assert least <= values[i, -1] + rounding * values[i, 0]
        assert most >= values[i, 0] * (1 - rounding)
        assert most <= n**0.5 * values[i, 0]
        alone = bounded(backend.asarray(stack[i]))
        assert float(alone.least) == pytest.approx(least, rel=1e-3, abs=rounding * values[i, 0])
    for i in range(3 if dtype == "float64" else 2):
        assert float(found.least[i]) >= values[i, -1] / 2**0.5 * (1 - 1e-2)


def test_a_network_that_moves_is_the_network_with_other_weights(rng: np.random.Generator) -> None:
    """Its shapes, its units, and its products both ways."""
    network = initialise((7, 6, 6, 4), rng, n_outputs=2, init="gaussian")
    weights = tuple(w + 1e-3 * rng.standard_normal(w.shape) for w in network.weights)
    biases = tuple(rng.standard_normal(b.shape) for b in network.biases)
    plain = replace(network, weights=weights, biases=biases)
    for before in (network, network.moved(network.weights, network.biases)):
        after = before.moved(weights, biases)
        assert after.has_moved
        assert not plain.has_moved
        assert (after.widths, after.n_outputs, after.depth) == (plain.widths, 2, 3)
        assert after.activations == plain.activations
        assert after.weights == weights
        assert after.biases == biases
        for layer, batch in ((1, 3), (2, 30), (3, 5)):
            drives = rng.standard_normal((batch, plain.widths[layer]))
            np.testing.assert_allclose(
                after.pull(layer, drives), plain.pull(layer, drives), rtol=1e-10, atol=1e-12
            )


def test_drives_of_the_first_units_only(rng: np.random.Generator) -> None:
    """Those of the others are 0: few for a large batch (by columns of the inverse), or many."""
    network = initialise((12, 10, 10), rng, init="gaussian")
    for given, batch in ((2, 40), (2, 3), (9, 40)):
        drives = rng.standard_normal((batch, given))
        full = np.concatenate([drives, np.zeros((batch, 10 - given))], axis=-1)
        for one in (network, network.moved(network.weights, network.biases)):
            for pull in (one.pull, one.pull_transposed):
                np.testing.assert_allclose(pull(2, drives), pull(2, full), rtol=1e-9, atol=1e-11)
        assert network.pull(1, drives).shape == (batch, 12)
    with pytest.raises(NotFinite):
        replace(network, weights=(np.full((10, 10), np.nan), network.weights[1]))
