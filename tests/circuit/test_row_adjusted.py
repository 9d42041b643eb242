"""GRAIT-prop and its circuit: back-propagation for orthogonal rows of any lengths.

The oracles are the gradient by complex steps, the bidiagonal matrix whose singular values are
the circuit's spectrum, the energy whose descent it is, and true equilibria by Newton's method on
the literal equations in mpmath. That the code is the literal equations, test_rules, test_dynamics,
test_bounds and test_equilibrium say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from mpmath import mp

from circuit.dynamics import begin, build_circuit
from circuit.equilibrium import settle
from circuit.initialisation.networks import initialise
from circuit.initialisation.weights import orthogonal
from circuit.linearisation.matrix import dense_jacobian
from circuit.network import Network, forward
from circuit.numerics.arrays import to_numpy
from circuit.plasticity import updates
from circuit.rules import RULES
from circuit.shift_dynamics import shift_velocity
from circuit.trial import Trial
from circuit.verification.bounds import relative_error_bounds
from circuit.verification.judgement import Status
from tests.circuit.test_backends import carried
from tests.circuit.test_dynamics import digits, make_trial, random_shifts
from tests.circuit.verification.test_bounds import _ratios

EPS = float(np.finfo(float).eps)
SLOPE = {"linear": lambda h: 1 + 0 * h, "leaky_relu": lambda h: np.where(h > 0, 1.0, 0.1)}


def by_complex_steps(
    function: Callable[[list[np.ndarray]], complex], arrays: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The gradient of a real function, entry by entry: Im f(x + ih) / h, exact to rounding (Squire
    and Trapp 1998). Kinks are told by real parts.
    """
    moved, found = [array.astype(complex) for array in arrays], []
    for array in moved:
        gradient = np.empty(array.shape)
        for entry in np.ndindex(array.shape):
            array[entry] += 1e-30j
            gradient[entry] = complex(function(moved)).imag / 1e-30
            array[entry] = array[entry].real
        found.append(gradient)
    return found


def leaky(h: np.ndarray, slope: float) -> np.ndarray:
    """The unit, of complex drives too."""
    return np.where(h.real > 0, h, slope * h)


def gradients(network: Network, inputs: np.ndarray, error: np.ndarray) -> list[np.ndarray]:
    """-dL/dW_l of the mean of the loss -y . e, whose error is e, by complex steps."""

    def answer(weights: list[np.ndarray]) -> complex:
        y = inputs
        for w, b, unit in zip(weights, network.biases, network.activations, strict=True):
            y = leaky(y[:, : w.shape[1]] @ w.T + b, unit.smallest_slope)
        return (y[:, : network.n_outputs] * error).sum(1).mean()

    return by_complex_steps(answer, network.weights)


def learnt(network: Network, rule: str, gamma: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The rule's weight changes, and the gradient's; the error is so small that nothing crosses."""
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((6, network.n_inputs))
    activity = forward(network, inputs)
    outputs = activity.rates[-1][:, : network.n_outputs]
    error = 1e-7 * rng.standard_normal(outputs.shape)
    shifts = RULES[rule](network, activity, error, gamma)
    changes = [change.weights for change in updates(network, activity, shifts)]
    return changes, gradients(network, inputs, error)


def rows_of(widths, lengths, rng, unit="leaky_relu", n_outputs=None):
    """A network of orthogonal rows of lengths drawn from the interval `lengths`, with biases."""
    weights = [
        np.exp(rng.uniform(*np.log(lengths), (n, 1))) * orthogonal(n, rng) for n in widths[1:]
    ]
    start = initialise(widths, rng, activation=unit, n_outputs=n_outputs)
    biases = tuple(0.3 * rng.standard_normal(n) for n in widths[1:])
    return Network(tuple(weights), biases, start.activations, widths[0], start.n_outputs)


@pytest.mark.parametrize("unit", ["linear", "leaky_relu"])
@pytest.mark.parametrize("gamma", [1e-4, 0.3, 0.9])
def test_grait_is_the_gradient_for_orthogonal_rows_of_any_lengths(unit, gamma):
    """Lengths 0.1 to 10, auxiliary units and all, at every gamma; Eq. 16 as printed is not."""
    network = rows_of((9, 8, 8, 6, 6, 5), (0.1, 10), np.random.default_rng(1), unit, 3)
    for rule, least in (("grait", None), ("gait", 0.3)):
        changes, wanted = learnt(network, rule, gamma)
        for layer, (got, exact) in enumerate(zip(changes, wanted, strict=True), 1):
            gap = np.linalg.norm(got - exact) / np.linalg.norm(exact)
            assert gap < 1e-12 if rule == "grait" or layer == 5 else gap > least


def test_grait_is_not_the_gradient_for_rows_that_are_not_orthogonal():
    """Control: Gaussian W; and Gaussian rows of length 1, so that it is not the lengths."""
    for scaled in (False, True):
        network = initialise((8,) * 5, np.random.default_rng(2), init="gaussian")
        weights = tuple(
            w / np.linalg.norm(w, axis=1, keepdims=True) if scaled else w for w in network.weights
        )
        network = Network(weights, network.biases, network.activations, 8, 8)
        changes, wanted = learnt(network, "grait", 1e-3)
        for got, exact in zip(changes[:3], wanted[:3], strict=True):
            assert np.linalg.norm(got - exact) > 0.3 * np.linalg.norm(exact)


def test_lengths_follow_weights_that_move():
    """N^2 of the network after a step is that of its own rows, also where it was asked before."""
    rng = np.random.default_rng(4)
    network = rows_of((6, 5, 5), (0.5, 2), rng)
    before = [network.squared_lengths(layer).copy() for layer in (1, 2)]
    moved = network.moved(tuple(2 * w for w in network.weights), network.biases)
    for layer in (1, 2):
        loop = [sum(v * v for v in row) for row in moved.weights[layer - 1]]
        np.testing.assert_allclose(moved.squared_lengths(layer), loop, rtol=1e-14)
        np.testing.assert_allclose(moved.squared_lengths(layer), 4 * before[layer - 1], rtol=1e-14)


@pytest.mark.parametrize("method", ["direct", "sweep"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_library_and_a_stack(backend, method, dtype):
    """Two networks side by side are each what they are alone, in every library."""
    rng = np.random.default_rng(5)
    alone = [make_trial(rng, "grait", "leaky_relu", 0.02, dtype=dtype, batch=3) for _ in range(2)]
    lost = 300 * np.finfo(dtype).eps
    weights = tuple(
        np.stack(pair) for pair in zip(*(t.network.weights for t in alone), strict=True)
    )
    biases = tuple(np.stack(pair) for pair in zip(*(t.network.biases for t in alone), strict=True))
    one = alone[0].network
    stack = carried(backend, Network(weights, biases, one.activations, 5, one.n_outputs))
    inputs = np.stack([t.activity.rates[0] for t in alone])
    targets = np.stack([t.target[:, : one.n_outputs] for t in alone])
    trial = begin(
        build_circuit(stack, "grait", 0.02), backend.asarray(inputs), backend.asarray(targets)
    )
    found = settle(trial, method)
    shifts = RULES["grait"](stack, trial.activity, trial.error[..., : one.n_outputs], 0.02)
    for place, single in enumerate(alone):
        error = single.error[:, : one.n_outputs]
        wanted = RULES["grait"](single.network, single.activity, error, 0.02)
        settled = settle(single, method).shifts
        for layer in (1, 2, 3):
            for got, exact, room in ((shifts, wanted, lost), (found.shifts, settled, 3e-4)):
                exact = exact.per_gain(layer)
                gap = to_numpy(got.per_gain(layer))[place] - exact
                room = max(lost, 10 * found.tolerance) if room == 3e-4 else room
                assert np.linalg.norm(gap) <= room * np.linalg.norm(exact)


# --- the circuit: spectrum, energy, stability ---


def bidiagonal(trial: Trial) -> np.ndarray:
    """M of docs/derivation.md, section 8, of one sample; minus its squared singular values are the
    spectrum times tau. One row block for the mismatch of each layer, one for the nudge.
    """
    network, gammas = trial.network, trial.circuit.strengths
    starts = np.cumsum([0, *network.widths[1:]])
    M = np.zeros((starts[-1] + network.n_outputs, starts[-1]))
    for layer in range(1, network.depth + 1):
        n, here = network.n_projecting(layer), slice(starts[layer - 1], starts[layer])
        kept = np.ones(network.widths[layer])
        kept[:n] -= gammas[layer - 1]
        M[here, here] = np.diag(np.sqrt(kept))
        # the way up from the units that project, into the mismatches of the layer above
        below = slice(starts[layer - 1], starts[layer - 1] + n)
        if layer < network.depth:
            above = slice(starts[layer], starts[layer + 1])
            slope = trial.activity.slope(layer + 1)[0][:, None]
            M[above, below] = -np.sqrt(gammas[layer - 1]) * slope * network.weights[layer]
        else:
            M[starts[-1] :, below] = np.sqrt(gammas[-1]) * np.eye(n)
    return M


@pytest.mark.parametrize("lengths", [(0.05, 0.3), (0.5, 2), (3, 30)])
@pytest.mark.parametrize("gammas", [(1e-3,) * 4, (0.3, 0.05, 0.6, 0.2), (0.9,) * 4])
@pytest.mark.parametrize("unit", ["linear", "leaky_relu"])
def test_spectrum_is_minus_the_squared_singular_values(unit, gammas, lengths):
    """Real, negative and bounded whatever the lengths and strengths; auxiliary units and all."""
    network = rows_of((7, 6, 6, 4, 4), lengths, np.random.default_rng(6), unit, 2)
    trial = _quiet(network, "grait", gammas)
    got = scipy.linalg.eigvals(dense_jacobian(trial, trial.at_rest()))
    wanted = -(np.linalg.svd(bidiagonal(trial), compute_uv=False) ** 2)
    room = 1e-12 * np.abs(wanted).max() * 1e3  # Bauer and Fike: the similarity is by known numbers
    assert np.abs(got.imag).max() < room
    np.testing.assert_allclose(np.sort(got.real), np.sort(wanted), rtol=0, atol=room)
    assert got.real.max() < 0
    # the two diagonals of M; auxiliary units keep all of their drive
    steepest = 1 + np.sqrt(max(gammas)) * max(1.0, lengths[1])
    assert -got.real.min() <= steepest**2


def test_slowest_mode_of_very_long_rows():
    """It goes to the nudge; with an output that has none to ((1 - gamma) / (gamma N^2))^(L - 1)."""
    for n_outputs, wanted in ((4, 0.2), (3, (0.9 / 0.1 * 100.0**-2) ** 3)):
        network = rows_of((4,) * 5, (99.999, 100), np.random.default_rng(6), "linear", n_outputs)
        trial = _quiet(network, "grait", (0.1, 0.1, 0.1, 0.2))
        rates = -scipy.linalg.eigvals(dense_jacobian(trial, trial.at_rest())).real
        if n_outputs == 4:
            assert rates.min() == pytest.approx(wanted, rel=1e-2)
        exact = np.linalg.svd(bidiagonal(trial), compute_uv=False).min() ** 2
        assert exact == pytest.approx(wanted, rel=1e-2)


def _quiet(network: Network, pathway: str, gammas, time_constant=1.0) -> Trial:
    """Nothing to learn, one image: the Jacobian at the forward pass, within a linear piece."""
    inputs = np.random.default_rng(7).standard_normal((1, network.n_inputs))
    outputs = forward(network, inputs).rates[-1][:, : network.n_outputs]
    circuit = build_circuit(network, pathway, gammas, time_constant=time_constant)
    return begin(circuit, inputs, outputs)


def test_spectrum_of_other_rows_and_of_eq_16_is_another():
    """Controls: Gaussian rows, and the GAIT pathway with unequal lengths."""
    rng = np.random.default_rng(8)
    gaussian = initialise((6,) * 5, rng, init="gaussian", activation="linear")
    unequal = rows_of((6,) * 5, (0.5, 2), rng, "linear")
    for network, pathway in ((gaussian, "grait"), (unequal, "gait")):
        trial = _quiet(network, pathway, 0.3)
        got = scipy.linalg.eigvals(dense_jacobian(trial, trial.at_rest())).real
        wanted = -(np.linalg.svd(bidiagonal(trial), compute_uv=False) ** 2)
        assert np.abs(np.sort(got) - np.sort(wanted)).max() > 0.1


def test_the_circuit_descends_an_energy():
    """tau dd_l/dt = -(1 - gamma_l) / a_l dE/dd_l, with E by complex steps.

    E = sum a_l |y_l - g_l(y_{l-1})|^2 / 2 + a_L r_L |y_L - t|^2 / 2 and a_{l+1} = r_l a_l: the
    energy of predictive coding, with precisions that fall from layer to layer. Of units that no
    feedback reaches dd/dt = -1 / a dE/dd.
    """
    gammas = (0.3, 0.15, 0.4)
    network = rows_of((6, 5, 4, 3), (0.3, 3), np.random.default_rng(9), "leaky_relu", 2)
    inputs = np.random.default_rng(10).standard_normal((4, 6))
    outputs = forward(network, inputs).rates[-1][:, :2]
    circuit = build_circuit(network, "grait", gammas, time_constant=1.0)
    trial = begin(circuit, inputs, outputs + 1e-4)
    shifts = random_shifts(np.random.default_rng(11), trial, 1e-5)
    ratios = [gamma / (1 - gamma) for gamma in gammas]
    precision = np.cumprod([1.0, *ratios[:-1]])
    moved = [trial.activity.rates[k] + shifts.absolute(k) for k in (1, 2, 3)]

    def energy(rates: list[np.ndarray]) -> complex:
        total, below = 0.0, inputs
        for k, y in enumerate(rates):
            w, b = network.weights[k], network.biases[k]
            mismatch = y - leaky(below[:, : w.shape[1]] @ w.T + b, 0.1)
            total = total + precision[k] / 2 * (mismatch**2).sum()
            below = y
        missed = below[:, :2] - trial.target[:, :2]
        return total + precision[-1] * ratios[-1] / 2 * (missed**2).sum()

    slopes = by_complex_steps(energy, moved)
    got = shift_velocity(trial, shifts)
    for layer, slope in enumerate(slopes, 1):
        rate = np.ones(network.widths[layer])
        rate[: network.n_projecting(layer)] -= gammas[layer - 1]
        wanted = -rate / precision[layer - 1] * slope
        found = got[layer - 1] * shifts.scales[layer - 1].value
        # y - g(y) is a difference of rates of order 1 here, of which 1e-5 to 1e-7 is left
        assert np.linalg.norm(found - wanted) < 1e-8 * np.linalg.norm(wanted)


# --- a random search against true equilibria ---


def _search(seeds, init):
    """Newton's method on the literal equations in mpmath, for circuits that say they have settled:
    no bound is violated, and a state that is called converged is one. Rows of lengths 0.15 to 8.
    """
    settled = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        unit = rng.choice(["linear", "leaky_relu", "asinh"])
        gamma = float(10 ** rng.uniform(-4, -0.5))
        method = rng.choice(["direct", "sweep", "newton", "ode"])
        widths = [(4, 4, 3), (3, 3, 3, 3), (5, 4, 2, 2)][rng.integers(3)]
        network = make_trial(rng, "grait", unit, widths=widths, init=init, n_outputs=None).network
        longer = np.exp(rng.uniform(np.log(0.3), np.log(4), len(network.weights)))
        weights = tuple(w * factor for w, factor in zip(network.weights, longer, strict=True))
        network = replace(network, weights=weights)
        inputs = rng.standard_normal((1, widths[0])) / longer[0]
        error = rng.uniform(0.1, 1) * rng.standard_normal((1, widths[-1]))
        targets = forward(network, inputs).rates[-1] + error
        trial = begin(build_circuit(network, "grait", gamma), inputs, targets)
        record = settle(trial, method, must_converge=False)
        if record.status is not Status.CONVERGED:
            continue
        settled += 1
        perturbed = record.shifts.with_values(
            tuple(v * (1 + 1e-6 * rng.standard_normal(v.shape)) for v in record.shifts.values)
        )
        for state in (record.shifts, perturbed):
            bounds = np.array(relative_error_bounds(trial, state))
            ratios = _ratios(trial, state)
            if ratios is None:  # Newton's method did not converge: then nothing was promised
                with mp.workdps(digits(state)):
                    assert not np.all(np.isfinite(bounds)), (seed, unit, gamma, method)
                continue
            assert np.all(ratios >= 1), (seed, unit, gamma, method, ratios)
    return settled


@pytest.mark.parametrize("init", ["unequal_rows", "gaussian"])
def test_no_bound_is_violated_in_a_random_search(init):
    """Forty small circuits of each kind."""
    assert _search(range(40), init) > 20


@pytest.mark.slow
@pytest.mark.parametrize("init", ["unequal_rows", "gaussian"])
def test_no_bound_is_violated_in_a_long_random_search(init):
    """A thousand of each."""
    assert _search(range(1000, 2000), init) > 600
