"""Learned inverses against least squares, loops over printed equations, and the exact circuit."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest

from analysis import canvas
from analysis.sweep import run as sweep
from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.initialisation.networks import initialise
from circuit.initialisation.weights import orthogonal
from circuit.learned_inverse import companions
from circuit.learned_inverse.companions import LearnedInverse, model_of
from circuit.learned_inverse.inverse_model import InverseModel, exact_model
from circuit.learned_inverse.model import (
    improved,
    inverse_error,
    practised,
    propagate_learned,
    random_model,
    reading_noise,
    reconstruction_error,
)
from circuit.learning import step as learning
from circuit.learning.lesson import Lesson
from circuit.learning.regulariser import Regulariser
from circuit.learning.step import begin_learning, learn
from circuit.learning.taught import teach
from circuit.network import Network, forward
from circuit.numerics.keyed_random import normals, signs
from circuit.plasticity import updates
from circuit.report.alignment import agreement
from circuit.rules import RULES
from circuit.settings.learned_inverse import ORDERS
from circuit.verification.judgement import Status
from models.command.studies import findings
from models.run_training import main
from studies.learned_inverse import study as learned_inverse
from studies.learned_inverse.figures import FIGURES, _bars
from studies.learned_inverse.measures import cosines, stages
from tests.commands import refusal
from tests.imperfect_circuits import Imperfect, settle_imperfect
from training import epochs
from training.plan import Plan

KEY = np.array(5)
EQUAL, FREE = ((9, 7, 7, 7), True), ((9, 6, 8, 5), False)  # widths, whether with auxiliary units


def _task(shape=EQUAL, activation="leaky_relu", init="gaussian", batch=6, n_outputs=4, seed=0):
    """A network with biases, inputs and targets."""
    rng = np.random.default_rng(seed)
    widths, auxiliary = shape
    network = initialise(
        widths, rng, activation=activation, init=init, auxiliary=auxiliary, n_outputs=n_outputs
    )
    biases = tuple(0.2 * rng.standard_normal(bias.shape) for bias in network.biases)
    targets = np.eye(n_outputs)[rng.integers(0, n_outputs, batch)]
    return replace(network, biases=biases), rng.random((batch, widths[0])), targets


def _halfway(network, inputs, steps=40):
    """A model that has learnt something, but not all."""
    model, activity = random_model(network, KEY), forward(network, inputs)
    for step in range(steps):
        model = practised(model, network, activity, LearnedInverse(), KEY, step)
    return model


# --- rectangular networks ---


def test_forward_pass_reads_all_units_below():
    """Eq. 1 loop by loop, in a network that narrows and widens."""
    network, inputs, _ = _task(FREE, "asinh")
    assert [w.shape for w in network.weights] == [(6, 9), (8, 6), (5, 8)]
    activity = forward(network, inputs)
    for image, y in enumerate(inputs):
        for layer, (W, b) in enumerate(zip(network.weights, network.biases, strict=True), 1):
            y = [
                np.arcsinh(sum(W[i, j] * y[j] for j in range(len(y))) + b[i]) for i in range(len(b))
            ]
            np.testing.assert_allclose(activity.rates[layer][image], y, rtol=1e-13)


def test_back_propagation_through_rectangles_is_the_gradient():
    """Central differences of the loss, in every weight and bias."""
    network, inputs, targets = _task(FREE, "asinh")
    activity = forward(network, inputs)
    error = targets - activity.rates[-1][:, :4]
    found = updates(network, activity, RULES["bp"](network, activity, error))

    def loss(weights, biases):
        outputs = forward(replace(network, weights=weights, biases=biases), inputs).rates[-1]
        return 0.5 * ((targets - outputs[:, :4]) ** 2).sum(1).mean()

    step = 1e-5
    for layer in range(3):
        for kind, change in (("weights", found[layer].weights), ("biases", found[layer].biases)):
            for index in np.ndindex(change.shape):
                sides = []
                for sign in (1, -1):
                    arrays = {
                        k: [a.copy() for a in getattr(network, k)] for k in ("weights", "biases")
                    }
                    arrays[kind][layer][index] += sign * step
                    sides.append(loss(tuple(arrays["weights"]), tuple(arrays["biases"])))
                wanted = -(sides[0] - sides[1]) / (2 * step)
                assert change[index] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (6, 6)])
def test_orthogonal_rectangles_have_orthonormal_short_sides(shape, rng):
    network = initialise(shape[::-1], rng, auxiliary=False)
    (weights,) = network.weights
    assert weights.shape == shape
    np.testing.assert_allclose(np.linalg.svd(weights, compute_uv=False), 1, rtol=1e-13)


def test_a_layer_that_nobody_inverts_may_be_rectangular_for_the_exact_rules():
    """W_1 is never inverted; the same network with a square W_1 of zeros beside gives the same."""
    network, inputs, targets = _task(((9, 7, 7, 7), True))
    wide = replace(
        network, weights=(np.pad(network.weights[0], ((0, 0), (0, 2))), *network.weights[1:])
    )
    activity = forward(network, inputs)
    error = targets - activity.rates[-1][:, :4]
    for rule in ("tp", "itp", "gait"):
        one = RULES[rule](network, activity, error, 0.01)
        other = RULES[rule](wide, forward(wide, inputs), error, 0.01)
        for a, b in zip(one.values, other.values, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


# --- how the inverse learns ---


def test_a_step_follows_the_gradient_of_the_reconstruction(rng):
    """Central differences of E = 1/2 <|aim - B h - c|^2>, exact for a quadratic function."""
    B, c = rng.standard_normal((3, 4)), rng.standard_normal(3)
    seen, aim = rng.standard_normal((7, 4)), rng.standard_normal((7, 3))

    def loss(B, c):
        return 0.5 * ((aim - seen @ B.T - c) ** 2).sum(1).mean()

    new_B, new_c = improved(B, c, seen, aim, rate=0.3)
    square = (seen**2).mean()
    for index in np.ndindex(B.shape):
        step = np.zeros(B.shape)
        step[index] = 0.1
        slope = (loss(B + step, c) - loss(B - step, c)) / 0.2
        assert new_B[index] - B[index] == pytest.approx(-0.3 * slope / (5 * square), rel=1e-9)
    for i in range(3):
        step = np.zeros(3)
        step[i] = 0.1
        slope = (loss(B, c + step) - loss(B, c - step)) / 0.2
        assert new_c[i] - c[i] == pytest.approx(-0.3 * slope / 5, rel=1e-9)


@pytest.mark.parametrize("aim", ["noisy", "clean"])
@pytest.mark.parametrize("shape", [(4, 4), (3, 4), (6, 4)])
def test_it_comes_to_the_least_squares_inverse(aim, shape, rng):
    """S W^T (W S W^T)^-1 or C W^T (W S W^T)^-1, with all noise of +-sigma in an orthogonal design.

    A widening layer leaves what is outside the range of W as it was, here zero: the pseudo-inverse.
    """
    b, sigma = rng.standard_normal(shape[0]), 0.7
    W = orthogonal(shape[0], rng, shape[1]) + 0.2 * rng.standard_normal(shape)
    y = rng.random((5, 4)) @ rng.standard_normal((4, 4))
    hadamard = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    noise = sigma * np.concatenate([hadamard, -hadamard])  # covariance sigma^2, mean 0
    read = (y[:, None] + noise).reshape(-1, 4)
    wanted = read if aim == "noisy" else np.repeat(y, len(noise), axis=0)
    seen = read @ W.T + b
    B, c = np.zeros(shape[::-1]), np.zeros(4)
    for _ in range(6000):
        B, c = improved(B, c, seen, wanted, rate=1.0)
    C = np.cov(y.T, bias=True)
    S = C + sigma**2 * np.eye(4)
    left = (S if aim == "noisy" else C) @ W.T
    exact = left @ np.linalg.pinv(W @ S @ W.T, rcond=1e-10)
    np.testing.assert_allclose(B @ W, exact @ W, atol=1e-7)
    np.testing.assert_allclose(B @ W @ y.mean(0) + B @ b + c, y.mean(0), atol=1e-7)
    if shape[0] <= 4:
        np.testing.assert_allclose(B, exact, atol=1e-6)
    if shape[0] >= 4 and aim == "noisy":
        np.testing.assert_allclose(B @ W, np.eye(4), atol=1e-7)


def test_least_squares_of_numpy_agrees_with_the_closed_form(rng):
    """The same fixed point from numpy.linalg.lstsq with a column of ones."""
    W, y = orthogonal(3, rng, 4), rng.random((5, 4))
    design = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    noise = 0.5 * np.concatenate([design, -design])
    read = (y[:, None] + noise).reshape(-1, 4)
    seen = np.column_stack([read @ W.T, np.ones(len(read))])
    solution = np.linalg.lstsq(seen, read, rcond=None)[0]
    B, c = np.zeros((4, 3)), np.zeros(4)
    for _ in range(6000):
        B, c = improved(B, c, seen[:, :3], read, rate=1.0)
    np.testing.assert_allclose(B, solution[:3].T, atol=1e-8)
    np.testing.assert_allclose(c, solution[3], atol=1e-8)


def test_practice_is_the_step_of_every_layer():
    """What `practised` does, written out for both aims, two steps a batch."""
    network, inputs, _ = _task(FREE)
    activity, model = forward(network, inputs), random_model(network, KEY)
    for aim in ("noisy", "clean"):
        practice = LearnedInverse(rate=0.7, noise=0.4, aim=aim, steps=2)
        found = practised(model, network, activity, practice, KEY, 11)
        for layer in (2, 3):
            W, b = network.weights[layer - 1], network.biases[layer - 1]
            B, c, y = model.weights[layer - 2], model.biases[layer - 2], activity.rates[layer - 1]
            for again in range(2):
                xi = signs(KEY, (1, 11, again, layer), y, y.shape[1])
                read = y + 0.4 * np.sqrt((y**2).mean()) * xi
                h = read @ W.T + b
                e = (read if aim == "noisy" else y) - h @ B.T - c
                units = h.shape[1] + 1
                B = B + 0.7 * np.einsum("bi,bj->ij", e, h) / len(y) / units / (h**2).mean()
                c = c + 0.7 * e.mean(0) / units
            np.testing.assert_allclose(found.weights[layer - 2], B, rtol=1e-11)
            np.testing.assert_allclose(found.biases[layer - 2], c, rtol=1e-11)


def test_it_learns_to_invert_and_a_random_one_does_not():
    network, inputs, _ = _task(((20, 12, 12, 12), True), init="orthogonal", batch=30)
    random, learnt = random_model(network, KEY), _halfway(network, inputs, 600)
    for layer in (2, 3):
        assert inverse_error(network, random, layer) > 0.7
        assert inverse_error(network, learnt, layer) < 5e-3
        assert inverse_error(network, exact_model(network), layer) < 1e-13


def test_counted_numbers_are_those_of_their_key():
    like = np.zeros((3, 50, 2))
    keys = np.array([4, 5, 6])
    for draw in (signs, normals):
        stack = draw(keys, (1, 2), like, 40)
        for i in range(3):
            np.testing.assert_array_equal(stack[i], draw(keys[i], (1, 2), like[i], 40))
        assert not np.array_equal(stack[0], stack[1])
        assert not np.array_equal(stack, draw(keys, (1, 3), like, 40))
        # mean and covariance of 6000 numbers, five standard errors
        assert abs(stack.mean()) < 5 / 6000**0.5
        rows = stack.reshape(-1, 40)
        overlaps = rows.T @ rows / len(rows)
        assert np.abs(overlaps - np.eye(40)).max() < 5 * (2 / len(rows)) ** 0.5
    assert set(np.unique(signs(keys, (1,), like.astype("float32"), 7))) == {-1.0, 1.0}
    assert signs(keys, (1,), like.astype("float32"), 7).dtype == np.float32


# --- rules through it ---


@pytest.mark.parametrize("rule", ["tp", "itp", "gait", "grait"])
@pytest.mark.parametrize("corrected", [True, False])
def test_with_the_exact_inverse_rules_are_the_exact_rules(rule, corrected):
    """Without the correction too, up to the rounding of rates over the gain of the shift."""
    network, inputs, targets = _task(activation="asinh")
    activity = forward(network, inputs)
    error = targets - activity.rates[-1][:, :4]
    exact = RULES[rule](network, activity, error, 0.1)
    found = propagate_learned(
        rule, network, exact_model(network), activity, error, 0.1, corrected=corrected
    )
    for layer in (1, 2, 3):
        allowed = 1e-12 * np.linalg.cond(network.weights[1]) * np.linalg.cond(network.weights[2])
        one, other = found.absolute(layer), exact.absolute(layer)
        assert np.abs(one - other).max() <= allowed * np.abs(other).max()


def lengths_by_loops(W, B):
    """<w_i, b_i> / <b_i, b_i> of every unit of the layer."""
    found = []
    for i in range(len(W)):
        both = sum(W[i, j] * B[j, i] for j in range(W.shape[1]))
        found.append(both / sum(B[j, i] ** 2 for j in range(W.shape[1])))
    return np.array(found)


@pytest.mark.parametrize("rule", ["tp", "itp", "gait", "grait"])
@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("shape", [EQUAL, FREE])
def test_targets_with_a_learned_inverse_and_noise(rule, corrected, shape):
    """Absolute targets, Eqs. 5, 12, 17 with g^ for g^-1, image by image."""
    network, inputs, targets = _task(shape, "asinh")
    activity, gamma, sigma = forward(network, inputs), 0.2, 0.05
    error, model = targets - activity.rates[-1][:, :4], _halfway(network, inputs)
    noise = reading_noise(network, sigma, KEY, 3, error)
    found = propagate_learned(
        rule, network, model, activity, error, gamma, corrected=corrected, noise=noise
    )
    for image in range(len(inputs)):
        y = [rates[image] for rates in activity.rates]
        delta = np.zeros(len(y[-1]))
        delta[:4] = error[image] + noise[-1][image]
        for layer in (3, 2):
            np.testing.assert_allclose(found.absolute(layer)[image], delta, rtol=1e-9, atol=1e-12)
            n = 4 if layer == 3 else len(noise[layer - 1][image])
            A = (
                1
                / np.cosh(np.arcsinh(activity.drives[layer - 1][image] * 0))
                / np.sqrt(1 + activity.drives[layer - 1][image] ** 2)
            )
            B, c = model.weights[layer - 2], model.biases[layer - 2]
            N2 = lengths_by_loops(network.weights[layer - 1], B)
            gains = {"tp": 1.0, "itp": gamma, "gait": gamma * A**2, "grait": gamma * A**2 * N2}
            sent = np.where(np.arange(len(delta)) < n, gains[rule] * delta, 0)
            there = B @ np.sinh(y[layer] + sent) + c
            here = B @ np.sinh(y[layer]) + c if corrected else y[layer - 1][: len(c)]
            delta = np.zeros(len(y[layer - 1]))
            delta[: len(c)] = there - here + noise[layer - 2][image]
    np.testing.assert_allclose(found.absolute(1)[-1], delta, rtol=1e-9, atol=1e-12)


def test_noise_has_the_size_that_was_asked_for():
    network, inputs, _ = _task(((30, 30, 30), True), n_outputs=10, batch=200)
    first, second = reading_noise(network, 0.3, KEY, 0, inputs)
    assert first.shape == (200, 30)
    assert second.shape == (200, 10)
    assert first.std() == pytest.approx(0.3, rel=5 / (2 * first.size) ** 0.5)


def _unlike(one, other):
    """Two arrays of independent normal numbers: their correlation is within five errors of 0."""
    return abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / one.size**0.5


def test_noise_is_another_in_every_layer_step_and_network():
    """Of layers of equal width, which the same draw would fill alike."""
    network, inputs, _ = _task(((20, 20, 20, 20), True), n_outputs=20, batch=40)
    both = np.stack([inputs, inputs])
    found = [reading_noise(network, 1.0, np.array([5, 6]), step, both) for step in (0, 1)]
    every = [noise[i] for noises in found for noise in noises for i in range(2)]
    assert all(_unlike(one, other) for one, other in combinations(every, 2))
    again = reading_noise(network, 1.0, np.array([5, 6]), 1, both)
    assert all(np.array_equal(one, other) for one, other in zip(found[1], again, strict=True))


@pytest.mark.parametrize("inverse", [None, LearnedInverse()], ids=["exact", "learned"])
@pytest.mark.parametrize("rule", ["gait", "circuit"])
def test_lessons_read_with_another_noise_in_every_step(rule, inverse):
    """Two steps in which nothing else changes; in every layer."""
    network, inputs, targets = _task(((20, 20, 20, 20), True), n_outputs=20, batch=40)
    lesson = Lesson(rule, inverse=inverse, feedback_strength=1e-3, rate_noise=0.1)
    beside, activity = begin_learning(network, lesson, KEY).companions, forward(network, inputs)
    quiet = replace(lesson, rate_noise=0.0)
    still = teach(network, quiet, activity, targets, beside, 0).shifts
    reads = [teach(network, lesson, activity, targets, beside, step).shifts for step in (0, 1)]
    layers = (1, 2, 3) if rule == "circuit" else (3,)  # by a rule, what comes down is noisy too
    wrong = [read.absolute(layer) - still.absolute(layer) for read in reads for layer in layers]
    assert all(_unlike(one, other) for one, other in combinations(wrong, 2))


def test_random_inverses_have_their_variance_and_differ_from_layer_to_layer():
    """2 / (n + N), in rectangles too; five standard errors. Layers of equal shape differ."""
    network, _, _ = _task(((30, 60, 20, 60, 20), False))
    stack = replace(
        network,
        weights=tuple(np.stack([w, w]) for w in network.weights),
        biases=tuple(np.stack([b, b]) for b in network.biases),
    )
    model = random_model(stack, np.array([5, 6]))
    assert [B.shape for B in model.weights] == [(2, 60, 20), (2, 20, 60), (2, 60, 20)]
    for B, c in zip(model.weights, model.biases, strict=True):
        assert B.var() == pytest.approx(2 / 80, rel=5 * (2 / B.size) ** 0.5)
        assert c.shape == B.shape[:-1] and not c.any()
        assert _unlike(B[0], B[1])
    assert _unlike(model.weights[0], model.weights[2])


# --- circuits through it ---


@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("activation", ["leaky_relu", "asinh"])
def test_with_the_exact_inverse_it_is_the_exact_circuit(pathway, corrected, activation):
    network, inputs, targets = _task(activation=activation, init="orthogonal")
    circuit = build_circuit(network, pathway, 0.02)
    exact = settle(begin(circuit, inputs, targets))
    through = replace(circuit, feedback=exact_model(network), corrected=corrected)
    found = settle(begin(through, inputs, targets), tolerance=1e-12)
    for readout in ("shift", "mismatch"):
        for layer in (1, 2, 3):
            one = found.read_out(readout).absolute(layer)
            other = exact.read_out(readout).absolute(layer)
            n = network.n_projecting(layer)
            # rounding of the free phase of the plain circuit stands in its mismatch
            rough = 1e-13 if readout == "mismatch" and not corrected else 0.0
            np.testing.assert_allclose(one[:, :n], other[:, :n], rtol=1e-8, atol=rough + 1e-16)


def _feedback(network, model, pathway, corrected, layer, y_below, y):
    """F of the layer below `layer`, as printed, for one image."""
    W, b, n = network.weights[layer - 1], network.biases[layer - 1], network.n_projecting(layer)
    B, c, unit = model.weights[layer - 2], model.biases[layer - 2], network.activation(layer)
    h = W @ y_below[: W.shape[1]] + b
    u, A = unit.value(h), unit.slope(h)
    gain = {"itp": 1.0, "gait": A**2, "grait": A**2 * lengths_by_loops(W, B)}[pathway]
    sent = y if pathway == "itp" else u + gain * (y - u)
    sent = np.where(np.arange(len(y)) < n, sent, u)  # units without an error send their drive
    message = unit.inverse(sent)
    return y_below[: W.shape[1]] + B @ (message - h) if corrected else B @ message + c


@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("shape", [EQUAL, FREE])
@pytest.mark.parametrize("activation", ["leaky_relu", "asinh"])
@pytest.mark.parametrize("method", ["sweep", "newton"])
def test_equilibrium_of_the_printed_equations(method, pathway, corrected, shape, activation):
    """-y + (1 - gamma) f(h) + gamma F = 0 at every unit, with a half-learnt inverse."""
    network, inputs, targets = _task(shape, activation, init="orthogonal")
    model, gamma = _halfway(network, inputs), 0.05
    circuit = build_circuit(network, pathway, gamma, feedback=model, corrected=corrected)
    trial = begin(circuit, inputs, targets)
    found = settle(trial, method, tolerance=1e-13, must_converge=False)
    # a free phase may be at its rounding before its rates are at 1e-13
    assert {*found.sample_status} <= {Status.CONVERGED, Status.NOT_RESOLVABLE}
    for image in range(len(inputs)):
        y = [inputs[image], *(rates[image] for rates in found.activities)]
        for layer in (1, 2, 3):
            W, b = network.weights[layer - 1], network.biases[layer - 1]
            driven = network.activation(layer).value(W @ y[layer - 1][: W.shape[1]] + b)
            wanted, n = driven.copy(), network.n_projecting(layer)
            aim = (
                trial.target[image][:n]
                if layer == 3
                else _feedback(
                    network, model, pathway, corrected, layer + 1, y[layer], y[layer + 1]
                )
            )
            wanted[:n] = (1 - gamma) * driven[:n] + gamma * aim
            np.testing.assert_allclose(y[layer], wanted, atol=1e-12)
            mismatch = found.mismatches.absolute(layer)[image]
            np.testing.assert_allclose(y[layer] - driven, mismatch, atol=1e-12)


@pytest.mark.parametrize("pathway", ["itp", "gait"])
@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("shape", [EQUAL, FREE])
def test_weak_feedback_against_newton_in_shift_coordinates(pathway, corrected, shape):
    """Shifts of 1e-9, by another method; their size drowns in that of the rates."""
    network, inputs, targets = _task(shape, "asinh", init="orthogonal")
    model = _halfway(network, inputs)
    circuit = build_circuit(network, pathway, 1e-3, feedback=model, corrected=corrected)
    trial = begin(circuit, inputs, targets)
    offsets = None if corrected else (np.zeros(network.n_projecting(0)), *model.biases)
    plainly = begin(replace(circuit, feedback=None), inputs, targets)
    other = settle_imperfect(
        Imperfect(plainly, (network.weights[0].T, *model.weights), corrected, offsets)
    )
    found = settle(trial, tolerance=1e-12)
    assert other.settled.all()
    for layer in (1, 2, 3):
        one, two = found.shifts.absolute(layer), other.shifts[layer - 1]
        assert np.abs(one - two).max() <= 1e-8 * np.abs(two).max()


@pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("activation", ["leaky_relu", "asinh"])
def test_feedback_beyond_the_range_of_floats_against_the_rule(activation, corrected, pathway):
    """At gamma = 1e-120 layer 1 has a shift of 1e-360. To first order in gamma the nudge makes the
    mismatches of the corrected rule; the plain circuit has those of its free phase beside them,
    gamma (g^(y) - y).
    """
    network, inputs, targets = _task(FREE, activation)
    model = _halfway(network, inputs)
    circuit = build_circuit(network, pathway, 1e-120, feedback=model, corrected=corrected)
    trial = begin(circuit, inputs, targets)
    error = trial.error[:, :4]
    rule = propagate_learned(pathway, network, model, trial.activity, error, 1e-120)
    found = settle(trial)
    for layer in (1, 2, 3):
        n, mismatch = network.n_projecting(layer), found.mismatches
        if layer == 3 or corrected:
            wanted = rule.per_gain(layer)[:, :n]
            np.testing.assert_allclose(mismatch.per_gain(layer)[:, :n], wanted, rtol=1e-9)
        else:
            wanted = 1e-120 * reconstruction_error(network, model, trial.activity, layer + 1)
            np.testing.assert_allclose(mismatch.absolute(layer)[:, :n], wanted, rtol=1e-9)
    if pathway == "gait":  # there a shift is the mismatch, and of lower order what it drives
        own, wanted = found.shifts.per_gain(1), rule.per_gain(1)
        reference = np.abs(wanted).max()
        np.testing.assert_allclose(own, wanted, atol=1e-9 * reference)


def test_transposed_weights_carry_back_propagation_through_any_widths():
    """m_l = r W^T A m_{l+1} (docs/imperfect_pathway.md); the ITP pathway's do not."""
    network, inputs, targets = _task(FREE, batch=12)
    transposed = InverseModel(
        tuple(w.T for w in network.weights[1:]), tuple(w[0] * 0 for w in network.weights[1:])
    )
    worst = {}
    for pathway in ("gait", "itp"):
        circuit = build_circuit(network, pathway, 1e-5, feedback=transposed)
        trial = begin(circuit, inputs, targets)
        found = settle(trial)
        own = updates(network, trial.activity, found.mismatches)
        exact = RULES["bp"](network, trial.activity, trial.error[:, :4])
        pairs = zip(own, updates(network, trial.activity, exact), strict=True)
        worst[pathway] = min(agreement(a.weights, b.weights).cosine for a, b in pairs)
    assert worst["gait"] > 1 - 1e-6
    assert worst["itp"] < 0.99


def test_what_does_not_settle_says_so():
    """A feedback matrix that is far too large has no equilibrium that sweeps find."""
    network, inputs, targets = _task(EQUAL)
    model = exact_model(network)
    wild = replace(model, weights=tuple(1e6 * matrix for matrix in model.weights))
    circuit = build_circuit(network, "gait", 0.5, feedback=wild)
    found = settle(begin(circuit, inputs, targets), "sweep", must_converge=False)
    assert Status.CONVERGED not in found.sample_status


@pytest.mark.parametrize("lesson", [Lesson(inverse=LearnedInverse()), Lesson(rate_noise=0.1)])
def test_shifts_without_the_companions_that_they_need_are_refused(lesson):
    network, inputs, targets = _task()
    with pytest.raises(CircuitError, match="this learner has no noise keys"):
        teach(network, lesson, forward(network, inputs), targets)


@pytest.mark.parametrize("inverse", [None, LearnedInverse()], ids=["exact", "learned"])
def test_a_circuits_shifts_are_read_with_noise_in_units_of_the_rates(inverse):
    """However weak the feedback is; and the circuit itself has no noise."""
    network, inputs, targets = _task()
    quiet = Lesson("circuit", inverse=inverse, feedback_strength=1e-3)
    noisy = replace(quiet, rate_noise=0.1)
    beside = begin_learning(network, noisy, KEY).companions
    activity = forward(network, inputs)
    still = teach(network, quiet, activity, targets, beside, 3).shifts
    read = teach(network, noisy, activity, targets, beside, 3).shifts
    noise = reading_noise(network, 0.1, KEY, 3, targets)
    for layer in (1, 2, 3):
        wrong = read.absolute(layer) - still.absolute(layer)
        n = network.n_projecting(layer)
        np.testing.assert_allclose(wrong[:, :n], noise[layer - 1], rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(wrong[:, n:], 0.0)


def test_what_cannot_be_asked_of_the_circuit_is_refused():
    network, inputs, targets = _task(EQUAL)
    circuit = build_circuit(network, "gait", 0.1, feedback=exact_model(network))
    trial = begin(circuit, inputs, targets)
    with pytest.raises(CircuitError, match="read-out 'nudge' is unknown; choose from shift"):
        settle(trial).read_out("nudge")
    for tolerance in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(CircuitError, match="is not positive and below 1"):
            settle(trial, tolerance=tolerance)
    with pytest.raises(CircuitError, match="direct needs the exact inverse as feedback; use sweep"):
        settle(trial, "direct")
    with pytest.raises(CircuitError, match="holds no samples"):
        settle(begin(circuit, inputs[:0], targets[:0]))


# --- alignment, and the paper's expectation ---


def test_alignment_comes_with_the_inverse_and_not_without():
    """Random feedback does not align; a learnt one does, at any gamma with the correction. Without
    it, what reconstruction misses outweighs a weak shift."""
    network, inputs, targets = _task(
        ((40, 40, 40, 40), True), init="orthogonal", batch=30, n_outputs=10
    )
    found = stages(network, inputs, inputs, (0, 800, np.inf), LearnedInverse(noise=3.0), 5, 30)
    assert [stage.steps for stage in found] == [0, 800, np.inf]
    lesson = Lesson(inverse=LearnedInverse(), feedback_strength=1e-3)
    plain = replace(lesson, inverse=LearnedInverse(corrected=False))

    def worst(stage, lesson):
        return cosines(network, stage.model, lesson, inputs, targets, 5)[:-1].min()

    assert worst(found[0], lesson) < 0.4
    assert found[1].error[1:].max() < 0.01
    assert worst(found[1], lesson) > 0.999
    assert worst(found[1], plain) < 0.9
    assert worst(found[2], plain) > 0.999  # nothing is missed
    noisy = replace(lesson, rate_noise=1e-3)
    assert worst(found[1], noisy) < 0.4
    assert worst(found[1], replace(noisy, feedback_strength=0.3)) > worst(found[1], noisy) + 0.3


# --- learning ---


@pytest.mark.parametrize("rule", ["gait", "itp", "tp", "circuit"])
@pytest.mark.parametrize("correction", [True, False])
@pytest.mark.parametrize("order", ORDERS)
def test_a_stack_learns_as_its_networks_alone(rule, correction, order):
    lesson = Lesson(
        rule,
        rate_noise=1e-4,
        inverse=LearnedInverse(before=2, order=order, block=1, corrected=correction),
    )
    tasks = [_task(FREE, seed=seed) for seed in (1, 2)]
    first = tasks[0][0]
    stack = replace(
        first,
        weights=tuple(np.stack(w) for w in zip(*(t[0].weights for t in tasks), strict=True)),
        biases=tuple(np.stack(b) for b in zip(*(t[0].biases for t in tasks), strict=True)),
    )
    keys = np.array([1, 2])
    together = begin_learning(stack, lesson, keys)
    apart = [begin_learning(t[0], lesson, keys[i]) for i, t in enumerate(tasks)]
    inputs, targets = (np.stack([t[i] for t in tasks]) for i in (1, 2))
    for _ in range(5):
        together, _ = learn(together, lesson, inputs, targets)
        apart = [learn(one, lesson, *tasks[i][1:])[0] for i, one in enumerate(apart)]
    for i, one in enumerate(apart):
        for a, b in zip(together.network.weights, one.network.weights, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-6, atol=1e-9)
        models = model_of(together.companions), model_of(one.companions)
        for a, b in zip(models[0].weights, models[1].weights, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rule", ["gait", "circuit"])
@pytest.mark.parametrize("correction", [True, False])
def test_one_layer_has_nothing_to_invert(rule, correction):
    """Without a layer below the output every rule is the delta rule, whatever the inverse."""
    network, inputs, targets = _task(((6, 4), False))
    lesson = Lesson(rule, inverse=LearnedInverse(corrected=correction))
    found, _ = learn(begin_learning(network, lesson, KEY), lesson, inputs, targets)
    delta, _ = learn(begin_learning(network), Lesson("bp"), inputs, targets)
    np.testing.assert_allclose(found.network.weights[0], delta.network.weights[0], rtol=1e-12)


def test_the_inverse_learns_alone_beforehand_and_then_beside():
    network, inputs, targets = _task(FREE)
    lesson = Lesson(inverse=LearnedInverse(before=3, steps=0), pull=Regulariser(0.1))
    learner = begin_learning(network, lesson, KEY)
    models = [model_of(learner.companions)]
    for step in range(5):
        learner, _ = learn(learner, lesson, inputs, targets)
        models.append(model_of(learner.companions))
        still = all(
            a is b or np.array_equal(a, b)
            for a, b in zip(learner.network.weights, network.weights, strict=True)
        )
        assert still == (step < 3)
    moved = [not np.array_equal(a.weights[0], b.weights[0]) for a, b in pairwise(models)]
    assert moved == [True] * 3 + [False] * 2
    # the first step of Adam is its first, whatever came before
    fresh = replace(lesson, inverse=LearnedInverse(steps=0))
    start = begin_learning(network, fresh, KEY)
    start = replace(start, companions={**start.companions, "feedback_weights": models[3].weights})
    start = replace(start, companions={**start.companions, "feedback_biases": models[3].biases})
    one = begin_learning(network, lesson, KEY)
    for _ in range(4):
        one, _ = learn(one, lesson, inputs, targets)
    two, _ = learn(start, fresh, inputs, targets)
    for a, b in zip(one.network.weights, two.network.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rule", ["gait", "circuit"])
@pytest.mark.parametrize("practice", [1, 3])
def test_simultaneous_targets_go_through_the_inverse_as_it_was(rule, practice):
    """Two lessons by hand: one on whose shifts no inverse learns, one that only learns it."""
    network, inputs, targets = _task(FREE)
    still = Lesson(rule, rate_noise=1e-3, pull=Regulariser(0.1), inverse=LearnedInverse(steps=0))
    lesson = replace(still, inverse=LearnedInverse(order="simultaneous", steps=practice))
    learner = begin_learning(network, lesson, KEY)
    for step in range(4):
        by_hand, seen = learn(learner, still, inputs, targets)
        before = model_of(learner.companions)
        activity = forward(learner.network, inputs)
        model = practised(before, learner.network, activity, LearnedInverse(), KEY, step, practice)
        learner, saw = learn(learner, lesson, inputs, targets)
        for a, b in zip(learner.network.weights, by_hand.network.weights, strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(model_of(learner.companions).weights, model.weights, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(saw.loss, seen.loss)
        assert not np.array_equal(before.weights[0], model.weights[0])


def test_first_targets_go_through_the_inverse_as_it_is():
    """The negative control of the test above: the other order is another step."""
    network, inputs, targets = _task(FREE)
    first, simultaneous = (
        learn(begin_learning(network, one, KEY), one, inputs, targets)[0]
        for order in ("first", "simultaneous")
        for one in [Lesson(inverse=LearnedInverse(order=order))]
    )
    for a, b in zip(
        *(model_of(one.companions).weights for one in (first, simultaneous)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(first.network.weights[:-1], simultaneous.network.weights[:-1], strict=True):
        assert not np.array_equal(a, b)


@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize("before", [0, 2])
def test_alternating_blocks_are_of_the_inverse_and_then_of_the_network(block, before):
    """Who learns in which step is written out; each learns what it would learn by itself."""
    network, inputs, targets = _task(FREE)
    practice = LearnedInverse(order="alternating", block=block, before=before)
    lesson = Lesson(pull=Regulariser(0.1, every=2), inverse=practice)
    alone_in_it = replace(lesson, inverse=LearnedInverse(steps=0))
    turns = {1: "inin" + "inin" + "inin", 3: "iiinnn" + "iiinnn"}[block]
    learner, moved = begin_learning(network, lesson, KEY), 0
    for step, turn in enumerate("i" * before + turns):
        old, model = learner, model_of(learner.companions)
        if turn == "i":
            activity = forward(old.network, inputs)
            model = practised(model, old.network, activity, LearnedInverse(), KEY, step)
            weights = old.network.weights
        else:  # by a lesson without practice, in the step that is the network's own
            alone = replace(old, steps=moved)
            alone, _ = learn(alone, alone_in_it, inputs, targets)
            weights, moved = alone.network.weights, moved + 1
        learner, _ = learn(old, lesson, inputs, targets)
        for a, b in zip(learner.network.weights, weights, strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(model_of(learner.companions).weights, model.weights, strict=True):
            np.testing.assert_array_equal(a, b)
        assert practice.network_learns(step) == (turn == "n")
        assert practice.network_steps(step + 1) == moved


def test_tensors_learn_as_arrays(backend):
    network, inputs, targets = _task(FREE)
    lesson = Lesson(inverse=LearnedInverse(), rate_noise=1e-3)
    expected = begin_learning(network, lesson, KEY)
    convert = backend.asarray
    there = Network(
        tuple(map(convert, network.weights)),
        tuple(map(convert, network.biases)),
        network.activations,
        network.n_inputs,
        network.n_outputs,
    )
    found = begin_learning(there, lesson, convert(KEY))
    for _ in range(3):
        expected, _ = learn(expected, lesson, inputs, targets)
        found, _ = learn(found, lesson, convert(inputs), convert(targets))
    for a, b in zip(found.network.weights, expected.network.weights, strict=True):
        assert type(a) is backend.array_type
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-8, atol=1e-10)


REFUSALS = {
    "back-propagation": (lambda: Lesson("bp", inverse=LearnedInverse()), "goes through no inverse"),
    "noise for it": (lambda: Lesson("bp", rate_noise=0.1), "goes through no inverse"),
    "unknown inverse": (lambda: Lesson(inverse="guessed"), "'guessed' is no LearnedInverse"),
    "rate": (lambda: LearnedInverse(rate=2.0), r"inverse rate 2 is outside \(0, 2\)"),
    "noise": (lambda: LearnedInverse(noise=-1.0), "inverse noise -1 is negative"),
    "aim": (lambda: LearnedInverse(aim="high"), "'high' is unknown; choose from noisy, clean"),
    "steps": (lambda: LearnedInverse(steps=-1), "inverse steps -1"),
    "order": (lambda: LearnedInverse(order="last"), "inverse order 'last' is unknown; choose"),
    "block": (lambda: LearnedInverse(block=0), "inverse block 0 .* 1 or more"),
    "order of what never learns": (
        lambda: LearnedInverse(order="simultaneous", steps=0),
        "inverse steps 0 .order simultaneous.: give a whole number, 1 or more",
    ),
    "rate noise": (lambda: Lesson(rate_noise=float("nan")), "rate noise nan"),
    "no key": (
        lambda: begin_learning(_task()[0], Lesson(inverse=LearnedInverse())),
        "give a key for every network",
    ),
    "no exact inverse": (
        lambda: Plan(Lesson(), (64, 32, 16, 10), auxiliary=False),
        "have no exact inverse; use a learned inverse",
    ),
    "circuit without increment": (
        lambda: Lesson("circuit", feedback_strength=1.0),
        r"gamma = 1 is outside \(0, 1\)",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case):
    ask, words = REFUSALS[case]
    with pytest.raises(CircuitError, match=words) as refusal:
        ask()
    assert "\n" not in str(refusal.value)


def test_rectangles_without_a_learned_inverse_are_refused_where_it_is_needed():
    network, inputs, targets = _task(FREE)
    with pytest.raises(CircuitError, match=r"W of layer 3 is 5 x 8 .* use a learned inverse"):
        learn(begin_learning(network), Lesson("gait"), inputs, targets)
    learn(begin_learning(network), Lesson("bp"), inputs, targets)  # needs none


# --- the command ---


def _command(folder, *options):
    """A run of the command on a few digits; everything in its last checkpoint."""
    common = ["--train-images", "200", "--epochs", "2", "--no-figures", "--quiet"]
    status = main([*common, "--checkpoint-every", "2", *options, "--output", str(folder)])
    with np.load(folder / "checkpoint.npz") as members:
        return status, {name: members[name] for name in members.files}


RUNS = {
    "gait, free widths": ["--widths", "64", "20", "30", "10", "--rate-noise", "1e-4"],
    "simultaneous": ["--inverse-order", "simultaneous", "--rate-noise", "1e-4"],
    "alternating": ["--inverse-order", "alternating", "--inverse-block", "3"],
    "itp, exact inverse": ["--rule", "itp", "--inverse", "exact", "--rate-noise", "1e-4"],
    "circuit, plain": ["--rule", "circuit", "--widths", "64", "24", "10", "--correction", "no"],
}


@pytest.mark.parametrize("case", RUNS)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(case, tmp_path, monkeypatch):
    options = ["--seeds", "1", "2", *RUNS[case]]
    if "exact" not in options:
        options += ["--inverse", "learned", "--inverse-before", "1"]
    status, whole = _command(tmp_path / "whole", *options)
    assert status == 0
    step, calls = epochs.learn, []

    def interrupted(*arguments):
        calls.append(0)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(epochs, "learn", interrupted)
        assert _command(tmp_path / "stopped", *options)[0] == 130
    status, found = _command(tmp_path / "stopped", *options, "--resume")
    assert status == 0
    assert sorted(found) == sorted(whole)
    if "exact" not in options:
        assert "companion_feedback_weights_1" in found
    for name, values in whole.items():
        np.testing.assert_array_equal(found[name], values)


def test_seeds_together_are_as_apart(tmp_path):
    options = ["--inverse", "learned", "--precision", "float64", "--depth", "2"]
    _, both = _command(tmp_path / "both", *options, "--seeds", "1", "2")
    for i, seed in enumerate(("1", "2")):
        _, one = _command(tmp_path / seed, *options, "--seeds", seed)
        for name in ("W_1", "W_3", "companion_feedback_weights_1", "companion_feedback_biases_2"):
            np.testing.assert_allclose(both[name][i], one[name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rule", "bp", "--inverse", "learned"], "goes through no inverse"),
        (["--widths", "64", "32", "10", "--auxiliary", "no", "--rule", "tp"], "no exact inverse"),
        (["--widths", "64", "60", "80", "64"], "increase from 60 to 80"),
        (["--inverse", "learned", "--inverse-rate", "2.5"], "inverse rate 2.5"),
        (["--correction", "no"], "give --inverse learned"),
        (["--inverse-order", "simultaneous"], "give --inverse learned"),
        (["--inverse", "learned", "--inverse-block", "3"], "give --inverse-order alternating"),
        (
            [
                *("--inverse", "learned", "--inverse-order", "alternating"),
                *("--inverse-block", "9999"),
            ],
            "--inverse-block 9999 leaves none of the",
        ),
    ],
)
def test_the_command_refuses_in_one_line(options, words, tmp_path, capsys):
    assert words in refusal(capsys, main, *options, "--output", str(tmp_path))


# --- the study ---


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """Some of the smallest cells, through the sweep, as the command has them."""
    small = replace(
        learned_inverse.SCALES["smoke"], ways=("gait",), practice=(0, 30, np.inf), width=16, depth=2
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(learned_inverse.SCALES, "smoke", small)
        whole = learned_inverse.study("smoke", seeds=(1,))
        some = tuple(
            cell
            for cell in whole.cells
            if (cell["way"] in ("gait", "bp") and cell["gamma"] in (None, 1e-3))
            or cell["part"] == "order"
        )
        part = replace(whole, cells=some)
        return sweep.run(part, tmp_path_factory.mktemp("study"), workers=0, quiet=True)


def test_cells_are_labelled_and_complete(smoke):
    assert set(smoke["status"].values) == {"completed"}
    part = smoke.isel(cell=smoke["part"].values == "alignment")
    assert part["cosine"].dims == ("cell", "practice", "strength", "sigma", "layer")
    exact = part["cosine"].sel(practice=np.inf, sigma=0.0, strength=1e-3)
    assert float(exact.min()) > 0.999  # orthogonal weights: GAIT-prop is back-propagation
    np.testing.assert_allclose(part["model_error"].sel(practice=np.inf, layer=2), 0, atol=1e-13)
    runs = smoke.isel(cell=smoke["part"].values == "training")
    assert np.isfinite(runs["accuracy"].values).all()


def test_findings_and_pictures_are_made_of_the_results_alone(smoke, tmp_path):
    lines = "\n".join(findings("learned_inverse", smoke))
    for words in ("cosine of layer 1", "best gamma", "narrowing", "alternating 11"):
        assert words in lines
    drawn = canvas.draw(FIGURES, smoke, tmp_path)
    assert [path.stem for path in drawn] == list(FIGURES)


def test_the_study_has_each_cell_once_at_every_scale():
    for scale in ("smoke", "laptop", "full"):
        study = learned_inverse.study(scale)  # refuses doubles
        assert {cell["part"] for cell in study.cells} == {"alignment", "training", "order"}


def test_every_order_makes_as_many_steps_of_inverse_and_network(monkeypatch):
    """Counted where they are made."""
    study = learned_inverse.study("smoke", seeds=(1,))
    made = {}
    step, practise = learning.signal_update, companions.practised

    def changing(*arguments):
        made[order]["network"] += 1
        return step(*arguments)

    def practising(*arguments):
        made[order]["inverse"] += arguments[-1]
        return practise(*arguments)

    monkeypatch.setattr(learning, "signal_update", changing)
    monkeypatch.setattr(companions, "practised", practising)
    for cell in study.cells:
        if cell["part"] == "order":
            order = cell["order"]
            made[order] = {"network": 0, "inverse": 0}
            study.measure(**cell)
    assert set(made) == {"first", "simultaneous", "alternating 11"}
    assert made["first"] == made["simultaneous"] == made["alternating 11"]
    assert made["first"]["network"] == 3 * made["first"]["inverse"]  # a call for every layer


def test_intervals_end_where_the_quantity_ends_and_are_never_negative():
    """A cosine of 1 + 2e-16 is 1 by rounding, and its interval has no length upwards."""
    down, up = _bars(np.array([1 + 2**-52, 0.5]), np.array([0.25, np.nan]), -1.0, 1.0)
    assert up == [0.0, 0.0]
    assert down == pytest.approx([0.25, 0.0])
