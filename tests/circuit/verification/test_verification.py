"""The ruler: residuals against mpmath, layer by layer and sample by sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.network import Network
from circuit.verification.judgement import Status, judge
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


def test_the_state_that_is_kept_is_the_one_that_was_judged():
    """Units without feedback are set to what drives them, last of all, and are sent down in the ITP
    pathway: the state has the residual that is told, literal in mpmath.
    """
    settled, tolerance = 0, 1e-6
    for seed in range(40):
        rng = np.random.default_rng(seed)
        trial = make_trial(rng, "itp", "leaky_relu", 0.8, widths=(5, 5, 4, 3), n_outputs=1)
        record = settle(trial, tolerance=tolerance, must_converge=False)
        with mp.workdps(digits(record.shifts)):
            for sample, status in enumerate(record.sample_status):
                if status is not Status.CONVERGED:
                    continue
                literal = LiteralCircuit(trial, sample)
                residuals = literal.relative_residuals(literal.rates(record.shifts, sample))
                assert max(residuals) < 1.02 * tolerance
                settled += 1
    assert settled > 40


def test_what_leaves_the_range_of_floats_is_not_at_rest():
    """Feedback through which sweeps run away: beside a shift of 1e308 every residual is nothing.
    What is called converged is what a dense solve of the linear circuit finds.
    """
    gamma, ran_away = 0.6, 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        W, B = rng.standard_normal((3, 3, 3)), 0.7 * rng.standard_normal((2, 3, 3))
        network = Network.from_layers(list(W), activations="linear")
        circuit = build_circuit(network, "gait", gamma, feedback=list(B))
        trial = begin(circuit, rng.random((1, 3)), rng.random((1, 3)))
        # (1 - gamma) m_l = gamma B_{l+1} m_{l+1} with m_l = d_l - W_l d_{l-1}; the output is nudged
        one, none, kept = np.eye(3), np.zeros((3, 3)), 1 - gamma
        rows = [
            [kept * one + gamma * B[0] @ W[1], -gamma * B[0], none],
            [-kept * W[1], kept * one + gamma * B[1] @ W[2], -gamma * B[1]],
            [none, -kept * W[2], one],
        ]
        wanted = np.linalg.solve(np.block(rows), np.r_[np.zeros(6), gamma * trial.error[0]])
        swept = settle(trial, "sweep", must_converge=False)
        ran_away += not swept.converged
        for record in (swept, settle(trial, must_converge=False)):
            found = np.concatenate([record.shifts.absolute(layer)[0] for layer in (1, 2, 3)])
            if record.converged:
                np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)
        assert record.converged
    assert ran_away > 0
