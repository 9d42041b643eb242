"""The same numbers from NumPy, from the strict reading of the array API, and from PyTorch.

What NumPy computes is checked against mpmath and theorems elsewhere; here the question is whether
another library gives the same to rounding, and keeps to its own arrays and precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np
import pytest

from circuit.errors import CircuitError, NotFinite, ShapeMismatch, SingularWeights, TargetOutOfRange
from circuit.initialisation.networks import initialise
from circuit.losses import LOSSES, output_error
from circuit.network import Activity, Network, forward
from circuit.numerics import arrays
from circuit.numerics.inverse import Factorised
from circuit.numerics.scale import Scale
from circuit.plasticity import updates
from circuit.rules import RULES
from circuit.shifts import Shifts, renormalised
from circuit.units.table import ACTIVATIONS, activation

if TYPE_CHECKING:
    from tests.conftest import Backend

DTYPES = ["float64", "float32"]


def dtype_name(array: Any) -> str:
    """float32 of torch.float32, of numpy.dtype('float32'), of array_api_strict.float32."""
    return str(array.dtype).rsplit(".", maxsplit=1)[-1]


def same(backend: Backend, got: Any, wanted: np.ndarray, lost: float = 0.0) -> None:
    """`got` is an array of the library, of the dtype of `wanted`, and equal to `lost` eps."""
    assert isinstance(got, backend.array_type)
    assert dtype_name(got) == wanted.dtype.name
    assert tuple(got.shape) == wanted.shape
    allowed = lost and lost * np.finfo(wanted.dtype).eps * np.abs(wanted).max(initial=0.0)
    np.testing.assert_allclose(arrays.to_numpy(got), wanted, rtol=0, atol=float(allowed))


def carried(backend: Backend, network: Network) -> Network:
    """The same network in another library."""
    return Network(
        tuple(map(backend.asarray, network.weights)),
        tuple(map(backend.asarray, network.biases)),
        network.activations,
        network.n_inputs,
        network.n_outputs,
    )


def numpy_network(
    dtype: str, rng: np.random.Generator, unit: str = "leaky_relu", init: str = "orthogonal"
) -> Network:
    """Decreasing widths, auxiliary units at the output too, and biases."""
    network = initialise((6, 5, 5, 3), rng, init=init, activation=unit, n_outputs=2, dtype=dtype)
    biases = tuple((0.1 * rng.standard_normal(b.shape)).astype(dtype) for b in network.biases)
    return Network(network.weights, biases, network.activations, 6, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, dtype: str, backend: Backend) -> None:
    """f, f', f'', f^-1 and both differences."""
    unit = activation(name)
    h, d = (a for a in np.meshgrid(np.linspace(-2, 2, 9), [-0.5, -1e-4, 1e-3, 0.2]))
    h, d = h.reshape(3, -1, 4).astype(dtype), d.reshape(3, -1, 4).astype(dtype)
    y = (h / 5).astype(dtype)
    ours, shift, rates = map(backend.asarray, (h, d, y))
    for function in (unit.value, unit.slope, unit.curvature):
        same(backend, function(ours), function(h), 8)
    same(backend, unit.inverse(rates), unit.inverse(y), 8)
    for scale in (1.0, 1e-8, 1e-300, 0.0):
        same(backend, unit.difference(ours, shift, scale), unit.difference(h, d, scale), 30)
        wanted = unit.inverse_difference(y, d, scale)
        same(backend, unit.inverse_difference(rates, shift, scale), wanted, 60)
        same(backend, unit.stays(ours, shift, scale), unit.stays(h, d, scale))


def test_tanh_out_of_range(backend: Backend) -> None:
    """Refused in every library."""
    for rate in (1.0, np.nan):
        with pytest.raises(TargetOutOfRange):
            activation("tanh").inverse(backend.asarray([0.1, rate]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_questions_asked_of_arrays(dtype: str, backend: Backend) -> None:
    """circuit.arrays: a Python number for a question, an array of the library for an array."""
    a = np.array([[3.0, -4.0], [0.5, 0.25], [1.0, 2.0]], dtype=dtype)
    ours = backend.asarray(a)
    assert arrays.is_numpy(ours) == (backend.name == "numpy")
    assert arrays.epsilon(ours) == np.finfo(dtype).eps
    assert arrays.smallest_normal(ours) == np.finfo(dtype).smallest_normal
    assert (arrays.largest(ours), arrays.smallest(ours)) == (3.0, -4.0)
    assert arrays.largest(ours[:0, :]) == 0.0
    assert arrays.smallest(ours[:0, :]) == float("inf")
    assert arrays.any_true(ours > 2) is True
    assert arrays.any_true(ours > 4) is False
    assert isinstance(arrays.to_numpy(ours), np.ndarray)
    same(backend, arrays.row_norms(ours), np.linalg.norm(a, axis=1), 2)
    same(backend, arrays.rows_times(ours, backend.asarray(a[:2])), a @ a[:2].T, 4)
    same(backend, arrays.widened(ours, 4), np.pad(a, ((0, 0), (0, 2))))
    assert arrays.widened(ours, 2) is ours
    same(backend, arrays.take_rows(ours, [2, 0]), a[[2, 0]])
    assert arrays.row_indices(ours[:, 0] > 0.7) == [0, 2]
    put = arrays.put_rows(ours, [1], backend.asarray(a[:1]))
    same(backend, put, a[[0, 0, 2]])
    with pytest.raises(NotFinite, match=r"x holds nan at index \(0, 1\)"):
        arrays.require_finite(backend.asarray(np.array([[1.0, np.nan]], dtype=dtype)), "x", "y")
    with pytest.raises(ShapeMismatch, match="x has dtype"):
        arrays.require_real(backend.asarray(np.array([2, 0])), "x")
    assert arrays.namespace(ours, ours) is array_api_compat.array_namespace(ours)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("near_orthogonal", [True, False])
def test_factorised(near_orthogonal: bool, dtype: str, backend: Backend) -> None:
    """Solves, singular values and the explicit inverse; a stack with any batch."""
    rng = np.random.default_rng(1)
    stack = np.stack([initialise((4, 4), rng, dtype=dtype).weights[0] for _ in range(3)])
    if not near_orthogonal:
        stack = stack + 0.3 * rng.standard_normal(stack.shape).astype(dtype)
    rates = rng.standard_normal((3, 5, 4)).astype(dtype)
    for w, r in ((stack[0], rates[0]), (stack[0], rates), (stack, rates)):
        theirs, ours = Factorised(w, 1), Factorised(backend.asarray(w), 1)
        same(backend, ours.solve(backend.asarray(r)), theirs.solve(r), 100)
        same(backend, ours.inverse, theirs.inverse, 100)
        assert ours.extreme_singular_values == pytest.approx(
            theirs.extreme_singular_values, rel=100 * float(np.finfo(dtype).eps)
        )
        assert all(isinstance(value, float) for value in ours.extreme_singular_values)
        assert [dtype_name(a) for a in ours.low_precision] == ["float32", "float32"]


def test_singular_weights(backend: Backend) -> None:
    """Refused in every library, by layer and condition number."""
    singular = Factorised(backend.asarray(np.ones((3, 3))), 4)
    with pytest.raises(SingularWeights, match="W of layer 4 has condition number"):
        singular.solve(backend.asarray(np.ones((1, 3))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stack", [(), (2,)])
@pytest.mark.parametrize("unit", ACTIVATIONS)
def test_from_the_input_to_the_weight_change(
    unit: str, stack: tuple[int, ...], dtype: str, backend: Backend
) -> None:
    """Forward pass, losses, every rule and its updates; one batch, or a stack of batches."""
    rng = np.random.default_rng(5)
    theirs = numpy_network(dtype, rng, unit)
    ours = carried(backend, theirs)
    inputs = rng.standard_normal((*stack, 4, 6)).astype(dtype)
    targets = rng.random((*stack, 4, 2)).astype(dtype)
    activity, wanted = forward(ours, backend.asarray(inputs)), forward(theirs, inputs)
    for record in ("rates", "drives", "slopes"):
        for a, b in zip(getattr(activity, record), getattr(wanted, record), strict=True):
            same(backend, a, b, 30)
    for loss in LOSSES:
        error = output_error(ours, activity, backend.asarray(targets), loss)
        same(backend, error, output_error(theirs, wanted, targets, loss), 30)

    small = (0.1 * output_error(theirs, wanted, targets)).astype(dtype)
    for rule in RULES.values():
        check_rule(backend, rule, (ours, activity), (theirs, wanted), small)


def check_rule(
    backend: Backend,
    rule: Any,
    ours: tuple[Network, Activity],
    theirs: tuple[Network, Activity],
    error: np.ndarray,
) -> None:
    """Shifts and updates of one rule from two libraries."""
    # every layer divides by a slope, 0.1 in leaky-ReLU, and multiplies rounding by as much
    lost = 3000
    shifts = rule(*ours, backend.asarray(error), 0.01)
    wanted = rule(*theirs, error, 0.01)
    for layer in range(1, ours[0].depth + 1):
        same(backend, shifts.absolute(layer), wanted.absolute(layer), lost)
        same(backend, shifts.per_gain(layer), wanted.per_gain(layer), lost)
        ratio = shifts.norm(layer).over(wanted.norm(layer)).value
        assert ratio == pytest.approx(1, rel=lost * float(np.finfo(error.dtype).eps))
    assert shifts.gains == wanted.gains
    for a, b in zip(updates(*ours, shifts), updates(*theirs, wanted), strict=True):
        same(backend, a.weights, b.weights, lost)
        same(backend, a.biases, b.biases, lost)


@pytest.mark.parametrize("dtype", DTYPES)
def test_running_scales(dtype: str, backend: Backend) -> None:
    """Powers of two move exactly, and factors out of range do no harm."""
    value = np.array([[3.0e9, -1.0, 0.0]], dtype=dtype)
    moved, scale = renormalised(backend.asarray(value), Scale.of(1e-20), 1)
    same(backend, moved, np.ldexp(value, -32))
    assert scale == Scale.of(1e-20).shifted(32)
    for exponent in (-2000, -120, 0, 90):
        shifts = Shifts((backend.asarray(value),), (Scale(0.5, exponent),), (Scale(0.5, exponent),))
        same(backend, shifts.per_gain(1), value)
        same(backend, shifts.absolute(1), np.ldexp(value, exponent - 1))
    with pytest.raises(NotFinite):
        renormalised(backend.asarray(value * np.nan), scale, 1)


def test_networks_are_checked(backend: Backend) -> None:
    """Precision and finiteness are asked of every library's arrays."""
    weights, bias = np.eye(2), np.zeros(2)

    def build(w: np.ndarray, b: np.ndarray) -> Network:
        units = (activation("linear"),)
        return Network((backend.asarray(w),), (backend.asarray(b),), units, 2, 2)

    network = build(weights, bias)
    for w, b, kind in (
        (weights.astype("int64"), bias, ShapeMismatch),
        (weights.astype("float32"), bias, ShapeMismatch),
        (weights[:1], bias, ShapeMismatch),
        (weights * np.nan, bias, NotFinite),
        (weights, bias + np.inf, NotFinite),
    ):
        with pytest.raises(kind):
            build(w, b)
    inputs = backend.asarray(np.ones((3, 2)))
    activity = forward(network, inputs)
    with pytest.raises(ShapeMismatch):
        forward(network, backend.asarray(np.ones((3, 2), dtype="float32")))
    with pytest.raises(ShapeMismatch):
        output_error(network, activity, backend.asarray(np.ones((3, 2), dtype="float32")))
    with pytest.raises(NotFinite):
        output_error(network, activity, backend.asarray(np.full((3, 2), np.nan)))


def test_libraries_are_not_mixed(backend: Backend) -> None:
    """Weights of one library and biases or inputs of another are refused, not converted."""
    units, weights, bias = (activation("linear"),), np.eye(2), np.zeros(2)
    ours = Network((backend.asarray(weights),), (backend.asarray(bias),), units, 2, 2)
    if backend.name == "numpy":
        return
    with pytest.raises((TypeError, CircuitError)):
        Network((backend.asarray(weights),), (bias,), units, 2, 2)
    with pytest.raises((TypeError, CircuitError)):
        Network(ours.weights * 2, (*ours.biases, bias), units * 2, 2, 2)
    with pytest.raises((TypeError, CircuitError)):
        forward(ours, np.ones((1, 2)))
