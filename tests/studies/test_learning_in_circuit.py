"""Learning inside the circuit: Brian2's plastic circuits against their equations, written out loop
by loop; closed forms in linear networks; and the trainer that makes one update after another from
equilibria found by Newton's method."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import xarray as xr

from circuit.dynamics import begin, build_circuit
from circuit.errors import CircuitError, ShapeMismatch
from circuit.network import Network
from circuit.plastic.circuit import Plastic, Timing
from circuit.plasticity import local_update
from circuit.units.table import activation
from studies.learning_in_circuit.measures import (
    accuracies,
    alignments,
    gradients,
    learnt_cosines,
    settled_rates,
    trained_by_updates,
    update_cosines,
    with_weights,
)
from studies.learning_in_circuit.setting import exclusive_or
from tests.imperfect_circuits import Imperfect, settle_imperfect

DEPRECATED = r"'\w+' (argument is )?deprecated"
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", DEPRECATED, DeprecationWarning)
    import brian2

    from circuit.plastic import (
        advance_plastic,
        layer_equations,
        make_plastic_pieces,
        run_plastic,
        synapse_equations,
    )

pytestmark = pytest.mark.filterwarnings(f"ignore:{DEPRECATED}:DeprecationWarning")

EPS = float(np.finfo(np.float64).eps)
TAU = 0.010


def make(
    rng: np.random.Generator,
    widths: tuple[int, ...] = (4, 3, 2),
    *,
    count: int = 1,
    units: str = "asinh",
    timing: Timing | None = None,
    rate: float = 1.0,
    **fields: Any,
) -> Plastic:
    """`count` circuits with random weights, biases and feedback."""
    shapes = list(pairwise(widths))
    weights = tuple(rng.standard_normal((count, n, m)) / np.sqrt(m) for m, n in shapes)
    network = Network(
        weights,
        tuple(0.1 * rng.standard_normal((count, n)) for n in widths[1:]),
        (activation(units),) * len(shapes),
        n_inputs=widths[0],
        n_outputs=widths[-1],
    )
    given: dict[str, Any] = {
        "feedback": tuple(rng.standard_normal((count, m, n)) / np.sqrt(n) for m, n in shapes[1:]),
        "rates": np.full(count, rate),
        "timing": timing or Timing(step=TAU / 4, free_steps=6, nudged_steps=5),
        "strength": 0.3,
        "time_constants": tuple(np.full((count, n), TAU) for n in widths[1:]),
        "delays": np.zeros(count, dtype=int),
        "noise": np.zeros(count),
        "feedback_plasticity": np.ones(count),
    }
    return Plastic(network, **(given | fields))


def stream(
    rng: np.random.Generator, plastic: Plastic, images: int
) -> tuple[np.ndarray, np.ndarray]:
    network = plastic.network
    return rng.random((images, network.n_inputs)), rng.random((images, network.n_outputs))


# --- the equations, written out ---

VALUE = {"asinh": np.arcsinh, "linear": lambda h: h, "leaky_relu": lambda h: np.maximum(h, h / 10)}
SLOPE = {
    "asinh": lambda h: 1 / np.sqrt(1 + h * h),
    "linear": np.ones_like,
    "leaky_relu": lambda h: np.where(h > 0, 1.0, 0.1),
}
INVERSE = {"asinh": np.sinh, "linear": lambda y: y, "leaky_relu": lambda y: np.minimum(y, 10 * y)}


def written_out(
    plastic: Plastic, inputs: np.ndarray, targets: np.ndarray, one: int, patterns: Any = ()
) -> dict:
    """Circuit `one` by Euler's method, layer by layer, as the docstring of circuit.plastic.circuit
    says, and where it sleeps that of circuit.plastic.sleep.
    """
    network, timing, depth = plastic.network, plastic.timing, plastic.network.depth
    gamma, dt, L = plastic.strength, timing.step, range(plastic.network.depth)
    name = network.activations[0].name
    f, df, inv = VALUE[name], SLOPE[name], INVERSE[name]
    W = [w[one].copy() for w in network.weights]
    b = [v[one].copy() for v in network.biases]
    B = [w[one].copy() for w in plastic.feedback]
    tau = [t[one] for t in plastic.time_constants]
    own_tau = [t[one] for t in plastic.own_time_constants]
    rate, late = plastic.rates[one], int(plastic.delays[one])
    loss, learns = plastic.decay * rate, plastic.feedback_plasticity[one]
    each = plastic.layer_plasticity[one]
    ratio = gamma / (1 - gamma)
    gain = [gamma * ratio ** (depth - 1 - at) for at in L]
    y = [np.zeros_like(v) for v in b]
    n, z, tag_b = ([np.zeros_like(v) for v in b] for _ in range(3))
    tag_W, tag_B = [np.zeros_like(w) for w in W], [np.zeros_like(w) for w in B]
    stages = [np.zeros(network.widths[-1]) for _ in range(timing.teacher_stages)]
    past: dict[str, list] = {"y": [], "v": [], "q": []}
    M = [np.zeros((len(v), len(v))) for v in b]
    if plastic.sleep is not None and plastic.sleep.lateral:
        M = [array[one].copy() for array in plastic.sleep.lateral]
    r = [np.zeros_like(v) for v in b]

    def arrived(kind: str, now: list, like: list) -> list:
        past[kind].append([np.array(a) for a in now])
        return past[kind][-1 - late] if len(past[kind]) > late else [np.zeros_like(a) for a in like]

    for k in range(len(inputs) * timing.steps):
        image, nudged = k // timing.steps, float(k % timing.steps >= timing.free_steps)
        below = [inputs[image], *arrived("y", y, y)]
        h = [W[at] @ below[at] + b[at] for at in L]
        u, A = [f(a) for a in h], [df(a) for a in h]
        m = [y[at] - (n[at] if plastic.own_drive == "membrane" else u[at]) for at in L]
        N2 = [np.sum(w**2, axis=1) if plastic.pathway == "grait" else 1.0 for w in W]
        v = [inv(u[at] + A[at] ** 2 * N2[at] * m[at]) - h[at] for at in L]
        signal = m if plastic.readout == "mismatch" else [nudged * (y[at] - z[at]) for at in L]
        q = [rate * A[at] * signal[at] / gain[at] for at in L]
        v_late, q_late = arrived("v", v, y), arrived("q", q, y)
        teacher = stages[-1] if stages else targets[image]
        pull = [
            gamma * nudged * (teacher - u[at])
            if at == depth - 1
            else gamma * (m[at] + B[at] @ v_late[at + 1])
            for at in L
        ]
        q, q_late = ([each[at] * one[at] for at in L] for one in (q, q_late))
        new_W = [np.outer(q[at], below[at]) for at in L]
        new_B = [learns * np.outer(y[at], q_late[at + 1]) for at in range(depth - 1)]
        kept = (
            [each[at] * loss * w for at, w in enumerate(W)],
            [each[at + 1] * learns * loss * w for at, w in enumerate(B)],
        )
        if plastic.storage == "captured":
            flow = (1 - nudged) * dt / timing.capture
            for w, tag, new, lost in ((W, tag_W, new_W, kept[0]), (B, tag_B, new_B, kept[1])):
                for at in range(len(w)):
                    w[at] += flow * tag[at] - dt * lost[at]
                    tag[at] += dt * new[at] - flow * tag[at]
            for at in L:
                b[at] += flow * tag_b[at]
                tag_b[at] += dt * q[at] - flow * tag_b[at]
        else:
            for w, new, lost in ((W, new_W, kept[0]), (B, new_B, kept[1])):
                for at in range(len(w)):
                    w[at] += dt * (new[at] - lost[at])
            for at in L:
                b[at] += dt * q[at]
        z = [z[at] + (1 - nudged) * dt / timing.memory * (y[at] - z[at]) for at in L]
        y = [y[at] + dt / tau[at] * (u[at] - y[at] + pull[at]) for at in L]
        n = [n[at] + dt / own_tau[at] * (u[at] - n[at]) for at in L]
        sources = [targets[image], *stages][: len(stages)]
        stages = [t + dt / timing.lag * (s - t) for t, s in zip(stages, sources, strict=True)]
        r = [r[at] - dt / tau[at] * r[at] for at in L]
        if plastic.sleep is not None and k % timing.steps == timing.steps - 1:
            first = image * plastic.sleep.patterns
            for shown in range(first, first + plastic.sleep.patterns):
                x = [array[shown] for array in patterns]
                _sleep_through(plastic, one, x, W, B, M, r)
    return {"W": W, "b": b, "B": B, "y": y, "M": M}


def _sleep_through(plastic: Plastic, one: int, x: list, W: list, B: list, M: list, r: list) -> None:
    """One pattern of spontaneous activity, synapse by synapse; the lists are changed."""
    sleep, dt = plastic.sleep, plastic.timing.step
    assert sleep is not None
    for k in range(sleep.period):
        learns = dt * (k >= sleep.wait)
        old_W, old_B, old_M, old_r = ([np.copy(a) for a in arrays] for arrays in (W, B, M, r))
        for at, w in enumerate(old_W):
            n_post, n_pre = w.shape
            u = [sum(w[i, j] * x[at][j] for j in range(n_pre)) for i in range(n_post)]
            for i in range(n_post):
                inhibition = sum(old_M[at][i, j] * old_r[at][j] for j in range(n_post))
                tau = plastic.time_constants[at][one][i]
                r[at][i] += dt / tau * (u[i] - inhibition - old_r[at][i])
                for j in range(n_pre):
                    taken = (u[i] - old_r[at][i]) * x[at][j]
                    W[at][i, j] -= 8 * sleep.strengths[one] * learns * taken
                for j in range(n_post):
                    grown = old_r[at][i] * old_r[at][j] - (i == j)
                    M[at][i, j] += sleep.lateral_rates[one] * learns * grown
            if at == 0:
                continue
            for j in range(n_pre):
                guess = sum(old_B[at - 1][j, i] * u[i] for i in range(n_post))
                for i in range(n_post):
                    missed = (x[at][j] - guess) * u[i]
                    B[at - 1][j, i] += sleep.inverse_rates[one] * learns * missed


CASES: dict[str, dict[str, Any]] = {
    "always": {"timing": Timing(TAU / 4, 0, 7, teacher_stages=2, lag=0.008)},
    "instant": {
        "timing": Timing(TAU / 4, 2, 5, teacher_stages=1),
        "own_drive": "instant",
        "units": "leaky_relu",
    },
    "direct": {"readout": "shift", "decay": 0.1, "feedback_plasticity": np.array([1.0, 0.0])},
    "adjusted to rows": {"pathway": "grait", "feedback_plasticity": np.array([0.0, 1.0])},
    "adjusted to rows, captured, deep": {
        "pathway": "grait",
        "widths": (5, 4, 4, 3),
        "readout": "shift",
        "storage": "captured",
        "decay": 0.1,
        "units": "leaky_relu",
    },
    "a layer that learns less, and one that does not": {
        "widths": (5, 4, 4, 3),
        "decay": 0.2,
        "layer_plasticity": np.array([[1.0, 0.0, 0.7], [0.4, 1.0, 0.0]]),
    },
    "late": {"delays": np.array([3, 1]), "timing": Timing(TAU / 4, 0, 7), "units": "linear"},
    "deep, captured, late": {
        "widths": (5, 4, 4, 3),
        "readout": "shift",
        "storage": "captured",
        "delays": np.array([0, 2]),
        "decay": 0.3,
    },
}


@pytest.mark.parametrize("case", CASES)
def test_brian_runs_the_equations_as_printed(case: str, rng: np.random.Generator) -> None:
    fields = {"rates": np.array([2.0, 8.0]), **CASES[case]}
    widths = fields.pop("widths", (4, 3, 2))
    constants = {
        what: tuple(rng.uniform(0.5, 2, (2, n)) * TAU for n in widths[1:])
        for what in ("time_constants", "own_time_constants")
    }
    plastic = make(rng, widths, count=2, **(constants | fields))
    inputs, targets = stream(rng, plastic, 3)
    record = run_plastic(plastic, inputs, targets, snapshots=3)
    assert record.images == (0, 1, 2, 3)
    assert record.steps == 3 * plastic.timing.steps
    for one in range(2):
        for at in (1, 3):  # a snapshot and the end
            exact = written_out(plastic, inputs[:at], targets[:at], one)
            for found, key in (
                (record.weights[at], "W"),
                (record.biases[at], "b"),
                (record.feedback[at], "B"),
            ):
                for a, b in zip(found, exact[key], strict=True):
                    np.testing.assert_allclose(
                        a[one], b, rtol=0, atol=1e4 * EPS * (1 + abs(b).max())
                    )
        for a, b in zip(record.rates, exact["y"], strict=True):
            np.testing.assert_allclose(a[one], b, rtol=0, atol=1e4 * EPS)
        moved = np.abs(record.weights[-1][0][one] - plastic.network.weights[0][one]).max()
        assert moved > 1e-3


# --- closed forms ---


def test_one_image_in_a_linear_unit_against_the_closed_form(rng: np.random.Generator) -> None:
    """W of one layer, from rest in the free phase, with plasticity in the nudged phase alone.

    The shift rises as gamma e (1 - q^k), q = 1 - dt/tau; so dW is a geometric sum, to first order
    in the rate.
    """
    rate, nudged = 1e-7, 9
    timing = Timing(TAU / 4, free_steps=400, nudged_steps=nudged, memory=TAU / 4)
    plastic = make(rng, (4, 3), units="linear", timing=timing, rate=rate, readout="shift")
    inputs, targets = stream(rng, plastic, 1)
    record = run_plastic(plastic, inputs, targets)
    W, b = plastic.network.weights[0][0], plastic.network.biases[0][0]
    e = targets[0] - W @ inputs[0] - b
    q = 1 - 1 / 4
    reached = sum(1 - q**k for k in range(nudged))  # what a step sees is the shift before it
    expected = rate * timing.step * reached * np.outer(e, inputs[0])
    found = record.weights[-1][0][0] - W
    # a difference of weights of size 1; and the second order in the rate, far below
    np.testing.assert_allclose(found, expected, rtol=0, atol=8 * EPS)
    assert np.abs(expected).max() > 1e6 * EPS


@pytest.mark.parametrize("own_drive", ["membrane", "instant"])
def test_settled_linear_circuit_against_the_closed_form(
    own_drive: str, rng: np.random.Generator
) -> None:
    """At rest m_2 = gamma (t - W_2 y_1 - b_2), m_1 = r B m_2, and dW is m over its gain."""
    timing = Timing(TAU / 2, free_steps=0, nudged_steps=400)
    slow = 1e-7
    plastic = make(rng, units="linear", timing=timing, rate=slow, own_drive=own_drive)
    inputs, targets = stream(rng, plastic, 1)
    twice = np.repeat(inputs, 2, axis=0), np.repeat(targets, 2, axis=0)
    record = run_plastic(plastic, *twice, snapshots=2)
    (W1, W2), (b1, b2), B = (
        [w[0] for w in plastic.network.weights],
        [v[0] for v in plastic.network.biases],
        plastic.feedback[0][0],
    )
    gamma, x, t = plastic.strength, inputs[0], targets[0]
    r = gamma / (1 - gamma)
    still = W1 @ x + b1
    m2 = np.linalg.solve(np.eye(2) + gamma * r * W2 @ B, gamma * (t - W2 @ still - b2))
    y1 = still + r * B @ m2
    exact = [np.outer(B @ m2, x) / gamma, np.outer(m2, y1) / gamma]
    time = timing.nudged_steps * timing.step  # of the second showing, at rest from its beginning
    # every step rounds a weight of size 1; and what is learnt changes the state by as much as it is
    tolerance = timing.nudged_steps * EPS / (slow * time) + 10 * slow * time
    for layer in range(2):
        found = (record.weights[2][layer] - record.weights[1][layer])[0] / (slow * time)
        np.testing.assert_allclose(found, exact[layer], rtol=0, atol=tolerance)
        assert np.abs(exact[layer]).max() > 1e4 * tolerance
    down = (record.feedback[2][0] - record.feedback[1][0])[0] / (slow * time)
    np.testing.assert_allclose(down, np.outer(y1, m2) / gamma, rtol=0, atol=tolerance)


def test_mismatch_with_the_membranes_drive_is_blind_to_what_comes_from_below(
    rng: np.random.Generator,
) -> None:
    """Without a nudge nothing is learnt while images change; with an instant drive much is."""
    changes = {}
    for own_drive in ("membrane", "instant"):
        timing = Timing(TAU / 4, free_steps=0, nudged_steps=6)
        plastic = make(rng, timing=timing, rate=5.0, own_drive=own_drive)
        inputs, targets = stream(rng, plastic, 6)
        changes[own_drive] = _without_nudge(plastic, inputs, targets)
    assert changes["membrane"] < 1e4 * EPS
    assert changes["instant"] > 0.05


def test_no_nudge_no_learning_from_shifts(rng: np.random.Generator) -> None:
    timing = Timing(TAU / 4, free_steps=120, nudged_steps=40)
    plastic = make(rng, timing=timing, rate=5.0, readout="shift", storage="captured")
    inputs, targets = stream(rng, plastic, 3)
    # what is left of the free phase's approach after 30 time constants, (3/4)^120, over the gain
    assert _without_nudge(plastic, inputs, targets) < 1e-9


def _without_nudge(plastic: Plastic, inputs: np.ndarray, targets: np.ndarray) -> float:
    """The largest change of a weight when the target has no hold on the output."""
    pieces = make_plastic_pieces(plastic, inputs, targets)
    pieces.layers[-1].gamma = 0.0
    network = brian2.Network(*pieces.objects)
    advance_plastic(network, pieces, len(inputs))
    pairs = zip(pieces.feedforward, plastic.network.weights, strict=True)
    return max(float(np.abs(s.weight_[:] - W.ravel()).max()) for s, W in pairs)


def test_feedback_goes_to_the_transpose_as_theory_says(rng: np.random.Generator) -> None:
    """B - W^T falls by 1 - rate decay dt a step, whatever is learnt meanwhile."""
    timing = Timing(TAU / 4, free_steps=0, nudged_steps=8, teacher_stages=2)
    plastic = make(rng, timing=timing, rate=20.0, decay=0.4)
    inputs, targets = stream(rng, plastic, 5)
    record = run_plastic(plastic, inputs, targets)
    before = plastic.feedback[0][0] - plastic.network.weights[1][0].T
    after = record.feedback[-1][0][0] - record.weights[-1][1][0].T
    factor = (1 - 20.0 * 0.4 * timing.step) ** record.steps
    assert factor < 0.5
    np.testing.assert_allclose(after, factor * before, rtol=0, atol=1e4 * EPS)
    assert alignments(
        replace_weights(plastic.network, record.weights[-1], record.biases[-1]), record.feedback[-1]
    ) > alignments(plastic.network, plastic.feedback)


def test_fixed_feedback_does_not_decay(rng: np.random.Generator) -> None:
    """The setting multiplies all of dB/dt: at 0 nothing is learnt and nothing fades, at 1 the same
    circuit's feedback loses most of what it began with."""
    timing = Timing(TAU / 4, free_steps=0, nudged_steps=8, teacher_stages=2)
    plastic = make(rng, (5, 4, 3), timing=timing, rate=20.0, decay=0.4)
    inputs, targets = stream(rng, plastic, 5)
    ends = []
    for learns in (0.0, 1.0):
        chosen = replace(plastic, feedback_plasticity=np.array([learns]))
        ends.append(run_plastic(chosen, inputs, targets).feedback[-1][0][0])
    began = plastic.feedback[0][0]
    np.testing.assert_array_equal(ends[0], began)
    assert np.linalg.norm(ends[1] - began) > 0.3 * np.linalg.norm(began)


def replace_weights(network: Network, weights: Any, biases: Any) -> Network:
    return replace(network, weights=tuple(weights), biases=tuple(biases))


def test_direct_storage_takes_what_was_taught_for_a_shift(rng: np.random.Generator) -> None:
    """One linear unit: what it learns moves its drive, by rate |x|^2 (y - z) / gamma, and y with
    it, so that slow plasticity lets the shift grow by exp(rate |x|^2 time (1 - gamma) / gamma),
    the bias counted as a weight of 1 in |x|^2. Captured, it stays.
    """
    grown, gamma, exponent, steps = {}, 0.3, 1.5, 400
    for storage in ("direct", "captured"):
        timing = Timing(TAU / 4, free_steps=100, nudged_steps=steps, memory=TAU / 4)
        rate = exponent * gamma / ((1 - gamma) * 2 * steps * timing.step)
        plastic = make(
            rng, (3, 1), units="linear", timing=timing, rate=rate, readout="shift", storage=storage
        )
        x = np.array([[0.6, 0.0, 0.8]])
        record = run_plastic(plastic, x, np.ones((1, 1)))
        still = plastic.network.weights[0][0] @ x[0] + plastic.network.biases[0][0]
        error = 1 - still[0]
        grown[storage] = (record.rates[0][0] - still)[0] / (gamma * error)
    # y - z and u - z beside the error, step by step: a linear map with a constant
    step = np.eye(3)
    step[0] += np.array([-1, 1 - gamma, gamma]) / 4
    step[1, 0] += 2 * rate * timing.step / gamma
    shift = (np.linalg.matrix_power(step, steps) @ [0, 0, 1])[0]
    assert grown["direct"] == pytest.approx(shift / gamma, rel=1e-9)
    # the slow limit, to first order in the rate over that of the membrane, here 1.5 / 100 / 0.3
    assert grown["direct"] == pytest.approx(np.exp(exponent), rel=2 * exponent / 100 / gamma)
    assert grown["captured"] == pytest.approx(1, rel=1e-9)


# --- the trainer, and the limit of slow plasticity ---


def square(rng: np.random.Generator, **fields: Any) -> Plastic:
    return make(rng, (4, 4, 4), **fields)


def newton(plastic: Plastic, image: np.ndarray, target: np.ndarray) -> Any:
    """The equilibrium by `tests.imperfect_circuits`: Newton's method in shift coordinates."""
    network = Network(
        tuple(w[0] for w in plastic.network.weights),
        tuple(b[0] for b in plastic.network.biases),
        plastic.network.activations,
        plastic.network.n_inputs,
        plastic.network.n_outputs,
    )
    circuit = build_circuit(network, plastic.pathway, plastic.strength)
    trial = begin(circuit, image[None, :], target[None, :])
    unused = np.zeros_like(network.weights[0])
    found = settle_imperfect(Imperfect(trial, (unused, plastic.feedback[0][0]), corrected=True))
    assert found.settled.all()
    return network, trial, found


@pytest.mark.parametrize("pathway", ["gait", "grait"])
def test_trainer_settles_where_newtons_method_does(pathway: str, rng: np.random.Generator) -> None:
    plastic = replace(square(rng), pathway=pathway)
    (image,), (target,) = stream(rng, plastic, 1)
    rates, at_rest = settled_rates(plastic, image, target)
    assert at_rest.all()
    _, trial, found = newton(plastic, image, target)
    for layer in (1, 2):
        exact = trial.activity.rates[layer][0] + found.shifts[layer - 1][0]
        np.testing.assert_allclose(rates[layer][0], exact, rtol=0, atol=1e-6)


def one_by_one(
    plastic: Plastic, inputs: np.ndarray, targets: np.ndarray, updates: int
) -> list[np.ndarray]:
    """W_1, W_2 after so many updates an image, each in the equilibrium of the weights by then."""
    gamma, timing = plastic.strength, plastic.timing
    small = plastic.rates[0] * timing.nudged_steps * timing.step / updates
    gains = (gamma**2 / (1 - gamma), gamma)
    for image, target in zip(inputs, targets, strict=True):
        for _ in range(updates):
            network, trial, found = newton(plastic, image, target)
            free = [y[0] for y in trial.activity.rates]
            y = [image, *(a + s[0] for a, s in zip(free[1:], found.shifts, strict=True))]
            weights, biases = [], []
            for at, (W, b) in enumerate(zip(network.weights, network.biases, strict=True)):
                h = W @ y[at] + b
                still = np.arcsinh(h) if plastic.readout == "mismatch" else free[at + 1]
                slope, signal = 1 / np.sqrt(1 + h * h), (y[at + 1] - still) / gains[at]
                change = local_update(slope[None], signal[None], y[at][None])
                weights.append((W + small * change.weights)[None])
                biases.append((b + small * change.biases)[None])
            B = plastic.feedback[0] + small * np.outer(y[1], slope * signal)
            moved = replace(plastic.network, weights=tuple(weights), biases=tuple(biases))
            plastic = replace(plastic, network=moved, feedback=(B,))
    return [W[0] for W in plastic.network.weights]


def in_brian(plastic: Plastic, inputs: np.ndarray, targets: np.ndarray) -> list[np.ndarray]:
    """W_1, W_2 after the images, with what is still in their tags."""
    pieces = make_plastic_pieces(plastic, inputs, targets)
    advance_plastic(brian2.Network(*pieces.objects), pieces, len(inputs))
    tags = [s.tag_[:] if plastic.storage == "captured" else 0.0 for s in pieces.feedforward]
    pairs = zip(pieces.feedforward, tags, plastic.network.weights, strict=True)
    return [(s.weight_[:] + tag).reshape(W.shape[1:]) for s, tag, W in pairs]


def apart(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return float(np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(one, other, strict=True))))


PROTOCOLS: dict[str, dict[str, Any]] = {
    "always": {"readout": "mismatch", "storage": "direct"},
    "phases": {"readout": "shift", "storage": "captured"},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_slow_plasticity_is_the_trainer_to_first_order_in_the_rate(
    protocol: str, rng: np.random.Generator
) -> None:
    """The same images, each taught as much in all: half the rate for twice the time, half the
    distance. Where tags hold back what is learnt, the trainer makes one update an image.
    """
    phases, taught = protocol == "phases", 0.16
    base = square(rng, **PROTOCOLS[protocol], timing=Timing(TAU / 2, 10, 10))
    inputs, targets = stream(rng, base, 2)
    rates, distances = [2.0, 1.0, 0.5], []
    for rate in rates:
        steps = round(taught / rate / (TAU / 2))
        timing = Timing(TAU / 2, steps if phases else 0, steps, 0 if phases else 2)
        plastic = replace(base, rates=np.array([rate]), timing=timing)
        found = in_brian(plastic, inputs, targets)
        exact = one_by_one(plastic, inputs, targets, 1 if phases else 40)
        distances.append(apart(found, exact))
    learnt = apart(exact, [W[0] for W in base.network.weights])
    order = np.polyfit(np.log(rates), np.log(distances), 1)[0]
    assert distances[-1] < 0.2 * learnt
    assert order == pytest.approx(1, abs=0.15)


def test_trainer_of_the_study_is_the_one_above(rng: np.random.Generator) -> None:
    for fields in PROTOCOLS.values():
        plastic = square(rng, **fields, rate=2.0, timing=Timing(TAU / 2, 10, 16))
        inputs, targets = stream(rng, plastic, 2)
        found = trained_by_updates(plastic, inputs, targets, updates=2)
        assert found.settled == 1
        exact = one_by_one(plastic, inputs, targets, 2)
        for a, b in zip(found.network.weights, exact, strict=True):
            np.testing.assert_allclose(a[0], b, rtol=0, atol=1e-6)


def test_cosines_with_back_propagation_against_finite_differences(
    rng: np.random.Generator,
) -> None:
    """With weak feedback through W^T, 1 to first order in gamma; through another B that of its
    update with the gradient, taken by differences of the loss. The output layer needs no B."""
    plastic = make(rng, (4, 3, 3, 2), strength=0.01)
    inputs, targets = stream(rng, plastic, 3)
    through = tuple(np.swapaxes(W, -1, -2) for W in plastic.network.weights[1:])
    exact = update_cosines(replace(plastic, feedback=through), inputs, targets)
    assert exact.shape == (1, 3)
    np.testing.assert_allclose(exact, 1, atol=1e-3)
    found = update_cosines(plastic, inputs, targets)[0]
    assert found[2] == pytest.approx(1, abs=1e-3)
    weights = [W[0] for W in plastic.network.weights]
    biases = [b[0] for b in plastic.network.biases]

    def loss(W1: np.ndarray) -> float:
        y = inputs
        for W, b in zip((W1, *weights[1:]), biases, strict=True):
            y = np.arcsinh(y @ W.T + b)
        return 0.5 * float(np.sum((targets - y) ** 2))

    gradient, carried = np.zeros_like(weights[0]), np.zeros_like(weights[0])
    for place in np.ndindex(gradient.shape):
        up, down = weights[0].copy(), weights[0].copy()
        up[place] += 1e-5
        down[place] -= 1e-5
        gradient[place] = (loss(up) - loss(down)) / 2e-5
    for image, target in zip(inputs, targets, strict=True):
        y, slopes = image, []
        for W, b in zip(weights, biases, strict=True):
            h = W @ y + b
            y, slopes = np.arcsinh(h), [*slopes, 1 / np.sqrt(1 + h * h)]
        error = target - y
        for B, slope in zip(plastic.feedback[::-1], slopes[:0:-1], strict=True):
            error = B[0] @ (slope * error)
        carried += np.outer(slopes[0] * error, image)
    cosine = -np.sum(gradient * carried) / np.linalg.norm(gradient) / np.linalg.norm(carried)
    assert found[0] == pytest.approx(cosine, abs=1e-2)
    assert abs(cosine) < 0.95


def test_gradients_against_central_differences(rng: np.random.Generator) -> None:
    """Of the squared loss summed over images, by central differences of every weight."""
    plastic = make(rng, (4, 3, 5, 2), count=2)
    inputs, targets = stream(rng, plastic, 6)
    found = gradients(plastic.network, inputs, targets)
    for one, layer in product(range(2), range(3)):
        W = [w[one].copy() for w in plastic.network.weights]

        def loss(weights: list, one: int = one) -> float:
            y = inputs
            for w, b in zip(weights, plastic.network.biases, strict=True):
                y = np.arcsinh(y @ w.T + b[one])
            return 0.5 * float(np.sum((targets - y) ** 2))

        for place in np.ndindex(W[layer].shape):
            ends = []
            for move in (1e-6, -1e-6):
                moved = [w.copy() for w in W]
                moved[layer][place] += move
                ends.append(loss(moved))
            slope = (ends[0] - ends[1]) / 2e-6
            assert found[layer][one][place] == pytest.approx(-slope, abs=1e-6)


def test_slow_learning_through_the_transpose_goes_where_back_propagation_does(
    rng: np.random.Generator,
) -> None:
    """With B = W^T, rates that settle and hardly any plasticity, the theorem of the imperfect
    pathway: cosine 1 to first order in gamma, whatever decays. Negative controls: through random B
    it is another direction, and without learning there is none.
    """
    timing = Timing(TAU / 2, free_steps=0, nudged_steps=120, teacher_stages=3)
    fields: dict[str, Any] = {"strength": 0.02, "decay": 0.3, "timing": timing, "rate": 1e-3}
    plastic = make(rng, (5, 4, 3, 2), count=3, **fields)
    inputs, targets = stream(rng, plastic, 8)
    through = tuple(np.swapaxes(W, -1, -2) for W in plastic.network.weights[1:])
    still = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    exact = replace(plastic, feedback=through, layer_plasticity=still)
    record = run_plastic(exact, inputs, targets, snapshots=2)
    found = learnt_cosines(exact, record, inputs, targets)
    np.testing.assert_allclose(found[:2], 1, atol=0.02)
    assert np.isnan(found[2])
    record = run_plastic(plastic, inputs, targets, snapshots=2)
    assert (learnt_cosines(plastic, record, inputs, targets) < 0.9).all()


def test_pairs_of_signs_are_learnt_by_no_network_without_hidden_layers() -> None:
    """Least squares of `numpy.linalg.lstsq` on all signs is at chance; on their products it is not.

    The labels are those of a loop over images.
    """
    scene = exclusive_or(3000, 4)
    assert scene.inputs.shape == (3000, 8) and scene.targets.shape == (3000, 4)
    labels = scene.targets.argmax(axis=1)
    signs = np.sign(scene.inputs)
    right = [
        int(one[0] * one[1] < 0) + 2 * int(one[2] * one[3] < 0) == label
        for one, label in zip(signs, labels, strict=True)
    ]
    assert np.mean(right) > 0.98  # the noise turns a sign now and then
    accuracy = {}
    for what in ("signs", "products"):

        def seen(inputs: np.ndarray, what: str = what) -> np.ndarray:
            pairs = inputs[:, 0:4:2] * inputs[:, 1:4:2]
            columns = inputs if what == "signs" else pairs
            return np.column_stack([columns, columns.prod(axis=1), np.ones(len(inputs))])

        W = np.linalg.lstsq(seen(scene.inputs), scene.targets, rcond=None)[0]
        guess = (seen(scene.test_inputs) @ W).argmax(axis=1)
        accuracy[what] = np.mean(guess == scene.test_labels)
    assert accuracy["signs"] < 0.35 and accuracy["products"] > 0.9


def test_wrong_targets_are_not_learnt_and_right_ones_are(rng: np.random.Generator) -> None:
    """Four patterns, of which each has a target; with targets dealt out anew every time, none."""
    patterns = 2 * np.eye(4) - 0.5
    order = rng.integers(4, size=120)
    errors = {}
    for what, drawn in (("right", order), ("wrong", rng.permutation(order))):
        timing = Timing(TAU / 2, free_steps=0, nudged_steps=16, teacher_stages=2)
        plastic = make(rng, (4, 6, 4), units="leaky_relu", timing=timing, rate=1.0)
        record = run_plastic(plastic, patterns[order], np.eye(4)[drawn])
        network = replace(plastic.network, weights=record.weights[-1], biases=record.biases[-1])
        errors[what] = 1 - accuracies(network, patterns, np.arange(4))[0]
    assert errors["right"] == 0
    assert errors["wrong"] > 0.25


def test_accuracies_and_alignments_network_by_network(rng: np.random.Generator) -> None:
    """Three networks of unequal success in loops over images; the second is not finite."""
    plastic = make(rng, (5, 4, 3), count=3)
    network, feedback = plastic.network, plastic.feedback
    inputs, labels = rng.random((20, 5)), rng.integers(0, 2, 20)
    network = replace(network, n_outputs=2)  # the third unit is auxiliary, and has no say
    network.weights[1][1, 0, 2] = np.inf
    network = with_weights(network, network.weights, network.biases)
    found, turned = accuracies(network, inputs, labels), alignments(network, feedback)
    assert np.isnan(found[1]) and np.isnan(turned[1])
    for one in (0, 2):
        right = 0
        for image, label in zip(inputs, labels, strict=True):
            y = image
            for W, b in zip(network.weights, network.biases, strict=True):
                y = np.arcsinh(W[one] @ y + b[one])
            right += (0 if y[0] > y[1] else 1) == label
        assert found[one] == right / 20
        B, W = feedback[0][one].ravel(), network.weights[1][one].T.ravel()
        assert turned[one] == pytest.approx(B @ W / np.sqrt((B @ B) * (W @ W)))
    assert found[0] != found[2]


# --- what is handed out ---


def test_diverged_circuits_leave_the_others_alone(
    rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    plastic = make(rng, count=2, units="leaky_relu", timing=Timing(TAU / 2, 0, 8))
    inputs, targets = stream(rng, plastic, 30)
    both = run_plastic(replace(plastic, rates=np.array([1.0, 1e5])), inputs, targets)
    alone = run_plastic(replace(plastic, rates=np.array([1.0, 0.0])), inputs, targets)
    assert np.isfinite(both.weights[-1][0][0]).all()
    assert not np.isfinite(both.weights[-1][0][1]).all()
    np.testing.assert_array_equal(both.weights[-1][0][0], alone.weights[-1][0][0])
    assert not [one for one in caplog.records if one.levelname == "WARNING"]


def test_diverged_networks_leave_the_trainers_others_alone(rng: np.random.Generator) -> None:
    plastic = make(rng, count=2, units="leaky_relu", timing=Timing(TAU / 2, 0, 8))
    inputs, targets = stream(rng, plastic, 60)
    both = trained_by_updates(replace(plastic, rates=np.array([1.0, 1e9])), inputs, targets)
    alone = trained_by_updates(replace(plastic, rates=np.array([1.0, 0.0])), inputs, targets)
    assert not np.isfinite(both.feedback[0][1]).all()
    for one, other in zip(both.network.weights, alone.network.weights, strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-6)  # it settles to a tolerance


def test_noise_comes_from_the_generator(rng: np.random.Generator) -> None:
    plastic = make(rng, count=2, noise=np.array([0.0, 0.1]))
    inputs, targets = stream(rng, plastic, 1)

    def run(seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        return run_plastic(plastic, inputs, targets, generator=generator).weights[-1][0]

    first, again, other = run(1), run(1), run(2)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[0], other[0])
    assert np.abs(first[1] - other[1]).max() > 1e-6
    with pytest.raises(CircuitError, match="generator"):
        run_plastic(plastic, inputs, targets)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"strength": 1.0}, CircuitError, "gamma = 1"),
        ({"readout": "both"}, CircuitError, "shift, mismatch"),
        ({"own_drive": "no"}, CircuitError, "membrane"),
        ({"storage": "no"}, CircuitError, "captured"),
        ({"rates": np.array([-1.0])}, CircuitError, "rates"),
        ({"rates": np.ones(2)}, ShapeMismatch, "rates"),
        ({"delays": np.array([0.5])}, CircuitError, "whole"),
        ({"feedback": ()}, ShapeMismatch, "feedback"),
        ({"feedback_plasticity": np.array([np.nan])}, CircuitError, "feedback plasticity"),
        ({"decay": float("nan")}, CircuitError, "decay = nan"),
        ({"decay": -1.0}, CircuitError, "decay = -1"),
        ({"time_constants": (np.full((1, 3), 1e-3), np.full((1, 2), 1.0))}, CircuitError, "step"),
        ({"readout": "shift", "timing": Timing(TAU / 4, 0, 5)}, CircuitError, "free phase"),
    ],
)
def test_bad_circuits_are_refused_in_one_line(
    change: dict[str, Any], error: type[Exception], words: str, rng: np.random.Generator
) -> None:
    plastic = make(rng)
    with pytest.raises(error, match=words) as caught:
        replace(plastic, **change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"step": 0.0},
        {"nudged_steps": 0},
        {"free_steps": -1},
        {"teacher_stages": 0.5},
        {"memory": 1e-4},
        {"capture": float("inf")},
    ],
)
def test_bad_timings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(CircuitError, match="give"):
        Timing(**({"step": 0.002, "free_steps": 4, "nudged_steps": 4} | values))


def test_bad_streams_are_refused(rng: np.random.Generator) -> None:
    plastic = make(rng)
    inputs, targets = stream(rng, plastic, 2)
    for bad in (
        (inputs[:, :2], targets),
        (inputs, targets[:1]),
        (inputs[:0], targets[:0]),
        (inputs * np.nan, targets),
    ):
        with pytest.raises(CircuitError):
            make_plastic_pieces(plastic, *bad)
    holed = replace(plastic, feedback=(np.full_like(plastic.feedback[0], np.nan),))
    with pytest.raises(CircuitError, match="feedback holds what is not finite"):
        make_plastic_pieces(holed, inputs, targets)
    with pytest.raises(CircuitError, match="snapshots"):
        run_plastic(plastic, inputs, targets, snapshots=3)
    with pytest.raises(CircuitError, match="'my circuit'"):
        make_plastic_pieces(plastic, inputs, targets, name="my circuit")


def test_equations_that_are_not_there_are_refused(rng: np.random.Generator) -> None:
    plastic = make(rng)
    for layer in (0, 3):
        with pytest.raises(CircuitError, match=f"layer {layer}"):
            layer_equations(plastic, layer)
    with pytest.raises(CircuitError, match="'sideways'"):
        synapse_equations(plastic, "sideways")


@pytest.mark.parametrize(
    ("snapshots", "images"), [(1, (0, 5)), (np.int64(2), (0, 3, 5)), (4, (0, 2, 4, 5))]
)
def test_snapshots_come_at_equal_distances_and_at_the_end(
    snapshots: int, images: tuple[int, ...], rng: np.random.Generator
) -> None:
    plastic = make(rng)
    record = run_plastic(plastic, *stream(rng, plastic, 5), snapshots=snapshots)
    assert record.images == images
    assert len(record.weights) == len(record.biases) == len(record.feedback) == len(images)
    for array in (layer for moment in record.weights for layer in moment):
        while isinstance(array.base, np.ndarray):
            array = array.base
        assert array.flags.owndata  # and no view of Brian2's own memory


# --- the study ---


def test_study_has_its_cells_and_a_cell_says_what_it_promises() -> None:
    from studies.learning_in_circuit.sleeping import study as sleeping
    from studies.learning_in_circuit.study import PROBES, measure, study

    laptop = study("laptop")
    ends = ("", ": no hidden layer", ": frozen hidden layers")
    known = {f"{curve}{end}" for curve in ("digits", "xor") for end in ends}
    known |= {f"asleep{where}{end}" for where in ("", " on signs") for end in ends[1:]}
    known |= {f"{task}{name}" for task in ("", "signs: ") for name in sleeping.PROBES}
    known |= {"variant", *PROBES}
    assert {cell["probe"] for cell in laptop.cells} == known
    curves = {cell["probe"]: cell for cell in study("smoke").cells}
    for words, learns in (("no hidden layer", None), ("frozen hidden layers", False), ("", True)):
        probe = f"xor: {words}" if words else "xor"
        data = measure(**(curves[probe] | {"images": 12, "networks": 2}))
        assert data["value"].values.tolist() == list(range(13))
        assert np.isfinite(data["alignment"].values).all() == (learns is not None)
    cell = next(cell for cell in study("smoke").cells if cell["probe"] == "rate")
    data = measure(**(cell | {"images": 10, "networks": 2}))
    assert data["accuracy"].dims == ("value", "network")
    assert data["accuracy"].shape == (len(PROBES["rate"]), 2)
    assert {"alignment", "trainer_accuracy", "trainer_settled", "chance"} <= set(data)


def results() -> xr.Dataset:
    """Two cells as a sweep gives them: three values of noise in two networks, and other values of
    another probe between them."""
    accuracy = np.full((2, 4, 2), np.nan)
    accuracy[0, [0, 1]] = [[0.9, 0.7], [0.9, np.nan]]  # at the third value both diverged
    accuracy[1, 2] = 0.6
    measured = np.array([[1.0, 1.0, np.nan, 1.0], [np.nan, np.nan, 1.0, np.nan]])
    return xr.Dataset(
        {
            "accuracy": (("cell", "value", "network"), accuracy),
            "measured": (("cell", "value"), measured),
            "chance": ("cell", [0.2, 0.2]),
            "status": ("cell", ["diverged: 3 of 6 networks", "converged"]),
        },
        coords={
            "protocol": ("cell", ["always", "always"]),
            "networks": ("cell", [2, 2]),
            "probe": ("cell", ["noise", "delay"]),
            "value": [0.0, 0.1, 0.25, 0.3],
        },
    )


def test_diverged_networks_count_as_chance_and_other_probes_values_do_not_count() -> None:
    from studies.learning_in_circuit.findings import curves, findings

    values, found = curves(results(), "always", "noise")
    np.testing.assert_array_equal(values, [0, 0.1, 0.3])
    np.testing.assert_array_equal(found, [[0.9, 0.9, 0.2], [0.7, 0.2, 0.2]])
    assert curves(results(), "phases", "noise")[0].size == 0
    fewer = results().assign_coords(networks=("cell", [1, 2]))  # the second is none of this cell's
    np.testing.assert_array_equal(curves(fewer, "always", "noise")[1], [[0.9, 0.9, 0.2]])
    failed = results()
    failed["accuracy"] = failed["accuracy"] * np.nan
    failed["measured"] = failed["measured"] * np.nan
    assert [part.size for part in curves(failed, "always", "noise")] == [0, 0]
    assert findings(failed) == []  # nothing to tell, and nothing that breaks
    beside = results().isel(cell=[0]).assign_coords(probe=("cell", ["variant"]))
    beside["accuracy"][0] = np.repeat([[0.3], [0.5], [0.9], [0.9]], 2, axis=1)
    beside["measured"][0] = 1.0
    both = xr.concat([results(), beside], "cell")
    names = [[""] * 4, [""] * 4, ["no hidden layer", "frozen hidden layers", "as it is", "x"]]
    both["variant"] = ("cell", "value"), names
    table = "\n".join(findings(both))
    assert "0.1 | 0.3" in table  # two networks: means 0.8, 0.55 and 0.2 against the better control


def test_breaking_point_is_where_the_interval_meets_the_bar() -> None:
    """Student's interval of three networks by hand: +- 4.303 s / sqrt(3)."""
    from studies.learning_in_circuit.findings import breaking_point

    values = np.array([1.0, 2.0, 3.0, 4.0])
    spread = np.array([[-0.01], [0.0], [0.01]])  # half an interval is 0.0248
    found = np.array([0.9, 0.8, 0.52, 0.9]) + spread
    assert breaking_point(values, found, 0.49, from_below=False)[0] == 4.0
    assert np.isnan(breaking_point(values, found, 0.49, from_below=False)[1])
    assert breaking_point(values, found, 0.50, from_below=False) == (2.0, 3.0)
    assert breaking_point(values, found, 0.50, from_below=True) == (4.0, 3.0)
    slow = np.array([0.3, 0.9, 0.8, 0.2]) + spread  # the gentlest has not learnt yet
    assert breaking_point(values, slow, 0.50, from_below=False) == (3.0, 4.0)
    never = breaking_point(values, found, 0.95, from_below=False)
    assert np.isnan(never[0]) and never[1] == 1.0
