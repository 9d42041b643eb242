"""Norms and verdicts of shifts whose squares leave the range of floats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.initialisation.networks import initialise
from circuit.learned_inverse.inverse_model import exact_model
from circuit.numerics.arrays import frobenius_norm, row_norms
from circuit.plasticity import Update
from circuit.report.alignment import agreement
from circuit.report.deviation import Deviation, update_bound
from circuit.trial import Trial
from circuit.verification.judgement import judge
from tests.circuit.test_dynamics import LiteralCircuit, digits, make_trial
from tests.conftest import Backend

METHODS = ("direct", "sweep", "newton", "ode")
SIZES = {"float32": (1e-43, 1e-30, 1e-20, 1.0, 1e25), "float64": (1e-320, 1e-200, 1e-165, 1, 1e200)}


def _with_error(size: float, dtype: str, pathway: str, unit: str) -> Trial:
    """An error of that size, as a loss of one's own returns it; rectangular, three layers."""
    rng = np.random.default_rng(3)
    network = initialise((6, 5, 5, 4), rng, activation=unit, n_outputs=3, dtype=dtype)
    inputs = rng.standard_normal((3, 6)).astype(dtype)
    error = (size * rng.standard_normal((3, 3))).astype(dtype)
    circuit = build_circuit(network, pathway, 0.2)
    return begin(circuit, inputs, 0 * error, lambda outputs, targets: error)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_norms_of_any_size_against_mpmath(dtype: str, backend: Backend) -> None:
    """Rows of very different size beside each other, zero, infinite and NaN ones among them."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((7, 5)) + 2
    rows = (rows * np.array([*SIZES[dtype], 0.0, 1.0])[:, None]).astype(dtype)
    found = np.asarray(row_norms(backend.asarray(rows)))
    assert found.dtype == dtype
    for row, norm in zip(rows, found, strict=True):
        exact = mp.sqrt(sum(mpf(float(value)) ** 2 for value in row))
        least = float(np.finfo(dtype).smallest_subnormal)
        assert abs(float(norm) - float(exact)) <= 4 * np.finfo(dtype).eps * float(exact) + least
    total = mp.sqrt(sum(mpf(float(value)) ** 2 for value in rows[:2].ravel()))
    whole = float(np.asarray(frobenius_norm(backend.asarray(rows[:2]))))
    assert whole == pytest.approx(float(total), rel=1e-5)
    rows[0, 1], rows[1, 2] = np.nan, np.inf
    spoilt = np.asarray(row_norms(backend.asarray(rows)))
    assert np.isnan(spoilt[0])
    assert np.isinf(spoilt[1])
    np.testing.assert_array_equal(spoilt[2:], found[2:])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pathway", ["itp", "gait"])
@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e-23), ("float64", 1e-170)])
def test_tiny_errors_settle_as_large_ones_do(
    dtype: str, size: float, pathway: str, method: str
) -> None:
    """At rest in the printed equations, in mpmath; called converged, and with a bound above 0."""
    trial = _with_error(size, dtype, pathway, "asinh")
    record = settle(trial, method)
    assert all(0 < bound < 1e-2 for bound in record.error_bounds)
    for layer in (1, 2, 3):
        assert np.all(record.shifts.values[layer - 1].any(axis=-1))
    with mp.workdps(digits(record.shifts) + 400):
        for sample in range(3):
            # the forward pass in mpmath has the target that the exact rates and this error make
            literal = LiteralCircuit(trial, sample)
            residuals = literal.relative_residuals(literal.rates(record.shifts, sample))
            slack = 3 if dtype == "float64" else 30  # slopes of the forward pass are rounded too
            assert max(residuals) < slack * record.tolerance


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_wrong_by_all_of_its_size_is_not_called_converged(dtype: str) -> None:
    """Images of very different error in one batch; one layer of the smallest is doubled."""
    trial = make_trial(np.random.default_rng(2), "gait", "linear", 0.01, batch=4, dtype=dtype)
    error = trial.error.copy()
    error[2] *= 1e-28 if dtype == "float32" else 1e-180
    trial = replace(trial, error=error)
    record = settle(trial)
    values = list(record.shifts.values)
    values[1] = values[1].copy()
    values[1][2] *= 2
    wrong = record.shifts.with_values(tuple(values))
    relative = judge(trial, wrong, record.tolerance).by_sample
    assert relative[1, 2] > 0.4
    assert relative[1, [0, 1, 3]].max() <= record.tolerance


def test_no_shift_is_right_only_without_an_error() -> None:
    """0/0: the forward pass has settled for an image without an error, and for no other."""
    trial = make_trial(np.random.default_rng(4), "itp", "asinh", 0.1, batch=3)
    error = trial.error.copy()
    error[1] = 0
    trial = replace(trial, error=error)
    relative = judge(trial, trial.at_rest(), 1e-10).by_sample
    assert np.all(relative[:, 1] == 0)
    assert np.all(np.isinf(relative[:, [0, 2]]))
    record = settle(trial)
    assert record.converged
    assert all(not value[1].any() for value in record.shifts.values)
    # a state in which one layer has lost its shift
    values = list(record.shifts.values)
    values[0] = np.zeros_like(values[0])
    lost = judge(trial, record.shifts.with_values(tuple(values)), 1e-10).by_sample
    assert np.isinf(lost[0, [0, 2]]).all()
    assert lost[0, 1] == 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tiny_errors_through_a_learned_inverse(dtype: str) -> None:
    """With B = W^-1 the circuit is the exact one, whose shifts are found by another method."""
    size = 1e-23 if dtype == "float32" else 1e-170
    trial = _with_error(size, dtype, "itp", "asinh")
    through = replace(trial.circuit, feedback=exact_model(trial.network))
    found = settle(replace(trial, circuit=through))
    exact = settle(trial, "sweep")
    for layer in (1, 2, 3):
        n = trial.network.n_projecting(layer)
        mine, wanted = (s.per_gain(layer)[:, :n] / size for s in (found.shifts, exact.shifts))
        assert np.linalg.norm(mine - wanted) < 1e-3 * np.linalg.norm(wanted)


def test_agreement_and_bound_of_updates_of_any_size() -> None:
    """3 a against a is 200 % off, however small or large a is, and however far apart they are."""
    a = np.random.default_rng(1).standard_normal((4, 3))
    for size in (1e-200, 1.0, 1e150):
        found = agreement(3 * size * a, size * a)
        assert (found.cosine, found.relative_error, found.norm_ratio) == pytest.approx((1, 2, 3))
    far = agreement(1e-200 * a, a)
    assert far.cosine == pytest.approx(1)
    assert far.norm_ratio == pytest.approx(1e-200)
    trial = make_trial(np.random.default_rng(6), batch=2)
    shift, below, slope = trial.error, trial.activity.rates[2][:, :3], trial.activity.slope(3)
    share = sum(np.outer(slope[i] * shift[i], below[i]) for i in range(2)) / 2
    sure = np.linalg.norm(share) / np.linalg.norm(np.ones((3, 3)))
    sizes = np.linalg.norm(below, axis=1) * slope.max(axis=1)
    unsure = np.mean(0.1 * sizes) / np.linalg.norm(np.ones((3, 3)))
    for size in (1e-200, 1.0):
        update = Update(size * np.ones((3, 3)), np.ones(3))
        apart = Deviation(0.2 * size * shift, 0.3 * size * shift, np.full(2, 0.1 * size))
        assert update_bound(trial, update, 3, apart) == pytest.approx(0.5 * sure + unsure, rel=2e-3)
