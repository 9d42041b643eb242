"""circuit.peers.contrast.sweeps: how many passes a state takes, and what less precision leaves."""

from __future__ import annotations

import numpy as np
import pytest

from circuit.initialisation.networks import initialise
from circuit.initialisation.weights import orthogonal
from circuit.network import Network, forward
from circuit.peers.contrast import layers, states
from circuit.peers.ep import RULE as EP
from circuit.peers.signal import Signal
from circuit.settings.peers.contrast import EquilibriumPropagationSettings
from circuit.verification.judgement import Status
from tests.circuit.peers.literal_contrast import Literal


def told(network: Network, x: np.ndarray, t: np.ndarray, **settings: object) -> Signal:
    given = EquilibriumPropagationSettings(nudge="force", centred=False, **settings)
    return EP.signal(network, forward(network, x), t, "quadratic", given, {}, 0)


def test_one_sweep_solves_a_linear_network_of_orthogonal_weights(rng: np.random.Generator) -> None:
    """Elimination from the output down has multiples of the identity for pivots there, whose
    continued fraction stays above 1/2 below gamma 1/4. A second sweep finds nothing left to do.
    With weights of other lengths a sweep is none."""
    x, t = rng.random((5, 6)), rng.random((5, 6))
    weights = tuple(orthogonal(6, rng) for _ in range(8))
    biases = tuple(rng.random(6) for _ in range(8))
    for gamma in (0.01, 0.1, 0.249):
        rest = told(Network(weights, biases, "linear", 6, 6), x, t, gamma=gamma).rest
        assert rest is not None and all(rest.converged)
        assert rest.passes <= 2 * 5
        assert rest.residuals.max() < 1e-13
    lengths = np.linspace(0.5, 1.3, 6)[:, None]
    uneven = Network(tuple(lengths * w for w in weights), biases, "linear", 6, 6)
    other = told(uneven, x, t, gamma=0.1).rest
    assert other is not None and all(other.converged)
    assert other.passes > 20


def test_units_that_nobody_reads_have_no_pivot(rng: np.random.Generator) -> None:
    """Layer 2 has as many auxiliary units as others, each of the two kinds with orthogonal weights:
    both answer layer 1, and only one kind is answered from above."""
    both = np.concatenate([orthogonal(4, rng), orthogonal(4, rng)])
    weights = [rng.random((4, 5)), both, orthogonal(4, rng)]
    biases = [rng.random(4), rng.random(8), rng.random(4)]
    network = Network(tuple(weights), tuple(biases), "linear", 5, 4)
    rest = told(network, rng.random((3, 5)), rng.random((3, 4)), gamma=0.15).rest
    assert rest is not None and all(rest.converged)
    assert rest.passes <= 2 * 5
    assert rest.residuals.max() < 1e-13


def small(rng: np.random.Generator, unit: str, size: float = 1.0) -> tuple[Network, ...]:
    network = initialise([7, 6, 8, 5], rng, activation=unit, init="gaussian", auxiliary=False)
    return network, size * rng.standard_normal((6, 7)), size * rng.random((6, 5))


@pytest.mark.parametrize("unit", ["tanh", "leaky_relu", "linear"])
def test_rough_sweeps_leave_no_trace(
    unit: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """What begins in float32 ends in the same state, judged by the same ruler, in fewer passes."""
    network, x, t = small(rng, unit)
    plain = told(network, x, t, gamma=0.03)
    monkeypatch.setattr(states, "LARGE", 1)
    rough = told(network, x, t, gamma=0.03)
    assert plain.rest is not None and rough.rest is not None
    assert all(plain.rest.converged) and all(rough.rest.converged)
    assert rough.rest.passes < plain.rest.passes
    assert rough.shifts.values[0].dtype == np.float64
    for layer in (1, 2, 3):
        for one, other in (
            (rough.activity.rates[layer], plain.activity.rates[layer]),
            (rough.shifts.absolute(layer), plain.shifts.absolute(layer)),
        ):
            assert np.linalg.norm(one - other) < 1e-9 * np.linalg.norm(other)
            assert not np.array_equal(one, other)  # they did go another way


def test_what_float32_cannot_hold_begins_in_float64(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Rates of 1e45."""
    network, x, t = small(rng, "linear", 1e45)
    plain = told(network, x, t, gamma=0.03)
    monkeypatch.setattr(states, "LARGE", 1)
    rough = told(network, x, t, gamma=0.03)
    assert rough.rest is not None and all(rough.rest.converged)
    np.testing.assert_allclose(rough.shifts.values[0], plain.shifts.values[0], rtol=1e-8)


def test_no_rough_sweeps_where_they_save_nothing(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """In float32, and for a coarse tolerance."""
    network, x, t = small(rng, "tanh")
    single = network.astype(np.float32)
    wanted = told(network, x, t, tolerance=1e-4).rest
    monkeypatch.setattr(states, "LARGE", 1)
    monkeypatch.setattr(Network, "astype", None)  # which nobody is to ask for
    coarse = told(network, x, t, tolerance=1e-4).rest
    assert coarse is not None and wanted is not None
    assert coarse.passes == wanted.passes
    rest = told(single, x.astype(np.float32), t.astype(np.float32)).rest
    assert rest is not None and rest.status == (Status.CONVERGED,) * 6


def test_overshooting_saves_sweeps(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Of leaky-ReLU units and orthogonal weights, for the same state; at gamma 1e-6 a second sweep
    is enough in any case."""
    network = initialise([32] * 6, rng, n_outputs=10)
    x, t = rng.random((8, 32)), rng.random((8, 10))
    weak = told(network, x, t, gamma=1e-6).rest
    assert weak is not None and all(weak.converged)
    assert weak.passes <= 2 * 5
    quick = [told(network, x, t, gamma=gamma) for gamma in (0.01, 0.1, 0.3)]
    for module in (states, layers):
        monkeypatch.setattr(module, "relaxation", lambda *_: (None,) * 5)
    for before, gamma in zip(quick, (0.01, 0.1, 0.3), strict=True):
        plain = told(network, x, t, gamma=gamma)
        assert plain.rest is not None and before.rest is not None
        assert all(plain.rest.converged) and all(before.rest.converged)
        assert before.rest.passes < 0.9 * plain.rest.passes
        np.testing.assert_allclose(
            before.shifts.values[0], plain.shifts.values[0], rtol=1e-6, atol=1e-8
        )


@pytest.mark.parametrize("init", ["orthogonal", "gaussian"])
@pytest.mark.parametrize("gamma", [0.2, 0.01])
def test_the_shifts_of_a_linear_network(gamma: float, init: str, rng: np.random.Generator) -> None:
    """The dense solution of the block tridiagonal equations. For orthogonal weights it has the
    direction of back-propagation in every layer, c_l F_l^T e with the scalar recursion
    c_l = c_{l-1} + gamma c_{l+1}; for Gaussian ones it has not."""
    widths = [6] * 5 if init == "orthogonal" else [6, 5, 7, 4, 6]
    network = initialise(widths, rng, activation="linear", init=init, auxiliary=False)
    weights = [0.6 * w if init == "gaussian" else w for w in network.weights]
    network = Network(tuple(weights), network.biases, "linear", widths[0], widths[-1])
    x, t = rng.random((3, widths[0])), rng.random((3, widths[-1]))
    signal = told(network, x, t, gamma=gamma, beta=0.3, tolerance=1e-13)
    error = t - signal.activity.rates[-1]
    coupling = Literal(weights, network.biases, ["linear"] * 4, gamma).coupling()
    force = np.concatenate([np.zeros((3, len(coupling) - widths[-1])), 0.3 * error], axis=1)
    wanted = np.linalg.solve(np.eye(len(coupling)) - coupling, force.T).T
    chain = np.eye(4) - np.eye(4, k=-1) - gamma * np.eye(4, k=1)
    strength = np.linalg.solve(chain, [0, 0, 0, 0.3])
    back, start = error, len(coupling)
    for layer in (4, 3, 2, 1):
        start -= widths[layer]
        found = signal.shifts.absolute(layer)
        expected = wanted[:, start : start + widths[layer]]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)
        same = np.allclose(found, strength[layer - 1] * back, rtol=1e-10, atol=1e-13)
        assert same == (init == "orthogonal")
        back = back @ weights[layer - 1]
