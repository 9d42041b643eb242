"""Stability measures against closed forms, SciPy's matrix exponential and theorems."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import block_diag, expm, solve_continuous_lyapunov
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from analysis import stability
from analysis.linearised import linearised
from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.linearisation.matrix import dense_jacobian


def _norm_at(jacobian, time):
    return float(np.linalg.norm(expm(jacobian * time), 2))


def _brute_growth(jacobian, longest, count=400):
    """The highest norm of expm(J t), by a fine scan of times and a local search."""
    times = np.linspace(0, longest, count)
    norms = [_norm_at(jacobian, time) for time in times]
    top = int(np.argmax(norms))
    if top == 0:
        return 1.0
    around = (times[top - 1], times[min(top + 1, count - 1)])
    return -minimize_scalar(
        lambda t: -_norm_at(jacobian, t), bounds=around, method="bounded", options={"xatol": 1e-9}
    ).fun


def _circuit(pathway, gamma, *, depth=3, width=8, init="orthogonal", activation="leaky_relu"):
    """A settled circuit in which every output is nudged, and its Jacobian in units of 1/tau."""
    rng = np.random.default_rng(5)
    network = initialise([width] * (depth + 2), rng, init=init, activation=activation)
    circuit = build_circuit(network, pathway, gamma, time_constant=0.02)
    trial = begin(circuit, rng.random((1, width)), rng.random((1, width)))
    record = settle(trial)
    return record, 0.02 * dense_jacobian(trial, record.shifts)


# --- spectrum ---


@pytest.mark.parametrize("gamma", [1e-3, 0.1, 0.5])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("init", ["orthogonal", "gaussian"])
def test_spectrum_of_the_itp_circuit_is_the_known_one(gamma, depth, init):
    """Eigenvalues -1 + 2 sqrt(gamma (1 - gamma)) cos(k pi / (L + 1)), docs/derivation.md section
    3: abscissa and largest Euler step follow, whatever the weights."""
    _, jacobian = _circuit("itp", gamma, depth=depth, init=init, activation="linear")
    found = stability.spectrum(jacobian)
    spread = 2 * np.sqrt(gamma * (1 - gamma)) * np.cos(np.pi / (depth + 2))
    slack = 10 * found.abscissa_error
    assert slack < 0.01
    assert found.abscissa == pytest.approx(-1 + spread, abs=slack)
    slack = 10 * found.euler_step_error
    assert slack < 0.02
    assert found.euler_step == pytest.approx(2 / (1 + spread), abs=slack)


def test_rounding_of_an_eigenvalue_is_owned_up_to():
    """A matrix whose eigenvalue is defective to rounding: the true one, -1, is off by
    eps^(1/8), and the estimate says at least that much."""
    jacobian = -np.eye(8) + np.diag(np.ones(7), 1)
    jacobian[-1, 0] = 1e-15  # the eighth root of this away from -1: 0.013
    found = stability.spectrum(jacobian)
    assert np.all(np.abs(found.eigenvalues + 1) < 0.02)
    assert found.abscissa_error > 1e-3
    assert stability.spectrum(-np.eye(3)).abscissa_error < 1e-14


def test_euler_step_is_where_the_iteration_stops_contracting(rng):
    """By iterating: below the step deviations die out, above it they grow."""
    jacobian = rng.standard_normal((6, 6))
    jacobian -= (0.5 + np.linalg.eigvals(jacobian).real.max()) * np.eye(6)
    step = stability.largest_euler_step(np.linalg.eigvals(jacobian))
    for factor, dies_out in ((0.98, True), (1.02, False)):
        propagator = np.linalg.matrix_power(np.eye(6) + factor * step * jacobian, 2000)
        assert bool(np.linalg.norm(propagator) < 1) is dies_out
    assert stability.largest_euler_step(np.array([-1.0, 0.5])) == 0.0


# --- growth ---


def test_numerical_abscissa_is_the_initial_growth_rate(rng):
    """d/dt |expm(J t)| at t = 0, by a one-sided difference with Richardson's extrapolation."""
    jacobian = rng.standard_normal((7, 7)) - np.eye(7)
    h = 1e-4
    slopes = [(_norm_at(jacobian, step) - 1) / step for step in (h, h / 2)]
    assert stability.numerical_abscissa(jacobian) == pytest.approx(
        2 * slopes[1] - slopes[0], rel=1e-6
    )


@pytest.mark.parametrize("coupling", [3.0, 30.0, 1000.0])
def test_transient_growth_of_a_two_by_two_matrix(coupling):
    """J = [[-1, c], [0, -1]]: |expm(J t)| = exp(-t) s with s - 1/s = c t (singular values of a
    shear)."""

    def norm(time):
        return np.exp(-time) * (coupling * time + np.hypot(coupling * time, 2)) / 2

    best = minimize_scalar(lambda t: -norm(t), bounds=(0, 5), method="bounded")
    jacobian = np.array([[-1.0, coupling], [0.0, -1.0]])
    assert stability.transient_growth(jacobian) == pytest.approx(-best.fun, rel=1e-3)


def test_transient_growth_against_a_fine_scan(rng):
    for _ in range(4):
        jacobian = rng.standard_normal((10, 10)) * 1.5
        jacobian = np.triu(jacobian, 1) - np.diag(rng.uniform(0.3, 2, 10))
        jacobian[5, 2], jacobian[2, 5] = 4, -4  # a rotation
        found = stability.transient_growth(jacobian)
        assert found == pytest.approx(_brute_growth(jacobian, 20), rel=2e-3)


@pytest.mark.parametrize(("pathway", "init"), [("itp", "gaussian"), ("gait", "gaussian")])
def test_transient_growth_of_a_circuit(pathway, init):
    _, jacobian = _circuit(pathway, 0.05, init=init)
    found = stability.transient_growth(jacobian)
    assert found > 1.01
    assert found == pytest.approx(_brute_growth(jacobian, 12), rel=2e-3)


def _shear(coupling: float, rate: float = 1.0) -> np.ndarray:
    return rate * np.array([[-1.0, coupling], [0.0, -1.0]])


@pytest.mark.parametrize("order", [1, -1])
def test_transient_growth_sees_a_block_that_nothing_couples(order):
    """Two shears: the one that grows fastest at first grows less in the end. The norm of a block
    matrix is that of its larger block, so the growth is that of the other one alone."""
    quick, slow = _shear(4.0, rate=5.0), _shear(8.0)
    jacobian = block_diag(*[quick, -2 * np.eye(3), slow][::order])
    assert stability.numerical_abscissa(quick) > stability.numerical_abscissa(slow)
    alone = _brute_growth(slow, 6)
    assert alone > 1.2 * _brute_growth(quick, 6)
    assert stability.transient_growth(jacobian) == pytest.approx(alone, rel=1e-6)


def test_transient_growth_with_close_singular_values(rng):
    """Twenty blocks that grow alike to a few thousandths, mixed by a rotation: the largest counts,
    to a hundred-thousandth (power iteration would mix them)."""
    couplings = np.linspace(5.95, 6.0, 20)
    turned, _ = np.linalg.qr(rng.standard_normal((40, 40)))
    jacobian = turned @ block_diag(*map(_shear, couplings)) @ turned.T
    exact = _brute_growth(_shear(6.0), 6)
    assert stability.transient_growth(jacobian) == pytest.approx(exact, rel=1e-6)


def test_transient_growth_of_fast_oscillations_that_grow_slowly():
    """Two weakly damped oscillators, the first driving the second: the norm swings within its
    slow rise, long after the first steps."""
    turn = np.array([[0.0, 9.0], [-1.0, 0.0]])
    jacobian = np.block([[turn, 0.5 * np.eye(2)], [np.zeros((2, 2)), turn]]) - 0.02 * np.eye(4)
    exact = _brute_growth(jacobian, 150, 6000)
    assert stability.transient_growth(jacobian) == pytest.approx(exact, rel=1e-5)


def test_transient_growth_obeys_its_bounds(rng):
    """From below: max over s > 0 of s |(s - J)^-1| (Kreiss). From above: the square root of the
    condition of the Lyapunov matrix."""
    jacobian = np.triu(3 * rng.standard_normal((8, 8)), 1) - np.eye(8)
    found = stability.transient_growth(jacobian)
    resolvents = [
        s * np.linalg.norm(np.linalg.inv(s * np.eye(8) - jacobian), 2)
        for s in np.geomspace(1e-3, 1e3, 200)
    ]
    lyapunov = solve_continuous_lyapunov(jacobian.T, -np.eye(8))
    assert max(resolvents) * (1 - 1e-3) <= found <= np.sqrt(np.linalg.cond(lyapunov))


def test_growth_without_end_is_not_given_a_number():
    assert np.isnan(stability.transient_growth(np.array([[0.1, 0.0], [0.0, -1.0]])))
    assert stability.transient_growth(-np.eye(3)) == 1.0


# --- settling ---


def _settled_by_brute_force(jacobian, end, widths, fraction):
    """The last of very many instants at which a layer is further than `fraction` from its end."""
    edges, step = np.cumsum([0, *widths]), 2e-3
    propagator, missing = expm(jacobian * step), end.copy()
    last = np.zeros(len(widths))
    for count in range(1, 20000):
        missing = propagator @ missing
        for layer, (a, b) in enumerate(pairwise(edges)):
            if np.linalg.norm(missing[a:b]) > fraction * np.linalg.norm(end[a:b]):
                last[layer] = count * step
    return last


@pytest.mark.parametrize(("pathway", "gamma"), [("itp", 0.3), ("gait", 0.05)])
def test_settling_time_of_a_linear_two_layer_circuit(pathway, gamma):
    """A linear circuit, so that the linearisation is the circuit."""
    record, jacobian = _circuit(pathway, gamma, depth=1, width=5, activation="linear")
    end = np.concatenate([record.shifts.absolute(layer)[0] for layer in (1, 2)])
    found = stability.settling_times(jacobian, end, (5, 5))
    wanted = _settled_by_brute_force(jacobian, end, (5, 5), 1e-3)
    np.testing.assert_allclose(found, wanted, atol=6e-3)
    assert found[0] > found[1]  # the nudge reaches the lower layer later


def test_settling_time_of_a_chain_of_filters():
    """Weak feedback: layer l is the (L + 1 - l)-th filter of a chain, and what is missing is
    the tail of a gamma distribution."""
    from scipy.stats import gamma as gamma_distribution

    gamma, depth = 1e-5, 6
    jacobian = -np.eye(depth) + gamma * np.eye(depth, k=1) + (1 - gamma) * np.eye(depth, k=-1)
    end = gamma ** np.arange(depth, 0, -1.0)
    scaled = stability.in_units_of(jacobian, end, (1,) * depth)
    found = stability.settling_times(scaled, np.ones(depth), (1,) * depth)
    # the end value is gamma^k (1 + O(gamma))
    tails = gamma_distribution.isf(1e-3, np.arange(depth, 0, -1))
    np.testing.assert_allclose(found, tails, rtol=1e-3)


def test_change_of_units_is_a_similarity(rng):
    jacobian = rng.standard_normal((5, 5))
    scaled = stability.in_units_of(jacobian, [1e-3, 10.0], (2, 3))
    sizes = np.diag([1e-3, 1e-3, 10, 10, 10])
    np.testing.assert_allclose(scaled, np.linalg.inv(sizes) @ jacobian @ sizes, rtol=1e-12)
    apart = stability.in_units_of(-np.eye(2), [1e-300, 1e300], (1, 1))
    np.testing.assert_array_equal(apart, -np.eye(2))


def test_a_circuit_whose_growth_overflows_never_settles():
    """exp(400 x 2000) is far beyond float64; a warning would be an error here."""
    grows = np.diag([400.0, -1.0, -2.0])
    assert np.isnan(stability.settling_times(grows, np.array([1.0, 2.0, 3.0]), (1, 2))).all()


def test_an_unstable_circuit_never_settles():
    times = stability.settling_times(np.diag([0.1, -1.0]), np.ones(2), (1, 1))
    assert np.all(np.isnan(times))
    still = stability.settling_times(-np.eye(2), np.array([1.0, 0.0]), (1, 1))
    assert still[0] == pytest.approx(np.log(1000), rel=1e-6)
    assert np.isnan(still[1])


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.array([[np.nan]]), np.zeros((0, 0))])
def test_bad_jacobians_are_refused(bad):
    with pytest.raises(CircuitError, match="Jacobian"):
        stability.numerical_abscissa(bad)


# --- from products alone ---


@pytest.mark.parametrize("activation", ["leaky_relu", "asinh"])
@pytest.mark.parametrize("init", ["orthogonal", "gaussian"])
@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_edge_from_products_is_that_of_the_matrix(pathway, init, activation):
    """LAPACK on the matrix, within the errors that the two give for themselves."""
    record, jacobian = _circuit(pathway, 0.05, width=20, init=init, activation=activation)
    circuit, rng = linearised(record.trial, record.shifts), np.random.default_rng(7)
    found = stability.leading_eigenvalue(circuit.balanced().operator(0.02), rng)
    dense = stability.spectrum(jacobian)
    assert found.error < 1e-5
    assert found.value.real == pytest.approx(
        dense.abscissa, abs=10 * (found.error + dense.abscissa_error)
    )
    growth = stability.largest_initial_growth(circuit.operator(0.02), rng)
    assert growth == pytest.approx(stability.numerical_abscissa(jacobian), rel=1e-4, abs=1e-4)


def test_pair_of_complex_eigenvalues_is_found_from_products():
    """A matrix with a known leading pair, 0.3 +- 2i, made far from normal."""
    rng = np.random.default_rng(8)
    blocks = np.diag(-1 - np.arange(30.0))
    blocks[:2, :2] = [[0.3, 2.0], [-2.0, 0.3]]
    basis = np.eye(30) + np.triu(rng.standard_normal((30, 30)), 1) / 5
    jacobian = basis @ blocks @ np.linalg.inv(basis)
    found = stability.leading_eigenvalue(aslinearoperator(jacobian), rng)
    assert found.value == pytest.approx(0.3 + 2j, abs=1e-6)
    assert abs(found.value - (0.3 + 2j)) <= 10 * found.error


def test_wide_circuit_has_the_known_edge():
    """2000 units, beyond what a dense matrix is made for: -1 + 2 sqrt(g (1 - g)) cos(pi / (L + 1)),
    n-fold, whatever the weights."""
    rng = np.random.default_rng(9)
    network = initialise([400] * 6, rng, activation="linear")
    circuit = build_circuit(network, "itp", 0.1, time_constant=0.02)
    trial = begin(circuit, rng.random((1, 400)), rng.random((1, 400)))
    found = stability.leading_eigenvalue(
        linearised(trial, trial.at_rest()).balanced().operator(0.02), rng
    )
    assert found.error < 1e-4
    assert found.value == pytest.approx(-1 + 0.6 * np.cos(np.pi / 6), abs=10 * found.error)


def test_what_has_not_converged_is_not_given(monkeypatch):
    """A circulant of slow decay: eigenvalues on a circle, next to one another. One restart is not
    enough, and neither measure may pretend that it was."""
    monkeypatch.setattr(stability, "RESTARTS", 1)
    n = 400
    jacobian = np.roll(np.eye(n), 1, axis=0) - np.eye(n)
    rng = np.random.default_rng(10)
    found = stability.leading_eigenvalue(aslinearoperator(jacobian), rng)
    assert np.isnan(found.value)
    assert np.isnan(found.error)
    assert np.isnan(stability.largest_initial_growth(aslinearoperator(jacobian), rng))


def test_products_that_contradict_each_other_give_nothing():
    """Control: a "transpose" of another matrix has another leading eigenvalue."""
    rng = np.random.default_rng(11)
    own, other = -1 - np.arange(30.0), -2 - np.arange(30.0)
    operator = LinearOperator(
        (30, 30), matvec=lambda x: own * x, rmatvec=lambda x: other * x, dtype=float
    )
    assert np.isnan(stability.leading_eigenvalue(operator, rng).error)
