"""circuit.peers.feedback_control against its equation as printed, solved by SciPy for u alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import root

from circuit.network import Network, forward
from circuit.peers import Signal, feedback_control
from circuit.settings.peers.feedback_control import FeedbackControlSettings
from circuit.verification.judgement import Status
from tests.circuit.peers.cases import (
    AUXILIARY,
    ERRORS,
    READ,
    absolute,
    assert_close,
    back_propagated,
    case,
    per_gain,
    to_outputs,
    unit_of,
    wide,
)

Matrices = list[np.ndarray]


def rule(case: tuple, loss: Any = "quadratic", beside: Any = None, **settings: Any) -> Signal:
    """The rule on a network, its activity and targets."""
    given = FeedbackControlSettings(**settings)
    return feedback_control.signal(*case, loss, given, beside or {}, 0)


def feedback_of(case: tuple, image: int, feedback: str) -> Matrices:
    """Q_1 .. Q_L of one image by its derivatives, (N_l, n_outputs)."""
    network, activity, _ = case
    slopes = [unit_of(network)[1](h[image]) for h in activity.drives]
    paths = to_outputs(network, slopes)
    if feedback == "rates":
        return [path.T for path in paths]
    return [np.diag(slope) @ path.T for slope, path in zip(slopes, paths, strict=True)]


def driven(case: tuple, image: int, matrices: Matrices, control: np.ndarray) -> tuple:
    """Rates r_0 .. r_L and responses f(v) - f(W r + b) of one image, with the controller at u."""
    network, activity, _ = case
    f, rates, responses = unit_of(network)[0], [activity.rates[0][image]], []
    for layer, matrix in enumerate(matrices, 1):
        alone = wide(network, layer) @ rates[-1] + network.biases[layer - 1]
        rates.append(f(alone + matrix @ control))
        responses.append(rates[-1] - f(alone))
    return rates, responses


def steady(
    case: tuple, image: int, matrices: Matrices, loss: str, strength: float, leak: float
) -> np.ndarray:
    """u from r_L* - r_L(u) = a u, from u = 0, and the real parts of eig(J Q) there."""
    network, activity, targets = case
    n = network.n_outputs
    outputs = activity.rates[-1][image, :n]
    wanted = outputs + strength * ERRORS[loss](outputs[None], targets[image][None])[0]

    def left(control: np.ndarray) -> np.ndarray:
        return wanted - driven(case, image, matrices, control)[0][-1][:n] - leak * control

    found = root(left, np.zeros(n), tol=1e-13)
    assert np.abs(found.fun).max() < 1e-12 * (1 + leak)
    step = 1e-6  # of central differences of r_L(u), which are J Q
    columns = [
        (left(found.x - step * unit) - left(found.x + step * unit)) / (2 * step) - leak * unit
        for unit in np.eye(n)
    ]
    return found.x, np.linalg.eigvals(np.array(columns).T).real


@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
@pytest.mark.parametrize("unit", ["tanh", "asinh", "leaky_relu"])
@pytest.mark.parametrize("feedback", ["jacobian", "rates", "random"])
def test_against_the_roots_that_scipy_finds(
    feedback: str, unit: str, loss: str, rng: np.random.Generator
) -> None:
    """Responses and rates of every layer, and how many steady states are stable."""
    given = network, _, _ = case(rng, unit, AUXILIARY, READ, n_outputs=3, batch=5)
    settings = FeedbackControlSettings(0.4, 0.8, feedback)
    beside = feedback_control.companions(network, settings, np.array(8))
    signal = rule(given, loss, beside, strength=0.4, leak=0.8, feedback=feedback, tolerance=1e-12)
    assert signal.rest.converged.all()
    stable = 0
    for image in range(5):
        if feedback == "random":
            matrices = [np.array(one) for one in beside["feedback"]]
            for layer, matrix in enumerate(matrices, 1):
                matrix[network.n_projecting(layer) :] = 0
        else:
            matrices = feedback_of(given, image, feedback)
        control, eigenvalues = steady(given, image, matrices, loss, 0.4, 0.8)
        rates, responses = driven(given, image, matrices, control)
        stable += eigenvalues.min() > -0.8
        mine = [shift[image] for shift in absolute(signal)]
        assert_close(mine, responses, 1e-8)
        for found, wanted in zip(signal.read, rates, strict=True):
            np.testing.assert_allclose(found[image], wanted, atol=1e-9)
    assert f"stable in {stable} of 5 settled" in signal.rest.words


def test_feedback_of_the_wrong_sign_has_a_steady_state_that_is_never_reached(
    rng: np.random.Generator,
) -> None:
    """-J^T: Newton's method finds where the controller rests, and the record says that it flees."""
    network, activity, targets = case(rng, "linear")
    given = (network, activity, targets)
    matrices = [-matrix for matrix in feedback_of(given, 0, "jacobian")]
    beside = {"feedback": tuple(matrices)}
    signal = rule(given, "quadratic", beside, leak=0.01, feedback="given")
    assert signal.rest.converged.all()
    assert "stable in 0 of 6 settled" in signal.rest.words
    assert "bound -0.01" in signal.rest.words
    held = rule(given, "quadratic", beside, leak=1e4, feedback="given")
    assert "stable in 6 of 6 settled" in held.rest.words


@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
def test_a_large_leak_is_back_propagation_by_rates_and_one_slope_more_by_drives(
    loss: str, rng: np.random.Generator
) -> None:
    """The published feedback, J^T, has f' in it, and so has the response."""
    given = network, activity, targets = case(rng, "tanh")
    error = ERRORS[loss](activity.rates[-1], targets)
    shifts, slope = back_propagated(network, activity, error), unit_of(network)[1]
    slopes = [slope(h) for h in activity.drives]
    once = [a * shift for a, shift in zip(slopes, shifts, strict=True)]
    twice = [a * shift for a, shift in zip(slopes, once, strict=True)]
    settings = {"leak": 1e7, "strength": 1.0}
    assert_close(per_gain(rule(given, loss, feedback="rates", **settings)), once, 2e-6)
    published = per_gain(rule(given, loss, **settings))
    assert_close(published, twice, 2e-6)
    with pytest.raises(AssertionError):
        assert_close(published, once, 0.1)


@pytest.mark.parametrize("unit", ["tanh", "leaky_relu"])
def test_a_large_leak_has_all_digits_in_float32(unit: str, rng: np.random.Generator) -> None:
    """a = 1e8 through 40 layers that let one error in 1e50 pass."""
    network, activity, targets = case(rng, unit, (6,) * 41, size=0.1)
    shifts = back_propagated(network, activity, targets - activity.rates[-1])
    slope = unit_of(network)[1]
    wanted = [slope(h) * shift for h, shift in zip(activity.drives, shifts, strict=True)]
    single = Network(
        tuple(w.astype("float32") for w in network.weights),
        tuple(b.astype("float32") for b in network.biases),
        network.activations,
        6,
        6,
    )
    low = forward(single, activity.rates[0].astype("float32"))
    signal = rule((single, low, targets.astype("float32")), leak=1e8, feedback="rates")
    assert signal.rest.converged.all()
    for layer, other in enumerate(wanted, 1):
        size = signal.shifts.scales[layer - 1].over(signal.shifts.gains[layer - 1]).value
        mine = size * signal.shifts.values[layer - 1].astype("float64")
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-4 * np.abs(other).max())
    assert np.abs(wanted[0]).max() < 1e-38


def test_targets_beyond_the_range_of_tanh_leave_the_controller_short_of_them(
    rng: np.random.Generator,
) -> None:
    """No target has to be reached: the leak takes up what is out of reach."""
    given = network, _, targets = case(rng, "tanh", batch=12)
    targets[:] = 3 * np.sign(targets - 1 / 3)
    assert network.activations[-1].name == "tanh"
    signal = rule(given, strength=1.0, leak=0.5)
    assert signal.rest.converged.all()
    assert np.abs(signal.read[-1]).max() < 1
    matrices = feedback_of(given, 0, "jacobian")
    control, _ = steady(given, 0, matrices, "quadratic", 1.0, 0.5)
    assert_close([r[0] for r in absolute(signal)], driven(given, 0, matrices, control)[1], 1e-7)


def test_what_does_not_settle_is_not_called_settled(rng: np.random.Generator) -> None:
    """Random feedback, a large step, hardly a leak."""
    given = network, _, _ = case(rng, "leaky_relu", (8,) * 6, batch=30, size=2.0)
    settings = FeedbackControlSettings(1.0, 1e-3, "random")
    beside = feedback_control.companions(network, settings, np.array(3))
    signal = rule(given, "quadratic", beside, strength=1.0, leak=1e-3, feedback="random")
    bad = ~signal.rest.converged
    assert 0 < bad.sum() < 30
    assert (signal.rest.residuals.max(axis=0)[bad] > 1e-10).all()
    assert Status.CONVERGED not in np.array(signal.rest.status)[bad]


def test_bad_input_is_refused_in_one_line(rng: np.random.Generator) -> None:
    given = case(rng, "tanh")
    with pytest.raises(ValueError, match=r"dfc leak 0 is not positive; use for example 0\.1"):
        FeedbackControlSettings(leak=0)
    with pytest.raises(ValueError, match="dfc feedback 'none' is unknown; choose from jacobian"):
        FeedbackControlSettings(feedback="none")
    wanted = r"matrices of shapes \[\]; give companions .* of shapes \[\(7, 3\), \(4, 3\)"
    with pytest.raises(ValueError, match=wanted):
        rule(given, feedback="given")
