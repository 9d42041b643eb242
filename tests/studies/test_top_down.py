"""Strong top-down input against loops over units, differences, ODEs, and theorems."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from analysis.canvas import draw
from analysis.sweep.run import run
from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.errors import CircuitError
from circuit.feedback import output_only
from circuit.initialisation.networks import initialise
from circuit.learning.lesson import Lesson
from circuit.learning.step import begin_learning, learn
from circuit.losses import output_error
from circuit.network import forward
from circuit.plasticity import local_update, updates
from circuit.report.alignment import agreement
from circuit.rules import RULES
from circuit.settings.learning import Adam
from models.command.studies import findings
from studies.top_down import figures
from studies.top_down import study as top_down
from studies.top_down.circuit import (
    find_rest,
    jacobians,
    mismatches,
    residual,
    strong_circuit,
    with_inputs,
)
from studies.top_down.figures import poles
from studies.top_down.measures import MEASURES, cosines, has_another, input_share, settling_time
from studies.top_down.theory import chain_abscissa, chain_gains, replaced_eigenvalues

PATHWAYS = pytest.mark.parametrize("pathway", ["itp", "gait", "grait"])
READINGS = pytest.mark.parametrize("reading", ["replacing", "added"])
WEIGHTS = pytest.mark.parametrize("init", ["orthogonal", "gaussian"])


def _circuit(
    pathway="gait", reading="replacing", strength=1.0, nudge=0.1, *, depth=3, n=4, outputs=None,
    init="orthogonal", activation="asinh", seed=0, widths=None, goal=0.8,
):  # fmt: skip
    """A circuit of `depth` layers of n units with biases and three images."""
    rng = np.random.default_rng(seed)
    network = initialise(
        widths or [n + 1] + [n] * depth,
        rng,
        init=init,
        activation=activation,
        n_outputs=outputs or n,
    )
    for bias in network.biases:
        bias[:] = 0.1 * rng.standard_normal(bias.size)
    inputs = rng.random((3, network.n_inputs))
    targets = goal * np.eye(network.n_outputs)[rng.integers(0, network.n_outputs, 3)]
    return strong_circuit(
        network, inputs, targets, pathway=pathway, reading=reading, strength=strength, nudge=nudge
    )


def _printed_velocity(circuit, rates, strength, reading, image=0):
    """dy/dt for rates y_1 .. y_L of one image, unit by unit, tau = 1 (docs, section 2)."""
    network = circuit.network
    unit = network.activations[0]
    below = [circuit.activity.rates[0][image], *rates]

    def f(h):
        return float(unit.value(np.array([h]))[0])

    def slope(h):
        return float(unit.slope(np.array([h]))[0])

    def inverse(y):
        return float(unit.inverse(np.array([y]))[0])

    def drive(layer, i):
        W, b = network.weights[layer - 1], network.biases[layer - 1]
        return sum(W[i, j] * below[layer - 1][j] for j in range(W.shape[1])) + b[i]

    found = []
    for layer in range(1, network.depth + 1):
        n = network.n_projecting(layer)
        target = circuit.activity.rates[-1][image] + circuit.error[image]
        if layer < network.depth:
            sent = []
            for i in range(network.widths[layer + 1]):
                u, a, y = f(drive(layer + 1, i)), slope(drive(layer + 1, i)), below[layer + 1][i]
                rows = sum(w**2 for w in network.weights[layer][i])
                gain = {"gait": a**2, "grait": a**2 * rows}.get(circuit.pathway.name)
                y = y if gain is None else u + gain * (y - u)
                sent.append(inverse(y) - network.biases[layer][i])
            F = np.linalg.inv(network.weights[layer]) @ sent
        for i in range(network.widths[layer]):
            own, y = f(drive(layer, i)), below[layer][i]
            if i >= n:
                found.append(-y + own)
            elif layer == network.depth:
                found.append(-y + (1 - circuit.nudge) * own + circuit.nudge * target[i])
            elif reading == "replacing":
                found.append(-y + (1 - strength) * own + strength * F[i])
            else:
                free = circuit.activity.rates[layer][image, i]
                found.append(-y + own + strength * (F[i] - free))
    return np.array(found)


def _split(flat, network):
    return np.split(flat, np.cumsum(network.widths[1:])[:-1], axis=-1)


def _literal_jacobian(circuit, state, strength, reading, step=1e-5):
    """Central differences of the loops, of the first image."""
    rates = np.concatenate(
        [y[0] + z[0] for y, z in zip(circuit.activity.rates[1:], state, strict=True)]
    )

    def velocity(flat):
        return _printed_velocity(circuit, _split(flat, circuit.network), strength, reading)

    columns = [
        (velocity(rates + step * e) - velocity(rates - step * e)) / (2 * step)
        for e in np.eye(rates.size)
    ]
    return np.array(columns).T


@PATHWAYS
@READINGS
@pytest.mark.parametrize("activation", ["asinh", "tanh", "leaky_relu"])
def test_residual_is_the_printed_equations(pathway, reading, activation):
    """With auxiliary units in the layers and at the output, at a state that is no equilibrium."""
    circuit = _circuit(
        pathway, reading, 0.7, activation=activation, widths=[6, 5, 4, 4], outputs=3, goal=0.5
    )
    rng = np.random.default_rng(1)
    state = tuple(0.05 * rng.standard_normal(y.shape) for y in circuit.activity.rates[1:])
    found = np.concatenate(residual(circuit, state), axis=1)
    for image in range(3):
        rates = [
            y[image] + z[image] for y, z in zip(circuit.activity.rates[1:], state, strict=True)
        ]
        printed = _printed_velocity(circuit, rates, 0.7, reading, image)
        np.testing.assert_allclose(-found[image], printed, atol=1e-13)


@PATHWAYS
@READINGS
@WEIGHTS
def test_jacobian_against_differences_of_the_loops(pathway, reading, init):
    circuit = _circuit(pathway, reading, 0.8, init=init, widths=[5, 4, 4, 3], outputs=2)
    rng = np.random.default_rng(2)
    state = tuple(0.1 * rng.standard_normal(y.shape) for y in circuit.activity.rates[1:])
    literal = _literal_jacobian(circuit, state, 0.8, reading)
    np.testing.assert_allclose(jacobians(circuit, state)[0], literal, atol=1e-7)


# gamma = 1 below the output


@PATHWAYS
@WEIGHTS
@pytest.mark.parametrize("nudge", [0.01, 0.5])
def test_inverse_alone_rests_at_full_targets(pathway, init, nudge):
    """y_L = t_L and every layer above the first obeys its drive, for bent units and any nudge."""
    circuit = _circuit(pathway, nudge=nudge, init=init)
    found = find_rest(circuit)
    assert found.settled.all()
    rates = [y + z for y, z in zip(circuit.activity.rates[1:], found.state, strict=True)]
    target = circuit.activity.rates[-1] + circuit.error
    np.testing.assert_allclose(rates[-1], target, atol=1e-9)
    for layer, (lower, upper) in enumerate(pairwise(rates), 2):
        h = lower @ circuit.network.weights[layer - 1].T + circuit.network.biases[layer - 1]
        np.testing.assert_allclose(np.arcsinh(h), upper, atol=1e-9)


@PATHWAYS
def test_inverse_alone_attracts_from_everywhere(pathway):
    """SciPy's integration of the loops from far away ends at the same rates, in every run."""
    circuit = _circuit(pathway, nudge=0.5, n=3, depth=3)
    end = np.concatenate(
        [
            y[0] + z[0]
            for y, z in zip(circuit.activity.rates[1:], find_rest(circuit).state, strict=True)
        ]
    )
    rng = np.random.default_rng(3)
    for _ in range(3):
        solved = solve_ivp(
            lambda _, y: _printed_velocity(circuit, _split(y, circuit.network), 1.0, "replacing"),
            (0, 80),
            2 * rng.standard_normal(end.size),
            method="LSODA",
            rtol=1e-7,
            atol=1e-9,
        )
        np.testing.assert_allclose(solved.y[:, -1], end, atol=1e-5)


@PATHWAYS
@WEIGHTS
def test_spectrum_of_the_inverse_alone_is_known_exactly(pathway, init):
    """Against eigenvalues of differences of the loops: bent units, auxiliary units everywhere."""
    circuit = _circuit(pathway, nudge=0.2, init=init, widths=[6, 5, 4, 4], outputs=3)
    found = find_rest(circuit)  # the chains without a target have a direction that nothing ties
    state = found.state
    literal = np.sort(np.linalg.eigvals(_literal_jacobian(circuit, state, 1.0, "replacing")).real)
    if not found.settled.all():  # the formula needs a rest: any of them
        state = tuple(np.zeros_like(z) for z in state)
        circuit = replace(circuit, error=0 * circuit.error)
        literal = np.sort(
            np.linalg.eigvals(_literal_jacobian(circuit, state, 1.0, "replacing")).real
        )
    exact = np.sort(replaced_eigenvalues(circuit, state))
    np.testing.assert_allclose(exact, literal, atol=1e-5)


@PATHWAYS
def test_what_nobody_ties_is_neutral(pathway):
    """An eigenvalue 0 for each unit above layer 1 that is not read and has no target."""
    circuit = _circuit(pathway, nudge=0.2, widths=[8, 7, 6, 4], outputs=3)
    still = tuple(np.zeros_like(y) for y in circuit.activity.rates[1:])
    values = np.linalg.eigvals(jacobians(replace(circuit, error=0 * circuit.error), still)[0])
    untied = (6 - 4) + (4 - 3)
    assert (np.abs(values) < 1e-9).sum() == untied
    assert (replaced_eigenvalues(circuit, still) == 0).sum() == untied


@PATHWAYS
def test_free_phase_of_the_inverse_alone_is_whatever_it_was(pathway):
    """Without a nudge every output is at rest with the layers that it implies, for any input."""
    circuit = _circuit(pathway, nudge=0.0)
    rng = np.random.default_rng(5)
    y = 0.5 * rng.standard_normal(circuit.error.shape)
    rates = [y]
    for layer in range(circuit.network.depth, 1, -1):
        W, b = circuit.network.weights[layer - 1], circuit.network.biases[layer - 1]
        rates.insert(0, np.linalg.solve(W, (np.sinh(rates[0]) - b).T).T)
    state = tuple(r - f for r, f in zip(rates, circuit.activity.rates[1:], strict=True))
    assert max(np.abs(r).max() for r in residual(circuit, state)) < 1e-13
    values = np.linalg.eigvals(jacobians(circuit, state)[0])
    assert (np.abs(values) < 1e-9).sum() == circuit.network.widths[-1]
    assert not find_rest(circuit, state).settled.any()  # there, but not isolated


@PATHWAYS
def test_inverse_alone_has_no_other_rest_and_forgets_its_input(pathway):
    circuit = _circuit(pathway, nudge=0.2)
    found = find_rest(circuit)
    one = strong_circuit(
        circuit.network, circuit.activity.rates[0][:1],
        (circuit.activity.rates[-1] + circuit.error)[:1], pathway=pathway, reading="replacing",
        strength=1.0, nudge=0.2,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    assert not has_another(one, tuple(z[:1] for z in found.state), rng)
    assert input_share(circuit, found, 0) < 1e-6
    weak = _circuit(pathway, strength=0.5, nudge=0.01)
    assert input_share(weak, find_rest(weak), 0) > 0.9


@PATHWAYS
@WEIGHTS
def test_replacing_below_one_is_the_circuit_that_settle_knows(pathway, init):
    """Equal strengths below the output, another nudge: by Newton of `circuit.settle` too."""
    circuit = _circuit(pathway, strength=0.2, nudge=0.1, init=init)
    found = find_rest(circuit)
    assert found.settled.all()
    known = build_circuit(circuit.network, pathway, 0.2, nudge=0.1)
    targets = (circuit.activity.rates[-1] + circuit.error)[:, : circuit.network.n_outputs]
    record = settle(begin(known, circuit.activity.rates[0], targets), "newton")
    for layer, z in enumerate(found.state, 1):
        own = record.shifts.absolute(layer)
        assert np.linalg.norm(own - z) < 1e-7 * np.linalg.norm(z)


def test_two_rests_are_noticed():
    """Two units one above the other: y_1 is a root of one scalar equation, which has three."""
    network = initialise([1, 1, 1], np.random.default_rng(0), activation="asinh")
    for weights in network.weights:
        weights[:] = 1.0
    y = np.sinh(np.linspace(-3, 12, 200001))

    def roots(g):
        balance = y - (1 - g) * np.arcsinh(-2) - g * np.sinh((1 - g) * np.arcsinh(y) + g * 8)
        return y[:-1][np.diff(np.sign(balance)) != 0]

    strength = next(g for g in np.linspace(0.25, 0.3, 101) if len(roots(g)) == 3)
    circuit = strong_circuit(
        network, np.array([[-2.0]]), np.array([[8.0]]), pathway="itp", reading="replacing",
        strength=strength, nudge=strength,
    )  # fmt: skip
    found = find_rest(circuit)
    assert found.settled.all()
    here = circuit.activity.rates[1] + found.state[0]
    assert np.min(np.abs(roots(strength) - here)) < 1e-3
    assert any(has_another(circuit, found.state, np.random.default_rng(i)) for i in range(5))


def test_a_target_out_of_range_has_no_rest():
    """tanh cannot be 1; nothing is called an equilibrium there."""
    circuit = _circuit("itp", activation="tanh", goal=1.0)
    assert not find_rest(circuit).settled.any()


# The chain


@WEIGHTS
@pytest.mark.parametrize(
    ("reading", "strength"),
    [("replacing", 0.5), ("replacing", 1.0), ("added", 0.3), ("added", 1.0)],
)
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_linear_circuit_is_its_chain(reading, strength, init, depth):
    """Every eigenvalue n-fold, and shifts c_l times those of target propagation."""
    circuit = _circuit(
        "itp", reading, strength, 0.2, depth=depth, n=3, init=init, activation="linear", seed=4
    )
    chain = (depth, circuit.keep, circuit.take, 0.2)
    found = find_rest(circuit)
    assert found.settled.all()
    abscissa = np.linalg.eigvals(jacobians(circuit, found.state)[0]).real.max()
    # eigenvalues may be defective, in chains of up to `depth`
    allowed = 1e-9 if (reading, strength) != ("replacing", 1.0) else 1e-3
    assert abscissa == pytest.approx(chain_abscissa(*chain), abs=allowed)
    full = RULES["tp"](circuit.network, circuit.activity, circuit.error, 1.0)
    for layer, gain in enumerate(chain_gains(*chain), 1):
        np.testing.assert_allclose(
            found.state[layer - 1], gain * full.absolute(layer), rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("depth", [2, 3, 7])
@pytest.mark.parametrize("nudge", [0.01, 0.4])
def test_gains_in_closed_form(depth, nudge):
    """gamma = 1/2: l gamma_L / (1 + (L - 1) gamma_L), a straight line; gamma = 1: full targets."""
    layers = np.arange(1, depth + 1)
    np.testing.assert_allclose(
        chain_gains(depth, 0.5, 0.5, nudge), layers * nudge / (1 + (depth - 1) * nudge), rtol=1e-12
    )
    np.testing.assert_allclose(chain_gains(depth, 0.0, 1.0, nudge), 1.0, rtol=1e-12)
    rho = 0.3 / 0.7
    tail = rho ** (depth - 1)
    first = nudge / (tail + nudge * (1 - tail) / (1 - rho))  # between the two
    assert chain_gains(depth, 0.3, 0.7, nudge)[0] == pytest.approx(first, rel=1e-12)


def test_gains_of_a_singular_chain_are_infinite():
    """keep = take = 1, three layers: c_3 = c_2 - c_1 = 0 = (1 - gamma_L) c_2 + gamma_L ..."""
    assert np.isinf(chain_gains(2, 1.0, 1.0, 0.0)).all()


def test_abscissae_in_closed_form():
    """gamma = 1: -1 + sqrt(1 - gamma_L). gamma = 1/2, no nudge: -1 + cos(pi / 2L)."""
    for depth in (2, 3, 8):
        assert chain_abscissa(depth, 0.0, 1.0, 0.1) == pytest.approx(-1 + np.sqrt(0.9), rel=1e-12)
        half = chain_abscissa(depth, 0.5, 0.5, 0.0)
        assert half == pytest.approx(-1 + np.cos(np.pi / (2 * depth)), rel=1e-10)


@pytest.mark.parametrize("depth", [2, 3, 5, 11])
def test_critical_gain(depth):
    """Without a nudge, stable just below kappa* = 1 / (4 cos^2(pi / (L + 1))), and not above it."""
    critical = 1 / (4 * np.cos(np.pi / (depth + 1)) ** 2)
    for factor, sign in ((0.999, -1), (1.001, 1)):
        assert np.sign(chain_abscissa(depth, 1.0, factor * critical, 0.0)) == sign
        chain = np.diag(np.ones(depth - 1), -1) + np.diag(np.full(depth - 1, factor * critical), 1)
        assert np.sign(np.linalg.eigvals(chain - np.eye(depth)).real.max()) == sign
    assert depth not in (2, 3) or critical == pytest.approx({2: 1.0, 3: 0.5}[depth])


def test_added_in_full_is_unstable_from_three_layers_on():
    """Whatever the weights: -1 + sqrt(2 - gamma_L) for three layers, by the circuit itself."""
    for pathway in ("itp", "gait"):
        circuit = _circuit(pathway, "added", 1.0, 0.1, init="gaussian", activation="linear")
        found = find_rest(circuit)
        abscissa = np.linalg.eigvals(jacobians(circuit, found.state)[0]).real.max()
        assert abscissa == pytest.approx(-1 + np.sqrt(1.9), abs=1e-9)
        assert np.isnan(settling_time(circuit, jacobians(circuit, found.state)[0], abscissa, ()))


# gamma = 1/2


def _worst_error(circuit, readout, rule, strengths):
    found = find_rest(circuit)
    assert found.settled.all()
    read = mismatches(circuit, found.state) if readout == "mismatch" else found.state
    shifts = RULES[rule](circuit.network, circuit.activity, circuit.error, strengths)
    exact = updates(circuit.network, circuit.activity, shifts)
    errors = []
    for layer in range(1, circuit.network.depth + 1):
        below = circuit.activity.rates[layer - 1][:, : circuit.network.widths[layer]]
        slope = circuit.activity.slope(layer)
        own = local_update(slope, read[layer - 1] / circuit.nudge, below)
        errors.append(agreement(own.weights, exact[layer - 1].weights).relative_error)
    return max(errors)


def test_half_carries_back_propagation_in_its_mismatch():
    """GAIT pathway, orthogonal weights, to first order in the nudge; at depth 8 all the same."""
    errors = [
        _worst_error(_circuit("gait", strength=0.5, nudge=nudge, depth=8), "mismatch", "bp", 1.0)
        for nudge in (1e-2, 1e-3)
    ]
    assert errors[1] < 0.02
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.3)


@pytest.mark.parametrize("init", ["gaussian"])
def test_negative_controls_of_the_half(init):
    """Gaussian weights carry their rule and not BP; other strengths have another gain."""
    circuit = _circuit("gait", strength=0.5, nudge=1e-4, init=init, seed=3)
    rule = output_only(1e-4, 3)
    assert _worst_error(circuit, "mismatch", "gait", rule) < 0.02
    assert _worst_error(circuit, "mismatch", "bp", 1.0) > 0.2
    other = _circuit("gait", strength=0.7, nudge=1e-4, seed=3)
    assert _worst_error(other, "mismatch", "gait", rule) > 0.2


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.9])
def test_gait_circuit_descends_an_energy_with_orthogonal_weights(gamma):
    """E = sum w_l |m_l|^2 / 2 + w_L r |e - z_L|^2 / 2, r = gamma / (1 - gamma), w_{l+1} = r w_l.

    In a linear piece dz_l/dt = -(1 - gamma_l) / w_l dE/dz_l: eigenvalues real and negative.
    """
    nudge, r = 0.2, gamma / (1 - gamma)
    circuit = _circuit("gait", strength=gamma, nudge=nudge, activation="leaky_relu", seed=2)
    network, activity = circuit.network, circuit.activity
    weights = r ** np.arange(3.0)

    def energy(flat):
        z = _split(flat, network)
        m = [z[0]]
        for layer in (2, 3):
            m.append(
                z[layer - 1]
                - activity.slope(layer)[0] * (network.weights[layer - 1] @ z[layer - 2])
            )
        pull = nudge / (1 - nudge) * weights[-1] * np.sum((circuit.error[0] - z[-1]) ** 2)
        return (sum(w * np.sum(v**2) for w, v in zip(weights, m, strict=True)) + pull) / 2

    rng = np.random.default_rng(1)
    z = 1e-4 * rng.standard_normal(12)  # small, so that no unit crosses its kink
    gradient = np.array([(energy(z + d) - energy(z - d)) / 2e-3 for d in 1e-3 * np.eye(12)])
    speed = np.repeat([1 - gamma, 1 - gamma, 1 - nudge] / weights, 4)
    state = tuple(np.broadcast_to(part, (3, 4)) for part in _split(z, network))
    found = np.concatenate(residual(circuit, state), axis=1)[0]
    np.testing.assert_allclose(found, speed * gradient, atol=1e-9)
    values = np.linalg.eigvals(jacobians(circuit, state)[0])
    assert values.real.max() < 0
    assert np.abs(values.imag).max() < 1e-7


def test_settling_time_of_one_unit_in_each_layer():
    """Linear, gamma = 1, two layers: a two by two system whose solution SciPy integrates."""
    circuit = _circuit("itp", nudge=0.3, depth=2, n=1, activation="linear")
    found = find_rest(circuit)
    matrix = jacobians(circuit, found.state)[0]
    abscissa = np.linalg.eigvals(matrix).real.max()
    state = tuple(z[:1] for z in found.state)
    time = settling_time(circuit, matrix, abscissa, state)
    end = np.concatenate(state, axis=1)[0]
    solved = solve_ivp(
        lambda _, z: matrix @ (z - end), (0, time), np.zeros(2), rtol=1e-10, atol=1e-13
    )
    missing = np.abs(solved.y[:, -1] - end) / np.abs(end)
    assert missing.max() == pytest.approx(1e-3, rel=0.02)


def test_cosines_over_settled_images_only():
    """Images without an equilibrium are left out on both sides."""
    circuit = _circuit("gait", strength=0.5, nudge=1e-3)
    found = find_rest(circuit)
    part = replace(found, settled=np.array([True, False, True]))
    rows = [0, 2]
    shifts = RULES["bp"](circuit.network, circuit.activity, circuit.error, 1.0)
    below, slope = circuit.activity.rates[0][rows][:, :4], circuit.activity.slope(1)[rows]
    own = local_update(slope, found.state[0][rows], below).weights
    exact = local_update(slope, shifts.absolute(1)[rows], below).weights
    expected = agreement(own, exact).cosine
    assert cosines(circuit, part)[0, 1, 0] == pytest.approx(expected, rel=1e-9)


def test_other_inputs_keep_the_targets():
    circuit = _circuit()
    moved = with_inputs(circuit, circuit.activity.rates[0] + 0.1)
    for one in (circuit, moved):
        target = one.activity.rates[-1] + one.error
        assert target.max(axis=1) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pathway": "tp"}, "choose from itp, gait"),
        ({"reading": "half"}, "replacing, added"),
        ({"strength": 1.5}, "strength 1.5 .* out of range"),
        ({"strength": 0.0}, "out of range"),
        ({"nudge": -0.1}, "nudge gamma = -0.1"),
    ],
)
def test_bad_input(given, words):
    with pytest.raises(CircuitError, match=words):
        _circuit(**given)


# Learning


@pytest.mark.parametrize("rule", ["gait", "itp"])
def test_lesson_with_one_increment_is_the_rule_with_those_strengths(rule):
    """One step, with Adam at its first: the direction of the weight change is its sign."""
    network = _circuit().network
    rng = np.random.default_rng(6)
    inputs, targets = rng.random((5, 5)), np.eye(4)[rng.integers(0, 4, 5)]
    lesson = Lesson(rule=rule, feedback_strength=0.3, increments="output", adam=Adam(1e-4))
    learned, _ = learn(begin_learning(network, lesson), lesson, inputs, targets)
    activity = forward(network, inputs)
    error = output_error(network, activity, targets)
    strengths = (1.0, 1.0, 0.3)
    exact = updates(network, activity, RULES[rule](network, activity, error, strengths))
    for before, after, update in zip(network.weights, learned.network.weights, exact, strict=True):
        np.testing.assert_allclose(after - before, 1e-4 * np.sign(update.weights), rtol=1e-3)


def test_strengths_of_a_lesson():
    assert Lesson(feedback_strength=0.2).strengths(3) == 0.2
    assert Lesson(feedback_strength=0.2, increments="output").strengths(3) == (1.0, 1.0, 0.2)
    circuit = Lesson(rule="circuit", feedback_strength=0.2, increments="output")
    assert circuit.strengths(3) == (0.5, 0.5, 0.2)
    with pytest.raises(CircuitError, match="increments at 'both' is unknown"):
        Lesson(increments="both")


# The study


@pytest.mark.usefixtures("rough_pictures")
def test_study_runs_draws_and_tells(measured, tmp_path):
    whole = top_down.study("smoke", seeds=(1,))
    small = replace(
        whole,
        cells=tuple(
            c
            for c in whole.cells
            if (c["part"] == "learning" and c["rule"] != "bp")
            or (c["activation"], c["depth"], c["part"]) == ("asinh", 2, "circuit")
        ),
    )
    measured("top_down", 1, tmp_path)
    data = run(small, tmp_path, workers=0, quiet=True)
    added = data["reading"].values == "added"  # unstable, and maybe nowhere at rest
    assert set(data["status"].values[~added].tolist()) == {"converged", "completed"}
    circuits = data.isel(cell=data["part"].values == "circuit")
    alone = circuits.sel(strength=1.0).isel(cell=circuits["reading"].values == "replacing")
    np.testing.assert_allclose(alone["arrival"], 1, rtol=1e-6)
    np.testing.assert_allclose(alone["abscissa"], alone["abscissa_theory"], rtol=1e-6)
    assert float(alone["input_share"].max()) < 1e-6
    assert set(MEASURES) <= set(data.data_vars)
    assert {path.name for path in draw(figures.FIGURES, data, tmp_path)} == {
        "top_down_circuits.png",
        "top_down_directions.png",
    }
    words = "\n".join(findings("top_down", data))
    assert "by strength (nudge 0.03" in words
    assert "top_down: learning" in words
    for control in ("no_hidden", "frozen"):
        (told,) = (line.split() for line in words.splitlines() if line.split()[:1] == [control])
        assert (told[3], told[-3:]) == ("leaky_relu", ["-", "-", "0"])
    # all of a part failed
    words = "\n".join(findings("top_down", data.drop_vars(["test_accuracy", "settled_images"])))
    assert "no run of learning has a result" in words and "by strength" in words
    words = "\n".join(findings("top_down", data.drop_vars("settled")))
    assert "no circuit has a result" in words and "top_down: learning" in words


def test_images_without_an_equilibrium_are_counted_in_the_status():
    """Full targets of deep networks with Gaussian weights are beyond all bounds."""
    cell = next(
        c
        for c in top_down.study("laptop").cells
        if (c["part"], c["depth"], c["init"], c["activation"], c["reading"], c["pathway"])
        == ("circuit", 4, "gaussian", "asinh", "replacing", "itp")
    )
    found = top_down.measure(**{**cell, "batch": 2, "judged": 1})
    missing = round(float((1 - found["settled"]).sum()) * 2)
    assert missing > 0
    assert found["status"].item().startswith(f"no equilibrium: {missing} of 30 images")
    nothing = found["settled"].values == 0
    assert np.isnan(found["cosine"].values[nothing]).all()


def test_poles_of_the_added_chain_are_where_its_determinant_vanishes():
    """Three layers, kept 1: (1 - k) = (1 - nudge) k, so k = 1/(2 - nudge); one layer has none.

    Negative control: a zero of the gain, through which its sign changes too, is no pole.
    """
    x = np.linspace(0.1, 1.0, 200)
    for nudge in (0.03, 0.3):
        gains = np.array([chain_gains(3, 1.0, k, nudge)[0] for k in x])
        (found,) = poles(x, gains)
        assert abs(found - 1 / (2 - nudge)) <= x[1] - x[0]
        assert poles(x, np.array([chain_gains(1, 1.0, k, nudge)[0] for k in x])).size == 0
    assert poles(x, x - 0.5).size == 0
