"""circuit.brian against the printed rate equations, SciPy's root finder, the matrix exponential,
and the theory of Euler-Maruyama."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from circuit.dynamics import begin, build_circuit, velocity
from circuit.equilibrium import settle
from circuit.errors import CircuitError, NotFinite, ShapeMismatch
from circuit.initialisation.networks import initialise
from circuit.linearisation.matrix import dense_jacobian
from circuit.methods import METHODS
from circuit.network import Network, forward
from circuit.numerics.scale import Scale
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import Status, judge
from tests.circuit.lateral_inhibition.spontaneous_equations import Spontaneous
from tests.circuit.lateral_inhibition.spontaneous_in_brian2 import run_spontaneous

# Brian2 2.9 calls pyparsing by names that pyparsing 3.3 deprecates
DEPRECATED = r"'\w+' (argument is )?deprecated"
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", DEPRECATED, DeprecationWarning)
    import brian2
    from brian2.devices.device import reset_device

    from circuit import brian
    from circuit.brian import library

pytestmark = pytest.mark.filterwarnings(f"ignore:{DEPRECATED}:DeprecationWarning")

EPS = float(np.finfo(np.float64).eps)
ACTIVATIONS = ("linear", "leaky_relu", "asinh", "tanh")
PATHWAYS = ("itp", "gait", "grait")
ROOT = Path(__file__).parents[3]


def make_trial(
    rng: np.random.Generator,
    widths: tuple[int, ...] = (6, 6, 6),
    activation: str = "asinh",
    pathway: str = "gait",
    gamma: float | tuple[float, ...] = 0.1,
    *,
    batch: int = 2,
    n_outputs: int | None = None,
    tau: float | tuple[float, ...] = 0.010,
) -> Trial:
    """A trial with random biases, and targets near enough for tanh to reach them."""
    init = "unequal_rows" if pathway == "grait" else "orthogonal"
    network = initialise(widths, rng, init=init, activation=activation, n_outputs=n_outputs)
    biases = tuple(0.3 * rng.standard_normal(width) for width in widths[1:])
    network = replace(network, biases=biases)
    inputs = rng.random((batch, widths[0]))
    outputs = forward(network, inputs).rates[-1][:, : network.n_outputs]
    targets = 0.9 * outputs + 0.05 * rng.standard_normal(outputs.shape)
    circuit = build_circuit(network, pathway, gamma, time_constant=tau)
    return begin(circuit, inputs, targets)


def largest_rate(trial: Trial) -> float:
    return max(np.abs(rates).max() for rates in trial.activity.rates)


# --- the equations ---


@pytest.mark.parametrize("pathway", PATHWAYS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_one_euler_step_is_the_printed_velocity(
    activation: str, pathway: str, rng: np.random.Generator
) -> None:
    # auxiliary units in the input, layers 1 and 3, and auxiliary outputs
    trial = make_trial(
        rng,
        (9, 7, 5, 5, 4),
        activation,
        pathway,
        (0.2, 0.05, 0.3, 0.4),
        batch=3,
        n_outputs=2,
        tau=(0.010, 0.020, 0.015, 0.030),
    )
    model = brian.build(trial, step=0.010, record=0)
    for nudged in (False, True):
        # N^2 (y - u) is up to 4 times y - u, and has to stay in the range of tanh
        reach = 0.1 if (activation, pathway) == ("tanh", "grait") else 0.8
        start = [rng.uniform(-reach, reach, rates.shape) for rates in trial.activity.rates[1:]]
        brian.set_rates(model.pieces, start)
        brian.set_nudge(model.pieces, nudged)
        brian.advance(model, 1)
        after = brian.read_rates(model.pieces)
        for old, new, expected in zip(
            start, after, velocity(trial, start, nudged=nudged), strict=True
        ):
            # units of 1/s; sums of up to 7 terms, and an inverse with a slope of up to 10
            tolerance = 100 * EPS * np.abs(expected).max()
            np.testing.assert_allclose((new - old) / 0.010, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("slope", [0.01, 0.5])
def test_leaky_slope_is_that_of_the_activation(slope: float, rng: np.random.Generator) -> None:
    from circuit.units.leaky_relu import leaky_relu

    trial = make_trial(rng, (5, 5), "linear", "itp")
    network = replace(trial.network, activations=(leaky_relu(slope),), biases=(-5 * np.ones(5),))
    trial = begin(build_circuit(network, "itp", 0.1), trial.activity.rates[0], trial.target)
    record = brian.run_phases(brian.build(trial, step=0.010, record=0))
    expected = slope * trial.activity.drives[0]
    np.testing.assert_allclose(record.free_rates[0], expected, rtol=8 * EPS)


# --- the phases ---


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pathway", PATHWAYS)
def test_free_phase_from_rest_ends_at_the_forward_pass(
    activation: str, pathway: str, rng: np.random.Generator
) -> None:
    trial = make_trial(rng, (8, 7, 7), activation, pathway)
    record = brian.run_phases(brian.build(trial, step=0.005, record=2), nudged=0)
    assert not record.rates[0][0].any()
    for found, expected in zip(record.free_rates, trial.activity.rates[1:], strict=True):
        np.testing.assert_allclose(found, expected, atol=30 * EPS * largest_rate(trial))
    assert not any(shift.any() for shift in record.shifts)


def root_of_velocity(trial: Trial, *, nudged: bool) -> list[np.ndarray]:
    """The rates at which the printed velocity is zero, by SciPy, one sample at a time."""
    rows = []
    for sample in range(trial.error.shape[0]):
        one = begin(
            trial.circuit,
            trial.activity.rates[0][sample : sample + 1],
            trial.target[sample : sample + 1, : trial.network.n_outputs],
        )
        sizes = [rates.shape[-1] for rates in one.activity.rates[1:]]
        ends = np.cumsum(sizes)[:-1]

        def rest(flat: np.ndarray, one: Trial = one, ends: np.ndarray = ends) -> np.ndarray:
            rates = [part[None, :] for part in np.split(flat, ends)]
            return 0.01 * np.concatenate(velocity(one, rates, nudged=nudged), axis=-1)[0]

        guess = np.concatenate(one.activity.rates[1:], axis=-1)[0]
        found = scipy.optimize.root(rest, guess, tol=1e-15).x
        assert np.abs(rest(found)).max() < 20 * EPS * largest_rate(one)
        rows.append(np.split(found, ends))
    return [np.stack(parts) for parts in zip(*rows, strict=True)]


@pytest.mark.parametrize("pathway", PATHWAYS)
@pytest.mark.parametrize(
    ("widths", "activation", "gamma"),
    [
        ((8, 6, 6), "leaky_relu", 0.1),
        ((12, 10, 8), "asinh", 0.1),
        ((7, 7, 6, 6), "asinh", 0.05),
        ((6, 6, 6, 6), "tanh", 0.1),
    ],
)
def test_nudged_phase_ends_at_a_root_of_the_velocity(
    widths: tuple[int, ...], activation: str, gamma: float, pathway: str, rng: np.random.Generator
) -> None:
    trial = make_trial(rng, widths, activation, pathway, gamma)
    record = brian.run_phases(brian.build(trial, step=0.010, record=0))
    free = root_of_velocity(trial, nudged=False)
    nudged = root_of_velocity(trial, nudged=True)
    for layer, (found, y, y_free) in enumerate(zip(record.shifts, nudged, free, strict=True), 1):
        # what float64 leaves, in units of the rates, for Brian2 and for the root finder
        np.testing.assert_allclose(found, y - y_free, rtol=0, atol=100 * EPS * largest_rate(trial))
        assert np.abs(found).max() > 1e4 * EPS, f"layer {layer} did not move"


def test_hidden_layers_do_not_shift_without_feedback_synapses(rng: np.random.Generator) -> None:
    trial = make_trial(rng, (6, 6, 6, 6))
    pieces = brian.make_pieces(trial, step=0.010)
    network = brian2.Network(*pieces.layers, *pieces.feedforward)
    states = []
    for nudged in (False, True):
        brian.set_nudge(pieces, nudged)
        network.run(1 * brian2.second, namespace={})
        states.append(brian.read_rates(pieces))
    shifts = [nudged - free for free, nudged in zip(*states, strict=True)]
    assert not shifts[0].any()
    assert not shifts[1].any()
    assert np.abs(shifts[2]).max() > 1e-3


def test_batch_gives_what_single_images_give(rng: np.random.Generator) -> None:
    trial = make_trial(rng, (7, 6, 5), "asinh", "gait", batch=2)
    together = brian.run_phases(brian.build(trial, step=0.005, record=None), free=0.1, nudged=0.1)
    for image in range(2):
        rows = slice(image, image + 1)
        alone = begin(trial.circuit, trial.activity.rates[0][rows], trial.target[rows])
        record = brian.run_phases(brian.build(alone, step=0.005, record=None), free=0.1, nudged=0.1)
        for a, b in zip(together.rates, record.rates, strict=True):
            np.testing.assert_allclose(a[:, rows], b, rtol=0, atol=20 * EPS)


def test_record_says_when_and_which_units(rng: np.random.Generator) -> None:
    trial = make_trial(rng, (6, 5, 3), batch=2)
    model = brian.build(trial, step=0.001, record=4, record_every=0.002)
    ms = brian2.ms
    first = brian.run_phases(model, free=10 * ms, nudged=0.006, start="forward")
    second = brian.run_phases(model, free=0.010, nudged=0.006, start="forward")
    for record in (first, second):
        np.testing.assert_allclose(record.times, 0.002 * np.arange(8), atol=1e-12)
        assert [rates.shape for rates in record.rates] == [(8, 2, 4), (8, 2, 3)]
        assert record.onset == pytest.approx(0.010)
        assert record.model_time == pytest.approx(0.016)
        assert record.steps == 16
        # until the onset, recorded before the step that begins there, the circuit is at rest
        for layer, rates in enumerate(record.rates, 1):
            rest = trial.activity.rates[layer][:, : rates.shape[-1]]
            np.testing.assert_allclose(rates[:6], np.broadcast_to(rest, (6, *rest.shape)))
        assert np.abs(record.rates[-1][-1] - record.rates[-1][5]).max() > 1e-4
    np.testing.assert_array_equal(first.rates[0], second.rates[0])
    np.testing.assert_array_equal(first.nudged_rates[1], second.nudged_rates[1])


def test_durations_are_rounded_up_to_whole_steps(rng: np.random.Generator) -> None:
    pieces = brian.make_pieces(make_trial(rng), step=0.0003)
    # 0.0015 / 0.0003 is a little over 5 in floating point
    assert [brian.whole_steps(pieces, t) for t in (0, 0.0015, 0.0016, 0.0014)] == [0, 5, 6, 5]


def chain_of(depth: int, gamma: float) -> np.ndarray:
    """J in 1/s of linear ITP layers of one unit with weight 1 and tau = 10 ms."""
    below, above = np.diag(np.ones(depth - 1), -1), np.diag(np.ones(depth - 1), 1)
    return ((1 - gamma) * below + gamma * above - np.eye(depth)) / 0.010


@pytest.mark.parametrize("gamma", [0.001, 0.05, 0.5, 0.9])
@pytest.mark.parametrize("depth", [1, 3, 30, 200])
def test_settling_time_is_that_of_the_slowest_mode(
    depth: int, gamma: float, rng: np.random.Generator
) -> None:
    """Closed form of a Toeplitz matrix; deep circuits are so far from normal that a general solver
    finds other eigenvalues."""
    circuit = build_circuit(initialise((1,) * (depth + 1), rng), "itp", gamma, time_constant=0.010)
    found = brian.settling_time(circuit)
    root = np.sqrt(gamma * (1 - gamma))
    slowest = (1 - 2 * root * np.cos(np.pi / (depth + 1))) / 0.010
    # eigenvalues of a symmetric matrix of norm up to 2 / tau
    rounding = 10 * depth * EPS * 2 / 0.010 / slowest
    expected = (-np.log(EPS) + 2 * depth) / slowest
    assert found == pytest.approx(expected, rel=rounding, abs=0)
    left = scipy.linalg.expm(found * chain_of(depth, gamma))
    assert np.abs(left).max() < 10 * EPS


@pytest.mark.parametrize("taus", [(0.010, 0.030, 0.020, 0.040)])
def test_settling_time_with_unequal_layers(taus: tuple, rng: np.random.Generator) -> None:
    """A short chain, whose eigenvalues a general solver finds."""
    gammas = (0.2, 0.05, 0.6, 0.3)
    circuit = build_circuit(initialise((1,) * 5, rng), "itp", gammas, time_constant=taus)
    up, down = np.diag(1 - np.array(gammas[1:]), -1), np.diag(gammas[:-1], 1)
    modes = scipy.linalg.eigvals((up + down - np.eye(4)) / np.array(taus)[:, None])
    expected = (-np.log(EPS) + 2 * 4) / -modes.real.max()
    assert brian.settling_time(circuit) == pytest.approx(expected, rel=1e-12)


def _with_long_rows(
    length: float, widths: tuple[int, ...], n_outputs: int, gamma: float, rng: np.random.Generator
) -> Trial:
    """A linear GRAIT circuit whose rows are orthogonal and all of one length."""
    trial = make_trial(rng, widths, "linear", "gait", gamma, n_outputs=n_outputs)
    network = replace(trial.network, weights=tuple(length * w for w in trial.network.weights))
    circuit = build_circuit(network, "grait", gamma, time_constant=0.010)
    return begin(circuit, trial.activity.rates[0], trial.target[:, :n_outputs])


@pytest.mark.parametrize("length", [0.3, 1.0, 3.0, 12.0])
@pytest.mark.parametrize(("widths", "n_outputs"), [((4, 4, 4, 4), 4), ((6, 5, 4, 4), 3)])
def test_times_of_the_row_adjusted_circuit_are_those_of_its_jacobian(
    length: float, widths: tuple[int, ...], n_outputs: int, rng: np.random.Generator
) -> None:
    """Slowest and fastest eigenvalue by a general solver; auxiliary units end chains of their own.

    With a step of 1.5 over the fastest Euler's method contracts; with 2.1 it would not.
    """
    trial = _with_long_rows(length, widths, n_outputs, 0.1, rng)
    modes = -scipy.linalg.eigvals(dense_jacobian(trial, trial.at_rest())).real
    expected = (-np.log(EPS) + 2 * 3) / modes.min()
    assert brian.settling_time(trial.circuit) == pytest.approx(expected, rel=1e-8)
    step = min(0.010, 1.5 / modes.max())
    assert brian.longest_step(trial.circuit) == pytest.approx(step, rel=1e-8)
    assert (step < 0.010) == (length > 1)


def test_brian_settles_a_circuit_with_long_rows(rng: np.random.Generator) -> None:
    """Rows of length 6 at gamma = 0.1, where Euler steps of a time constant would diverge."""
    trial = _with_long_rows(6.0, (5, 5, 5), 5, 0.1, rng)
    record = settle(trial, "brian2")
    assert record.converged
    for found, exact in zip(record.activities, root_of_velocity(trial, nudged=True), strict=True):
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-9 * largest_rate(trial))
    assert not settle(
        trial, "brian2", time_step=0.010, stretch=0.2, max_steps=1, must_converge=False
    ).converged


def test_nothing_recorded_leaves_the_final_rates(rng: np.random.Generator) -> None:
    record = brian.run_phases(brian.build(make_trial(rng), record=0), free=0.01, nudged=0.01)
    assert record.times.shape == (0,)
    assert record.rates[0].shape == (0, 2, 0)
    assert record.nudged_rates[0].shape == (2, 6)


# --- the trajectory ---


def linear_generator(trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """J and c of dy/dt = J y + c for a linear ITP circuit without auxiliary units, as printed."""
    network, depth, n = trial.network, trial.network.depth, trial.network.widths[0]
    blocks = [[np.zeros((n, n)) for _ in range(depth)] for _ in range(depth)]
    constant = np.zeros((depth, n))
    x, target = trial.activity.rates[0][0], trial.target[0]
    for layer in range(1, depth + 1):
        i, gamma = layer - 1, trial.circuit.strength(layer)
        weights, bias = network.weights[i], network.biases[i]
        blocks[i][i] = -np.eye(n)
        constant[i] = (1 - gamma) * bias
        if layer == 1:
            constant[i] += (1 - gamma) * weights @ x
        else:
            blocks[i][i - 1] = (1 - gamma) * weights
        if layer == depth:
            constant[i] += gamma * target
        else:
            inverse = np.linalg.inv(network.weights[i + 1])
            blocks[i][i + 1] = gamma * inverse
            constant[i] -= gamma * inverse @ network.biases[i + 1]
    tau = 0.010
    return np.block(blocks) / tau, constant.ravel() / tau


def test_trajectory_of_a_linear_circuit_converges_with_order_one(rng: np.random.Generator) -> None:
    trial = make_trial(rng, (5, 5, 5, 5), "linear", "itp", (0.1, 0.2, 0.3), batch=1)
    generator, constant = linear_generator(trial)
    augmented = np.zeros((16, 16))
    augmented[:15, :15], augmented[:15, 15] = generator, constant
    duration = 0.025
    exact = (scipy.linalg.expm(duration * augmented) @ np.eye(16)[15])[:15]
    errors = []
    for step in (0.0010, 0.0005, 0.00025):
        model = brian.build(trial, step=step, record=0)
        brian.set_nudge(model.pieces, True)
        brian.advance(model, brian.whole_steps(model.pieces, duration))
        found = np.concatenate(brian.read_rates(model.pieces), axis=-1)[0]
        errors.append(np.abs(found - exact).max())
    assert errors[0] < 0.05 * np.abs(exact).max()
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    # error = a dt + b dt^2: the ratio is 2 up to terms of first order in dt/tau
    np.testing.assert_allclose(ratios, 2, atol=0.1)


# --- noise ---


def test_variance_of_an_isolated_unit_is_that_of_euler_maruyama(rng: np.random.Generator) -> None:
    trial = make_trial(rng, (40, 40), "linear", "itp", batch=5)
    noise, fraction = 0.2, 0.5  # of the step in the time constant
    model = brian.build(trial, step=0.010 * fraction, noise=noise, record=None, record_every=0.050)
    record = brian.run_phases(model, free=3.0, nudged=0, start="forward", generator=rng)
    deviation = (record.rates[0] - trial.activity.rates[1])[1:]
    # y' = (1 - a) y + noise sqrt(2 a) n  has the variance noise^2 2 a / (1 - (1 - a)^2)
    theory = noise**2 * 2 / (2 - fraction)
    n = deviation.size  # samples 5 tau apart are independent for this purpose
    assert n > 10_000
    assert abs(deviation.mean()) < 4 * np.sqrt(theory / n)
    assert abs(deviation.var() - theory) < 4 * theory * np.sqrt(2 / n)


def test_same_seed_gives_the_same_run_and_leaves_the_global_state(rng: np.random.Generator) -> None:
    model = brian.build(make_trial(rng), noise=0.1, record=2)

    def run(seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        return brian.run_phases(model, free=0.01, nudged=0.01, generator=generator).rates[0]

    def global_state() -> str:
        return str(np.random.get_state())

    before = global_state()
    first = run(1)
    assert global_state() == before
    np.testing.assert_array_equal(run(1), first)
    assert np.abs(run(2) - first).max() > 1e-3


def test_average_shifts_come_out_of_the_noise(rng: np.random.Generator) -> None:
    trial = make_trial(rng, (6, 6, 6), "linear", "itp", (0.3, 0.3), tau=0.002)
    noise, duration = 0.02, 4.0
    model = brian.build(trial, step=0.002, noise=noise, record=None)
    record = brian.run_phases(model, free=duration, nudged=duration, start="forward", generator=rng)
    exact = settle(trial).shifts
    for layer, found in enumerate(brian.average_shifts(record, skip=0.1), 1):
        # an average over duration / (2 tau) independent values in each phase, for isolated units;
        # feedback at this strength lengthens the memory less than fivefold
        error = noise * np.sqrt(2 * 5 * 2 * 0.002 / duration)
        np.testing.assert_allclose(found, exact.absolute(layer), rtol=0, atol=5 * error)


def test_average_leaves_out_the_beginning_of_each_phase() -> None:
    times = 0.1 * np.arange(10)
    # 5 while the phase is young, then 2 in the free phase and 3 in the nudged phase
    rates = np.array([5.0, 5, 2, 2, 2, 5, 5, 3, 3, 3]).reshape(10, 1, 1)
    end = (rates[-1],)
    record = brian.PhaseRecord(times, 0.5, (rates,), end, end, 10, 1.0, 0.0)
    np.testing.assert_allclose(brian.average_shifts(record, skip=0.2)[0], 1.0)


# --- the front door ---


@pytest.mark.parametrize("pathway", PATHWAYS)
def test_front_door_agrees_with_the_closed_form(pathway: str, rng: np.random.Generator) -> None:
    trial = make_trial(rng, (9, 8, 7, 7), "asinh", pathway, 0.1, n_outputs=4)
    found, exact = settle(trial, "brian2"), settle(trial).shifts
    assert found.converged
    step = brian.longest_step(trial.circuit)
    assert (step < 0.010) == (pathway == "grait")
    assert found.model_time == pytest.approx(step * (found.evaluations - found.steps))
    floors = brian.float_floor(trial, exact)
    for layer in range(1, 4):
        a, b = found.shifts.absolute(layer), exact.absolute(layer)
        # both are held to the tolerance, and Brian2 cannot pass the floor
        limit = 100 * (floors[layer - 1] + found.tolerance)
        assert np.linalg.norm(a - b) < limit * np.linalg.norm(b)


def test_shift_below_the_float_floor_is_reported_soon(rng: np.random.Generator) -> None:
    trial = make_trial(rng, (8,) * 8, "asinh", "gait", 0.01)
    record = settle(trial, "brian2", must_converge=False)
    assert record.status in (Status.OUT_OF_BUDGET, Status.NOT_RESOLVABLE)
    assert record.evaluations < 1000
    assert np.isfinite(record.shifts.absolute(1)).all()
    # the upper layers are as good as they can be
    exact = settle(trial).shifts
    error = np.linalg.norm(record.shifts.absolute(7) - exact.absolute(7))
    assert error < 1e-8 * np.linalg.norm(exact.absolute(7))


def test_stretch_goes_on_from_the_state_with_fewer_samples(rng: np.random.Generator) -> None:
    trial = make_trial(rng, (6, 6, 6), "asinh", "gait", 0.1, batch=3)
    method = METHODS["brian2"]()
    # two steps in all: far from settled
    progress = method.start(trial, 1e-10, stretch=0.020)
    rows = slice(1, 2)
    part = begin(trial.circuit, trial.activity.rates[0][rows], trial.target[rows])
    shifts = progress.shifts.with_values(tuple(value[rows] for value in progress.shifts.values))
    judgement = judge(part, shifts, 1e-10)
    assert judgement.worst > 1e-3
    further = method.step(part, replace(progress, shifts=shifts), judgement, stretch=0.020)
    whole = method.start(part, 1e-10, stretch=0.040)
    for layer in (1, 2):
        np.testing.assert_allclose(
            further.shifts.absolute(layer), whole.shifts.absolute(layer), rtol=0, atol=50 * EPS
        )
    assert further.shifts.scales == progress.shifts.scales


def test_state_at_the_floor_costs_nothing_more(rng: np.random.Generator) -> None:
    trial = make_trial(rng, (6, 6, 6), "asinh", "gait", 0.1)
    method = METHODS["brian2"]()
    progress = method.start(trial, 1e-10)
    again = method.step(trial, progress, judge(trial, progress.shifts, 1e-30))
    assert again.evaluations == 0
    assert again.shifts is progress.shifts


def test_float_floor_is_eps_times_rate_over_shift_and_does_not_underflow(
    rng: np.random.Generator,
) -> None:
    trial = make_trial(rng, (5, 4, 4), n_outputs=3)
    values = tuple(np.full_like(rates, 2.0) for rates in trial.activity.rates[1:])
    scales = (Scale(0.5, -3000), Scale(0.5, -9))
    small, usual = brian.float_floor(trial, Shifts(values, scales, scales))
    rates = trial.activity.rates[2][:, :3]
    expected = EPS * np.sqrt((rates**2).sum()) / (2 * np.sqrt(rates.size) * 2.0**-10)
    assert usual == pytest.approx(expected, rel=1e-12, abs=0)
    assert small == float("inf")
    tiny = (Scale(0.5, -1000), Scale(0.5, -9))
    found = brian.float_floor(trial, Shifts(values, tiny, tiny))[0]
    assert 1e280 < found < float("inf")
    still = tuple(np.zeros_like(value) for value in values)
    assert brian.float_floor(trial, Shifts(still, tiny, tiny)) == (float("inf"), float("inf"))


# --- a model of one's own: what the page says of warnings ---


def test_documented_remedy_for_warnings() -> None:
    """Both as printed: the command line, and the block before the page's first."""
    text = (ROOT / "docs" / "brian2.md").read_text()
    (line,) = re.findall(r"^python (-W error .*)$", text, flags=re.MULTILINE)
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (remedy,) = [block for block in blocks if "filterwarnings" in block]
    program = remedy + blocks[0]
    for arguments in (shlex.split(line), ["-W", "error", "-c", program]):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_two_circuits_live_in_one_network(rng: np.random.Generator) -> None:
    trials = [make_trial(rng, (5, 5, 4), activation) for activation in ("asinh", "tanh")]
    left, right = (
        brian.make_pieces(trial, step=0.010, name=name)
        for trial, name in zip(trials, ("left", "right"), strict=True)
    )
    brian2.Network(*left.objects, *right.objects).run(1 * brian2.second, namespace={})
    for pieces in (left, right):
        np.testing.assert_allclose(
            brian.read_rates(pieces)[1], pieces.trial.activity.rates[2], atol=30 * EPS
        )


# --- what stays as it was ---

DEFAULT_RUN = """
import sys, signal, warnings
before = sys.excepthook, signal.getsignal(signal.SIGINT), warnings.showwarning
{first}
import numpy as np
from circuit import brian
from circuit.dynamics import begin, build_circuit
from circuit.initialisation.networks import initialise
generator = np.random.default_rng(1)
network = initialise([4, 4, 3], generator)
trial = begin(build_circuit(network, "itp"), generator.random((1, 4)), generator.random((1, 3)))
import brian2
target = brian2.prefs.codegen.target
brian.run_phases(brian.build(trial), free=0.01, nudged=0.01)
assert brian2.prefs.codegen.target == target
assert not brian2.magic_network.objects
after = sys.excepthook, signal.getsignal(signal.SIGINT), warnings.showwarning
print(before == after)
"""


def test_garbage_is_not_searched_for_unless_somebody_has_set_objects_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then nothing is touched; they are counted until some are there, which takes long."""
    clock, calls, apart = brian2.Clock(dt=1 * brian2.ms), [], iter([0, 0, 5])
    network = brian2.Network(brian2.NetworkOperation(lambda: None, clock=clock))

    class Collector:
        @staticmethod
        def get_freeze_count() -> int:
            calls.append("count")
            return next(apart)

        freeze = staticmethod(lambda: calls.append("freeze"))
        unfreeze = staticmethod(lambda: calls.append("unfreeze"))

    monkeypatch.setattr(library, "gc", Collector)
    seen: list[bool] = []
    monkeypatch.setattr(library, "_SET_APART", seen)
    for _ in range(5):
        library.run_steps(network, clock, 2)
    assert calls == ["count", "freeze", "unfreeze"] * 2 + ["count"]
    assert seen == [True]  # however often


@pytest.mark.parametrize(("first", "alone"), [("", True), ("import brian2", False)])
def test_default_run_is_quiet_and_leaves_the_process_alone(
    first: str, alone: bool, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(DEFAULT_RUN.format(first=first))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        cwd=temporary,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.stderr == ""
    # a user's own import of Brian2 stays as Brian2 makes it
    assert done.stdout == f"{alone}\n"
    assert list(temporary.iterdir()) == []


# --- bad input ---


def one_line(call: Callable[[], Any], error: type[Exception] = CircuitError) -> str:
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) > 30
    return message


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"step": 0.0}, "step = 0 s"),
        ({"step": float("nan")}, "step = nan s"),
        ({"step": 0.020}, "0.01 s"),
        ({"step": 1 * brian2.mV}, "not a time"),
        ({"step": "soon"}, "step = 'soon' is not a time"),
        ({"step": np.array([0.001, 0.002])}, "not a time"),
        ({"noise": "loud"}, "noise = 'loud' is not a number"),
        ({"noise": 1 * brian2.mV}, "noise = 1. * mvolt is not a number"),
        ({"noise": -0.1}, "noise -0.1"),
        ({"noise": float("inf")}, "noise inf"),
        ({"codegen": "fortran"}, "'fortran'"),
        ({"record": -1}, "record = -1"),
        ({"record": 2.5}, "record = 2.5"),
        ({"record_every": 0.0}, "record_every = 0 s"),
    ],
)
def test_build_refuses(arguments: dict[str, Any], named: str, rng: np.random.Generator) -> None:
    trial = make_trial(rng)
    assert named in one_line(lambda: brian.build(trial, **arguments))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"free": -1.0}, "free = -1 s"),
        ({"nudged": float("inf")}, "nudged = inf s"),
        ({"start": "elsewhere"}, "'elsewhere'"),
        ({"free": 1 * brian2.mV}, "free"),
    ],
)
def test_run_refuses(arguments: dict[str, Any], named: str, rng: np.random.Generator) -> None:
    model = brian.build(make_trial(rng))
    assert named in one_line(lambda: brian.run_phases(model, **arguments))


def test_noise_needs_a_generator(rng: np.random.Generator) -> None:
    model = brian.build(make_trial(rng), noise=0.1)
    assert "generator" in one_line(lambda: brian.run_phases(model))


def test_average_needs_recorded_rates(rng: np.random.Generator) -> None:
    model = brian.build(make_trial(rng))
    record = brian.run_phases(model, free=0.01, nudged=0.01)
    assert "skip" in one_line(lambda: brian.average_shifts(record, skip=0.02))


def test_phases_are_not_averaged_over_the_one_before(rng: np.random.Generator) -> None:
    record = brian.run_phases(brian.build(make_trial(rng)), free=0.01, nudged=0.01)
    assert "skip = -0.005 s" in one_line(lambda: brian.average_shifts(record, skip=-0.005))
    assert "skip = nan s" in one_line(lambda: brian.average_shifts(record, skip=float("nan")))


@pytest.mark.parametrize("name", ["my circuit", "café", "1st", ""])
def test_name_must_be_a_name(name: str, rng: np.random.Generator) -> None:
    trial = make_trial(rng)
    assert repr(name) in one_line(lambda: brian.make_pieces(trial, name=name))


def test_numbers_of_numpy_are_numbers(rng: np.random.Generator) -> None:
    model = brian.build(make_trial(rng), record=np.int64(3))
    brian.advance(model, np.int64(2))
    assert model.monitors[0].y_.shape == (2 * 3, 2)


@pytest.mark.parametrize("steps", [-1, 2.5])
def test_steps_are_counted(steps: float, rng: np.random.Generator) -> None:
    model = brian.build(make_trial(rng), record=0)
    assert f"steps = {steps}" in one_line(lambda: brian.advance(model, steps))


def test_rates_that_do_not_fit_are_refused(rng: np.random.Generator) -> None:
    """Transposed ones too, which hold as many numbers."""
    pieces = brian.make_pieces(make_trial(rng, (4, 4, 3)))
    for wrong in (
        [np.ones((4, 2)), np.ones((3, 2))],
        [np.ones((2, 4))],
        [np.ones(4), np.ones(3)],
        [1.0, 2.0],
    ):
        message = one_line(lambda wrong=wrong: brian.set_rates(pieces, wrong), ShapeMismatch)
        assert "[(2, 4), (2, 3)]" in message


@pytest.mark.parametrize("layer", [0, 3, -1])
def test_equations_of_no_layer_are_refused(layer: int, rng: np.random.Generator) -> None:
    circuit = make_trial(rng).circuit
    assert f"layer {layer}" in one_line(lambda: brian.equations(circuit, layer))


def test_a_run_that_is_stopped_early_says_so(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brian2 ends a run without a word where a user's own import of it caught Ctrl+C."""
    whole = brian2.Network.run
    monkeypatch.setattr(
        brian2.Network, "run", lambda network, time, **options: whole(network, time / 2, **options)
    )
    model = brian.build(make_trial(rng), record=0)
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        brian.run_phases(model)
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        run_spontaneous(Spontaneous(), np.eye(2), np.zeros((2, 2)), np.ones((2, 2)))


def test_too_many_synapses_are_refused_before_they_are_made(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(rng, (6, 5, 4), batch=3)
    count = 3 * (25 + 16 + 16)
    monkeypatch.setattr("circuit.checks.room.MOST_SYNAPSES", count)
    brian.build(trial, record=0)
    monkeypatch.setattr("circuit.checks.room.MOST_SYNAPSES", count - 1)
    message = one_line(lambda: brian.build(trial))
    assert str(count) in message
    assert "fewer images" in message


def test_trials_that_brian2_cannot_hold_are_refused(rng: np.random.Generator) -> None:
    network = initialise((4, 4), rng, dtype="float32")
    x = rng.random((2, 4)).astype("float32")
    single = begin(build_circuit(network), x, x)
    assert "float32" in one_line(lambda: brian.build(single))
    assert "float32" in one_line(lambda: settle(single, "brian2"))

    stacked = Network(
        (np.stack([np.eye(3)] * 2),), (np.zeros((2, 3)),), network.activations[:1], 3, 3
    )
    stack = begin(build_circuit(stacked), rng.random((2, 1, 3)), rng.random((2, 1, 3)))
    assert "(2, 1, 3)" in one_line(lambda: brian.build(stack))

    trial = make_trial(rng)
    empty = begin(trial.circuit, np.zeros((0, 6)), np.zeros((0, 6)))
    assert "no image" in one_line(lambda: brian.build(empty))

    mine = replace(trial.network.activations[0], name="mine")
    other = replace(trial.network, activations=(mine, mine))
    odd = begin(build_circuit(other), trial.activity.rates[0], trial.target)
    assert "'mine'" in one_line(lambda: brian.build(odd))


def test_feedback_too_weak_for_rates_is_refused(rng: np.random.Generator) -> None:
    trial = make_trial(rng, (3,) * 70, "linear", "itp", 0.001, batch=1)
    assert "layer 1" in one_line(lambda: settle(trial, "brian2"))


def test_rate_that_leaves_the_range_of_tanh_is_named(rng: np.random.Generator) -> None:
    trial = make_trial(rng, (4, 4, 4), "tanh", "itp")
    model = brian.build(trial, record=0)
    brian.set_rates(model.pieces, [2 * np.ones((2, 4))] * 2)
    assert "layer 1" in one_line(lambda: brian.advance(model, 2), NotFinite)


def test_standalone_device_is_refused(rng: np.random.Generator) -> None:
    model = brian.build(make_trial(rng), record=0)
    brian2.set_device("cpp_standalone", build_on_run=False)
    try:
        assert "standalone" in one_line(lambda: brian.advance(model, 1))
        assert "standalone" in one_line(lambda: brian.build(model.pieces.trial))
        assert "standalone" in one_line(lambda: settle(model.pieces.trial, "brian2"))
        pieces = brian.make_pieces(model.pieces.trial, name="written")
        assert "synapses" in repr(pieces)
        assert "cython" in one_line(lambda: brian.make_pieces(pieces.trial, codegen="cython"))
    finally:
        reset_device()
    brian.advance(model, 1)


# --- Cython ---


@pytest.mark.slow
def test_cython_gives_what_numpy_gives(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        brian2.prefs, "codegen.runtime.cython.cache_dir", str(tmp_path / "compiled")
    )
    trial = make_trial(rng, (6, 5, 4), "leaky_relu", "gait")
    slow, fast = (
        brian.run_phases(brian.build(trial, codegen=codegen)) for codegen in ("numpy", "cython")
    )
    for a, b in zip(slow.rates, fast.rates, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=100 * EPS)
    model = brian.build(trial, noise=0.1, codegen="cython")
    runs = [
        brian.run_phases(
            model, free=0.01, nudged=0.01, generator=np.random.default_rng(seed)
        ).rates[0]
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 1e-3


@pytest.mark.parametrize("pathway", ["itp", "gait"])
def test_feedback_is_the_inverse_and_not_the_transpose(pathway: str) -> None:
    """Gaussian weights, for which the two differ: an Euler step is the printed velocity."""
    generator = np.random.default_rng(21)
    network = initialise((4, 4, 4), generator, init="gaussian", activation="asinh", n_outputs=4)
    inputs, targets = generator.random((2, 4)), generator.random((2, 4))
    trial = begin(build_circuit(network, pathway, 0.2), inputs, targets)
    step = 1e-6 * min(trial.circuit.time_constants)
    built = brian.build(trial, step=step, record=0)
    rates = [0.3 * generator.standard_normal((2, 4)) for _ in range(2)]
    brian.set_rates(built.pieces, rates)
    brian.set_nudge(built.pieces, True)
    brian.advance(built, 1)
    pairs = zip(brian.read_rates(built.pieces), rates, velocity(trial, rates), strict=True)
    for after, before, wanted in pairs:
        np.testing.assert_allclose((after - before) / step, wanted, rtol=1e-5, atol=1e-6)
