"""Trajectories against the matrix exponential, and the integrators' orders of convergence."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg

from circuit.equilibrium import settle
from circuit.errors import CircuitError, NotFinite
from circuit.linearisation.matrix import dense_jacobian
from circuit.methods import ode
from circuit.verification.judgement import Status
from tests.circuit.test_dynamics import make_trial


def _linear(pathway="gait", gamma=0.3):
    rng = np.random.default_rng(0)
    taus = (0.01, 0.02, 0.015)
    return make_trial(rng, pathway, "linear", gamma, batch=2, time_constant=taus)


def _exact(trial, time):
    """delta(t) = (exp(J t) - 1) J^-1 b of the linear circuit; b, the velocity at rest. Of both
    samples, (2, 12); the last of the three outputs has no target.
    """
    jacobian = dense_jacobian(trial, trial.at_rest())
    forcing = np.zeros((2, 12))
    nudge = trial.circuit.strengths[-1] / trial.circuit.time_constants[-1]
    forcing[:, 9:11] = nudge * trial.error[:, :2]
    grown = scipy.linalg.expm(jacobian * time) - np.eye(12)
    return (grown @ np.linalg.solve(jacobian, forcing.T)).T


def _found(state):
    return np.concatenate([state.absolute(layer) for layer in (1, 2, 3)], axis=-1)


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_trajectory_is_the_matrix_exponential(pathway):
    trial = _linear(pathway)
    times = [0.002, 0.01, 0.05]
    states, _ = ode.integrate(trial, trial.at_rest(), times, rtol=1e-11)
    for time, state in zip(times, states, strict=True):
        exact = _exact(trial, time)
        assert np.linalg.norm(_found(state) - exact) < 1e-8 * np.linalg.norm(exact)


@pytest.mark.parametrize(("integrator", "order"), [("RK23", 3), ("RK45", 5), ("DOP853", 8)])
def test_order_of_convergence(integrator, order):
    """Fixed steps: the slope of log error against log step is the order."""
    trial, end = _linear(), 0.04
    exact, errors = _exact(trial, end), []
    counts = np.array({3: [32, 64, 128], 5: [32, 64, 128], 8: [8, 12, 16]}[order])
    for count in counts:
        states, _ = ode.integrate(
            trial, trial.at_rest(), [end], integrator=integrator, fixed_step=end / count
        )
        errors.append(np.linalg.norm(_found(states[0]) - exact))
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.6)


def test_free_phase_ends_on_the_forward_pass():
    trial = make_trial(np.random.default_rng(1), "gait", "leaky_relu", 0.1)
    times = np.array([0.01, 0.5])
    for rates, forward in zip(
        ode.free_phase(trial, times, rtol=1e-10), trial.activity.rates[1:], strict=True
    ):
        assert rates.shape == (2, *forward.shape)
        np.testing.assert_allclose(rates[-1], forward, atol=1e-8)
        assert np.abs(rates[0] - forward).max() > 1e-3


def test_unknown_integrator():
    trial = _linear()
    with pytest.raises(CircuitError, match="Euler.*RK45"):
        ode.integrate(trial, trial.at_rest(), [0.1], integrator="Euler")


def test_fixed_steps_are_counted():
    """Dormand-Prince: six evaluations a step after the first, and two before it."""
    trial = _linear()
    _, evaluations = ode.integrate(trial, trial.at_rest(), [0.04], fixed_step=0.04 / 16)
    assert 6 * 16 <= evaluations <= 6 * 17 + 2


@pytest.mark.parametrize("pathway", ["itp", "gait"])
@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-12])
def test_small_errors_settle_to_the_tolerance_of_large_ones(pathway, size):
    """In a linear circuit the shifts are those of an error of ordinary size, times its size: every
    image by itself, one of them with an error smaller still."""
    rng = np.random.default_rng(2)
    trial = make_trial(rng, pathway, "linear", 0.1, widths=(6, 6, 5, 5), n_outputs=4, batch=3)
    weights = np.array([[1.0], [1e-5], [3.0]])
    small = replace(trial, error=size * weights * trial.error)
    record = settle(small, "ode")
    jacobian = dense_jacobian(trial, trial.at_rest())
    forcing = np.zeros((16, 3))
    forcing[11:, :] = (0.1 * trial.error / trial.circuit.time_constants[-1]).T
    exact = -size * np.linalg.solve(jacobian, forcing).T * weights
    ends = np.cumsum([0, 6, 5, 5])
    for layer in (1, 2, 3):
        found = record.shifts.absolute(layer)
        expected = exact[:, ends[layer - 1] : ends[layer]]
        gap = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
        assert gap.max() < 1e-8
    # and with no more work than an error of ordinary size takes
    assert record.evaluations <= 1.2 * settle(trial, "ode").evaluations


def test_a_trajectory_of_a_small_error_is_the_matrix_exponential():
    trial = _linear()
    small = replace(trial, error=1e-12 * trial.error)
    (state,), _ = ode.integrate(small, small.at_rest(), [0.01], rtol=1e-9)
    exact = 1e-12 * _exact(trial, 0.01)
    assert np.linalg.norm(_found(state) - exact) < 1e-7 * np.linalg.norm(exact)


def test_free_phase_that_explodes_says_so():
    """A sent rate that grows like exp(h^2) with its drive reaches every bound in finite time."""
    trial = make_trial(np.random.default_rng(1), "gait", "asinh", 0.1)
    steep = replace(
        trial.network.activations[0],
        value=lambda h: np.exp(np.abs(h) + 30.0),
        inverse=lambda y: y * np.exp(np.minimum(np.abs(y), 300.0)),
    )
    network = replace(trial.network, activations=(steep,) * trial.network.depth)
    wild = replace(trial, circuit=replace(trial.circuit, network=network))
    with np.errstate(all="ignore"), pytest.raises(NotFinite, match="stopped|not finite"):
        ode.free_phase(wild, [0.05])


@pytest.mark.parametrize("integrator", ["RK45", "LSODA"])
def test_an_integrator_that_gives_up_is_a_status(integrator, monkeypatch):
    """SciPy's own refusal (status -1, no time reached) ends in the record, not in a traceback."""

    def refused(field, span, start, **options):
        message = "Required step size is less than spacing between numbers."
        return SimpleNamespace(status=-1, message=message, nfev=7, t=[], y=np.empty((0, 0)))

    monkeypatch.setattr("scipy.integrate.solve_ivp", refused)
    trial = make_trial(np.random.default_rng(1), "gait", "leaky_relu", 0.1)
    record = settle(trial, "ode", integrator=integrator, must_converge=False)
    assert set(record.sample_status) == {Status.NOT_FINITE}
    with pytest.raises(NotFinite, match="stopped after 0 s of 0.05 s"):
        ode.integrate(trial, trial.at_rest(), [0.05], integrator=integrator)
    with pytest.raises(NotFinite, match="stopped after 0 s of 0.05 s"):
        ode.free_phase(trial, [0.05], integrator=integrator)


def test_along_a_kink_integration_ends_and_the_ruler_says_that_it_has_not_settled():
    """Error control asks for ever shorter steps where two fields point at each other; what is had
    after so many evaluations is a state as any other, and is judged.
    """
    trial = make_trial(np.random.default_rng(1), "gait", "leaky_relu", 0.1)
    start, few = trial.at_rest(), 60
    states, evaluations = ode.integrate(trial, start, [0.02, 0.05], rtol=1e-10, most=few)
    assert evaluations == few + 1
    (early, late), (exact,) = states, ode.integrate(trial, start, [0.05], rtol=1e-10)[0]
    for one, other, end in zip(early.values, late.values, exact.values, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.linalg.norm(end - one) > 1e-3 * np.linalg.norm(end)  # not there yet
