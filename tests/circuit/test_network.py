"""circuit.network, circuit.numerics.inverse and circuit.numerics.arrays: layers, inverses, and what
is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from mpmath import mp

from circuit.errors import CircuitError, NotFinite, ShapeMismatch, SingularWeights
from circuit.initialisation.networks import initialise
from circuit.initialisation.weights import gaussian, orthogonal
from circuit.network import Activity, Network, forward
from circuit.numerics.arrays import (
    SMALL_BATCH,
    any_true,
    epsilon,
    frobenius_norm,
    is_numpy,
    largest,
    put_rows,
    row_indices,
    row_norms,
    rows_times,
    smallest,
    smallest_normal,
    take_rows,
    to_numpy,
    widened,
)
from circuit.numerics.inverse import Factorised
from circuit.plasticity import updates
from circuit.rules import back_propagation, gait_propagation
from circuit.units.asinh import asinh
from circuit.units.leaky_relu import leaky_relu
from circuit.units.linear import linear

EPS = np.finfo(float).eps


def random_network(
    widths: tuple[int, ...],
    rng: np.random.Generator,
    *,
    stack: tuple[int, ...] = (),
    dtype: str = "float64",
    n_outputs: int | None = None,
) -> Network:
    """Gaussian weights and biases, leaky-ReLU; with `stack` leading axes."""
    return Network(
        weights=tuple(
            (rng.standard_normal((*stack, n, n)) / n**0.5).astype(dtype) for n in widths[1:]
        ),
        biases=tuple((0.3 * rng.standard_normal((*stack, n))).astype(dtype) for n in widths[1:]),
        activations=(leaky_relu(),) * (len(widths) - 1),
        n_inputs=widths[0],
        n_outputs=widths[-1] if n_outputs is None else n_outputs,
    )


def member(network: Network, index: int) -> Network:
    """One network of a stack."""
    return Network(
        tuple(w[index] for w in network.weights),
        tuple(b[index] for b in network.biases),
        network.activations,
        network.n_inputs,
        network.n_outputs,
    )


# Eq. 1


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("widths", [(3, 3), (4, 4, 4), (6, 4, 4, 2)])
def test_forward_pass_loop_by_loop(
    widths: tuple[int, ...], dtype: str, rng: np.random.Generator
) -> None:
    """Eq. 1: y_l = f(W_l y_{l-1} + b_l), of which auxiliary units below are not read."""
    network = random_network(widths, rng, dtype=dtype)
    inputs = rng.standard_normal((3, widths[0])).astype(dtype)
    activity = forward(network, inputs)
    for sample in range(3):
        y = [float(x) for x in inputs[sample]]
        for layer in range(1, len(widths)):
            weights, bias = network.weights[layer - 1], network.biases[layer - 1]
            n = widths[layer]
            h = [float(bias[i]) for i in range(n)]
            for i in range(n):
                for j in range(n):
                    h[i] += float(weights[i, j]) * y[j]
            y = [x if x > 0 else 0.1 * x for x in h]
            allowed = 10 * layer * max(widths) * float(np.finfo(dtype).eps)
            assert activity.drive(layer)[sample].tolist() == pytest.approx(h, abs=allowed)
            assert activity.rates[layer][sample].tolist() == pytest.approx(y, abs=allowed)
            wanted = [1.0 if x > 0 else 0.1 for x in h]
            assert activity.slope(layer)[sample].tolist() == pytest.approx(wanted, rel=1e-7)
    assert activity.rates[0] is inputs
    assert len(activity.rates) == len(widths) == len(activity.drives) + 1
    for record in (activity.rates, activity.drives, activity.slopes):
        assert {array.dtype.name for array in record} == {dtype}


def test_what_a_network_says_of_itself(rng: np.random.Generator) -> None:
    """Widths, depth, and which units are read from above or carry an error signal."""
    network = random_network((6, 4, 4, 2), rng, n_outputs=1)
    assert network.depth == 3
    assert network.widths == (6, 4, 4, 2)
    assert [network.n_projecting(layer) for layer in range(4)] == [4, 4, 2, 1]
    assert random_network((6, 4, 4, 2), rng, stack=(3, 5)).widths == (6, 4, 4, 2)
    assert initialise((1, 1), rng).widths == (1, 1)
    mixed = (linear(), asinh())
    network = initialise((2, 2, 2), rng, activation=mixed)
    assert [network.activation(1), network.activation(2)] == list(mixed)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_push_and_pull_undo_each_other(dtype: str, rng: np.random.Generator) -> None:
    """W^-1 W = 1 on the projecting units; the auxiliary units of the layer below get 0."""
    network = random_network((6, 4, 4, 2), rng, dtype=dtype)
    for layer, n in ((1, 4), (2, 4), (3, 2)):
        below = rng.standard_normal((5, network.widths[layer - 1])).astype(dtype)
        above = rng.standard_normal((5, n)).astype(dtype)
        allowed = 10 * n * float(np.finfo(dtype).eps) * np.linalg.cond(network.weights[layer - 1])
        back = network.pull(layer, network.push(layer, below))
        np.testing.assert_allclose(back[:, :n], below[:, :n], rtol=0, atol=allowed * 4)
        assert back.shape == below.shape
        assert not back[:, n:].any()
        there = network.push(layer, network.pull(layer, above))
        np.testing.assert_allclose(there, above, rtol=0, atol=allowed * 4)
        assert back.dtype == there.dtype == dtype


def test_transposed_pull_is_the_adjoint_of_push(rng: np.random.Generator) -> None:
    """<W x, v> = <x, W^T v>, auxiliary units included."""
    network = random_network((6, 4, 4, 2), rng)
    for layer in (1, 2, 3):
        x = rng.standard_normal((7, network.widths[layer - 1]))
        v = rng.standard_normal((7, network.widths[layer]))
        left = (network.push(layer, x) * v).sum(axis=1)
        right = (x * network.pull_transposed(layer, v)).sum(axis=1)
        np.testing.assert_allclose(left, right, rtol=0, atol=100 * EPS)


# The inverse


def test_solve_against_mpmath(rng: np.random.Generator) -> None:
    """W^-1 v to n * condition * eps, for Gaussian and for orthogonal weights."""
    n = 6
    for weights in (gaussian(n, rng), orthogonal(n, rng)):
        rates = rng.standard_normal((2, n))
        got = Factorised(weights, 1).solve(rates)
        with mp.workdps(40):
            for row, rate in zip(got, rates, strict=True):
                exact = mp.lu_solve(mp.matrix(weights.tolist()), mp.matrix(rate.tolist()))
                error = mpmath.norm(mp.matrix(row.tolist()) - exact) / mpmath.norm(exact)
                assert error < 4 * n * EPS * np.linalg.cond(weights)


def test_solve_against_numpy_in_every_arrangement(rng: np.random.Generator) -> None:
    """One matrix or a stack, one batch or a stack of them, any memory order."""
    n = 5
    one, stack = rng.standard_normal((n, n)), rng.standard_normal((3, n, n))
    batch, batches = rng.standard_normal((4, n)), rng.standard_normal((3, 4, n))
    wide = rng.standard_normal((4, 2 * n))
    for weights, rates in (
        (one, batch),
        (np.asfortranarray(one), np.asfortranarray(batch)),
        (one.T, wide[:, ::2]),
        (one, batches),
        (stack, batches),
        (stack, batch),
        (one, batch[:0]),
        (rng.standard_normal((2, 3, n, n)), batches),
    ):
        wanted = np.einsum("...ij,...bj->...bi", np.linalg.inv(weights), rates)
        got = Factorised(weights, 1).solve(rates)
        assert got.shape == wanted.shape
        allowed = 10 * n * EPS * np.max(np.linalg.cond(weights))
        scale = np.abs(wanted).max(initial=1)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=allowed * scale)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("away_from_orthogonal", [0.0, 1e-9, 1e-6, 1e-5, 1e-4, 1e-3, 0.1, 3.0])
def test_singular_values_are_bounded_from_outside(
    away_from_orthogonal: float, dtype: str, rng: np.random.Generator
) -> None:
    """Never a larger smallest nor a smaller largest singular value than numpy.linalg.svd finds."""
    n = 12
    weights = orthogonal(n, rng) + away_from_orthogonal * rng.standard_normal((n, n)) / n**0.5
    weights = weights.astype(dtype)
    exact = np.linalg.svd(weights.astype(float), compute_uv=False)
    factors = Factorised(weights, 1)
    least, most = factors.extreme_singular_values
    eps = float(np.finfo(dtype).eps)
    assert least <= exact[-1] + n * eps * exact[0]
    assert most >= exact[0] - n * eps * exact[0]
    assert least == pytest.approx(exact[-1], rel=1e-3)
    assert most == pytest.approx(exact[0], rel=1e-3)
    if away_from_orthogonal <= 1e-5:  # here the bounds themselves are used
        assert least <= exact[-1] <= exact[0] <= most
    assert factors.norm == most
    assert factors.inverse_norm == 1 / least
    assert factors.condition == pytest.approx(np.linalg.cond(weights), rel=2e-3)


def test_the_bound_covers_its_own_rounding(rng: np.random.Generator) -> None:
    """Rotations of the plane: both singular values squared are c^2 + s^2, here without rounding."""
    for angle in rng.uniform(0, 7, 200):
        c, s = np.cos(angle), np.sin(angle)
        least, most = Factorised(np.array([[c, -s], [s, c]]), 1).extreme_singular_values
        assert Fraction(least) ** 2 <= Fraction(c) ** 2 + Fraction(s) ** 2 <= Fraction(most) ** 2


def test_explicit_inverse_and_its_low_precision_copy(rng: np.random.Generator) -> None:
    """inverse W = 1; the float32 pair is the rounded one."""
    weights = gaussian(5, rng)
    factors = Factorised(weights, 1)
    allowed = 20 * EPS * np.linalg.cond(weights)
    np.testing.assert_allclose(factors.inverse @ weights, np.eye(5), rtol=0, atol=allowed)
    low, low_inverse = factors.low_precision
    np.testing.assert_array_equal(low, weights.astype(np.float32))
    np.testing.assert_array_equal(low_inverse, factors.inverse.astype(np.float32))
    assert low.dtype == low_inverse.dtype == np.float32


def with_condition(condition: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """A matrix with singular values from 1 down to 1 / condition."""
    return orthogonal(n, rng) @ np.diag(np.geomspace(1, 1 / condition, n)) @ orthogonal(n, rng)


@pytest.mark.parametrize(("dtype", "well", "ill"), [("float64", 1e12, 1e15), ("float32", 1e4, 1e6)])
def test_ill_conditioned_weights(
    dtype: str, well: float, ill: float, rng: np.random.Generator
) -> None:
    """Refused from where a solve keeps less than two digits; the layer and the number are named."""
    for condition, accepted in ((well, True), (ill, False)):
        bad = with_condition(condition, 4, rng).astype(dtype)
        network = Network(
            (np.eye(4, dtype=dtype), bad),
            (np.zeros(4, dtype=dtype),) * 2,
            (linear(),) * 2,
            4,
            4,
        )
        if accepted:
            assert np.isfinite(network.pull(2, np.ones((1, 4), dtype=dtype))).all()
            continue
        for ask in (
            lambda network=network: network.pull(2, np.ones((1, 4), dtype=dtype)),
            lambda network=network: network.factors[1].inverse,
            lambda network=network: network.factors[1].require_invertible(),
        ):
            with pytest.raises(SingularWeights, match="W of layer 2") as refusal:
                ask()
            message = str(refusal.value)
            named = float(message.split("condition number ")[1].split(",", maxsplit=1)[0])
            assert named == pytest.approx(condition, rel=0.1)
            assert "\n" not in message
            assert "orthogonal initialisation" in message
        assert np.isfinite(network.pull(1, np.ones((1, 4), dtype=dtype))).all()


def test_singular_weights_do_for_what_needs_no_inverse() -> None:
    """A singular W computes forward and backward (Eq. 3), but has no targets."""
    singular = np.outer([1.0, 2.0], [1.0, 2.0])
    network = Network((singular,) * 2, (np.zeros(2),) * 2, (linear(),) * 2, 2, 2)
    activity = forward(network, np.ones((1, 2)))
    error = np.ones((1, 2))
    assert updates(network, activity, back_propagation(network, activity, error))
    with pytest.raises(SingularWeights, match="W of layer 2 has condition number"):
        gait_propagation(network, activity, error)


def test_a_stack_is_as_well_conditioned_as_its_worst_member() -> None:
    """Two networks of very different size are both invertible; one singular member is named."""
    sizes = np.array([1e-8, 1e8])
    stack = sizes[:, None, None] * np.array([[2.0, 1.0], [1.0, 3.0]])
    rates = np.ones((2, 1, 2))
    factors = Factorised(stack, 1)
    assert factors.condition == pytest.approx(max(np.linalg.cond(stack)), rel=1e-12)
    np.testing.assert_allclose(
        factors.solve(rates)[:, 0], [[0.4, 0.2]] / sizes[:, None], rtol=1e-14
    )
    for singular in (np.ones((2, 2)), np.zeros((2, 2))):
        with pytest.raises(SingularWeights):
            Factorised(np.stack([np.eye(2), singular]), 1).solve(rates)
    assert Factorised(np.zeros((2, 2)), 1).condition == np.inf


# A stack of networks


@pytest.mark.parametrize("shared", [False, True])
def test_a_stack_of_networks_equals_them_one_by_one(shared: bool, rng: np.random.Generator) -> None:
    """Leading axes of weights and rates, or of the rates alone."""
    widths = (5, 4, 4, 3)
    network = random_network(widths, rng, stack=() if shared else (3,), n_outputs=2)
    inputs, error = rng.standard_normal((3, 4, 5)), rng.standard_normal((3, 4, 2))
    activity = forward(network, inputs)
    shifts = gait_propagation(network, activity, error, 0.1)
    changes = updates(network, activity, shifts)
    for index in range(3):
        alone = network if shared else member(network, index)
        its_activity = forward(alone, inputs[index])
        its_shifts = gait_propagation(alone, its_activity, error[index], 0.1)
        its_changes = updates(alone, its_activity, its_shifts)
        close = {"rtol": 1e-11, "atol": 1e-13}
        for layer in (1, 2, 3):
            for ours, its in (
                (activity.rates[layer][index], its_activity.rates[layer]),
                (shifts.absolute(layer)[index], its_shifts.absolute(layer)),
                (shifts.per_gain(layer)[index], its_shifts.per_gain(layer)),
                (changes[layer - 1].weights[index], its_changes[layer - 1].weights),
                (changes[layer - 1].biases[index], its_changes[layer - 1].biases),
            ):
                np.testing.assert_allclose(ours, its, **close)


# Initial weights


def test_orthogonal_weights_are_orthogonal(rng: np.random.Generator) -> None:
    """W^T W = 1 to rounding, in the paper's width too."""
    for n in (1, 2, 50, 200):
        weights = orthogonal(n, rng)
        np.testing.assert_allclose(weights.T @ weights, np.eye(n), rtol=0, atol=10 * n * EPS)


def test_orthogonal_weights_have_no_preferred_sign(rng: np.random.Generator) -> None:
    """Haar measure: E[W] = 0, E[W_ij^2] = 1/n, and det W = +1 half of the time.

    A QR decomposition without Mezzadri's signs gives E[W_11] < 0. Five standard errors are allowed.
    """
    n, draws = 3, 4000
    drawn = np.stack([orthogonal(n, rng) for _ in range(draws)])
    error = 5 / np.sqrt(draws)
    assert np.abs(drawn.mean(axis=0)).max() < error / np.sqrt(n)
    assert np.abs((drawn**2).mean(axis=0) - 1 / n).max() < error * 0.3  # std of W_ij^2 = 0.298
    assert abs(np.linalg.det(drawn).mean()) < error


def test_gaussian_weights_have_the_standard_deviation_of_the_public_code(
    rng: np.random.Generator,
) -> None:
    """std sqrt(2 / (n_in + n_out)), also of rectangles; five standard errors are allowed."""
    for rows, columns in ((10, 10), (300, 300), (200, 50), (50, 200)):
        weights = gaussian(rows, rng, columns)
        assert weights.shape == (rows, columns)
        wanted = np.sqrt(2 / (rows + columns))
        assert abs(weights.std() / wanted - 1) < 5 / np.sqrt(2 * rows * columns)
        assert abs(weights.mean()) < 5 * wanted / np.sqrt(rows * columns)
    assert gaussian(7, rng).shape == (7, 7)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_initialise(dtype: str) -> None:
    """Shapes, dtype, defaults; the generator alone decides the numbers; layers differ."""
    first, second = (
        initialise((6, 4, 4, 2), np.random.default_rng(5), dtype=dtype) for _ in range(2)
    )
    other = initialise((6, 4, 4, 2), np.random.default_rng(6), dtype=dtype)
    assert first.widths == (6, 4, 4, 2)
    assert first.n_outputs == 2
    assert {unit.name for unit in first.activations} == {"leaky_relu"}
    for one, same, different in zip(first.weights, second.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != different).all()
        assert one.dtype == dtype
        np.testing.assert_allclose(one.T @ one, np.eye(len(one)), atol=20 * np.finfo(dtype).eps)
    assert (first.weights[0] != first.weights[1]).all()
    for bias in first.biases:
        assert bias.dtype == dtype
        assert not bias.any()


def test_initialise_with_activations_and_outputs(rng: np.random.Generator) -> None:
    """A name, an activation or one per layer (by name too); fewer outputs than units."""
    assert initialise((3, 3), rng, n_outputs=2).n_outputs == 2
    for given in ("asinh", asinh(), (asinh(), asinh()), ("asinh", "asinh")):
        network = initialise((3, 3, 3), rng, activation=given, init="gaussian")
        assert [unit.name for unit in network.activations] == ["asinh", "asinh"]
        forward(network, np.ones((1, 3)))
    assert not np.allclose(network.weights[0].T @ network.weights[0], np.eye(3))


# What is refused


def two_layers(**changed: object) -> Network:
    """A network that is right, but for what is changed."""
    parts: dict[str, object] = {
        "weights": (np.eye(4), np.eye(3)),
        "biases": (np.zeros(4), np.zeros(3)),
        "activations": (linear(), linear()),
        "n_inputs": 5,
        "n_outputs": 2,
    }
    return Network(**(parts | changed))  # type: ignore[arg-type]


def with_entry(array: np.ndarray, value: float) -> np.ndarray:
    """`array` with its last entry replaced."""
    array = array.copy()
    array[(-1,) * array.ndim] = value
    return array


REFUSALS: dict[str, tuple[Callable[[], object], type, str]] = {
    "no layers": (
        lambda: two_layers(weights=(), biases=(), activations=()),
        ShapeMismatch,
        "at least one",
    ),
    "too few biases": (
        lambda: two_layers(biases=(np.zeros(4),)),
        ShapeMismatch,
        "2 weights, 1 biases and 2 activations",
    ),
    "too many activations": (
        lambda: two_layers(activations=(linear(),) * 3),
        ShapeMismatch,
        "3 activations",
    ),
    "widths increase": (
        lambda: two_layers(weights=(np.eye(4), np.eye(5)), biases=(np.zeros(4), np.zeros(5))),
        CircuitError,
        r"widths \(5, 4, 5\) increase from 4 to 5 at layer 2",
    ),
    "too few inputs": (
        lambda: two_layers(n_inputs=3),
        CircuitError,
        "increase from 3 to 4 at layer 1",
    ),
    "more is read than there is": (
        lambda: two_layers(weights=(np.ones((4, 6)), np.eye(3))),
        ShapeMismatch,
        r"W of layer 1 has shape \(4, 6\), which reads 6 units of the 5 below",
    ),
    "nothing is read": (
        lambda: two_layers(weights=(np.ones((4, 0)), np.eye(3))),
        ShapeMismatch,
        r"shape \(4, 0\), which reads 0 units",
    ),
    "inverse of a rectangle": (
        lambda: two_layers(weights=(np.ones((4, 4)), np.ones((3, 4)))).pull(2, np.ones((2, 3))),
        CircuitError,
        "W of layer 2 is 3 x 4 and has no exact inverse; use a learned inverse",
    ),
    "condition of a rectangle": (
        lambda: two_layers(weights=(np.ones((4, 4)), np.ones((3, 4)))).factors[1].condition,
        CircuitError,
        "W of layer 2 is 3 x 4 and has no exact inverse",
    ),
    "bias of a stack of rectangles": (
        lambda: two_layers(weights=(np.ones((7, 3, 5)), np.ones((7, 3, 3)))),
        ShapeMismatch,
        "bias of layer 1 .* needs 3 entries",
    ),
    "vector for a matrix": (
        lambda: two_layers(weights=(np.eye(4), np.ones(3))),
        ShapeMismatch,
        r"W of layer 2 has shape \(3,\)",
    ),
    "bias of the wrong length": (
        lambda: two_layers(biases=(np.zeros(4), np.zeros(4))),
        ShapeMismatch,
        "bias of layer 2 .* needs 3 entries",
    ),
    "bias without an axis": (
        lambda: two_layers(biases=(np.zeros(4), np.array(0.0))),
        ShapeMismatch,
        "bias of layer 2",
    ),
    "bias in another precision": (
        lambda: two_layers(biases=(np.zeros(4, dtype="float32"), np.zeros(3))),
        ShapeMismatch,
        "bias of layer 1 .* dtype float32",
    ),
    "two precisions": (
        lambda: two_layers(
            weights=(np.eye(4), np.eye(3, dtype="float32")),
        ),
        ShapeMismatch,
        "W of layer 2 has dtype float32, W of layer 1 float64",
    ),
    "integer weights": (
        lambda: two_layers(weights=(np.eye(4, dtype=int), np.eye(3))),
        ShapeMismatch,
        "W of layer 1 has dtype int",
    ),
    "half precision": (
        lambda: two_layers(
            weights=(np.eye(4, dtype="float16"), np.eye(3, dtype="float16")),
            biases=(np.zeros(4, dtype="float16"), np.zeros(3, dtype="float16")),
        ),
        ShapeMismatch,
        "W of layer 1 has dtype float16; convert it to float64 or float32",
    ),
    "NaN in the weights": (
        lambda: two_layers(weights=(np.eye(4), with_entry(np.eye(3), np.nan))),
        NotFinite,
        r"W of layer 2 holds nan at index \(2, 2\)",
    ),
    "infinite bias": (
        lambda: two_layers(biases=(with_entry(np.zeros(4), -np.inf), np.zeros(3))),
        NotFinite,
        r"bias of layer 1 holds -inf at index \(3,\)",
    ),
    "no outputs": (lambda: two_layers(n_outputs=0), CircuitError, "0 output units"),
    "too many outputs": (
        lambda: two_layers(n_outputs=4),
        CircuitError,
        "4 output units .* give 1 to 3",
    ),
    "part of an output": (lambda: two_layers(n_outputs=1.5), CircuitError, "1.5 output units"),
    "inputs of the wrong width": (
        lambda: forward(two_layers(), np.ones((2, 4))),
        ShapeMismatch,
        r"inputs have shape \(2, 4\); the network needs \(..., batch, 5\)",
    ),
    "inputs without a batch": (
        lambda: forward(two_layers(), np.ones(5)),
        ShapeMismatch,
        r"inputs have shape \(5,\)",
    ),
    "inputs in another precision": (
        lambda: forward(two_layers(), np.ones((2, 5), dtype="float32")),
        ShapeMismatch,
        "inputs have dtype float32, the weights float64",
    ),
    "NaN in the inputs": (
        lambda: forward(two_layers(), with_entry(np.ones((2, 5)), np.nan)),
        NotFinite,
        r"inputs holds nan at index \(1, 4\)",
    ),
    "overflow on the way": (
        lambda: forward(
            two_layers(weights=(np.eye(4) * 1e200, np.eye(3) * 1e200)), np.ones((1, 5))
        ),
        NotFinite,
        "the forward pass at layer 2 holds inf",
    ),
    "one width": (lambda: drawn((4,)), CircuitError, "at least two whole numbers"),
    "width of zero": (lambda: drawn((4, 0)), CircuitError, "each 1 or more"),
    "part of a unit": (lambda: drawn((4, 2.5)), CircuitError, r"widths \(4, 2.5\)"),
    "width that is no number": (lambda: drawn((4, np.nan)), CircuitError, "whole numbers"),
    "increasing widths": (lambda: drawn((4, 5)), CircuitError, "increase from 4 to 5 at layer 1"),
    "unknown init": (
        lambda: drawn((4, 4), init="uniform"),
        CircuitError,
        "init 'uniform' is unknown; choose from orthogonal, gaussian",
    ),
    "unknown activation": (
        lambda: drawn((4, 4), activation="relu"),
        CircuitError,
        "activation 'relu' is unknown",
    ),
    "integer dtype": (lambda: drawn((4, 4), dtype="int64"), ShapeMismatch, "dtype int64"),
}


def drawn(widths: tuple[float, ...], **options: object) -> Network:
    """`initialise` with a generator of its own."""
    return initialise(widths, np.random.default_rng(0), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_refusals(case: str) -> None:
    """A typed exception, in one line that names the value."""
    ask, kind, words = REFUSALS[case]
    with pytest.raises(kind, match=words) as refusal:
        ask()
    assert "\n" not in str(refusal.value)


def test_the_network_that_the_refusals_start_from_is_right() -> None:
    """Each refusal above is for what it changes."""
    assert isinstance(forward(two_layers(), np.ones((2, 5))), Activity)


# Arrays


def test_products_in_every_memory_order(rng: np.random.Generator) -> None:
    """rows_times against einsum: contiguous or not, transposed, empty, stacked, both precisions,
    batches that come first in BLAS and others.
    """
    sizes = (5, SMALL_BATCH + 1)
    for dtype, batch in itertools.product(("float64", "float32"), sizes):
        matrix, rows = rng.standard_normal((4, 3)), rng.standard_normal((batch, 6))
        matrix, rows = matrix.astype(dtype), rows.astype(dtype)
        whole = np.ascontiguousarray(rows[:, :3])
        for m in (matrix, np.asfortranarray(matrix), matrix[::2, :], matrix[:, ::-1]):
            for r in (whole, rows[:, ::2], np.asfortranarray(rows[:, 3:]), rows[:0, :3]):
                got = rows_times(r, m)
                assert got.dtype == dtype
                wanted = np.einsum("ij,bj->bi", m.astype(float), r.astype(float))
                allowed = 20 * float(np.finfo(dtype).eps)
                np.testing.assert_allclose(got, wanted, rtol=0, atol=allowed)
        stacked = rows_times(rng.standard_normal((2, 5, 3)).astype(dtype), matrix)
        assert stacked.shape == (2, 5, 4)


def test_questions_asked_of_arrays() -> None:
    """Norms, extremes and precisions; empty arrays have a smallest and a largest entry too."""
    a = np.array([[3.0, -4.0], [0.0, 0.0]])
    assert row_norms(a).tolist() == [5.0, 0.0]
    assert frobenius_norm(np.stack([a, 2 * a])).tolist() == [5.0, 10.0]
    assert (largest(a), smallest(a)) == (3.0, -4.0)
    assert (largest(a[:0]), smallest(a[:0])) == (0.0, float("inf"))
    assert np.isnan(largest(a * np.nan))
    assert np.isnan(smallest(a * np.nan))
    assert any_true(a == 3)
    assert not any_true(a == 5)
    assert is_numpy(a)
    assert not is_numpy([1.0])
    assert to_numpy(a) is a
    assert epsilon(a) == 2.0**-52
    assert epsilon(a.astype("float32")) == 2.0**-23
    assert smallest_normal(a) == 2.0**-1022
    assert smallest_normal(a.astype("float32")) == 2.0**-126


def test_rows_taken_put_and_widened() -> None:
    """Some samples of a batch, put back elsewhere; zeros for auxiliary units."""
    a = np.arange(8.0).reshape(4, 2)
    assert take_rows(a, [2, 0]).tolist() == [[4, 5], [0, 1]]
    put = put_rows(a, [3, 1], np.array([[-1.0, -2.0], [-3.0, -4.0]]))
    assert put.tolist() == [[0, 1], [-3, -4], [4, 5], [-1, -2]]
    assert a[1].tolist() == [2, 3]
    assert row_indices(np.array([[True, False], [False, True]])) == [0, 3]
    assert widened(a, 2) is a
    assert widened(a[:1], 4).tolist() == [[0, 1, 0, 0]]
    assert widened(a.astype("float32"), 3).dtype == np.float32
