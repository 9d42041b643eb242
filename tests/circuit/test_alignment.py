"""Measures of agreement, and the bound within which a circuit has to agree with its rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.initialisation.networks import initialise
from circuit.plasticity import updates
from circuit.report.alignment import agreement
from circuit.report.deviation import deviations, shift_bounds, update_bound
from circuit.rules import RULES


def _trial(
    pathway,
    gamma,
    *,
    activation="leaky_relu",
    init="orthogonal",
    seed=0,
    widths=(16,) * 5,
    n_outputs=5,
):
    rng = np.random.default_rng(seed)
    network = initialise(widths, rng, init=init, activation=activation, n_outputs=n_outputs)
    inputs = rng.random((12, widths[0]))
    targets = 0.8 * np.eye(n_outputs)[rng.integers(0, n_outputs, 12)]
    return begin(build_circuit(network, pathway, gamma), inputs, targets)


def test_agreement_of_known_vectors():
    """3-4-5: cosine, relative error and norm ratio by hand."""
    found = agreement(np.array([3.0, 4.0]), np.array([3.0, 0.0]))
    assert found.cosine == pytest.approx(0.6)
    assert found.relative_error == pytest.approx(4 / 3)
    assert found.norm_ratio == pytest.approx(5 / 3)


def test_agreement_of_numbers_whose_squares_leave_the_range_of_floats():
    found = agreement(np.array([1e-200, 2e-200]), np.array([1e-200, 2e-200]))
    assert found.cosine == pytest.approx(1)
    assert found.relative_error == 0


def test_agreement_with_nothing_is_no_number():
    assert np.isnan(agreement(np.ones(3), np.zeros(3)).cosine)


@settings(max_examples=100)
@given(
    pathway=st.sampled_from(["itp", "gait", "grait"]),
    activation=st.sampled_from(["linear", "leaky_relu", "asinh", "tanh"]),
    init=st.sampled_from(["orthogonal", "gaussian", "unequal_rows"]),
    gamma=st.floats(-4, -0.7).map(lambda exponent: 10**exponent),
    readout=st.sampled_from(["shift", "mismatch"]),
    seed=st.integers(0, 99),
)
def test_deviation_stays_within_its_bound(pathway, activation, init, gamma, readout, seed):
    """Circuit against rule, image by image and update by update, whenever the circuit settles."""
    if pathway == "itp" and readout == "mismatch":
        return  # the mismatch of the ITP circuit stands for no rule
    trial = _trial(pathway, gamma, activation=activation, init=init, seed=seed)
    record = settle(trial, must_converge=False)
    if not record.converged:
        return
    rule = RULES[pathway](trial.network, trial.activity, trial.error[:, :5], gamma)
    read = record.read_out(readout)
    found_apart = deviations(trial, record.shifts, rule, readout)
    bounds = shift_bounds(rule, found_apart)
    changes = updates(trial.network, trial.activity, rule)
    own = updates(trial.network, trial.activity, read)
    for layer in range(1, 5):
        n = trial.network.n_projecting(layer)
        exact, found = rule.per_gain(layer)[:, :n], read.per_gain(layer)[:, :n]
        gap = np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1)
        assert np.all(gap <= bounds[layer - 1] + 1e-8)
        allowed = update_bound(trial, changes[layer - 1], layer, found_apart[layer - 1]) + 1e-8
        error = agreement(own[layer - 1].weights, changes[layer - 1].weights).relative_error
        assert error <= allowed


@pytest.mark.parametrize("strong", [0, 1, 2])
@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_every_layer_returns_by_its_own_strength(pathway, strong):
    """Feedback that is strong in one layer only: the circuit stays within its bounds, and in the
    GAIT circuit the layer above does deviate, by what it sent down and what came back.
    """
    strengths = [1e-6] * 4
    strengths[strong] = 0.2
    trial = _trial(pathway, strengths, activation="asinh")
    error = 1e-6 * trial.error[:, :5]
    trial = begin(trial.circuit, trial.activity.rates[0], 0 * error, lambda y, t: error)
    rule = RULES[pathway](trial.network, trial.activity, error, strengths)
    record = settle(trial)
    bounds = shift_bounds(rule, deviations(trial, record.shifts, rule))
    for layer in range(1, 5):
        n = trial.network.n_projecting(layer)
        exact, found = (one.per_gain(layer)[:, :n] for one in (rule, record.shifts))
        gap = np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1)
        assert np.all(gap <= 1.01 * bounds[layer - 1] + 1e-8)
        if pathway == "gait" and layer == strong + 2:  # what it sends down comes back from there
            assert gap.max() > 0.01


@pytest.mark.parametrize("readout", ["shift", "mismatch"])
@pytest.mark.parametrize("init", ["orthogonal", "gaussian"])
def test_bound_of_linear_units_is_their_closed_form(init, readout):
    """Linear GAIT circuit (docs/derivation.md, section 3): with c from a dense solve, a mismatch is
    (1 - c_{L-1}) times the rule's direction, a shift c_l / (c_l - c_{l-1}) times that.
    """
    gammas = np.array([0.1, 0.2, 0.15, 0.05])
    options = {"activation": "linear", "init": init, "widths": (9, 8, 8, 6, 6), "n_outputs": 6}
    trial = _trial("gait", tuple(gammas), **options)
    record = settle(trial, tolerance=1e-12)
    rule = RULES["gait"](trial.network, trial.activity, trial.error, tuple(gammas))
    system = np.eye(4) - np.diag(gammas[:-1], 1) - np.diag(1 - gammas[1:], -1)
    c = np.array([0.0, *np.linalg.solve(system, [0, 0, 0, gammas[-1]])])
    bounds = shift_bounds(rule, deviations(trial, record.shifts, rule, readout))
    for layer in range(1, 5):
        factor = 1 - c[3]
        if readout == "shift":
            factor *= c[layer] / (c[layer] - c[layer - 1])
        np.testing.assert_allclose(bounds[layer - 1], abs(factor - 1), rtol=3e-3, atol=1e-9)


@pytest.mark.parametrize("pathway", ["itp", "gait"])
@pytest.mark.parametrize("activation", ["leaky_relu", "asinh", "tanh"])
def test_every_layer_is_decided_at_weak_feedback(pathway, activation):
    """A bound of 1/2 or more decides nothing; at gamma = 0.01 none is needed, whatever the weights:
    and where units cross their kinks it is no more than 10 times the error.
    """
    decided, wide = 0, 0
    for init in ("orthogonal", "gaussian"):
        for seed in range(5):
            trial = _trial(pathway, 0.01, activation=activation, init=init, seed=seed)
            record = settle(trial, must_converge=False)
            if not record.converged:
                continue
            rule = RULES[pathway](trial.network, trial.activity, trial.error[:, :5], 0.01)
            apart = deviations(trial, record.shifts, rule)
            changes = updates(trial.network, trial.activity, rule)
            own = updates(trial.network, trial.activity, record.shifts)
            for layer in range(1, 5):
                bound = update_bound(trial, changes[layer - 1], layer, apart[layer - 1])
                error = agreement(own[layer - 1].weights, changes[layer - 1].weights)
                decided += bound < 0.5
                wide += bound > 10 * error.relative_error + 1e-8
                assert bound < 0.5
    assert decided >= 36
    assert wide == 0


@pytest.mark.parametrize("activation", ["linear", "asinh"])
def test_bound_is_of_first_order_in_gamma(activation):
    """Ten times less feedback, ten times less is allowed."""
    sizes = []
    for gamma in (1e-2, 1e-3):
        trial = _trial("gait", gamma, activation=activation)
        record = settle(trial)
        rule = RULES["gait"](trial.network, trial.activity, trial.error[:, :5], gamma)
        sizes.append(shift_bounds(rule, deviations(trial, record.shifts, rule))[2].max())
    assert sizes[0] / sizes[1] == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize("activation", ["linear", "leaky_relu", "asinh"])
def test_itp_may_not_deviate_where_no_unit_bends(activation):
    """In a linear piece its circuit has the rule's direction exactly, whatever the slopes are."""
    trial = _trial("itp", 0.2, activation=activation)
    error = 1e-9 * trial.error[:, :5]
    small = begin(trial.circuit, trial.activity.rates[0], 0 * error, lambda y, t: error)
    rule = RULES["itp"](small.network, small.activity, error, 0.2)
    bounds = shift_bounds(rule, deviations(small, settle(small).shifts, rule))
    assert bounds.shape == (4, 12)
    assert bounds.max() < 1e-5


def test_negative_control_another_rule_lies_outside_the_bound():
    """The ITP circuit's update is not within the bound of GAIT-prop, nor the other way round."""
    for pathway, other in (("itp", "gait"), ("gait", "itp")):
        trial = _trial(pathway, 0.01)
        record = settle(trial)
        wrong = RULES[other](trial.network, trial.activity, trial.error[:, :5], 0.01)
        right = RULES[pathway](trial.network, trial.activity, trial.error[:, :5], 0.01)
        bounds = shift_bounds(right, deviations(trial, record.shifts, right))
        exact, found = wrong.per_gain(1), record.shifts.per_gain(1)
        gap = np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1)
        assert np.median(gap / np.maximum(bounds[0], 1e-8)) > 2
