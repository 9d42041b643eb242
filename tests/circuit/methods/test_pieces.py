"""Circuits with kinks, piece by piece: by hand, by exact roots, by smooth kinks that sharpen.

Nothing here but what is tested comes from the library: equations are written down again.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.initialisation.networks import initialise
from circuit.network import Network, forward
from circuit.units.leaky_relu import leaky_relu
from circuit.verification.judgement import Status, judge
from tests.circuit.test_dynamics import make_trial
from tests.circuit.test_row_adjusted import rows_of
from tests.circuit.verification.test_bounds import _ratios
from tests.exact_roots import ExactRoot

A = 0.1  # the leaky slope
BOTH = pytest.mark.parametrize("corrected", [True, False], ids=["corrected", "plain"])


# --- long rows: r N^2 far above 1 ---


@pytest.mark.parametrize("unit", ["linear", "leaky_relu", "asinh"])
@pytest.mark.parametrize(("gamma", "length"), [(0.1, 10.0), (0.3, 5.0), (0.3, 10.0)])
def test_long_rows_settle_where_elimination_diverges(unit, gamma, length):
    """r N^2 = 11, 11 and 43: the default method settles, and the exact root lies within the bound.

    Control: `sweep`, which is its own first method through other matrices, does not.
    """
    rng = np.random.default_rng(5)
    network = rows_of((4, 4, 4, 3), (0.8 * length, 1.25 * length), rng, unit, 2)
    inputs = rng.standard_normal((1, 4)) / length
    outputs = forward(network, inputs).rates[-1][:, :2]
    trial = begin(
        build_circuit(network, "grait", gamma), inputs, outputs + 0.3 * rng.standard_normal((1, 2))
    )
    record = settle(trial)
    ratios = _ratios(trial, record.shifts)
    if not any(slopes.any() for slopes in record.sliding_slopes):
        assert ratios is not None
        assert np.all(ratios >= 1)
    if unit == "linear":
        assert not settle(trial, "sweep", max_steps=200, must_converge=False).converged


# --- the exact inverse ---


def test_newton_finds_states_at_kinks_that_are_exact_roots():
    """Strong circuits of both pathways: no false status; some slide, those of long rows too."""
    slid, settled = {"gait": 0, "grait": 0}, 0
    for seed in range(30):
        rng = np.random.default_rng([7, seed])
        pathway, init = ("gait", "grait")[seed % 2], ("orthogonal", "gaussian")[seed // 2 % 2]
        gamma = float(rng.uniform(0.2, 0.6))
        options = {"widths": (4, 3, 3, 2), "init": init, "batch": 1, "error": 1.5}
        trial = make_trial(rng, pathway, "leaky_relu", gamma, **options)
        record = settle(trial, "newton", must_converge=False)
        if not record.converged:
            continue
        settled += 1
        slopes = [slope[0] for slope in record.sliding_slopes]
        slid[pathway] += any(slope.any() for slope in slopes)
        exact = ExactRoot(trial, record.shifts, slopes)
        assert exact.consistent, seed
        for layer in (1, 2, 3):
            assert exact.distance(layer, trial.network.n_projecting(layer)) < 1e-9, seed
    assert settled >= 28
    assert min(slid.values()) >= 2


def test_a_named_method_is_the_only_one():
    """The second method is that of the default alone, and of no budget of one's own."""
    trial = _wide(0, True)[0]
    found = settle(trial)
    assert (found.method, found.converged) == ("sweep and newton", True)
    for options in ({"method": "sweep"}, {"max_steps": 2000}):
        alone = settle(trial, must_converge=False, **options)
        assert (alone.method, alone.converged) == ("sweep", False)


# --- any feedback ---


def _chain(drive, error, gamma, back):
    """Two layers of one unit: the output's drive in the forward pass, its error, and B."""
    one, unit = np.ones((1, 1)), leaky_relu()
    network = Network((one, one), (np.zeros(1), np.array([drive - 1.0])), (unit, unit), 1, 1)
    circuit = build_circuit(network, "gait", gamma, feedback=[np.array([[back]])])
    output = drive if drive > 0 else A * drive
    return begin(circuit, np.array([[1.0]]), np.array([[output + error]]))


@pytest.mark.parametrize("back", [0.5, 1.7])
@pytest.mark.parametrize("place", [0.12, 0.5, 2.0, 9.5])
def test_by_hand_through_another_feedback(place, back):
    """r b a |m| < h < r b |m| / a: it rests at its kink, where s^2 = a h / (r b |m|)."""
    gamma, error = 0.05, -1.5
    r = back * gamma / (1 - gamma)
    drive = -place * r * gamma * error / (1 + place * r * gamma)  # place r |m|
    mismatch = gamma * (error + drive)
    record = settle(_chain(drive, error, gamma, back))
    assert record.shifts.absolute(1)[0, 0] == pytest.approx(-drive, rel=1e-9)
    assert record.mismatches.absolute(2)[0, 0] == pytest.approx(mismatch, rel=1e-9)
    slope = np.sqrt(A * drive / (r * abs(mismatch)))
    assert record.sliding_slopes[1][0, 0] == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize(("place", "accepted"), [(0.08, False), (2.0, True), (12.0, False)])
def test_the_ruler_accepts_no_slope_outside_the_interval(place, accepted):
    """At its kink, but balanced only by a slope beyond 1 or below a."""
    gamma, error, back = 0.05, -1.5, 0.5
    r = back * gamma / (1 - gamma)
    drive = -place * r * gamma * error / (1 + place * r * gamma)
    trial = _chain(drive, error, gamma, back)
    rest = trial.at_rest()
    scales = [scale.value for scale in rest.scales]
    second = -drive + gamma * (error + drive)
    values = (np.array([[-drive / scales[0]]]), np.array([[second / scales[1]]]))
    assert (judge(trial, rest.with_values(values), 1e-10).worst < 1e-10) is accepted


def _wide(seed, corrected):
    """Rectangles through the pseudo-inverse and noise, strong feedback; images that slide."""
    rng = np.random.default_rng([3, seed])
    network = initialise((6, 5, 4, 4), rng, init="gaussian", auxiliary=False)
    for bias in network.biases:
        bias[:] = 0.2 * rng.standard_normal(bias.shape)
    matrices = [np.linalg.pinv(weights) for weights in network.weights[1:]]
    matrices = [B / max(1.0, np.linalg.norm(B, 2)) for B in matrices]
    matrices = [B + 0.2 * np.std(B) * rng.standard_normal(B.shape) for B in matrices]
    circuit = build_circuit(network, "gait", 0.25, feedback=matrices, corrected=corrected)
    inputs = rng.random((6, 6))
    outputs = forward(network, inputs).rates[-1]
    trial = begin(circuit, inputs, outputs + 1.2 * rng.standard_normal(outputs.shape))
    return trial, matrices


def _smoothed(width):
    """f, f' and the inverse of a leaky unit whose kink is `width` wide."""

    def f(h):
        return A * h + (1 - A) * width * np.logaddexp(0, h / width)

    def slope(h):
        return A + (1 - A) * 0.5 * (1 + np.tanh(0.5 * h / width))

    def inverse(y):
        h = np.where(y > 0, y, y / A)
        for _ in range(80):
            h = h - (f(h) - y) / slope(h)
        return h

    return f, slope, inverse


def _smooth_root(trial, matrices, sample, start, corrected, width):
    """The root of the printed equations with smoothed kinks, both phases, near `start`."""
    network, gammas = trial.network, trial.circuit.strengths
    f, slope, inverse = _smoothed(width)
    image, target = trial.activity.rates[0][sample], trial.target[sample]
    cuts = np.cumsum(network.widths[1:])[:-1]

    def field(flat):
        y = [image, *np.split(flat, cuts)]
        changes = []
        for layer in (1, 2, 3):
            own = f(network.weights[layer - 1] @ y[layer - 1] + network.biases[layer - 1])
            if layer == 3:
                back = target
            else:
                bias = network.biases[layer]
                h = network.weights[layer] @ y[layer] + bias
                sent = inverse(f(h) + slope(h) ** 2 * (y[layer + 1] - f(h)))
                B = matrices[layer - 1]
                back = y[layer] + B @ (sent - h) if corrected else B @ (sent - bias)
            gamma = gammas[layer - 1]
            changes.append((1 - gamma) * own + gamma * back - y[layer])
        return np.concatenate(changes)

    found = scipy.optimize.root(field, start, tol=1e-13)
    assert np.abs(field(found.x)).max() < 1e-9
    return found.x


@BOTH
def test_kinks_that_sharpen_come_to_the_state_through_any_feedback(corrected):
    """Smooth units have an equilibrium of the printed equations for every width of their kink; it
    comes to the state that is found, a tenth of the width, a tenth of the distance, and its slopes
    at the kinks to those that the record gives.
    """
    slid = 0
    for seed in range(4):
        trial, matrices = _wide(seed, corrected)
        record = settle(trial, must_converge=False)
        for sample in range(6):
            slides = any((slopes[sample] > 0).any() for slopes in record.sliding_slopes)
            if record.sample_status[sample] is not Status.CONVERGED or not slides:
                continue
            slid += 1
            state = np.concatenate([rates[sample] for rates in record.activities])
            distances = []
            for width in (1e-3, 1e-4):
                root = _smooth_root(trial, matrices, sample, state, corrected, width)
                distances.append(np.linalg.norm(root - state))
            assert distances[1] < 0.3 * distances[0] < 0.03, (seed, sample)
            y = np.split(root, np.cumsum(trial.network.widths[1:])[:-1])
            for layer in (2, 3):
                h = (
                    trial.network.weights[layer - 1] @ y[layer - 2]
                    + trial.network.biases[layer - 1]
                )
                wanted = record.sliding_slopes[layer - 1][sample]
                found = _smoothed(1e-4)[1](h)
                np.testing.assert_allclose(wanted[wanted > 0], found[wanted > 0], rtol=0.02)
            if slid == 4:
                return
    assert slid >= 3


@BOTH
def test_most_images_settle_through_any_feedback(corrected):
    """What sweeps find stays as it is; what they leave is found, and says so if it slides."""
    trial, _ = _wide(0, corrected)
    found, alone = settle(trial), settle(trial, "sweep", must_converge=False)
    first = np.array([status is Status.CONVERGED for status in alone.sample_status])
    slides = np.any([(s > 0).any(axis=-1) for s in found.sliding_slopes], axis=0)
    assert 0 < first.sum() < 6
    assert slides[~first].any() and not slides[first].any()
    for layer in (1, 2, 3):
        pair = found.shifts.absolute(layer)[first], alone.shifts.absolute(layer)[first]
        np.testing.assert_allclose(*pair, rtol=1e-12)
