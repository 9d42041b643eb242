"""The ruler: residuals against mpmath, layer by layer and sample by sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp

from circuit.equilibrium import settle
from circuit.verification.judgement import judge
from tests.circuit.test_dynamics import LiteralCircuit, digits, make_trial, random_shifts


@settings(max_examples=25)
@given(
    pathway=st.sampled_from(["itp", "gait", "grait"]),
    unit=st.sampled_from(["linear", "leaky_relu", "asinh"]),
    gamma=st.floats(-5, -0.4).map(lambda exponent: 10**exponent),
    size=st.sampled_from([1.0, 1e-3]),
    seed=st.integers(0, 999),
)
def test_residual_is_that_of_the_printed_equations(pathway, unit, gamma, size, seed):
    """|tau dy/dt| / |y - y^f| of a random state, literal in mpmath, auxiliary units left out."""
    rng = np.random.default_rng(seed)
    trial = make_trial(rng, pathway, unit, gamma)
    state = random_shifts(rng, trial, size)
    found = judge(trial, state, 0.0).relative_residuals  # 0: no upper bound is good enough
    wanted = np.zeros(3)
    with mp.workdps(digits(state)):
        for sample in range(2):
            literal = LiteralCircuit(trial, sample)
            residuals = literal.relative_residuals(literal.rates(state, sample))
            wanted = np.maximum(wanted, residuals)
    np.testing.assert_allclose(found, wanted, rtol=1e-8)


@pytest.mark.parametrize("init", ["orthogonal", "gaussian"])
def test_upper_bound_is_one_and_no_looser_than_the_condition(init):
    """|W^-1| |W R| lies between |R| and kappa |R|."""
    rng = np.random.default_rng(0)
    trial = make_trial(rng, "gait", "leaky_relu", 0.05, init=init)
    state = random_shifts(rng, trial)
    exact = judge(trial, state, 0.0).relative_residuals
    bound = judge(trial, state, 1e9).relative_residuals
    for layer in (1, 2):
        condition = np.linalg.cond(trial.network.weights[layer])
        assert exact[layer - 1] <= bound[layer - 1] * (1 + 1e-9)
        assert bound[layer - 1] <= exact[layer - 1] * condition * (1 + 1e-2)


def test_one_layer_wrong_by_its_whole_size_is_seen():
    """A norm of the whole state changes in its tenth digit; the ruler says 100 %."""
    rng = np.random.default_rng(1)
    trial = make_trial(rng, "gait", "linear", 1e-4, widths=(6, 5, 5, 4), n_outputs=4)
    record = settle(trial)
    wrong = (0 * record.shifts.values[0], *record.shifts.values[1:])
    rates = [np.concatenate(record.activities, axis=1)]
    moved = list(record.activities)
    moved[0] = trial.activity.rates[1]
    rates.append(np.concatenate(moved, axis=1))
    assert np.linalg.norm(rates[1] - rates[0]) < 1e-9 * np.linalg.norm(rates[0])
    assert judge(trial, record.shifts.with_values(wrong), 1e-10).relative_residuals[0] > 0.9


def test_one_sample_wrong_is_seen():
    """The worst sample counts, also where its shift is the smallest of the batch."""
    rng = np.random.default_rng(2)
    trial = make_trial(rng, "gait", "linear", 0.01, widths=(6, 5, 5, 4), n_outputs=3, batch=20)
    error = trial.error.copy()
    error[7] *= 1e-9
    from dataclasses import replace

    trial = replace(trial, error=error)
    record = settle(trial)
    values = record.shifts.values[1].copy()
    values[7] *= 1.5
    state = record.shifts.with_values((record.shifts.values[0], values, record.shifts.values[2]))
    assert judge(trial, state, 1e-10).relative_residuals[1] > 0.1


def test_auxiliary_units_are_left_out():
    """Nobody reads them: a wrong one changes no residual but, at the sender, that of the layer
    below."""
    rng = np.random.default_rng(3)
    trial = make_trial(rng, "itp", "linear", 0.05, widths=(5, 5, 3), n_outputs=2)
    record = settle(trial)
    values = [value.copy() for value in record.shifts.values]
    values[0][:, 3:] += 1.0  # auxiliary units of layer 1: not read by layer 2
    residuals = judge(trial, record.shifts.with_values(tuple(values)), 1e-10).relative_residuals
    assert max(residuals) <= record.tolerance
