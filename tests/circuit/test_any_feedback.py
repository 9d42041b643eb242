"""Circuits through any feedback matrices, against Newton's method of a field of its own, SciPy's
root of the printed equations, differences, and cases that are known by hand.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import root

from circuit.dynamics import begin, build_circuit, velocity
from circuit.equilibrium import settle
from circuit.errors import CircuitError, SingularWeights
from circuit.initialisation.networks import initialise
from circuit.learned_inverse.inverse_model import exact_model
from circuit.linearisation.matrix import dense_jacobian
from circuit.numerics.scale import ONE
from circuit.shift_dynamics import shift_velocity
from circuit.shifts import Shifts
from circuit.verification.judgement import Status
from tests.imperfect_circuits import Imperfect, jacobians, settle_imperfect

BOTH = pytest.mark.parametrize("corrected", [True, False], ids=["corrected", "plain"])
PATHWAYS = pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
SHAPES = pytest.mark.parametrize("widths", [(7, 5, 6, 4), (6, 5, 5, 5)], ids=["any", "equal"])


def _trial(rng, widths, pathway="gait", gamma=0.1, *, activation="asinh", corrected=True, batch=3):
    """A circuit through matrices that are a third off the pseudo-inverse, not all outputs aimed."""
    network = initialise(widths, rng, init="gaussian", activation=activation, auxiliary=False)
    network = replace(network, n_outputs=3)
    for bias in network.biases:
        bias[:] = 0.2 * rng.standard_normal(bias.shape)
    matrices = []
    for weights in network.weights[1:]:
        good = np.linalg.pinv(weights)
        good = good / max(1.0, np.linalg.norm(good, 2))
        matrices.append(good + 0.3 * np.std(good) * rng.standard_normal(good.shape))
    circuit = build_circuit(network, pathway, gamma, feedback=matrices, corrected=corrected)
    inputs = rng.random((batch, widths[0]))
    return begin(circuit, inputs, rng.random((batch, 3)))


def _oracle(trial):
    """The same circuit with a field and a Newton of its own."""
    circuit, network = trial.circuit, trial.network
    plainly = replace(trial, circuit=replace(circuit, feedback=None))
    matrices = (network.weights[0].T, *circuit.feedback.weights)
    return Imperfect(plainly, matrices, circuit.corrected)


@BOTH
@PATHWAYS
@SHAPES
@pytest.mark.parametrize("method", ["sweep", "newton", "ode"])
@pytest.mark.parametrize("activation", ["asinh", "leaky_relu"])
def test_every_method_settles_where_newton_with_a_field_of_its_own_does(
    activation, method, widths, pathway, corrected, rng
):
    trial = _trial(rng, widths, pathway, 0.05, activation=activation, corrected=corrected)
    record, other = settle(trial, method), settle_imperfect(_oracle(trial))
    assert other.settled.all()
    for layer in (1, 2, 3):
        wanted = other.shifts[layer - 1]
        away = record.shifts.absolute(layer) - wanted
        assert np.linalg.norm(away) < 1e-8 * np.linalg.norm(wanted)
        base = record.trial.activity.rates[layer]
        np.testing.assert_allclose(base, other.base.rates[layer], atol=1e-9)


@BOTH
@PATHWAYS
def test_brian2_settles_there_too(pathway, corrected, rng):
    """Any shapes, and biases c of the feedback that are not those of the weights."""
    trial = _trial(rng, (7, 5, 6, 4), pathway, 0.05, corrected=corrected, batch=2)
    model = trial.circuit.feedback
    biases = tuple(c + 0.2 * rng.standard_normal(c.shape) for c in model.biases)
    circuit = replace(trial.circuit, feedback=replace(model, biases=biases))
    trial = replace(trial, circuit=circuit)
    oracle = _oracle(trial)
    if not corrected:
        oracle = replace(oracle, offsets=(np.zeros(7), *biases))
    record, other = settle(trial, "brian2", tolerance=1e-8), settle_imperfect(oracle)
    assert other.settled.all()
    for layer in (1, 2, 3):
        wanted = other.shifts[layer - 1]
        away = record.shifts.absolute(layer) - wanted
        assert np.linalg.norm(away) < 1e-7 * np.linalg.norm(wanted)
        base = record.trial.activity.rates[layer]
        np.testing.assert_allclose(base, other.base.rates[layer], atol=1e-7)


@BOTH
@PATHWAYS
@SHAPES
def test_roots_of_the_printed_equations(widths, pathway, corrected, rng):
    """SciPy's root of dy/dt = 0, free and nudged, in units of the rates."""
    trial = _trial(rng, widths, pathway, 0.2, corrected=corrected, batch=2)
    record, cuts = settle(trial), np.cumsum(widths[1:])[:-1]
    for image in range(2):
        one = trial.samples([image])
        found = {}
        for nudged in (False, True):

            def field(flat, one=one, nudged=nudged):
                rates = tuple(part[None, :] for part in np.split(flat, cuts))
                return 0.01 * np.concatenate(velocity(one, rates, nudged=nudged), axis=1)[0]

            start = np.concatenate(one.activity.rates[1:], axis=1)[0]
            found[nudged] = root(field, start, tol=1e-14).x
            assert np.abs(field(found[nudged])).max() < 1e-12
        base = [rates[image] for rates in record.trial.activity.rates[1:]]
        np.testing.assert_allclose(np.concatenate(base), found[False], atol=1e-9)
        shifts = [record.shifts.absolute(layer)[image] for layer in (1, 2, 3)]
        away = np.concatenate(shifts) - (found[True] - found[False])
        assert np.abs(away).max() < 1e-9


@BOTH
@PATHWAYS
@SHAPES
def test_jacobian_is_the_derivative_of_the_field(widths, pathway, corrected, rng):
    """Central differences of `shift_velocity` away from rest; at rest also by the other field."""
    trial = _trial(rng, widths, pathway, 0.2, corrected=corrected, batch=1)
    record = settle(trial)
    trial, cuts = record.trial, np.cumsum(widths[1:])[:-1]
    total = sum(widths[1:])

    def at(flat):
        values = tuple(np.split(flat[None, :], cuts, axis=1))
        return Shifts(values, (ONE,) * 3, trial.circuit.gains)

    for phase in (trial, trial.from_forward_pass()):  # of a plain circuit its free phase too
        state = 0.1 * rng.standard_normal(total)
        exact = dense_jacobian(phase, at(state))
        for unit in range(total):
            change = 1e-5 * np.eye(total)[unit]
            ahead, behind = (
                np.concatenate(shift_velocity(phase, at(state + way * change)), axis=1)[0]
                for way in (1, -1)
            )
            column = (ahead - behind) / 2e-5
            np.testing.assert_allclose(exact[:, unit], column, atol=2e-6)
    oracle = _oracle(trial.from_forward_pass())
    base, state = trial.activity, tuple(record.shifts.absolute(layer) for layer in (1, 2, 3))
    other = jacobians(oracle, base, state)[0]
    np.testing.assert_allclose(0.01 * dense_jacobian(trial, record.shifts), other, atol=1e-9)


def test_the_record_says_what_shifts_count_from(rng):
    """Plain: the free phase, which is at rest without a nudge; corrected: the forward pass."""
    trial = _trial(rng, (7, 5, 6, 4), gamma=0.3, corrected=False)
    record = settle(trial, "newton")
    assert trial.is_free
    assert not record.trial.is_free
    assert record.free.trial.is_free
    still = velocity(record.trial, record.trial.activity.rates[1:], nudged=False)
    assert max(float(np.abs(part).max()) for part in still) < 1e-6  # per second, in steps of 10 ms
    moved = velocity(trial, trial.activity.rates[1:], nudged=False)
    assert max(float(np.abs(part).max()) for part in moved) > 1.0
    np.testing.assert_allclose(record.trial.target[:, :3], trial.target[:, :3], atol=1e-12)
    again = settle(record.trial, "newton")  # the same from where it has settled already
    for layer in (1, 2, 3):
        one, other = (found.shifts.absolute(layer) for found in (again, record))
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-14)
    corrected = settle(_trial(rng, (7, 5, 6, 4)))
    assert corrected.free is None
    assert corrected.trial.still is None


def test_a_sample_without_a_free_phase_is_not_settled(rng):
    """Feedback of the plain circuit ten times too strong for one sweep after another to hold."""
    trial = _trial(rng, (7, 5, 6, 4), gamma=0.5, activation="leaky_relu", corrected=False)
    model = trial.circuit.feedback
    wild = replace(model, weights=tuple(30 * matrix for matrix in model.weights))
    lost = replace(trial, circuit=replace(trial.circuit, feedback=wild))
    record = settle(lost, must_converge=False)
    assert Status.CONVERGED not in record.free.sample_status
    assert record.sample_status == record.free.sample_status
    assert "newton" in record.failure()
    assert "direct" not in record.failure()


@pytest.mark.parametrize("method", ["sweep", "newton", "ode"])
def test_feedback_of_nothing_leaves_the_layers_below_alone(method, rng):
    """B = 0: the output alone shifts, by gamma e, and that is where the circuit is at rest."""
    trial = _trial(rng, (7, 5, 6, 4), gamma=0.1)
    model = trial.circuit.feedback
    nothing = replace(model, weights=tuple(0 * matrix for matrix in model.weights))
    record = settle(replace(trial, circuit=replace(trial.circuit, feedback=nothing)), method)
    for layer in (1, 2):
        assert not record.shifts.absolute(layer).any()
    np.testing.assert_allclose(record.shifts.absolute(3), 0.1 * trial.error, rtol=1e-9)


@PATHWAYS
def test_weak_feedback_through_a_pseudo_inverse_is_the_rule_with_it(pathway, rng):
    """Rectangles without auxiliary units: to first order in gamma the mismatches of the rule, with
    NumPy's pseudo-inverse, layer by layer; what is left is of the order of gamma.
    """
    network = initialise((7, 5, 6, 4), rng, init="gaussian", activation="tanh", auxiliary=False)
    inputs, targets, gamma = rng.random((3, 7)), 0.5 * rng.random((3, 4)), 1e-4
    trial = begin(
        build_circuit(network, pathway, gamma, feedback="pseudo-inverse"), inputs, targets
    )
    found, activity = settle(trial).mismatches, trial.activity
    wanted = gamma * trial.error
    for layer in (3, 2, 1):
        own = found.absolute(layer)
        assert np.linalg.norm(own - wanted) < 10 * gamma * np.linalg.norm(wanted)
        if layer > 1:
            slope, rows = activity.slope(layer), (network.weights[layer - 1] ** 2).sum(axis=1)
            gain = {"itp": 1 / slope, "gait": slope, "grait": slope * rows}[pathway]
            wanted = gamma * (gain * wanted) @ np.linalg.pinv(network.weights[layer - 1]).T


def test_refusals(rng):
    trial = _trial(rng, (7, 5, 6, 4))
    with pytest.raises(CircuitError, match="direct needs the exact inverse as feedback; use sweep"):
        settle(trial, "direct")
    exact = replace(trial, circuit=replace(trial.circuit, feedback=None))
    with pytest.raises(SingularWeights, match="has no exact inverse"):
        settle(exact)
    with pytest.raises(SingularWeights):
        exact_model(trial.network)
