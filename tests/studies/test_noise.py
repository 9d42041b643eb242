"""Rate noise: covariances against closed forms, quadrature and loops; Brian2 against the theory."""

import math
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.stats

from analysis import canvas
from analysis.sweep.run import run
from circuit.dynamics import begin, build_circuit, velocity
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.linearisation.matrix import dense_jacobian
from circuit.network import Network
from circuit.plasticity import updates
from circuit.report.alignment import agreement
from circuit.rules import RULES
from circuit.units.leaky_relu import leaky_relu
from studies.noise import study as noise_study
from studies.noise.figures import FIGURES
from studies.noise.fluctuations import (
    average_covariance,
    average_covariance_of_steps,
    averaged,
    averaged_steps,
    diffusion,
    free_trial,
    kink_noise,
    mismatch_matrix,
    readout_covariances,
    stationary_covariance,
    stationary_covariance_of_steps,
    unit_slices,
)
from studies.noise.theory import (
    best_strength,
    compare,
    fitted_exponent,
    predicted_exponent,
    signal_to_noise,
    signals,
    simulate,
    target_updates,
    update_bias,
    update_noise,
)

# Brian2 2.9 calls pyparsing by names that pyparsing 3.3 deprecates
pytestmark = pytest.mark.filterwarnings(
    r"ignore:'\w+' (argument is )?deprecated:DeprecationWarning"
)

EPS = float(np.finfo(np.float64).eps)


def make_trial(
    rng,
    widths=(4, 4, 4),
    *,
    activation="linear",
    pathway="gait",
    gamma=0.1,
    batch=2,
    n_outputs=None,
    tau=0.010,
):
    network = initialise(widths, rng, activation=activation, n_outputs=n_outputs)
    network = replace(
        network, biases=tuple(0.3 * rng.standard_normal(width) for width in widths[1:])
    )
    circuit = build_circuit(network, pathway, gamma, time_constant=tau)
    targets = rng.random((batch, network.n_outputs))
    return begin(circuit, rng.random((batch, widths[0])), targets)


def random_drift(rng, n=5):
    """Stable, and far from normal."""
    return np.triu(rng.standard_normal((n, n)), 1) - np.diag(0.5 + rng.random(n))


# --- covariances of linear noise ---


def test_an_isolated_unit_has_the_standard_deviation_sigma(rng):
    """The definition of `circuit.brian`: dy/dt = -y/tau + noise sqrt(2/tau) xi, whatever tau."""
    trial = make_trial(rng, (3, 3), tau=0.037)
    covariance = stationary_covariance(-np.eye(3) / 0.037, diffusion(trial.circuit))
    np.testing.assert_allclose(covariance, np.eye(3), rtol=0, atol=10 * EPS)


def test_a_chain_of_two_units_in_closed_form():
    """J = [[-1, 0], [1, -1]], Q = 2: solved by hand, C_11 = 1, C_12 = 1/2, C_22 = 3/2."""
    drift = np.array([[-1.0, 0.0], [1.0, -1.0]])
    covariance = stationary_covariance(drift, np.array([2.0, 2.0]))
    np.testing.assert_allclose(covariance, [[1, 0.5], [0.5, 1.5]], rtol=20 * EPS)


@pytest.mark.parametrize("duration", [0.1, 1.0, 30.0, 1e5])
def test_average_of_an_ornstein_uhlenbeck_process_in_closed_form(duration):
    """(2 tau/T) [1 - (tau/T) (1 - exp(-T/tau))]."""
    tau = 0.5
    drift, strength = np.array([[-1 / tau]]), np.array([2 / tau])
    found = average_covariance(drift, stationary_covariance(drift, strength), duration)
    parts = duration / tau
    expected = 2 / parts * (1 + math.expm1(-parts) / parts)
    assert found[0, 0] == pytest.approx(expected, rel=10 * EPS * (1 + 1 / parts))


def test_covariances_against_quadrature(rng):
    """C = int exp(Jt) Q exp(J't) dt, and the average from the definition, both by SciPy."""
    drift, strength, duration = random_drift(rng), 0.5 + rng.random(5), 3.0
    covariance = stationary_covariance(drift, strength)

    def propagated(t):
        now = scipy.linalg.expm(drift * t)
        return now * strength @ now.T

    expected, _ = scipy.integrate.quad_vec(propagated, 0, 120, epsabs=1e-12, epsrel=1e-12)
    np.testing.assert_allclose(covariance, expected, rtol=1e-9)

    def weighted(t):
        return (1 - t / duration) * scipy.linalg.expm(drift * t) @ covariance

    half, _ = scipy.integrate.quad_vec(weighted, 0, duration, epsabs=1e-13, epsrel=1e-13)
    found = average_covariance(drift, covariance, duration)
    np.testing.assert_allclose(found, (half + half.T) / duration, rtol=1e-11, atol=1e-13)


def test_long_averages_have_the_spectrum_at_frequency_zero(rng):
    """T V -> J^-1 Q J^-T, and what is missing falls as 1/T."""
    drift, strength = random_drift(rng), 0.5 + rng.random(5)
    covariance, inverse = stationary_covariance(drift, strength), np.linalg.inv(drift)
    limit = inverse * strength @ inverse.T
    missing = [
        np.linalg.norm(t * average_covariance(drift, covariance, t) - limit) for t in (1e3, 1e4)
    ]
    assert missing[0] / missing[1] == pytest.approx(10, rel=1e-3)


def test_steps_against_sums_in_loops(rng):
    """C = sum P^k hQ P'^k, and the variance of an average term by term."""
    drift, strength, step, count = random_drift(rng), 0.5 + rng.random(5), 0.2, 7
    chain = np.eye(5) + step * drift
    covariance, power = np.zeros((5, 5)), np.eye(5)
    for _ in range(2000):
        covariance += power @ np.diag(step * strength) @ power.T
        power = chain @ power
    found = stationary_covariance_of_steps(drift, strength, step)
    np.testing.assert_allclose(found, covariance, rtol=1e-11)

    total = np.zeros((5, 5))
    for i, j in product(range(count), repeat=2):
        lag = np.linalg.matrix_power(chain, abs(i - j)) @ covariance
        total += lag if i >= j else lag.T
    averaged_by_steps = average_covariance_of_steps(drift, found, step, count)
    np.testing.assert_allclose(averaged_by_steps, total / count**2, rtol=1e-10)
    one = average_covariance_of_steps(drift, found, step, 1)
    np.testing.assert_allclose(one, covariance, rtol=1e-11)


def test_steps_tend_to_continuous_time_at_first_order(rng):
    drift, strength, duration = random_drift(rng), 0.5 + rng.random(5), 2.0
    exact = average_covariance(drift, stationary_covariance(drift, strength), duration)
    steps = 0.02 / 2.0 ** np.arange(4)
    errors = [
        np.linalg.norm(averaged_steps(h, round(duration / h))(drift, strength) - exact)
        for h in steps
    ]
    slopes = np.diff(np.log(errors)) / np.diff(np.log(steps))
    # the next order leaves a slope off by as much as the step itself
    np.testing.assert_allclose(slopes, 1, atol=0.05)
    assert abs(slopes[-1] - 1) < abs(slopes[0] - 1)


def test_variances_are_linear_in_the_power_of_the_noise(rng):
    drift, strength = random_drift(rng), 0.5 + rng.random(5)
    once, scaled = (averaged([2.0])(drift, factor * strength) for factor in (1.0, 0.3**2))
    np.testing.assert_allclose(scaled, 0.09 * once, rtol=1e-12)


def test_without_a_stationary_state_there_is_no_covariance(rng):
    growing = random_drift(rng) + 1.6 * np.eye(5)
    with pytest.raises(CircuitError, match="no stationary state"):
        stationary_covariance(growing, np.ones(5))
    with pytest.raises(CircuitError, match="steps of 3 s grow"):
        stationary_covariance_of_steps(-np.eye(2), np.ones(2), 3.0)


def test_an_average_too_short_to_compute_is_refused():
    with pytest.raises(CircuitError, match="give at least 0.001 s"):
        average_covariance(-np.eye(2), np.eye(2), 1e-5)


# --- the circuit's matrices ---


@pytest.mark.parametrize("pathway", ["itp", "gait"])
@pytest.mark.parametrize("activation", ["leaky_relu", "asinh"])
def test_matrices_are_the_derivatives(rng, activation, pathway):
    """Central differences of the printed equations, in the free phase and for the mismatch."""
    widths, sample = (5, 5, 4, 4), 1
    trial = make_trial(rng, widths, activation=activation, pathway=pathway, n_outputs=3)
    record = settle(trial)
    free, rest = free_trial(trial)
    blocks = unit_slices(trial.network)

    def differences(function, state):
        step, columns = 1e-6, []
        for unit in range(blocks[-1].stop):
            move = np.zeros(blocks[-1].stop)
            move[unit] = step
            high, low = (
                function(
                    [layer + s * move[block] for layer, block in zip(state, blocks, strict=True)]
                )
                for s in (1, -1)
            )
            columns.append(
                np.concatenate([a[sample] - b[sample] for a, b in zip(high, low, strict=True)])
            )
        return np.stack(columns, axis=-1) / (2 * step)

    def mismatches(rates):
        below = [trial.activity.rates[0], *rates]
        network = trial.network
        return [
            below[layer]
            - network.activation(layer).value(
                below[layer - 1][:, : widths[layer]] @ network.weights[layer - 1].T
                + network.biases[layer - 1]
            )
            for layer in (1, 2, 3)
        ]

    expected = differences(lambda y: velocity(trial, y, nudged=False), trial.activity.rates[1:])
    found = dense_jacobian(free, rest, sample)
    # central differences: h^2 of curvature, and rounding over h, in units of the rows' 1/tau
    np.testing.assert_allclose(found, expected, atol=1e-8 / 0.010)
    expected = differences(mismatches, record.activities)
    np.testing.assert_allclose(mismatch_matrix(trial, record.shifts, sample), expected, atol=1e-8)


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_linear_orthogonal_circuit_is_a_chain_of_scalars(rng, pathway):
    """Rotated layer by layer, J is an L x L matrix at every unit: its equations solved by hand.

    Free phase without the 1 - gamma at the output; the mismatch of the chain is y_l - y_{l-1}.
    """
    depth, gamma, tau, duration = 3, 0.2, 0.010, 0.080
    trial = make_trial(rng, (4,) * (depth + 1), pathway=pathway, gamma=gamma, tau=tau)
    found = readout_covariances(trial, settle(trial).shifts, 0, averaged([duration]))
    variance = {}
    for nudged in (True, False):
        down = [1 - gamma] * (depth - 2) + [1 - gamma if nudged else 1.0]
        chain = np.diag([-1.0] * depth) + np.diag(down, -1) + np.diag([gamma] * (depth - 1), 1)
        eye = np.eye(depth)
        lyapunov = np.kron(chain, eye) + np.kron(eye, chain)
        covariance = np.linalg.solve(lyapunov, -2 * eye.ravel()).reshape(depth, depth)

        def weighted(t, chain=chain, covariance=covariance):
            return (1 - t * tau / duration) * scipy.linalg.expm(chain * t) @ covariance

        half, _ = scipy.integrate.quad_vec(weighted, 0, duration / tau, epsrel=1e-12)
        variance[nudged] = (half + half.T) * tau / duration
    difference = np.eye(depth) - np.diag(np.ones(depth - 1), -1)
    expected = (
        variance[True] + variance[False],
        difference @ variance[True] @ difference.T,
    )
    for readout in (0, 1):
        for layer, block in enumerate(unit_slices(trial.network)):
            np.testing.assert_allclose(
                found[readout, 0, block, block],
                expected[readout][layer, layer] * np.eye(4),
                atol=1e-10,
            )


def test_long_averages_of_the_mismatch_are_quieter_by_the_root_of_twice_the_layer(rng):
    """Weak feedback: y_l is moved by the noise of l layers in two phases, m_l by its own in one."""
    tau = 0.010
    trial = make_trial(rng, (4,) * 5, pathway="gait", gamma=1e-4, tau=tau)
    found = readout_covariances(trial, settle(trial).shifts, 0, averaged([1e5 * tau]))
    for layer, block in enumerate(unit_slices(trial.network), 1):
        shift, mismatch = (np.trace(found[readout, 0, block, block]) for readout in (0, 1))
        assert np.sqrt(shift / mismatch) == pytest.approx(np.sqrt(2 * layer), rel=1e-3)


@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
def test_distance_of_the_kink_in_a_circuit_of_two_units(rng, pathway):
    """One unit a layer: h_2 = w y_1 + b, what is sent, and their standard deviations by hand."""
    trial = make_trial(rng, (1, 1, 1), activation="leaky_relu", pathway=pathway, gamma=0.1, batch=1)
    longer = replace(trial.network, weights=tuple(1.6 * w for w in trial.network.weights))
    circuit = replace(trial.circuit, network=longer)
    trial = begin(circuit, trial.activity.rates[0], trial.target)
    record = settle(trial)
    drift = dense_jacobian(trial, record.shifts)
    lyapunov = np.kron(drift, np.eye(2)) + np.kron(np.eye(2), drift)
    c = np.linalg.solve(lyapunov, -np.diag([200.0, 200.0]).ravel()).reshape(2, 2)
    y_1, y_2 = (float(rates[0, 0]) for rates in record.activities)
    w, b = float(trial.network.weights[1][0, 0]), float(trial.network.biases[1][0])
    h = w * y_1 + b
    a = 1.0 if h > 0 else 0.1
    sent, reads = y_2, np.array([0.0, 1.0])
    if pathway != "itp":
        gain = a**2 * (w**2 if pathway == "grait" else 1.0)
        sent = a * h + gain * (y_2 - a * h)
        reads = np.array([(1 - gain) * a * w, gain])
    expected = min(abs(h) / abs(w) / math.sqrt(c[0, 0]), abs(sent) / math.sqrt(reads @ c @ reads))
    assert kink_noise(trial, record.shifts) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("pathway", ["itp", "gait"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_the_nearest_kink_is_that_of_the_nearest_of_all_units(pathway, order):
    """Three chains of three units side by side, which do not hear of each other: the least of the
    three chains by themselves, in every order. With more layers than two, and in the second image.
    """
    inputs = np.array([[0.3, 0.5, 0.9], [0.7, 0.2, 0.4]])
    weights = np.array([[0.9, 1.2, -0.8], [1.1, -0.7, 0.9], [0.8, 1.3, 1.1]])  # layer, chain
    biases = np.array([[0.2, 0.1, 0.3], [0.4, 1.5, 0.05], [0.1, -0.3, 0.6]])
    targets = np.array([[0.5, 0.1, 0.8], [0.9, 0.4, 0.2]])

    def distance(chains):
        network = Network(
            tuple(np.diag(row[chains]) for row in weights),
            tuple(row[chains] for row in biases),
            (leaky_relu(),) * 3,
            len(chains),
            len(chains),
        )
        circuit = build_circuit(network, pathway, 0.1)
        trial = begin(circuit, inputs[:, chains], targets[:, chains])
        return kink_noise(trial, settle(trial).shifts, sample=1)

    alone = [distance([chain]) for chain in range(3)]
    assert max(alone) > 1.2 * min(alone)
    assert distance(list(order)) == pytest.approx(min(alone), rel=1e-9)


# --- signal, bias and noise of an update ---


def test_noise_of_an_update_against_draws(rng):
    """Shifts drawn with the theory's variances, through the plasticity rule itself."""
    trial = make_trial(rng, (5, 5, 4), activation="asinh", gamma=0.1, batch=3, n_outputs=3)
    record, draws = settle(trial), 4000
    variances = rng.random((3, 9))
    targets = target_updates(trial, "gait")
    found = update_noise(trial, record.shifts, variances, targets)
    squares = np.empty((draws, 2))
    for draw in range(draws):
        noise = rng.standard_normal((3, 9)) * np.sqrt(variances)
        parts = (noise[:, :5], noise[:, 5:])
        noisy = record.shifts.with_values(
            tuple(
                part / scale.value for part, scale in zip(parts, record.shifts.scales, strict=True)
            )
        )
        changes = updates(trial.network, trial.activity, noisy)
        for layer, n in enumerate((4, 3)):  # projecting units
            relative = changes[layer].weights[:n] / np.linalg.norm(targets[layer])
            squares[draw, layer] = np.sum(relative**2)
    error = squares.std(axis=0, ddof=1) / math.sqrt(draws)
    z = (squares.mean(axis=0) - found**2) / error
    assert np.abs(z).max() < scipy.stats.norm.isf(1e-3 / 4)  # two comparisons, two tails


def test_signal_to_noise_by_hand(rng):
    """Root mean squares over three images, auxiliary units without a part in them."""
    trial = make_trial(rng, (5, 5, 4), gamma=0.1, batch=3, n_outputs=3)
    record, variances = settle(trial), rng.random((3, 9))
    squares, noise = np.zeros(2), np.zeros(2)
    for image in range(3):
        for i in range(4):
            squares[0] += record.shifts.absolute(1)[image, i] ** 2 / 3
            noise[0] += variances[image, i] / 3
        for i in range(3):
            squares[1] += record.shifts.absolute(2)[image, i] ** 2 / 3
            noise[1] += variances[image, 5 + i] / 3
    np.testing.assert_allclose(signals(trial, record.shifts), np.sqrt(squares), rtol=1e-12)
    found = signal_to_noise(trial, record.shifts, variances)
    np.testing.assert_allclose(found, np.sqrt(squares / noise), rtol=1e-12)


ORDERS = {
    # (activation, pathway, read-out): p of layers 1 .. 3 as docs/noise.md derives them
    ("leaky_relu", "gait", "shift"): (2, 1, 1),
    ("leaky_relu", "gait", "mismatch"): (2, 2, 2),
    ("asinh", "gait", "shift"): (1, 1, 1),
    ("asinh", "gait", "mismatch"): (1, 1, 2),
    ("asinh", "itp", "shift"): (1, 1, 2),
}


@pytest.mark.parametrize(("case", "orders"), ORDERS.items(), ids=map(str, ORDERS))
def test_orders_of_bias_and_noise(rng, case, orders):
    """Bias ~ gamma^p and noise ~ gamma^-k, k = L + 1 - l, for weak feedback."""
    activation, pathway, readout = case
    strengths, rows = np.array([2e-4, 4e-4]), []
    whole = make_trial(rng, (6,) * 4, activation=activation, pathway=pathway)
    for gamma in strengths:
        circuit = build_circuit(whole.network, pathway, gamma)
        trial = replace(whole, circuit=circuit)
        record = settle(trial)
        targets = target_updates(trial, pathway)
        covariances = [
            readout_covariances(trial, record.shifts, sample, averaged([1.0])) for sample in (0, 1)
        ]
        index = ("shift", "mismatch").index(readout)
        variances = np.stack([np.diagonal(c[index, 0]) for c in covariances])
        reading = record.read_out(readout)
        bias, _ = update_bias(trial, reading, targets)
        rows.append(np.log([bias, update_noise(trial, reading, variances, targets)]))
    slopes = (rows[1] - rows[0]) / math.log(2)
    # corrections of relative order gamma, a few of them at a depth of three
    np.testing.assert_allclose(slopes[0], orders, atol=50 * strengths[-1])
    np.testing.assert_allclose(slopes[1], [-3, -2, -1], atol=50 * strengths[-1])


def test_the_itp_circuit_has_no_bias_in_a_linear_piece(rng):
    trial = make_trial(rng, (6,) * 4, pathway="itp", gamma=0.3)
    bias, misdirection = update_bias(trial, settle(trial).shifts, target_updates(trial, "itp"))
    assert max(bias.max(), misdirection.max()) < 1e-9  # the tolerance of settling is 1e-10


def test_bias_against_the_measures_of_agreement(rng):
    """Relative error and cosine as the main command computes them."""
    trial = make_trial(rng, (6,) * 4, activation="asinh", gamma=0.3)
    shifts = settle(trial).shifts
    errors, sines = update_bias(trial, shifts, target_updates(trial, "bp"))
    rule = RULES["bp"](trial.network, trial.activity, trial.error)
    for layer, (one, other) in enumerate(
        zip(
            updates(trial.network, trial.activity, shifts),
            updates(trial.network, trial.activity, rule),
            strict=True,
        )
    ):
        found = agreement(one.weights, other.weights)
        assert errors[layer] == pytest.approx(found.relative_error, rel=1e-9)
        assert sines[layer] == pytest.approx(math.sqrt(1 - found.cosine**2), rel=1e-6)


# --- the best strength ---

STRENGTHS = np.geomspace(1e-3, 0.5, 15)


@pytest.mark.parametrize("passes", [1, 3, 5])
@pytest.mark.parametrize("order", [1, 2])
def test_best_strength_of_power_laws_in_closed_form(order, passes):
    """d/dgamma (b^2 gamma^2p + n^2 gamma^-2k) = 0, solved by hand."""
    b, best = 0.7, 0.037
    n = b * math.sqrt(order / passes) * best ** (order + passes)
    found = best_strength(STRENGTHS, b * STRENGTHS**order, n * STRENGTHS**-passes)
    assert found.inside
    # the search stops at 1e-6 in log gamma; the error is flat there
    assert found.strength == pytest.approx(best, rel=1e-5)
    smallest = math.hypot(b * best**order, n * best**-passes)
    assert found.error == pytest.approx(smallest, rel=1e-9)


def test_best_strength_against_brute_force():
    """Curves that are no power laws, sampled at 15 strengths and minimised at a million."""

    def bias(g):
        return 0.5 * g * (1 + 2 * g) ** 2

    def noise(g):
        return 1e-4 * g**-2.0 * (1 - 0.8 * g)

    found = best_strength(STRENGTHS, bias(STRENGTHS), noise(STRENGTHS))
    dense = np.geomspace(1e-3, 0.5, 10**6)
    errors = np.hypot(bias(dense), noise(dense))
    # interpolation: a tenth of a point's distance
    assert found.strength == pytest.approx(dense[errors.argmin()], rel=0.05)
    assert found.error == pytest.approx(errors.min(), rel=0.01)


def test_a_minimum_at_the_end_is_called_so():
    weak, strong = np.full(15, 1e-9), np.full(15, 1.0)
    assert not best_strength(STRENGTHS, weak, strong * STRENGTHS**-1.0).inside
    assert not best_strength(STRENGTHS, strong * STRENGTHS, weak * STRENGTHS**-1.0).inside
    noise = np.where(STRENGTHS < 0.002, 1.0, np.nan)
    assert math.isnan(best_strength(STRENGTHS, strong, noise).strength)


def test_nothing_is_looked_for_beyond_a_strength_without_equilibrium():
    bias, noise = STRENGTHS.copy(), 0.1 / STRENGTHS
    bias[8] = np.nan
    assert best_strength(STRENGTHS, bias, noise).strength <= STRENGTHS[7]


@pytest.mark.parametrize("passes", [1, 4])
@pytest.mark.parametrize("order", [1, 2])
def test_fitted_exponent_is_the_predicted_one(order, passes):
    """Also where bias and noise have corrections of first order, which alone would spoil it."""
    weak = STRENGTHS[STRENGTHS < 0.03]
    found = fitted_exponent(weak, weak**order * (1 + 3 * weak), weak**-passes * (1 - 2 * weak))
    expected = 1 / (2 * order + 2 * passes)
    assert predicted_exponent(order, passes) == pytest.approx(expected)
    assert found == pytest.approx(expected, rel=weak[-1] ** 2 * 10)
    best = [
        best_strength(STRENGTHS, STRENGTHS**order, math.sqrt(power) * STRENGTHS**-passes).strength
        for power in np.array([1, 2]) * 0.01 ** (2 * order + 2 * passes)
    ]
    assert math.log(best[1] / best[0]) / math.log(2) == pytest.approx(expected, rel=1e-4)


def test_no_exponent_is_fitted_where_there_is_no_law():
    """A kink that one strength crosses, no bias at all, noise that grows."""
    weak = STRENGTHS[STRENGTHS < 0.03]
    crossed = weak.copy()
    crossed[4] = 10.0
    assert math.isnan(fitted_exponent(weak, crossed, 1 / weak))
    assert math.isnan(fitted_exponent(weak, 0 * weak, 1 / weak))
    assert math.isnan(fitted_exponent(weak, weak, weak))


# --- Brian2 ---

# two read-outs, two layers, variance and mean, two tails: false alarms in one run of a thousand
ALARM = float(scipy.stats.norm.isf(1e-3 / (2 * 2 * 2 * 2)))


@pytest.fixture(scope="module")
def simulated():
    """A linear circuit with strong feedback, so that leaving it out of the theory shows."""
    trial = make_trial(np.random.default_rng(5), (4, 4, 4), pathway="gait", gamma=0.4, batch=1)
    step, count = 0.002, 40
    found = simulate(
        trial,
        0,
        noise=0.02,
        copies=300,
        step=step,
        count=count,
        skip=60,
        generator=np.random.default_rng(11),
    )
    record = settle(trial)
    means = np.stack(
        [
            np.concatenate([record.read_out(name).absolute(layer)[0] for layer in (1, 2)])
            for name in ("shift", "mismatch")
        ]
    )
    return trial, record, found, means


def test_brian2_agrees_with_the_theory_of_its_steps(simulated):
    trial, record, found, means = simulated
    average = averaged_steps(found.step, found.count)
    theory = readout_covariances(trial, record.shifts, 0, average)
    result = compare(trial.network, found, theory, means)
    assert np.abs(result.z).max() < ALARM
    assert result.mean_z.max() < ALARM
    assert result.standard_error.max() < 0.1  # or agreement would mean little


def test_brian2_does_not_agree_with_wrong_theories(simulated):
    """Negative controls: feedback, the free phase or part of the average left out; a wrong mean."""
    trial, record, found, means = simulated
    average = averaged_steps(found.step, found.count)
    theory = readout_covariances(trial, record.shifts, 0, average)
    severed = replace(trial, circuit=build_circuit(trial.network, "gait", 1e-6))
    for wrong in (
        readout_covariances(severed, record.shifts, 0, average),
        theory * np.array([0.5, 1.0])[:, None, None],
        readout_covariances(trial, record.shifts, 0, averaged_steps(found.step, found.count - 10)),
    ):
        assert np.abs(compare(trial.network, found, wrong, means).z).max() > ALARM
    assert compare(trial.network, found, theory, means + 0.01).mean_z.max() > ALARM


def test_scores_are_those_of_a_normal_where_the_theory_holds(rng):
    """Gaussian averages drawn with the theory's own covariance, 200 times."""
    trial = make_trial(rng, (4, 4, 4), gamma=0.2, batch=1)
    factor = rng.standard_normal((2, 8, 8))
    covariances, means = factor @ np.swapaxes(factor, -1, -2), rng.standard_normal((2, 8))
    scores = []
    for _ in range(200):
        draws = rng.standard_normal((2, 30, 8)) @ np.swapaxes(factor, -1, -2)
        fake = noise_study_result(0.3 * draws + means[:, None])
        result = compare(trial.network, fake, covariances, means)
        scores.append(np.stack([result.z, result.mean_z]))
    flat = np.array(scores)
    # the chi-square has the right mean and variance, not the right third moment: 10 % is allowed
    np.testing.assert_allclose(flat.std(axis=0), 1, atol=0.1 + 4 / math.sqrt(2 * 200))
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=0.1 + 4 / math.sqrt(200))


def noise_study_result(averages):
    from studies.noise.theory import Simulated

    return Simulated(averages, 0.002, 40, 0.3)


def test_brian2_can_be_imported_in_a_thread_and_leaves_ctrl_c_alone():
    """Where Dask runs tasks. By itself Brian2 installs a handler, which only a main thread may."""
    program = (
        "import signal, threading, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "before, install = signal.getsignal(signal.SIGINT), signal.signal\n"
        "done = []\n"
        "def task():\n"
        "    from circuit import brian\n"
        "    done.append(brian.library.brian2.__version__)\n"
        "thread = threading.Thread(target=task)\n"
        "thread.start(); thread.join()\n"
        "print(len(done), signal.getsignal(signal.SIGINT) is before, signal.signal is install)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert found.stdout.split() == ["1", "True", "True"], found.stderr


# --- the study ---


@pytest.mark.usefixtures("rough_pictures")
def test_smoke_study_and_its_figures(measured, tmp_path):
    measured("noise", 1, tmp_path)
    data = run(noise_study.study("smoke"), tmp_path, workers=0, quiet=True)
    assert set(data["status"].values.tolist()) == {"converged"}
    ran = data["copies"].values > 0
    assert ran.sum() == 3  # one of the curve, two of stronger noise
    for name in ("simulated_ratio", "z", "mean_z"):
        assert (np.isfinite(data[name].values).all(axis=(1, 2)) == ran).all()
    assert np.isfinite(data["bias"]).all() and np.isfinite(data["update_noise"]).all()
    assert np.isfinite(data["misdirection"]).all()
    paths = canvas.draw(FIGURES, data, tmp_path)
    assert [path.stem for path in paths] == list(FIGURES)


@pytest.mark.parametrize("words", ["at a kink: ", "no equilibrium: "])
def test_a_cell_without_a_linear_equilibrium_says_so(words, monkeypatch):
    """Strong feedback and a kink (docs/derivation.md, section 4), or steps that end too soon: a
    status, and no numbers.
    """
    gamma = 0.3
    if words != "at a kink: ":
        gamma = 0.9
        few = partial(settle, max_steps=1, must_converge=False)
        monkeypatch.setattr(noise_study, "settle", lambda trial, *method, **_: few(trial, *method))
    cell = noise_study.study("laptop").cells[0] | {
        "activation": "leaky_relu",
        "pathway": "gait",
        "gamma": gamma,
        "depth": 3,
        "copies": 0,
    }
    result = noise_study.measure(**cell)
    assert str(result["status"].values).startswith(words)
    assert np.isnan(result["bias"]).all()


def test_rates_that_cease_to_be_finite_are_a_status():
    """sinh of strong noise: the theory stands, Brian2's part is empty."""
    smoke = [cell for cell in noise_study.study("smoke").cells if cell["copies"]]
    result = noise_study.measure(**(smoke[0] | {"pathway": "itp", "gamma": 0.5, "noise": 20.0}))
    assert str(result["status"].values).startswith("Brian2: ")
    assert np.isfinite(result["bias"]).all() and np.isnan(result["z"]).all()


def test_an_equilibrium_that_does_not_hold_fluctuations_is_a_status(monkeypatch):
    """Here for Euler steps that are too long; J itself with a growing mode takes the same way."""
    monkeypatch.setattr(noise_study, "STEP", 3.0)
    result = noise_study.measure(**noise_study.study("smoke").cells[0])
    assert str(result["status"].values).startswith("unstable: ")
