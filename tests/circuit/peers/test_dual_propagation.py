"""circuit.peers.dual_propagation against its equations as printed, SciPy's roots, and its order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import root

from circuit.network import Network, forward
from circuit.peers import Signal, dual_propagation, signal_updates
from circuit.settings.peers.dual_propagation import DualPropagationSettings
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
    unit_of,
    wide,
)


def rule(case: tuple, loss: Any = "quadratic", **settings: Any) -> Signal:
    """The rule on a network, its activity and targets."""
    return dual_propagation.signal(*case, loss, DualPropagationSettings(**settings), {}, 0)


def responses(case: tuple, loss: str = "quadratic") -> list[np.ndarray]:
    """f' times back-propagation's shift."""
    network, activity, targets = case
    outputs = activity.rates[-1][:, : targets.shape[1]]
    shifts = back_propagated(network, activity, ERRORS[loss](outputs, targets))
    slope = unit_of(network)[1]
    return [slope(h) * shift for h, shift in zip(activity.drives, shifts, strict=True)]


def left_of_equations(case: tuple, loss: str, beta: float, up: list, down: list) -> list:
    """What z^+ and z^- of the layers 1 .. L leave of the printed equations, one array a layer."""
    network, activity, targets = case
    f, n = unit_of(network)[0], network.n_outputs
    mean = [activity.rates[0], *((a + b) / 2 for a, b in zip(up, down, strict=True))]
    left = []
    for layer in range(1, network.depth + 1):
        h = mean[layer - 1] @ wide(network, layer).T + network.biases[layer - 1]
        for sign, state in ((1, up), (-1, down)):
            if layer < network.depth:
                push = (up[layer] - down[layer]) @ wide(network, layer + 1) / 2
            else:
                push = np.zeros_like(h)
                push[:, :n] = beta / 2 * ERRORS[loss](state[-1][:, :n], targets)
            left.append(state[layer - 1] - f(h + sign * push))
    return left


@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
@pytest.mark.parametrize("unit", ["tanh", "asinh", "leaky_relu"])
@pytest.mark.parametrize("beta", [0.9, 0.1])
def test_the_printed_equations_hold(
    beta: float, unit: str, loss: str, rng: np.random.Generator
) -> None:
    given = case(rng, unit, AUXILIARY, READ, n_outputs=3)
    signal = rule(given, loss, beta=beta, tolerance=1e-12)
    assert signal.rest.converged.all()
    pairs = list(zip(signal.read[1:], absolute(signal), strict=True))
    up, down = [m + d / 2 for m, d in pairs], [m - d / 2 for m, d in pairs]
    for left in left_of_equations(given, loss, beta, up, down):
        assert np.abs(left).max() < 1e-11


def test_against_the_roots_that_scipy_finds(rng: np.random.Generator) -> None:
    """All states at once, from the forward pass, by a dense solver."""
    given = network, activity, _ = case(rng, "tanh", (4, 5, 3, 2), batch=3)
    signal = rule(given, "cross_entropy", beta=1.2, tolerance=1e-12)
    cuts = np.cumsum([n for n in network.widths[1:] for _ in range(2)])[:-1] * 3

    def left(flat: np.ndarray) -> np.ndarray:
        parts = [part.reshape(3, -1) for part in np.split(flat, cuts)]
        found = left_of_equations(given, "cross_entropy", 1.2, parts[::2], parts[1::2])
        return np.concatenate([part.ravel() for part in found])

    start = np.concatenate([y.ravel() for y in activity.rates[1:] for _ in range(2)])
    found = root(left, start, tol=1e-13)
    assert np.abs(found.fun).max() < 1e-12
    parts = [part.reshape(3, -1) for part in np.split(found.x, cuts)]
    assert_close(absolute(signal), [a - b for a, b in zip(parts[::2], parts[1::2])], 1e-9)  # noqa: B905
    for mine, up, down in zip(signal.read[1:], parts[::2], parts[1::2], strict=True):
        np.testing.assert_allclose(mine, (up + down) / 2, atol=1e-10)


@pytest.mark.parametrize("unit", ["tanh", "asinh"])
@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
def test_smooth_units_are_off_by_the_square_of_beta(
    loss: str, unit: str, rng: np.random.Generator
) -> None:
    """From back-propagation, in every layer: the slope of a fit over two decades."""
    given = case(rng, unit)
    wanted, betas = responses(given, loss), np.geomspace(1e-3, 1e-1, 5)
    away = []
    for beta in betas:
        found = per_gain(rule(given, loss, beta=beta, tolerance=1e-12))
        away.append([np.linalg.norm(a - b) for a, b in zip(found, wanted, strict=True)])
    slopes = np.polyfit(np.log(betas), np.log(away), 1)[0]
    np.testing.assert_allclose(slopes, 2, atol=0.05)


def test_a_response_that_is_read_as_a_target_is_wrong_by_the_slope(
    rng: np.random.Generator,
) -> None:
    given = network, activity, _ = case(rng, "leaky_relu", AUXILIARY, READ, n_outputs=3)
    signal = rule(given, beta=1e-6)
    below = [y[:, :n] for y, n in zip(activity.rates, READ, strict=False)]
    told = responses(given)
    right = [r.T @ y / len(y) for r, y in zip(told, below, strict=True)]
    slope = unit_of(network)[1]
    wrong = [
        (slope(h) * r).T @ y / len(y) for h, r, y in zip(activity.drives, told, below, strict=True)
    ]
    assert_close([change.weights for change in signal_updates(network, signal)], right, 1e-9)
    misread = Signal(signal.activity, signal.shifts, "target", signal.read)
    assert_close([change.weights for change in signal_updates(network, misread)], wrong, 1e-9)
    with pytest.raises(AssertionError):
        assert_close(wrong, right, 0.1)


def test_linear_outputs_have_the_printed_state(rng: np.random.Generator) -> None:
    """(a +- beta t / 2) / (1 +- beta / 2), below units of another kind."""
    network, activity, targets = case(rng, "tanh")
    units = (*network.activations[:-1], "linear")
    network = Network(network.weights, network.biases, units, network.n_inputs, network.n_outputs)
    activity = forward(network, activity.rates[0])
    beta = 0.8
    signal = rule((network, activity, targets), beta=beta, tolerance=1e-12)
    assert signal.rest.converged.all()
    a = signal.read[-2] @ network.weights[-1].T + network.biases[-1]
    up, down = (a + beta * targets / 2) / (1 + beta / 2), (a - beta * targets / 2) / (1 - beta / 2)
    np.testing.assert_allclose(signal.shifts.absolute(4), up - down, rtol=1e-10)
    np.testing.assert_allclose(signal.read[-1], (up + down) / 2, rtol=1e-10)


@pytest.mark.parametrize("unit", ["tanh", "leaky_relu"])
def test_a_weak_nudge_has_all_digits_in_float32(unit: str, rng: np.random.Generator) -> None:
    """beta = 1e-6 through 40 layers that let one error in 1e50 pass."""
    network, activity, targets = case(rng, unit, (6,) * 41, size=0.1)
    wanted = responses((network, activity, targets))
    single = Network(
        tuple(w.astype("float32") for w in network.weights),
        tuple(b.astype("float32") for b in network.biases),
        network.activations,
        6,
        6,
    )
    low = forward(single, activity.rates[0].astype("float32"))
    signal = rule((single, low, targets.astype("float32")), beta=1e-6)
    assert signal.rest.converged.all()
    for layer, other in enumerate(wanted, 1):
        size = signal.shifts.scales[layer - 1].over(signal.shifts.gains[layer - 1]).value
        mine = size * signal.shifts.values[layer - 1].astype("float64")
        np.testing.assert_allclose(mine, other, rtol=0, atol=2e-5 * np.abs(other).max())
    assert np.abs(wanted[0]).max() < 1e-38


def test_what_does_not_settle_is_not_called_settled(rng: np.random.Generator) -> None:
    """A strong nudge through strong weights."""
    given = case(rng, "leaky_relu", (8,) * 6, batch=20, size=2.0)
    signal = rule(given, beta=1.9)
    bad = ~signal.rest.converged
    assert bad.any()
    assert (signal.rest.residuals.max(axis=0)[bad] > 1e-10).all()
    assert set(signal.rest.status) <= set(Status)


@pytest.mark.parametrize("beta", [2, 2.5, 0])
def test_a_nudge_without_a_state_is_refused(beta: float) -> None:
    words = rf"dual beta {beta:g} is outside \(0, 2\), where the outputs have a state; use"
    with pytest.raises(ValueError, match=words):
        DualPropagationSettings(beta=beta)
