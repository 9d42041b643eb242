"""The error bound bounds the error: true equilibria by Newton's method in mpmath."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from circuit.dynamics import begin
from circuit.equilibrium import settle
from circuit.losses import softmax_cross_entropy
from circuit.shifts import Shifts
from circuit.verification.bounds import relative_error_bounds
from circuit.verification.doubt import doubt
from tests.circuit.test_dynamics import LiteralCircuit, digits, make_trial
from tests.exact_roots import newton_step


def true_shifts(trial, shifts, sample, targets=None):
    """Newton's method on the literal equations from `shifts`, with differences for the Jacobian.

    With the trial's error, or with `targets` and the error that the true outputs make of them.
    Vectors of mpf for the layers 1 .. L in units of the scales, or None where it does not converge.
    """
    literal = LiteralCircuit(trial, sample, None if targets is None else targets[sample])
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
        flat = newton_step(residual, flat, now, step)
    return None


def _ratios(trial, state, targets=None):
    """bound / true error of every layer, the worst sample; None without a true equilibrium."""
    bounds = relative_error_bounds(trial, state)
    errors = np.zeros(len(bounds))
    with mp.workdps(2 * digits(state)):
        for sample in range(trial.error.shape[0]):
            exact = true_shifts(trial, state, sample, targets)
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
    pathway=st.sampled_from(["itp", "gait", "grait"]),
    unit=st.sampled_from(["linear", "leaky_relu", "asinh"]),
    gamma=st.sampled_from([1e-3, 0.01, 0.05, 0.2]),
    init=st.sampled_from(["orthogonal", "gaussian", "unequal_rows"]),
    dtype=st.sampled_from(["float64", "float32"]),
    perturbation=st.sampled_from([0.0, 1e-10, 1e-6, 1e-3]),
    seed=st.integers(0, 999),
)
def test_bound_is_never_below_the_true_error(pathway, unit, gamma, init, dtype, perturbation, seed):
    """Settled states, and states moved away from them, in both precisions."""
    rng = np.random.default_rng(seed)
    options = {"widths": (4, 4, 3), "init": init, "dtype": dtype, "batch": 2}
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


@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
def test_bound_is_not_idle(pathway):
    """With orthogonal weights and a state that is off by 1e-6 it is within 100 of the error."""
    rng = np.random.default_rng(1)
    trial = make_trial(rng, pathway, "linear", 0.01, widths=(4, 4, 4), n_outputs=4, batch=3)
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


@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
def test_error_at_the_output_reaches_every_layer(pathway):
    """All shifts of a linear circuit 0.1 % too large: only the output's equation is violated, and
    yet every layer is off by 0.1 %.
    """
    rng = np.random.default_rng(4)
    trial = make_trial(rng, pathway, "linear", 0.05, widths=(4,) * 4, n_outputs=4, batch=3)
    record = settle(trial, tolerance=1e-13)
    scaled = record.shifts.with_values(tuple(1.001 * value for value in record.shifts.values))
    bounds = relative_error_bounds(trial, scaled)
    assert min(bounds) >= 0.001 / 1.001 * (1 - 1e-9)
    if pathway == "itp":  # orthogonal weights: the norms of what comes down are exact
        assert max(bounds) <= 0.001 * 1.1


# --- how well the error itself is known ---


def _with_loss(pathway, unit, size, dtype, loss):
    """A trial whose error is `size`: returned by a user's loss, or made from targets close by."""
    trial = make_trial(np.random.default_rng(5), pathway, unit, 0.03, dtype=dtype, batch=2)
    outputs = trial.activity.rates[-1][:, : trial.network.n_outputs]
    error = (size * np.array([[0.6, -0.8], [-1.5, 2.0]])).astype(dtype)
    inputs = trial.activity.rates[0]
    return begin(trial.circuit, inputs, outputs + error, loss(error)), outputs + error


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("unit", ["linear", "leaky_relu", "asinh"])
@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
def test_error_far_below_the_rates_is_exact_where_a_loss_returns_it(pathway, unit, dtype):
    """An error of 1e-20 beside outputs of order 1 gives shifts that are as exact as any others."""
    trial, _ = _with_loss(pathway, unit, 1e-20, dtype, lambda error: lambda y, t: error)
    state = settle(trial).shifts
    bounds = relative_error_bounds(trial, state)
    ratios = _ratios(trial, state)
    assert ratios is not None
    assert np.all(ratios >= 1)
    assert max(bounds) < {"float64": 1e-8, "float32": 1e-2}[dtype]


@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
def test_error_made_of_rounded_outputs_is_no_better_than_they_are(pathway):
    """Control: t - y of 1e-14 beside outputs of order 1. Held against the literal circuit with the
    same targets and exact outputs, the shifts are off by more than rounding, and the bound says so.
    """
    trial, targets = _with_loss(pathway, "linear", 1e-14, "float64", lambda error: "quadratic")
    state = settle(trial).shifts
    ratios = _ratios(trial, state, targets)
    assert ratios is not None
    assert np.all(ratios >= 1)
    assert min(np.array(relative_error_bounds(trial, state)) / ratios) > 1e-4  # the true error


@pytest.mark.parametrize("pathway", ["itp", "gait"])
@pytest.mark.parametrize("gamma", [0.03, 1e-3])
def test_the_output_is_in_doubt_by_what_its_rates_are(pathway, gamma):
    """However weak the feedback is: |d_L| is gamma e, and so is its error, by norms of the forward
    pass multiplied out; the output's own feedback below hardly counts.
    """
    trial = make_trial(np.random.default_rng(5), pathway, "linear", gamma, error=1e-14, batch=2)
    rounding = np.zeros(2)
    for W, rates in zip(trial.network.weights, trial.activity.rates, strict=False):
        longest, size = len(W) ** 0.5, np.linalg.norm(W, 2)
        fresh = 4 * np.finfo(float).eps * longest * size * np.linalg.norm(rates, axis=1)
        rounding = fresh + size * rounding
    wanted = np.max(rounding / np.linalg.norm(trial.error, axis=1))
    found = relative_error_bounds(trial, settle(trial, must_converge=False).shifts)[-1]
    assert 0.9 * wanted < found < 1.2 * wanted


def test_doubt_of_cross_entropy_against_differences():
    """|de/dy| of t - softmax(y) is at most half the sum of t, and comes near to it."""
    rng, steepest = np.random.default_rng(6), 0.0
    targets = np.array([[0.5, 1.5, 0.0]])
    bound = doubt(targets, "cross_entropy").steepness
    for _ in range(200):
        outputs = 3 * rng.standard_normal((1, 3))
        columns = [
            (
                softmax_cross_entropy(outputs + 1e-6 * unit, targets)
                - softmax_cross_entropy(outputs - 1e-6 * unit, targets)
            )
            / 2e-6
            for unit in np.eye(3)
        ]
        steepest = max(steepest, np.linalg.norm(np.concatenate(columns), 2))
    assert 0.8 * bound < steepest <= bound
