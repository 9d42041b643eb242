"""The error bound of circuits through any feedback matrices bounds the error: exact roots of the
printed equations, written out in loops, by Newton's method of mpmath.
"""

from __future__ import annotations

from collections.abc import Sequence

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.initialisation.networks import initialise
from circuit.trial import Trial
from circuit.verification.bounds import relative_error_bounds
from tests.literal_units import LITERAL, exactly

WIDTHS = [(4, 3, 4, 3), (3, 4, 2, 3)]
Layers = list[list[mpf]]


def _trial(rng, widths, pathway, unit, gamma, corrected, dtype="float64"):
    network = initialise(widths, rng, init="gaussian", activation=unit, auxiliary=False)
    for bias in network.biases:
        bias[:] = 0.2 * rng.standard_normal(bias.shape)
    matrices = []
    for weights in network.weights[1:]:
        matrix = np.linalg.pinv(weights) + 0.2 * rng.standard_normal(weights.shape[::-1])
        matrices.append(matrix / max(1.0, np.linalg.norm(matrix, 2)))
    circuit = build_circuit(network, pathway, gamma, feedback=matrices, corrected=corrected)
    return begin(circuit, rng.random((1, widths[0])), rng.random((1, widths[-1])))


def _velocity(trial: Trial, y: Layers, *, nudged: bool) -> list[mpf]:
    """-y + (1 - gamma) f(h) + gamma F of every unit of the layers 1 .. L, loop by loop."""
    circuit, network = trial.circuit, trial.network
    target, found = exactly(trial.target[0]), []

    def drives(layer: int) -> list[mpf]:
        W, b = exactly(network.weights[layer - 1]), exactly(network.biases[layer - 1])
        return [mp.fdot(row, y[layer - 1]) + bias for row, bias in zip(W, b, strict=True)]

    for layer in range(1, network.depth + 1):
        unit = LITERAL[network.activation(layer).name]
        own, gamma = [unit.value(h) for h in drives(layer)], mpf(circuit.strength(layer))
        if layer == network.depth:
            received = target
            gamma = gamma if nudged else mpf(0)
        else:
            above, W = LITERAL[network.activation(layer + 1).name], exactly(network.weights[layer])
            message = []
            for i, h in enumerate(drives(layer + 1)):
                u, gain = above.value(h), mpf(1)
                if circuit.pathway.gradient_adjusted:
                    gain = above.slope(h) ** 2
                if circuit.pathway.row_adjusted:
                    gain *= mp.fdot(W[i], W[i])
                sent = above.inverse(u + gain * (y[layer + 1][i] - u))
                message.append(
                    sent - (h if circuit.corrected else exactly(network.biases[layer])[i])
                )
            B = exactly(circuit.feedback.weights[layer - 1])
            received = [mp.fdot(row, message) for row in B]
            if circuit.corrected:
                received = [r + rate for r, rate in zip(received, y[layer], strict=True)]
        terms = zip(y[layer], own, received, strict=True)
        found += [-rate + (1 - gamma) * f + gamma * r for rate, f, r in terms]
    return found


def _root(trial: Trial, start: Sequence[np.ndarray], *, nudged: bool) -> list[list[mpf]]:
    """Exact rates y_1 .. y_L near `start`."""
    widths, given = trial.network.widths[1:], exactly(trial.activity.rates[0][0])

    def layers(flat: Sequence[mpf]) -> Layers:
        rest, found = list(flat), [given]
        for width in widths:
            found.append(rest[:width])
            rest = rest[width:]
        return found

    first = [mpf(float(rate)) for rates in start for rate in rates[0]]
    root = mp.findroot(
        lambda *flat: _velocity(trial, layers(flat), nudged=nudged), first, tol=mpf(10) ** -45
    )
    return layers(list(root))[1:]


@settings(max_examples=30)
@given(
    widths=st.sampled_from(WIDTHS),
    pathway=st.sampled_from(["itp", "gait", "grait"]),
    unit=st.sampled_from(["linear", "leaky_relu", "asinh"]),
    corrected=st.booleans(),
    gamma=st.sampled_from([0.01, 0.05, 0.2]),
    perturbation=st.sampled_from([1e-7, 1e-5, 1e-3]),
    seed=st.integers(0, 999),
)
def test_bound_is_never_below_the_true_error(
    widths, pathway, unit, corrected, gamma, perturbation, seed
):
    """States moved away from rest, in both phases; the free phase is at rounding by then."""
    rng = np.random.default_rng(seed)
    trial = _trial(rng, widths, pathway, unit, gamma, corrected)
    record = settle(trial, "newton", tolerance=1e-13, must_converge=False)
    assume(max(record.relative_residuals) < 1e-12)
    with mp.workdps(50):
        free = record.trial.activity.rates[1:]
        exact_free = _root(trial, free, nudged=False)
        exact = _root(trial, record.activities, nudged=True)
        phases = [
            (
                record,
                [
                    [a - b for a, b in zip(*two, strict=True)]
                    for two in zip(exact, exact_free, strict=True)
                ],
            )
        ]
        if record.free is not None:
            base = [exactly(rates[0]) for rates in trial.activity.rates[1:]]
            moved = [
                [a - b for a, b in zip(*two, strict=True)]
                for two in zip(exact_free, base, strict=True)
            ]
            phases.append((record.free, moved))
        for phase, truth in phases:
            values = tuple(
                value * (1 + perturbation * rng.standard_normal(value.shape))
                for value in phase.shifts.values
            )
            state = phase.shifts.with_values(values)
            bounds = relative_error_bounds(phase.trial, state)
            for layer, (bound, right) in enumerate(zip(bounds, truth, strict=True), 1):
                own = exactly(state.absolute(layer)[0])
                gap = mpmath.norm([a - b for a, b in zip(own, right, strict=True)])
                if mpmath.norm(own) > 0:
                    assert bound >= float(gap / mpmath.norm(own))


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
def test_bound_is_not_idle(pathway, corrected):
    """A state that is off by 1e-6: within 100 of its error; one that is settled: below 1e-7."""
    rng = np.random.default_rng(2)
    trial = _trial(rng, (5, 4, 5, 3), pathway, "asinh", 0.02, corrected)
    record = settle(trial)
    assert max(record.error_bounds) < 1e-7
    values = tuple(
        value * (1 + 1e-6 * rng.standard_normal(value.shape)) for value in record.shifts.values
    )
    bounds = relative_error_bounds(record.trial, record.shifts.with_values(values))
    for layer, (bound, value) in enumerate(zip(bounds, values, strict=True), 1):
        right = record.shifts.values[layer - 1]
        assert bound < 100 * np.linalg.norm(value - right) / np.linalg.norm(right)


def test_bound_knows_of_feedback_that_is_too_large():
    """Linear, W orthogonal, B = c W^T: z_1 = gamma c W^T z_2 and z_2 = (1 - gamma) W z_1 + gamma e,
    so that a shift of layer 1 that is off by d, with z_2 as it has to be for it, leaves a residual
    of (1 - gamma c (1 - gamma)) d alone: 5 % of it here.
    """
    rng, gamma, factor = np.random.default_rng(0), 0.3, 4.5
    network = initialise((4, 4, 4), rng, activation="linear")
    through = [factor * network.weights[1].T]
    circuit = build_circuit(network, "itp", gamma, feedback=through, corrected=False)
    trial = begin(circuit, rng.random((1, 4)), rng.random((1, 4)))
    record = settle(trial, "newton", tolerance=1e-12)
    away = 1e-3 * rng.standard_normal((1, 4))
    absolute = [record.shifts.absolute(layer) for layer in (1, 2)]
    moved = (absolute[0] + away, absolute[1] + (1 - gamma) * away @ network.weights[1].T)
    scales = [scale.value for scale in record.shifts.scales]
    state = record.shifts.with_values(
        tuple(value / scale for value, scale in zip(moved, scales, strict=True))
    )
    bound = relative_error_bounds(record.trial, state)[0]
    assert bound >= np.linalg.norm(away) / np.linalg.norm(moved[0])
