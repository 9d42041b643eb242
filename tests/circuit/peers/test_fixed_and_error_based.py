"""circuit.peers.fixed_prediction and error_based: both are back-propagation in one way, and not in
another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuit.peers import Signal, error_based, fixed_prediction, predictive_coding, signal_updates
from circuit.settings.peers.predictive_coding import (
    ErrorBasedSettings,
    FixedPredictionSettings,
    PredictiveCodingSettings,
)
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
)


def fixed(case: tuple, loss: str = "quadratic", **settings: Any) -> Signal:
    """The rule with fixed predictions."""
    return fixed_prediction.signal(*case, loss, FixedPredictionSettings(**settings), {}, 0)


def errors(case: tuple, loss: str = "quadratic", **settings: Any) -> Signal:
    """The error-based rule."""
    return error_based.signal(*case, loss, ErrorBasedSettings(**settings), {}, 0)


def shift_of(case: tuple, loss: str = "quadratic") -> list[np.ndarray]:
    """Back-propagation's, from the chain rule."""
    network, activity, targets = case
    outputs = activity.rates[-1][:, : targets.shape[1]]
    return back_propagated(network, activity, ERRORS[loss](outputs, targets))


@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
@pytest.mark.parametrize("unit", ["tanh", "leaky_relu"])
def test_fixed_predictions_with_step_1_are_back_propagation(
    unit: str, loss: str, rng: np.random.Generator
) -> None:
    """After L - 1 sweeps, shifts and weight changes, and with no more products."""
    given = network, activity, _ = case(rng, unit, AUXILIARY, READ, n_outputs=3)
    signal = fixed(given, loss, strength=1e-12)
    assert signal.rest.converged.all()
    assert signal.rest.words == f"{network.depth - 1} sweeps with step 1"
    assert signal.rest.passes == 1
    wanted = shift_of(given, loss)
    assert_close(per_gain(signal), wanted, 1e-14)
    slopes = [unit_of(network)[1](h) for h in activity.drives]
    below = [y[:, :n] for y, n in zip(activity.rates, READ, strict=False)]
    changes = [
        (slope * shift).T @ rates / len(rates)
        for slope, shift, rates in zip(slopes, wanted, below, strict=True)
    ]
    assert_close([change.weights for change in signal_updates(network, signal)], changes, 1e-14)


def test_each_sweep_carries_the_error_down_by_one_layer(rng: np.random.Generator) -> None:
    given = network, _, _ = case(rng, "tanh")
    wanted = shift_of(given)
    for sweeps in range(1, network.depth - 1):
        signal = fixed(given, sweeps=sweeps)
        there = network.depth - 1 - sweeps  # layers that have heard of nothing
        assert not any(value.any() for value in signal.shifts.values[:there])
        assert_close(per_gain(signal)[there:], wanted[there:], 1e-14)
        assert set(signal.rest.status) == {Status.OUT_OF_BUDGET}
        assert np.all(signal.rest.residuals[: there - 1] == np.inf)


def test_sweeps_of_another_step_are_the_printed_ones(rng: np.random.Generator) -> None:
    given = network, activity, targets = case(rng, "tanh")
    slope = unit_of(network)[1]
    eps = [np.zeros_like(h) for h in activity.drives]
    eps[-1] = 3 * (targets - activity.rates[-1])
    for _ in range(6):
        sent = [
            (slope(h) * above) @ w
            for h, above, w in zip(activity.drives[1:], eps[1:], network.weights[1:], strict=True)
        ]
        eps = [*(e + 0.7 * (s - e) for e, s in zip(eps, sent, strict=False)), eps[-1]]
    assert_close(absolute(fixed(given, strength=3.0, step=0.7, sweeps=6)), eps, 1e-13)
    settled = fixed(given, step=0.7)
    assert settled.rest.converged.all()
    assert_close(per_gain(settled), shift_of(given), 1e-9)


@pytest.mark.parametrize("unit", ["tanh", "leaky_relu"])
def test_one_step_of_errors_is_back_propagation_times_it_and_no_rest(
    unit: str, rng: np.random.Generator
) -> None:
    given = case(rng, unit, AUXILIARY, READ, n_outputs=3)
    signal = errors(given, strength=0.5, step=0.2, steps=1)
    wanted = shift_of(given)[:-1]
    assert_close(absolute(signal)[:-1], [0.5 * 0.2 * shift for shift in wanted], 1e-14)
    assert set(signal.rest.status) == {Status.OUT_OF_BUDGET}
    assert (signal.rest.residuals.max(axis=0) > 0.5).all()
    assert "1 step of 0.2, distance from equilibrium up to" in signal.rest.words


def test_steps_of_errors_are_the_printed_ones(rng: np.random.Generator) -> None:
    """Of the errors, with the rates that follow from them."""
    given = network, activity, targets = case(rng, "tanh")
    f, slope = unit_of(network)
    eps = [np.zeros_like(h) for h in activity.drives[:-1]]
    for _ in range(3):
        rates, drives = [activity.rates[0]], []
        for weights, bias, error in zip(network.weights, network.biases, [*eps, 0], strict=True):
            drives.append(rates[-1] @ weights.T + bias)
            rates.append(f(drives[-1]) + error)
        back = [0.8 * (targets - rates[-1])]
        for weights, h in zip(network.weights[:0:-1], drives[:0:-1], strict=True):
            back.append((slope(h) * back[-1]) @ weights)
        eps = [e - 0.3 * (e - b) for e, b in zip(eps, back[:0:-1], strict=True)]
    signal = errors(given, strength=0.8, step=0.3, steps=3)
    assert_close(absolute(signal)[:-1], eps, 1e-13)


def test_many_steps_of_errors_come_to_the_rest_of_the_energy(rng: np.random.Generator) -> None:
    given = case(rng, "tanh")
    signal = errors(given, strength=0.5, step=0.5, steps=200, tolerance=1e-9)
    assert signal.rest.converged.all()
    settings = PredictiveCodingSettings(strength=0.5, tolerance=1e-12)
    rest = predictive_coding.signal(*given, "quadratic", settings, {}, 0)
    assert_close(absolute(signal), absolute(rest), 1e-8)


def test_the_distance_from_equilibrium_is_a_bound(rng: np.random.Generator) -> None:
    """In a linear network, where the rest is known in closed form."""
    given = network, activity, targets = case(rng, "linear")
    signal = errors(given, strength=0.5, step=0.1, steps=2)
    told = float(signal.rest.words.rpartition(" ")[2])
    error = targets - activity.rates[-1]
    paths = [np.eye(network.widths[-1])]
    for weights in network.weights[:0:-1]:
        paths.append(paths[-1] @ weights)
    paths = paths[:0:-1]
    matrix = np.eye(len(error.T)) + 0.5 * sum(path @ path.T for path in paths)
    rest = np.concatenate([0.5 * np.linalg.solve(matrix, error.T).T @ path for path in paths], 1)
    mine = np.concatenate(absolute(signal)[:-1], axis=1)
    asked = 0.5 * (error - sum(e @ p.T for e, p in zip(absolute(signal), paths, strict=False)))
    asked = np.linalg.norm(np.concatenate([asked @ path for path in paths], axis=1), axis=1)
    away = np.linalg.norm(mine - rest, axis=1)
    assert (away <= told * 1.05 * asked).all()
    assert (away > 0.1 * told * asked).all()  # and no idle one


def test_a_step_without_convergence_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pc fixed step 2 is outside \(0, 2\), where sweeps"):
        FixedPredictionSettings(step=2)
