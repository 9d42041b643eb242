"""circuit.peers.predictive_coding against its energy, written down here: complex steps, autograd,
SciPy's roots, and all pieces of small networks with kinks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.optimize import root

from circuit.initialisation.networks import initialise
from circuit.network import Network, forward
from circuit.peers import Signal, acceleration, predictive_coding, signal_updates
from circuit.settings.peers.predictive_coding import PredictiveCodingSettings
from circuit.verification.judgement import Status
from tests.circuit.peers.cases import (
    AUXILIARY,
    ERRORS,
    LOSSES,
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
    return predictive_coding.signal(*case, loss, PredictiveCodingSettings(**settings), {}, 0)


def energy(
    weights: list, biases: list, unit: Any, rates: list, targets: Any, loss: Any, strength: float
) -> Any:
    """F of every image, for z_0 .. z_{L-1}; complex numbers too."""
    total = 0
    for layer in range(1, len(weights)):
        eps = rates[layer] - unit(rates[layer - 1] @ weights[layer - 1].T + biases[layer - 1])
        total = total + (eps**2).sum(axis=-1) / 2
    outputs = unit(rates[-1] @ weights[-1].T + biases[-1])[:, : targets.shape[1]]
    return total + strength * loss(outputs, targets)


def gradients(case: tuple, signal: Signal, loss: str, strength: float) -> tuple[list, list]:
    """-dF/dW of the mean over images, and dF/dz of the layers below the output: complex steps."""
    network, _, targets = case
    weights = [wide(network, layer) for layer in range(1, network.depth + 1)]
    unit, step = unit_of(network)[0], 1e-30

    def derivative(place: list, at: tuple) -> np.ndarray:
        place[at[0]] = place[at[0]].astype(complex)
        place[at[0]][at[1:]] += 1j * step
        found = energy(matrices, network.biases, unit, rates, targets, LOSSES[loss], strength)
        return found.imag / step

    by_weights, by_rates = [], []
    for layer in range(network.depth):
        found = np.zeros(network.weights[layer].shape)
        for i, j in np.ndindex(*found.shape):
            matrices, rates = list(weights), list(signal.activity.rates[:-1])
            found[i, j] = -derivative(matrices, (layer, i, j)).mean()
        by_weights.append(found)
        if layer:
            rows = signal.activity.rates[layer]
            found = np.zeros(rows.shape)
            for i in range(rows.shape[1]):
                matrices, rates = list(weights), list(signal.activity.rates[:-1])
                found[:, i] = derivative(rates, (layer, slice(None), i))
            by_rates.append(found)
    return by_weights, by_rates


@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
@pytest.mark.parametrize("unit", ["tanh", "asinh"])
@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_the_energy_is_stationary_and_what_is_learnt_is_its_gradient(
    strength: float, unit: str, loss: str, rng: np.random.Generator
) -> None:
    """With units that nobody reads and rectangular weights; and read as a response it is not."""
    given = case(rng, unit, AUXILIARY, READ, n_outputs=3)
    signal = rule(given, loss, strength=strength, tolerance=1e-11)
    assert signal.rest.converged.all()
    by_weights, by_rates = gradients(given, signal, loss, strength)
    for layer, left in enumerate(by_rates, 1):
        assert np.abs(left).max() < 1e-10 * np.abs(signal.shifts.absolute(layer)).max()
    learnt = [strength * change.weights for change in signal_updates(given[0], signal)]
    assert_close(learnt, by_weights, 1e-9)
    wrong = Signal(signal.activity, signal.shifts, "response", signal.read)
    with pytest.raises(AssertionError):
        assert_close([strength * c.weights for c in signal_updates(given[0], wrong)], learnt, 0.02)


def test_the_energy_is_stationary_for_torch_and_a_loss_of_ones_own(
    rng: np.random.Generator,
) -> None:
    """Autograd of an energy with |y - t|^4 / 4, which is no loss of the library."""
    torch = pytest.importorskip("torch")
    network, activity, targets = case(rng, "tanh")
    signal = rule((network, activity, targets), lambda y, t: (t - y) ** 3, strength=0.5)
    assert signal.rest.converged.all()
    weights = [torch.tensor(w, requires_grad=True) for w in network.weights]
    biases = [torch.tensor(b, requires_grad=True) for b in network.biases]
    rates = [torch.tensor(z, requires_grad=True) for z in signal.activity.rates[:-1]]
    energy(
        weights,
        biases,
        torch.tanh,
        rates,
        torch.tensor(targets),
        lambda y, t: ((y - t) ** 4).sum(axis=-1) / 4,
        0.5,
    ).mean().backward()
    changes = signal_updates(network, signal)
    for layer in range(1, network.depth):
        left = rates[layer].grad.abs().max() * len(targets)
        assert left < 1e-9 * np.abs(signal.shifts.absolute(layer)).max()
    assert_close([0.5 * c.weights for c in changes], [-w.grad.numpy() for w in weights], 1e-8)
    assert_close([0.5 * c.biases for c in changes], [-b.grad.numpy() for b in biases], 1e-8)


@pytest.mark.parametrize("steps", [1, 14])
@pytest.mark.parametrize("unit", ["tanh", "asinh"])
def test_against_the_roots_that_scipy_finds(
    unit: str, steps: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the forward pass, in rates, by a dense solver; Newton's method alone, and what comes
    before it.
    """
    monkeypatch.setattr(acceleration, "STEPS", steps)
    given = network, activity, targets = case(rng, unit, (4, 5, 3, 4, 2), batch=4)
    signal = rule(given, strength=1.0, tolerance=1e-12)
    f, slope = unit_of(network)
    cuts = np.cumsum(network.widths[1:-2])

    def left(flat: np.ndarray, image: int) -> np.ndarray:
        rates = [activity.rates[0][image], *np.split(flat, cuts)]
        drives = [w @ z + b for w, z, b in zip(network.weights, rates, network.biases, strict=True)]
        eps = [z - f(h) for z, h in zip(rates[1:], drives, strict=False)]
        eps.append(targets[image] - f(drives[-1]))
        pairs = zip(network.weights[1:], drives[1:], eps[1:], eps, strict=False)
        return np.concatenate([e - w.T @ (slope(h) * above) for w, h, above, e in pairs])

    for image in range(4):
        start = np.concatenate([rates[image] for rates in activity.rates[1:-1]])
        found = root(left, start, args=(image,), tol=1e-13)
        assert np.abs(found.fun).max() < 1e-12
        mine = np.concatenate([rates[image] for rates in signal.activity.rates[1:-1]])
        np.testing.assert_allclose(mine, found.x, atol=1e-10)


def stationary(network: Network, inputs: np.ndarray, target: np.ndarray, strength: float) -> list:
    """eps_1 .. eps_{L-1} of every stationary point of a network of leaky-ReLU, piece by piece.

    On a piece the energy is a parabola with one lowest point, which counts if it lies there.
    """
    leak, widths = 0.1, network.widths[1:]
    start = network.weights[0] @ inputs + network.biases[0]
    start = np.where(start > 0, start, leak * start)
    total, found = sum(widths[:-1]), []
    for slopes in itertools.product([leak, 1.0], repeat=sum(widths[1:])):
        each = np.split(np.array(slopes), np.cumsum(widths[1:-1]))
        rates, by_errors = start, np.eye(widths[0], total)
        drives, first = [], widths[0]
        for weights, bias, slope in zip(network.weights[1:], network.biases[1:], each, strict=True):
            drives.append((weights @ rates + bias, weights @ by_errors, slope))
            rates = slope * drives[-1][0]
            by_errors = slope[:, None] * drives[-1][1]
            if len(drives) < len(each):
                by_errors += np.eye(len(slope), total, first)
                first += len(slope)
        hessian = np.eye(total) + strength * by_errors.T @ by_errors
        errors = np.linalg.solve(hessian, strength * by_errors.T @ (target - rates))
        if all(np.all((h + d @ errors > 0) == (a == 1)) for h, d, a in drives):
            found.append(errors)
    return found


@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_kinks_leave_images_without_a_stationary_point(
    strength: float, rng: np.random.Generator
) -> None:
    """None is called settled that has none; those that settle are at one of theirs."""
    given = network, activity, targets = case(rng, "leaky_relu", (4, 3, 3, 3, 2), batch=24)
    targets[:] = 2 * rng.standard_normal(targets.shape)
    signal = rule(given, strength=strength)
    settled = signal.rest.converged
    points = [
        stationary(network, x, t, strength) for x, t in zip(activity.rates[0], targets, strict=True)
    ]
    exists = np.array([bool(one) for one in points])
    assert not settled[~exists].any()
    assert settled[exists].mean() > 0.8
    for image in np.flatnonzero(settled):
        mine = np.concatenate([eps[image] for eps in absolute(signal)[:-1]])
        nearest = min(np.abs(mine - other).max() for other in points[image])
        assert nearest < 1e-8 * np.abs(mine).max()
    if strength == 1:
        assert not exists.all()  # or nothing has been tried


def test_a_clamped_deep_network_with_kinks_hardly_settles() -> None:
    """And does with a weak loss, or with smooth units whatever the loss."""
    found = {}
    for unit, strength in [("leaky_relu", 1.0), ("leaky_relu", 1e-4), ("tanh", 1.0)]:
        rng = np.random.default_rng(3)
        network = initialise((20,) * 10 + (10,), rng, activation=unit)
        activity = forward(network, rng.standard_normal((20, 20)))
        targets = np.eye(10)[rng.integers(10, size=20)]
        signal = rule((network, activity, targets), strength=strength)
        found[unit, strength] = signal.rest.converged.sum()
        assert set(signal.rest.status) <= {
            Status.CONVERGED,
            Status.CYCLING,
            Status.OUT_OF_BUDGET,
        }
        assert (signal.rest.residuals.max(axis=0) <= 1e-10)[signal.rest.converged].all()
    assert found["leaky_relu", 1.0] <= 2
    assert found["leaky_relu", 1e-4] == found["tanh", 1.0] == 20


@pytest.mark.parametrize("unit", ["tanh", "leaky_relu"])
@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
def test_a_weak_loss_is_back_propagation_in_float32(
    loss: str, unit: str, rng: np.random.Generator
) -> None:
    """lambda = 1e-8 through 40 layers that let one error in 1e50 pass: all digits in layer 1."""
    network, activity, targets = case(rng, unit, (6,) * 41, size=0.1)
    error = ERRORS[loss](activity.rates[-1], targets)
    wanted = back_propagated(network, activity, error)
    single = Network(
        tuple(w.astype("float32") for w in network.weights),
        tuple(b.astype("float32") for b in network.biases),
        network.activations,
        6,
        6,
    )
    low = forward(single, activity.rates[0].astype("float32"))
    signal = rule((single, low, targets.astype("float32")), loss, strength=1e-8)
    assert signal.rest.converged.all()
    for layer, other in enumerate(wanted, 1):
        size = signal.shifts.scales[layer - 1].over(signal.shifts.gains[layer - 1]).value
        mine = size * signal.shifts.values[layer - 1].astype("float64")
        np.testing.assert_allclose(mine, other, rtol=0, atol=2e-5 * np.abs(other).max())
    assert np.abs(wanted[0]).max() < 1e-38


def test_steps_of_the_rates_carry_an_error_down_by_one_layer(rng: np.random.Generator) -> None:
    """So that fewer than it takes leave layer 1 untouched, and many arrive at the same rest."""
    given = network, activity, _ = case(rng, "tanh", (5, 6, 4, 3))
    last = network.depth - 1
    few = rule(given, inference="states", step=0.2, steps=last - 1)
    assert not np.any(few.shifts.values[0])
    assert np.all(few.rest.residuals.max(axis=0) == np.inf)
    assert set(few.rest.status) == {Status.OUT_OF_BUDGET}
    enough = rule(given, inference="states", step=0.2, steps=last)
    assert np.all(np.abs(enough.shifts.values[0]).max(axis=1) > 0)
    assert set(enough.rest.status) == {Status.OUT_OF_BUDGET}
    many = rule(given, inference="states", step=0.2, steps=400, tolerance=1e-8)
    assert many.rest.converged.all()
    assert_close(absolute(many), absolute(rule(given, tolerance=1e-12)), 1e-6)
    # one step from the forward pass, as it is printed
    wanted = 0.2 * 0.1 * back_propagated(network, activity, given[2] - activity.rates[-1])[-2]
    once = rule(given, inference="states", step=0.2, steps=1)
    np.testing.assert_allclose(once.shifts.absolute(last), wanted, rtol=1e-12)


def test_a_budget_that_ends_settles_nothing(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictive_coding, "BUDGET", 2)
    monkeypatch.setattr(acceleration, "STEPS", 2)
    signal = rule(case(rng, "tanh"), strength=1.0, tolerance=1e-12)
    assert set(signal.rest.status) == {Status.OUT_OF_BUDGET}
    assert (signal.rest.residuals.max(axis=0) > 1e-12).all()
    assert per_gain(signal)[0].any()


def test_a_strength_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pc lambda 0 is not positive; use for example 0\.1"):
        PredictiveCodingSettings(strength=0)


def test_a_memory_of_the_steps_is_gmres(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a linear network, where after as many steps as there are outputs nothing is left."""
    given = network, activity, targets = case(rng, "linear")
    settings = PredictiveCodingSettings(strength=2.0, tolerance=1e-11)
    monkeypatch.setattr(predictive_coding, "BUDGET", 1)  # no step of Newton's
    left = {}
    for steps in (network.n_outputs, network.n_outputs + 1):
        monkeypatch.setattr(acceleration, "STEPS", steps)
        signal = predictive_coding.signal(*given, "quadratic", settings, {}, 0)
        left[steps] = signal.rest.residuals.max()
    assert left[network.n_outputs] > 1e-4
    assert left[network.n_outputs + 1] < 1e-7  # the memory is of squares
    assert activity.rates[-1].shape == targets.shape
