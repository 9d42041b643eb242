"""Imperfect feedback against the exact circuit, a loop-by-loop transcription, and theorems."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from analysis.canvas import draw
from analysis.sweep.run import run
from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.initialisation.weights import orthogonal
from circuit.linearisation.matrix import dense_jacobian
from circuit.plasticity import updates
from circuit.report.alignment import agreement
from circuit.rules import RULES
from studies.imperfection import figures
from studies.imperfection import study as imperfection
from studies.imperfection.at_rest import come_to_rest
from studies.imperfection.matrices import (
    IMPERFECTIONS,
    distance,
    noisy_inverse,
    spread,
    stale_inverse,
    transpose,
)
from tests.imperfect_circuits import (
    Imperfect,
    jacobians,
    leading_eigenvalues,
    residual,
    settle_imperfect,
)

BOTH = pytest.mark.parametrize("corrected", [False, True], ids=["plain", "corrected"])
PATHWAYS = pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])


def _trial(pathway, gamma=0.1, *, activation="asinh", init="orthogonal", seed=0, depth=3, n=6):
    rng = np.random.default_rng(seed)
    if pathway == "grait" and init == "orthogonal":
        init = "unequal_rows"
    network = initialise(
        [n + 2, *[n] * (depth - 1), n - 1], rng, init=init, activation=activation, n_outputs=4
    )
    for bias in network.biases:
        bias[:] = 0.1 * rng.standard_normal(bias.size)
    inputs, targets = rng.random((3, n + 2)), 0.8 * np.eye(4)[rng.integers(0, 4, 3)]
    return begin(build_circuit(network, pathway, gamma), inputs, targets)


def _imperfect(trial, kind="noisy", size=0.2, *, corrected, seed=5):
    rng = np.random.default_rng(seed)
    make = IMPERFECTIONS[kind]
    matrices = tuple(make(weights, size, rng) for weights in trial.network.weights)
    return Imperfect(trial, matrices, corrected)


class Plainly:
    """What `settle` found, as the oracle gives it: base, shifts in units of rates, who settled."""

    def __init__(self, imperfect):
        old = imperfect.trial.circuit
        through = build_circuit(
            old.network,
            old.pathway.name,
            old.strengths,
            feedback=imperfect.matrices[1:],
            corrected=imperfect.corrected,
        )
        self.at_rest = come_to_rest(replace(imperfect.trial, circuit=through))
        record = self.at_rest.record
        self.base, self.settled = record.trial.activity, self.at_rest.settled
        layers = range(1, record.shifts.depth + 1)
        self.shifts = tuple(record.shifts.absolute(layer) for layer in layers)


SOLVERS = pytest.mark.parametrize("solve", [settle_imperfect, Plainly], ids=["oracle", "settle"])


# The matrices


def test_noise_has_the_size_that_was_asked_for(rng):
    weights = rng.standard_normal((9, 9))
    found = noisy_inverse(weights, 0.3, rng)
    inverse = np.linalg.inv(weights)
    assert np.linalg.norm(found - inverse) / np.linalg.norm(inverse) == pytest.approx(0.3)
    assert distance(found, weights) == pytest.approx(0.3)
    # each synapse by a part of itself: the logarithms of the ratios do not know their size
    parts = (found - inverse) / inverse
    assert abs(np.corrcoef(np.abs(parts).ravel(), np.abs(inverse).ravel())[0, 1]) < 0.3


def test_stale_inverse_undoes_weights_that_far_away(rng):
    weights = rng.standard_normal((9, 9))
    before = np.linalg.inv(stale_inverse(weights, 0.05, rng))
    change = np.linalg.norm(weights - before) / np.linalg.norm(weights)
    assert change == pytest.approx(0.05)


@pytest.mark.parametrize("kind", ["noisy", "stale"])
def test_no_imperfection_is_the_inverse(kind, rng):
    weights = rng.standard_normal((7, 7))
    np.testing.assert_allclose(
        IMPERFECTIONS[kind](weights, 0.0, rng) @ weights, np.eye(7), atol=1e-12
    )


def test_transpose_of_spread_weights(rng):
    """Singular values exp(+- size sqrt(3)/2): the distance of W^T from W^-1 is near `size`."""
    weights = spread(orthogonal(40, rng), 0.05, rng)
    values = np.linalg.svd(weights, compute_uv=False)
    assert values[0] / values[-1] == pytest.approx(np.exp(0.05 * np.sqrt(3)))
    assert distance(transpose(weights, 0.0, rng), weights) == pytest.approx(0.05, rel=0.06)
    still = orthogonal(40, rng)
    np.testing.assert_allclose(spread(still, 0.0, rng), still, atol=1e-13)


# The circuit: a literal transcription, loop by loop, of the equations in the module's docstring

VALUES = {
    "asinh": (mpmath.asinh, lambda h: 1 / mpmath.sqrt(1 + h * h), mpmath.sinh),
    "leaky_relu": (
        lambda h: h if h > 0 else mpf(0.1) * h,
        lambda h: mpf(1) if h > 0 else mpf(0.1),
        lambda y: y if y > 0 else y / mpf(0.1),
    ),
}


def _printed_velocity(imperfect, rates, image, *, nudged):
    """dy_l/dt in mpmath for rates y_1 .. y_L (lists of mpf), tau = 1."""
    trial, network = imperfect.trial, imperfect.trial.network
    value, slope, inverse = VALUES[network.activations[0].name]
    below = [[mpf(float(x)) for x in trial.activity.rates[0][image]], *rates]
    found = []
    for layer in range(1, network.depth + 1):
        n, gamma = network.n_projecting(layer), mpf(trial.circuit.strength(layer))
        velocity = []

        def drive(layer, i):
            W, b = network.weights[layer - 1], network.biases[layer - 1]
            total = mpf(float(b[i]))
            for j in range(network.widths[layer]):
                total += mpf(float(W[i, j])) * below[layer - 1][j]
            return total

        messages = []
        if layer < network.depth:
            for i in range(network.widths[layer + 1]):
                h, y = drive(layer + 1, i), below[layer + 1][i]
                sent = y
                if trial.circuit.pathway.gradient_adjusted:
                    gain = slope(h) ** 2
                    if trial.circuit.pathway.name == "grait":
                        gain *= sum(mpf(float(w)) ** 2 for w in network.weights[layer][i])
                    sent = value(h) + gain * (y - value(h))
                less = h if imperfect.corrected else mpf(float(network.biases[layer][i]))
                messages.append(inverse(sent) - less)
        for i in range(network.widths[layer]):
            y, own = below[layer][i], value(drive(layer, i))
            if i >= n:
                velocity.append(-y + own)
            elif layer == network.depth:
                strength = gamma if nudged else mpf(0)
                target = mpf(float(trial.target[image, i]))
                velocity.append(-y + (1 - strength) * own + strength * target)
            else:
                F = y if imperfect.corrected else mpf(0)
                for j, message in enumerate(messages):
                    F += mpf(float(imperfect.matrices[layer][i, j])) * message
                velocity.append(-y + (1 - gamma) * own + gamma * F)
        found.append(velocity)
    return found


@BOTH
@PATHWAYS
@SOLVERS
@pytest.mark.parametrize("activation", ["asinh", "leaky_relu"])
@pytest.mark.parametrize("kind", ["noisy", "stale", "transposed"])
def test_equilibrium_of_the_printed_equations(solve, pathway, activation, kind, corrected):
    """At rest, in the free phase and with the nudge, by the loops; lower layers to their digits."""
    trial = _trial(pathway, 0.02, activation=activation, init="orthogonal", seed=2)
    imperfect = _imperfect(trial, kind, corrected=corrected)
    found = solve(imperfect)
    assert found.settled.all()
    with mp.workdps(40):
        for image in range(3):
            base = [[mpf(float(x)) for x in rates[image]] for rates in found.base.rates[1:]]
            free = _printed_velocity(imperfect, base, image, nudged=False)
            nudged = [
                [y + mpf(float(z)) for y, z in zip(rates, shift[image], strict=True)]
                for rates, shift in zip(base, found.shifts, strict=True)
            ]
            moving = _printed_velocity(imperfect, nudged, image, nudged=True)
            for layer in range(1, 4):
                n = trial.network.n_projecting(layer)
                # the base is at rest to rounding, which does not change under the nudge
                still = [float(v) for v in free[layer - 1][:n]]
                assert np.linalg.norm(still) < 1e-10
                gap = [
                    float(v - w) for v, w in zip(moving[layer - 1], free[layer - 1], strict=True)
                ]
                size = np.linalg.norm(found.shifts[layer - 1][image, :n])
                assert np.linalg.norm(gap[:n]) <= 1e-8 * size


@BOTH
@PATHWAYS
@SOLVERS
@pytest.mark.parametrize("activation", ["asinh", "tanh", "leaky_relu", "linear"])
@pytest.mark.parametrize("gamma", [0.001, 0.1])
def test_perfect_inverse_is_the_exact_circuit(solve, pathway, activation, gamma, corrected):
    trial = _trial(pathway, gamma, activation=activation, init="orthogonal", seed=3)
    imperfect = _imperfect(trial, size=0.0, corrected=corrected)
    found = solve(imperfect)
    record = settle(trial)
    assert found.settled.all()
    for layer in range(1, 4):
        n = trial.network.n_projecting(layer)
        exact = record.shifts.absolute(layer)[:, :n]
        gap = np.linalg.norm(found.shifts[layer - 1][:, :n] - exact, axis=1)
        assert np.all(gap <= 1e-7 * np.linalg.norm(exact, axis=1))
        np.testing.assert_allclose(found.base.rates[layer], trial.activity.rates[layer], atol=1e-12)


@PATHWAYS
def test_jacobian_of_the_perfect_inverse_is_that_of_the_exact_circuit(pathway):
    trial = _trial(pathway, 0.2)
    record = settle(trial)
    state = tuple(record.shifts.absolute(layer) for layer in range(1, 4))
    for corrected in (False, True):
        imperfect = _imperfect(trial, size=0.0, corrected=corrected)
        found = jacobians(imperfect, trial.activity, state)
        for image in range(3):
            exact = dense_jacobian(trial, record.shifts, image) * trial.circuit.time_constants[0]
            np.testing.assert_allclose(found[image], exact, atol=1e-10)


@BOTH
@PATHWAYS
@pytest.mark.parametrize("activation", ["asinh", "tanh"])
def test_jacobian_is_the_derivative_of_the_residual(pathway, activation, corrected, rng):
    """Central differences, at a state that is no equilibrium, with the nudge and without."""
    trial = _trial(pathway, 0.3, activation=activation, init="gaussian")
    imperfect = _imperfect(trial, corrected=corrected)
    widths = trial.network.widths[1:]
    cuts = np.cumsum(widths)[:-1]
    state = 0.05 * rng.standard_normal((3, sum(widths)))
    for error in (None, trial.error):

        def flat(state, error=error):
            layers = np.split(state, cuts, axis=1)
            return np.concatenate(residual(imperfect, trial.activity, layers, error), axis=1)

        layers = np.split(state, cuts, axis=1)
        exact = jacobians(imperfect, trial.activity, layers, nudged=error is not None)
        for unit in range(sum(widths)):
            change = np.zeros_like(state)
            change[:, unit] = 1e-5
            column = -(flat(state + change) - flat(state - change)) / 2e-5
            np.testing.assert_allclose(exact[:, :, unit], column, atol=1e-8)


def test_transposed_feedback_of_the_corrected_gait_circuit_is_back_propagation():
    """For any weights, to first order: ten times less feedback, ten times less error."""
    errors = []
    for gamma in (1e-2, 1e-3):
        trial = _trial("gait", gamma, init="gaussian", n=8)
        imperfect = _imperfect(trial, "transposed", corrected=True)
        own = Plainly(imperfect).at_rest.updates()
        rule = RULES["bp"](trial.network, trial.activity, trial.error[:, :4], gamma)
        exact = updates(trial.network, trial.activity, rule)
        worst = [
            agreement(o.weights, e.weights).relative_error for o, e in zip(own, exact, strict=True)
        ]
        errors.append(max(worst))
    assert errors[1] < 0.02
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.3)


def test_negative_control_the_inverse_is_not_back_propagation_on_gaussian_weights():
    trial = _trial("gait", 1e-3, init="gaussian", n=8)
    imperfect = _imperfect(trial, size=0.0, corrected=True)
    own = Plainly(imperfect).at_rest.updates()
    rule = RULES["bp"](trial.network, trial.activity, trial.error[:, :4], 1e-3)
    exact = updates(trial.network, trial.activity, rule)
    assert agreement(own[0].weights, exact[0].weights).cosine < 0.9


@PATHWAYS
@SOLVERS
def test_free_phase_of_the_plain_circuit_moves_with_the_imperfection(solve, pathway):
    """By gamma (B W - 1) y to first order; the corrected circuit's stays the forward pass."""
    trial = _trial(pathway, 1e-4, activation="linear")
    imperfect = _imperfect(trial, corrected=False)
    found = solve(imperfect)
    forward = trial.activity.rates[1]
    defect = imperfect.matrices[1] @ trial.network.weights[1] - np.eye(6)
    np.testing.assert_allclose(
        found.base.rates[1] - forward, 1e-4 * forward @ defect.T, rtol=0.01, atol=1e-7
    )
    corrected = solve(_imperfect(trial, corrected=True))
    assert corrected.base is trial.activity


@BOTH
def test_leading_eigenvalue_and_instability(corrected):
    """Feedback far too strong, or in the corrected circuit of the wrong sign, is unstable.

    B = c W^-1 in the plain linear circuit, were every output nudged: the leading eigenvalue is
    -1 + 2 sqrt(c gamma (1 - gamma)) cos(pi / (L + 1)). In the corrected one a layer feels itself
    with gamma (1 - c).
    """
    trial = _trial("itp", 0.3, activation="linear")
    good = _imperfect(trial, size=0.0, corrected=corrected)
    factor = -8.0 if corrected else 8.0
    wild = Imperfect(trial, tuple(factor * matrix for matrix in good.matrices), corrected)
    right, wrong = (Plainly(one).at_rest.leading_eigenvalues(2) for one in (good, wild))
    for one, own in ((good, right), (wild, wrong)):
        other = leading_eigenvalues(one, settle_imperfect(one), images=2)
        np.testing.assert_allclose(own.real, other.real, rtol=1e-8)
    assert right.shape == (2,)
    assert np.all(right.real < 0)
    assert np.all(wrong.real > 0)


def test_in_the_gap_a_unit_rests_at_its_kink_through_any_feedback():
    """docs/derivation.md, section 4: no slope of the unit's own has an equilibrium there, so that
    Newton's method on slopes finds none. It rests at the kink, with a slope between the two, the
    same through the exact inverse and through the matrix that is it.
    """
    one = np.ones((1, 1))
    network = initialise([1, 1, 1], np.random.default_rng(0))
    for weights in network.weights:
        weights[:] = one
    # W = 1: h = 0.02 with mismatch m < 0, r a |m| < h < r |m|
    trial = begin(build_circuit(network, "gait", 0.3), np.array([[0.02]]), np.array([[-1.0]]))
    imperfect = Imperfect(trial, (one, one), corrected=True)
    found = Plainly(imperfect).at_rest
    assert found.settled.all()
    assert not settle_imperfect(imperfect).settled.any()
    slope = settle(trial).sliding_slopes[1].item()
    assert 0.1 < slope < 1
    assert found.record.sliding_slopes[1].item() == pytest.approx(slope, rel=1e-9)
    assert np.isfinite(found.record.relative_residuals).all()


def test_bad_input():
    trial = _trial("itp")
    with pytest.raises(CircuitError, match="give one like the transpose of each of the"):
        Imperfect(trial, (np.eye(2),) * 3, True)
    deep = _trial("gait", 1e-90, depth=3)
    with pytest.raises(CircuitError, match="less than 1e-250; use stronger feedback"):
        settle_imperfect(_imperfect(deep, corrected=True))


# The study


@pytest.mark.usefixtures("rough_pictures")
def test_study_runs_and_draws(measured, tmp_path):
    """Through the engine, in this process: the perfect inverse is its rule, and both pictures."""
    whole = imperfection.study("smoke")
    small = replace(whole, cells=tuple(c for c in whole.cells if c["pathway"] == "gait"))
    measured("imperfection", 1, tmp_path)
    data = run(small, tmp_path, workers=0, quiet=True)
    assert set(data["status"].values.tolist()) <= {"converged"}
    assert float(data["worst_residual"].max()) <= 1e-9
    exact = data.sel(size=0.0)
    assert float(exact["distance"].max()) < 1e-12
    assert float(exact["cosine"].min()) > 0.99
    assert float(exact["free_shift"].max()) < 1e-10
    assert {path.name for path in draw(figures.FIGURES, data, tmp_path)} == {
        "imperfection_alignment.png",
        "imperfection_stability.png",
    }


def test_images_without_equilibrium_are_counted_in_the_status():
    """Strong feedback through Gaussian weights: what is not settled has no numbers."""
    cell = next(
        c
        for c in imperfection.study("laptop").cells
        if (c["init"], c["kind"], c["pathway"], c["gamma"]) == ("gaussian", "noisy", "itp", 0.3)
    )
    found = imperfection.measure(**{**cell, "batch": 4, "judged": 4})
    missing = round(float((1 - found["settled"]).sum()) * 4)
    assert missing > 0
    assert found["status"].item() == f"no equilibrium: {missing} of 24 images and sizes"
    nothing = found["settled"].values == 0
    assert np.isnan(found["cosine"].values[nothing]).all()
    assert np.isfinite(found["cosine"].values[~nothing]).all()
    assert (found["stable"] <= found["settled"] + 1e-12).all()
