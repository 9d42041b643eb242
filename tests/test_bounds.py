"""The error bound bounds the error: true equilibria by Newton's method in mpmath."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from circuit.bounds import relative_error_bounds
from circuit.equilibrium import settle
from circuit.shifts import Shifts
from tests.test_dynamics import LiteralCircuit, digits, make_trial


def true_shifts(trial, shifts, sample):
    """Newton's method on the literal equations from `shifts`, with differences for the Jacobian.

    Vectors of mpf for the layers 1 .. L in units of the scales, or None where it does not converge.
    """
    literal = LiteralCircuit(trial, sample)
    scales = [mpmath.ldexp(mpf(s.mantissa), s.exponent) for s in shifts.scales]
    widths = trial.network.widths[1:]
    flat = [mpf(float(v)) for values in shifts.values for v in values[sample]]

    def residual(state):
        rates, start = [literal.forward[0]], 0
        for layer, width in enumerate(widths, 1):
            part = state[start : start + width]
            start += width
            pairs = zip(literal.forward[layer], part, strict=True)
            rates.append([y + scales[layer - 1] * d for y, d in pairs])
        found = literal.velocity(rates)
        return mp.matrix(
            [
                -value * literal.tau[layer] / scales[layer - 1]
                for layer, vector in enumerate(found, 1)
                for value in vector
            ]
        )

    step = mpf(10) ** -(mp.dps // 2)
    for _ in range(8):
        now = residual(flat)
        if mpmath.norm(now) < mpf(10) ** -22:
            parts, start = [], 0
            for width in widths:
                parts.append(flat[start : start + width])
                start += width
            return parts
        jacobian = mp.matrix(len(flat), len(flat))
        for column in range(len(flat)):
            moved = list(flat)
            moved[column] += step
            jacobian[:, column] = (residual(moved) - now) / step
        change = mp.lu_solve(jacobian, now)
        flat = [value - change[i] for i, value in enumerate(flat)]
    return None


def _ratios(trial, state):
    """bound / true error of every layer, the worst sample; None without a true equilibrium."""
    bounds = relative_error_bounds(trial, state)
    errors = np.zeros(len(bounds))
    with mp.workdps(2 * digits(state)):
        for sample in range(trial.error.shape[0]):
            exact = true_shifts(trial, state, sample)
            if exact is None:
                return None
            for layer, truth in enumerate(exact, 1):
                n = trial.network.n_projecting(layer)
                found = [mpf(float(v)) for v in state.values[layer - 1][sample, :n]]
                gap = mpmath.norm([a - b for a, b in zip(found, truth[:n], strict=True)])
                errors[layer - 1] = max(errors[layer - 1], float(gap / mpmath.norm(found)))
    return np.array(bounds) / np.maximum(errors, 1e-300)


@settings(max_examples=40)
@given(
    pathway=st.sampled_from(["itp", "gait"]),
    unit=st.sampled_from(["linear", "leaky_relu", "asinh"]),
    gamma=st.sampled_from([1e-3, 0.01, 0.05, 0.2]),
    init=st.sampled_from(["orthogonal", "gaussian"]),
    dtype=st.sampled_from(["float64", "float32"]),
    perturbation=st.sampled_from([0.0, 1e-10, 1e-6, 1e-3]),
    seed=st.integers(0, 999),
)
def test_bound_is_never_below_the_true_error(pathway, unit, gamma, init, dtype, perturbation, seed):
    """Settled states, and states moved away from them, in both precisions."""
    rng = np.random.default_rng(seed)
    options = {"widths": (4, 4, 3), "init": init, "dtype": dtype, "batch": 1}
    trial = make_trial(rng, pathway, unit, gamma, **options)
    record = settle(trial, must_converge=False)
    if not record.converged:
        return
    values = tuple(
        (value * (1 + perturbation * rng.standard_normal(value.shape))).astype(dtype)
        for value in record.shifts.values
    )
    ratios = _ratios(trial, record.shifts.with_values(values))
    assert ratios is None or np.all(ratios >= 1)


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_bound_is_not_idle(pathway):
    """With orthogonal weights and a state that is off by 1e-6 it is within 100 of the error."""
    rng = np.random.default_rng(1)
    trial = make_trial(rng, pathway, "linear", 0.01, widths=(4, 4, 4), n_outputs=4, batch=1)
    record = settle(trial)
    values = tuple(
        value * (1 + 1e-6 * rng.standard_normal(value.shape)) for value in record.shifts.values
    )
    ratios = _ratios(trial, record.shifts.with_values(values))
    assert ratios is not None
    assert np.all(ratios < 100)


def test_no_bound_where_a_kink_lies_within_the_error():
    """GAIT circuit: A jumps within reach, so nothing can be promised."""
    rng = np.random.default_rng(2)
    trial = make_trial(rng, "gait", "leaky_relu", 0.1, widths=(8, 8, 8), n_outputs=8)
    record = settle(trial, must_converge=False)
    far = record.shifts.with_values(tuple(3 * value for value in record.shifts.values))
    assert max(relative_error_bounds(trial, far)) == np.inf


def test_record_gives_the_bounds_of_its_state():
    trial = make_trial(np.random.default_rng(3), "gait", "asinh", 0.01)
    record = settle(trial)
    assert isinstance(record.shifts, Shifts)
    assert record.error_bounds == relative_error_bounds(trial, record.shifts)
    assert max(record.error_bounds) < 1e-7


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_error_at_the_output_reaches_every_layer(pathway):
    """All shifts of a linear circuit 0.1 % too large: only the output's equation is violated, and
    yet every layer is off by 0.1 %.
    """
    rng = np.random.default_rng(4)
    trial = make_trial(rng, pathway, "linear", 0.05, widths=(4,) * 4, n_outputs=4, batch=1)
    record = settle(trial, tolerance=1e-13)
    scaled = record.shifts.with_values(tuple(1.001 * value for value in record.shifts.values))
    assert min(relative_error_bounds(trial, scaled)) >= 0.001 / 1.001 * (1 - 1e-9)
