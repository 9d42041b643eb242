"""The circuit's equations against the printed ones, loop by loop in mpmath, and the spectrum.

`LiteralCircuit` is the oracle of all tests of the circuit. It holds one sample, in mpmath numbers
that equal the floats of the network exactly, and works with rates: a shift of relative size 1e-30
is then a difference of two numbers of size 1, so `digits` says how many decimals that takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import scipy.linalg
from mpmath import mp, mpf

from analysis.precise import in_float64
from circuit.circuit import Circuit
from circuit.dynamics import begin, build_circuit, velocity
from circuit.errors import CircuitError, NotFinite, ShapeMismatch, TargetOutOfRange
from circuit.initialisation.networks import initialise
from circuit.linearisation.jacobian import jacobian_product
from circuit.linearisation.matrix import dense_jacobian
from circuit.network import Network, forward
from circuit.numerics.scale import ONE, Scale
from circuit.shift_dynamics import balance, shift_velocity
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.units.leaky_relu import leaky_relu
from tests.literal_units import LITERAL, exactly

EPS = float(np.finfo(float).eps)
UNITS = ("linear", "leaky_relu", "asinh", "tanh")
PATHWAYS = ("itp", "gait", "grait")
Vector = list[mpf]
Layers = list[Vector]


# The oracle: docs/derivation.md, section 2, one sample, loop by loop


class LiteralCircuit:
    """One sample of a trial; vectors are indexed by layer, 0 (the input) to L.

    `target` holds t_L of the nudged outputs; by default the forward pass plus the trial's error.
    """

    def __init__(
        self,
        trial: Trial,
        sample: int = 0,
        target: Sequence[float] | None = None,
        *,
        strengths: Sequence[float] | None = None,
        time_constants: Sequence[float] | None = None,
        gait: bool | None = None,
    ) -> None:
        circuit, network = trial.circuit, trial.network
        self.depth, self.widths, self.n_outputs = network.depth, network.widths, network.n_outputs
        self.gait = circuit.pathway.gradient_adjusted if gait is None else gait
        self.grait = circuit.pathway.name == "grait"
        self.gamma = [None, *(mpf(g) for g in strengths or circuit.strengths)]
        self.tau = [None, *(mpf(tau) for tau in time_constants or circuit.time_constants)]
        self.weights = [None, *map(exactly, network.weights)]
        self.biases = [None, *map(exactly, network.biases)]
        self.inverses = [None, *(mp.inverse(mp.matrix(w)).tolist() for w in self.weights[1:])]
        self.units = [None, *(LITERAL[unit.name] for unit in network.activations)]
        self.forward = [exactly(trial.activity.rates[0][sample])]
        for layer in range(1, self.depth + 1):
            self.forward.append(self.feedforward(layer, self.forward[-1]))
        if target is None:
            error = exactly(trial.error[sample])
            self.target = [self.forward[-1][i] + error[i] for i in range(self.n_outputs)]
        else:
            self.target = [mpf(float(value)) for value in target]

    def drive(self, layer: int, below: Vector) -> Vector:
        """h_l = W_l y_{l-1} + b_l."""
        h = []
        for i in range(self.widths[layer]):
            read = below[: self.widths[layer]]
            h.append(self.biases[layer][i] + mp.fdot(self.weights[layer][i], read))
        return h

    def feedforward(self, layer: int, below: Vector) -> Vector:
        """g_l(y_{l-1})."""
        return [self.units[layer].value(h) for h in self.drive(layer, below)]

    def feedback(self, layer: int, y: Layers) -> Vector:
        """F_{l+1}(y_l, y_{l+1}), as long as layer l+1 is wide."""
        unit, width = self.units[layer + 1], self.widths[layer + 1]
        sent = list(y[layer + 1])
        if self.gait:
            h = self.drive(layer + 1, y[layer])
            for i in range(width):
                u, gain = unit.value(h[i]), unit.slope(h[i]) ** 2
                if self.grait:
                    gain *= mp.fdot(self.weights[layer + 1][i], self.weights[layer + 1][i])
                sent[i] = u + gain * (sent[i] - u)
        pre = [unit.inverse(sent[i]) - self.biases[layer + 1][i] for i in range(width)]
        received = []
        for i in range(width):
            received.append(mp.fdot(self.inverses[layer + 1][i], pre))
        return received

    def velocity(self, y: Layers, *, nudged: bool = True) -> Layers:
        """dy_l/dt for l = 1 .. L, at the rates y_0 .. y_L."""
        velocities = []
        for layer in range(1, self.depth + 1):
            gamma = self.gamma[layer]
            if layer < self.depth:
                received = self.feedback(layer, y)
            else:
                received = self.target
                gamma = gamma if nudged else mpf(0)
            own = self.feedforward(layer, y[layer - 1])
            rates = []
            for i in range(self.widths[layer]):
                if i < len(received):
                    change = -y[layer][i] + (1 - gamma) * own[i] + gamma * received[i]
                else:  # an auxiliary unit
                    change = -y[layer][i] + own[i]
                rates.append(change / self.tau[layer])
            velocities.append(rates)
        return velocities

    def rates(self, shifts: Shifts, sample: int = 0) -> Layers:
        """y_0 .. y_L, the exact forward pass plus mantissa * 2**exponent * value."""
        y = [self.forward[0]]
        for layer in range(1, self.depth + 1):
            mantissa, exponent = shifts.scales[layer - 1]
            scale = mpmath.ldexp(mpf(mantissa), exponent)
            values = exactly(shifts.values[layer - 1][sample])
            y.append([a + scale * d for a, d in zip(self.forward[layer], values, strict=True)])
        return y

    def n_projecting(self, layer: int) -> int:
        """Units of `layer` that receive feedback or the nudge."""
        return self.n_outputs if layer == self.depth else self.widths[layer + 1]

    def relative_residuals(self, y: Layers) -> list[float]:
        """|tau dy/dt| / |y - y^f| of every layer, auxiliary units left out."""
        ratios = []
        for layer, change in enumerate(self.velocity(y), 1):
            n = self.n_projecting(layer)
            shift = [a - b for a, b in zip(y[layer], self.forward[layer], strict=True)]
            residual = mpmath.norm(change[:n]) * self.tau[layer]
            ratios.append(float(residual / mpmath.norm(shift[:n])))
        return ratios


def digits(*shifts: Shifts) -> int:
    """Decimals that leave 40 in the smallest of `shifts`."""
    smallest = min(scale.log10 for state in shifts for scale in state.scales)
    return 40 + math.ceil(-smallest)


def to_float(layers: Layers) -> list[np.ndarray]:
    """Vectors of mpf as arrays."""
    return [np.array([float(value) for value in vector]) for vector in layers]


# Problems


def make_trial(
    rng: np.random.Generator,
    pathway: str = "gait",
    unit: str = "leaky_relu",
    gamma: float | Sequence[float] = 0.01,
    *,
    widths: Sequence[int] = (5, 5, 4, 3),
    n_outputs: int | None = 2,
    init: str | None = None,
    batch: int = 2,
    error: float = 0.5,
    dtype: str = "float64",
    **options: object,
) -> Trial:
    """A small circuit with biases and random data; `error` is the size of the output errors.

    By default with auxiliary units in a hidden layer and at the output, and with orthogonal rows,
    in the GRAIT pathway of unequal lengths.
    """
    if init is None:
        init = "unequal_rows" if pathway == "grait" else "orthogonal"
    network = initialise(widths, rng, init=init, activation=unit, n_outputs=n_outputs, dtype=dtype)
    biases = tuple((0.3 * rng.standard_normal(b.shape)).astype(dtype) for b in network.biases)
    network = replace(network, biases=biases)
    inputs = rng.standard_normal((batch, widths[0])).astype(dtype)
    outputs = forward(network, inputs).rates[-1][:, : network.n_outputs]
    away = rng.standard_normal(outputs.shape)
    away *= error / np.linalg.norm(away, axis=-1, keepdims=True)
    targets = outputs + away
    if unit == "tanh":
        targets = np.clip(targets, -0.95, 0.95)
    return begin(build_circuit(network, pathway, gamma, **options), inputs, targets.astype(dtype))


def random_shifts(
    rng: np.random.Generator, trial: Trial, size: float = 1.0, scales: tuple | None = None
) -> Shifts:
    """A state with shifts of `size` times the circuit's natural scales (or `scales`)."""
    scales = trial.circuit.gains if scales is None else scales
    dtype = trial.error.dtype
    values = tuple(
        (size * rng.standard_normal(rates.shape)).astype(dtype)
        for rates in trial.activity.rates[1:]
    )
    return Shifts(values, scales, trial.circuit.gains)


def close(got: np.ndarray, wanted: np.ndarray, relative: float) -> None:
    """Vectors that differ by less than `relative` times the norm of `wanted`."""
    assert np.linalg.norm(got - wanted) <= relative * np.linalg.norm(wanted)


# The rate equations


@pytest.mark.parametrize("nudged", [True, False])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("pathway", PATHWAYS)
def test_velocity_is_the_printed_equations(
    pathway: str, unit: str, nudged: bool, rng: np.random.Generator
) -> None:
    """Auxiliary units, unequal strengths and time constants, an own nudge, both phases."""
    taus = (0.02, 0.005, 0.01)
    trial = make_trial(rng, pathway, unit, (0.1, 0.2), nudge=0.4, time_constant=taus)
    moved = [y + 0.03 * rng.standard_normal(y.shape) for y in trial.activity.rates[1:]]
    got = velocity(trial, moved, nudged=nudged)
    for sample in range(2):
        literal = LiteralCircuit(
            trial, sample, strengths=(0.1, 0.2, 0.4), time_constants=taus, gait=pathway != "itp"
        )
        wanted = literal.velocity(
            [literal.forward[0], *(exactly(y[sample]) for y in moved)], nudged=nudged
        )
        for layer, vector in enumerate(to_float(wanted)):
            close(got[layer][sample], vector, 1e3 * EPS)


def test_target_of_the_circuit(rng: np.random.Generator) -> None:
    """t_L = y_L - dL/dy_L at the nudged outputs (section 5); the forward pass elsewhere."""
    network = initialise((3, 3, 3), rng, n_outputs=2)
    inputs, classes = rng.standard_normal((4, 3)), np.eye(2)[[0, 1, 1, 0]]
    trial = begin(build_circuit(network), inputs, classes, "cross_entropy")
    y = forward(network, inputs).rates[-1]
    exponentials = np.exp(y[:, :2])
    gradient = exponentials / exponentials.sum(axis=1, keepdims=True) - classes
    np.testing.assert_allclose(trial.target[:, :2], y[:, :2] - gradient, rtol=1e-14)
    np.testing.assert_array_equal(trial.target[:, 2], y[:, 2])
    np.testing.assert_array_equal(trial.error[:, 2], 0.0)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("pathway", PATHWAYS)
def test_forward_pass_is_an_equilibrium_at_zero_error(
    pathway: str, unit: str, rng: np.random.Generator
) -> None:
    """Both pathways leave it in place, and so does the free phase with any target."""
    trial = make_trial(rng, pathway, unit, 0.3)
    still = replace(trial, error=np.zeros_like(trial.error))
    for vector in shift_velocity(still, still.at_rest()):
        np.testing.assert_array_equal(vector, 0.0)
    rest = trial.activity.rates[1:]
    for one in (velocity(still, rest), velocity(trial, rest, nudged=False)):
        for vector in one:
            np.testing.assert_allclose(0.010 * vector, 0.0, atol=20 * EPS)
    assert np.linalg.norm(velocity(trial, rest)[-1]) > 1  # the nudge does something


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("pathway", PATHWAYS)
def test_shift_velocity_is_velocity(pathway: str, unit: str, rng: np.random.Generator) -> None:
    """At gamma = 0.4, where shifts are large and nothing cancels: other coordinates, no more."""
    trial = make_trial(rng, pathway, unit, (0.3, 0.4), nudge=0.2, time_constant=(0.02, 0.01, 0.03))
    scales = tuple(map(Scale.of, (0.125, 0.5, 0.25)))
    shifts = random_shifts(rng, trial, 0.1 if unit == "tanh" else 1.0, scales)
    rates = [y + shifts.absolute(i) for i, y in enumerate(trial.activity.rates[1:], 1)]
    ours = shift_velocity(trial, shifts)
    for scale, got, wanted in zip(scales, ours, velocity(trial, rates), strict=True):
        close(got * scale.value, wanted, 1e4 * EPS)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("pathway", PATHWAYS)
def test_shift_velocity_where_float64_has_no_digits(
    pathway: str, unit: str, rng: np.random.Generator
) -> None:
    """Shifts of layer 1 of size 1e-20 beside rates of size 1: all digits, all layers."""
    trial = make_trial(
        rng, pathway, unit, 1e-4, widths=(4, 4, 4, 3, 3, 3), time_constant=(1, 2, 3, 4, 5)
    )
    shifts = random_shifts(rng, trial)
    assert shifts.scales[0].value < 1.1e-20
    got = shift_velocity(trial, shifts)
    with mp.workdps(digits(shifts)):
        for sample in range(2):
            literal = LiteralCircuit(trial, sample)
            wanted = literal.velocity(literal.rates(shifts, sample))
            for layer, vector in enumerate(wanted):
                mantissa, exponent = shifts.scales[layer]
                scale = mpmath.ldexp(mpf(mantissa), exponent)
                wanted_here = np.array([float(value / scale) for value in vector])
                close(got[layer][sample], wanted_here, 200 * EPS)


def test_shift_velocity_in_float32(rng: np.random.Generator) -> None:
    """The same in the precision of the arrays, which it keeps."""
    trial = make_trial(rng, "gait", "asinh", 1e-4, dtype="float32")
    shifts = random_shifts(rng, trial)
    with mp.workdps(digits(shifts)):
        literal = LiteralCircuit(trial)
        wanted = literal.velocity(literal.rates(shifts))
        for layer, got in enumerate(shift_velocity(trial, shifts)):
            assert got.dtype == np.float32
            scale = mpf(shifts.scales[layer].value)
            wanted_here = np.array([float(value / scale) for value in wanted[layer]])
            close(got[0], wanted_here, 200 * float(np.finfo(np.float32).eps))


@pytest.mark.parametrize("pathway", PATHWAYS)
def test_shift_velocity_across_kinks(pathway: str, rng: np.random.Generator) -> None:
    """Units that cross their kink at the drive, at the sender, and at both."""
    trial = make_trial(rng, pathway, "leaky_relu", 0.3, batch=6)
    shifts = random_shifts(rng, trial, 0.7, (ONE, ONE, ONE))
    terms = balance(trial, shifts)
    got = shift_velocity(trial, shifts)
    crossings = {"drive": 0, "sender": 0}
    for layer in (2, 3):
        h = trial.activity.drive(layer)
        drive = h + terms.drive_shifts[layer - 1]
        sender = (h if pathway == "itp" else drive) + terms.messages[layer - 1]
        crossings["drive"] += int(np.sum(h * drive < 0))
        crossings["sender"] += int(np.sum(drive * sender < 0))
    assert min(crossings.values()) > 2
    for sample in range(6):
        literal = LiteralCircuit(trial, sample)
        wanted = to_float(literal.velocity(literal.rates(shifts, sample)))
        for mine, vector in zip(got, wanted, strict=True):
            close(mine[sample], vector, 1e3 * EPS)


# Linearisation


def literal_directional(literal: LiteralCircuit, at: Layers, along: Layers) -> list[np.ndarray]:
    """Derivative of the velocity, by a difference that keeps 25 of 60 digits."""
    step = mpf(10) ** -30
    moved = [at[0]]
    for y, t in zip(at[1:], along, strict=True):
        moved.append([a + step * b for a, b in zip(y, t, strict=True)])
    before, after = literal.velocity(at), literal.velocity(moved)
    return [
        np.array([float((b - a) / step) for a, b in zip(old, new, strict=True)])
        for old, new in zip(before, after, strict=True)
    ]


@pytest.mark.parametrize("size", [1.0, 1e-9])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("pathway", PATHWAYS)
def test_jacobian_product_is_the_derivative(
    pathway: str, unit: str, size: float, rng: np.random.Generator
) -> None:
    """Far from the forward pass, with curvature and crossed kinks at work, and close to it."""
    taus = (0.02, 0.01, 0.03)
    trial = make_trial(rng, pathway, unit, (0.3, 0.4), nudge=0.2, time_constant=taus)
    scales = tuple(map(Scale.of, (0.125, 0.5, 0.25)))
    shifts = random_shifts(rng, trial, size * (0.15 if unit == "tanh" else 1.5), scales)
    tangents = [rng.standard_normal(value.shape) for value in shifts.values]
    got = jacobian_product(trial, shifts, tangents)
    with mp.workdps(60):
        for sample in range(2):
            literal = LiteralCircuit(trial, sample)
            along = [
                exactly(scale.value * tangent[sample])
                for scale, tangent in zip(scales, tangents, strict=True)
            ]
            wanted = literal_directional(literal, literal.rates(shifts, sample), along)
            for layer, scale in enumerate(scales):
                close(got[layer][sample] * scale.value, wanted[layer], 1e4 * EPS)


@pytest.mark.parametrize("unit", ["leaky_relu", "asinh"])
@pytest.mark.parametrize("pathway", PATHWAYS)
def test_dense_jacobian_is_the_matrix_of_derivatives(
    pathway: str, unit: str, rng: np.random.Generator
) -> None:
    """Column by column, in units of the rates, whatever the scales of the state; any sample."""
    trial = make_trial(rng, pathway, unit, 0.3, widths=(3, 3, 2, 2), n_outputs=1)
    shifts = random_shifts(rng, trial, 0.8, tuple(map(Scale.of, (0.25, 4.0, 0.5))))
    matrix = dense_jacobian(trial, shifts, 1)
    with mp.workdps(60):
        literal = LiteralCircuit(trial, 1)
        at = literal.rates(shifts, 1)
        for column in range(7):
            flat = [mpf(int(row == column)) for row in range(7)]
            wanted = literal_directional(literal, at, [flat[:3], flat[3:5], flat[5:]])
            np.testing.assert_allclose(matrix[:, column], np.concatenate(wanted), atol=1e-10)
    tangent = rng.standard_normal((2, 7))
    split = [tangent[:, :3], tangent[:, 3:5], tangent[:, 5:]]
    scaled = [t / s.value for t, s in zip(split, shifts.scales, strict=True)]
    products = jacobian_product(trial, shifts, scaled)
    absolute = [p * s.value for p, s in zip(products, shifts.scales, strict=True)]
    close(matrix @ tangent[1], np.concatenate([p[1] for p in absolute]), 100 * EPS)


def test_dense_jacobian_refuses_what_is_not_small(rng: np.random.Generator) -> None:
    """More than 4096 units, or a stack of networks."""
    n, depth = 241, 17
    wide = Network((np.eye(n),) * depth, (np.zeros(n),) * depth, (leaky_relu(),) * depth, n, n)
    trial = begin(build_circuit(wide), np.ones((1, n)), np.ones((1, n)))
    with pytest.raises(CircuitError, match="4097 units; use at most 4096"):
        dense_jacobian(trial, trial.at_rest())
    stack = Network(
        tuple(rng.standard_normal((2, 3, 3)) for _ in range(2)),
        (np.zeros((2, 3)),) * 2,
        (leaky_relu(),) * 2,
        3,
        3,
    )
    x = rng.standard_normal((2, 4, 3))
    trial = begin(build_circuit(stack), x, x)
    with pytest.raises(CircuitError, match="one network"):
        dense_jacobian(trial, trial.at_rest())


# Spectrum


def chain_spectrum(gamma: float, length: int, *, auxiliary: bool = False) -> np.ndarray:
    """Eigenvalues of one chain of a circuit's layers.

    A nudged chain: -1 + 2 sqrt(gamma (1-gamma)) cos(k pi / (L+1)), as printed. A chain that ends in
    an auxiliary unit at its layer l, where the factor 1 - gamma is left out: the cosines are those
    of the l angles with (1 - gamma) sin((l+1) theta) = gamma sin((l-1) theta), which become
    k pi / (l+1) as gamma -> 0.
    """
    if not auxiliary:
        angles = np.arange(1, length + 1) * np.pi / (length + 1)
    elif length == 1:
        return np.array([-1.0])  # no feedback at all
    else:

        def condition(theta: float) -> float:
            return (1 - gamma) * math.sin((length + 1) * theta) - gamma * math.sin(
                (length - 1) * theta
            )

        grid = np.linspace(1e-6, math.pi - 1e-6, 20 * length + 1)
        signs = np.sign([condition(theta) for theta in grid])
        places = np.flatnonzero(signs[1:] != signs[:-1])
        assert len(places) == length
        angles = np.array(
            [scipy.optimize.brentq(condition, grid[i], grid[i + 1], xtol=1e-15) for i in places]
        )
    return -1 + 2 * math.sqrt(gamma * (1 - gamma)) * np.cos(angles)


def same_numbers(got: np.ndarray, wanted: np.ndarray, tolerance: float) -> bool:
    """Whether two sets of numbers, the second real, agree with their multiplicities."""
    if np.max(np.abs(got.imag)) > tolerance:
        return False
    return bool(np.max(np.abs(np.sort(got.real) - np.sort(wanted))) < tolerance)


def spectrum(trial: Trial, tau: float = 1.0) -> np.ndarray:
    """Eigenvalues of tau times the Jacobian at the forward pass."""
    return tau * scipy.linalg.eigvals(dense_jacobian(trial, trial.at_rest()))


@pytest.mark.parametrize("gamma", [0.02, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("init", ["orthogonal", "gaussian"])
@pytest.mark.parametrize("unit", ["linear", "leaky_relu"])
def test_spectrum_of_the_itp_circuit(
    unit: str, init: str, gamma: float, rng: np.random.Generator
) -> None:
    """Section 3: independent of the weights, each eigenvalue n-fold, stable at every gamma."""
    n, depth = 4, 5
    wanted = np.repeat(chain_spectrum(gamma, depth), n)
    assert np.all(wanted < 0)
    for _ in range(2):
        trial = make_trial(
            rng, "itp", unit, gamma, widths=(n,) * (depth + 1), n_outputs=n, init=init,
            time_constant=0.25,
        )  # fmt: skip
        assert same_numbers(spectrum(trial, 0.25), wanted, 1e-8)


@pytest.mark.parametrize("gamma", [0.02, 0.4])
@pytest.mark.parametrize("init", ["orthogonal", "gaussian"])
def test_spectrum_with_auxiliary_outputs(init: str, gamma: float, rng: np.random.Generator) -> None:
    """Not as printed: each auxiliary output ends a chain of its own kind. Still without weights."""
    n, nudged, depth = 4, 1, 4
    trial = make_trial(
        rng, "itp", "leaky_relu", gamma, widths=(n,) * (depth + 1), n_outputs=nudged, init=init,
        time_constant=1.0,
    )  # fmt: skip
    got = spectrum(trial)
    assert not same_numbers(got, np.repeat(chain_spectrum(gamma, depth), n), 1e-4)
    ending = np.repeat(chain_spectrum(gamma, depth, auxiliary=True), n - nudged)
    wanted = np.concatenate([np.repeat(chain_spectrum(gamma, depth), nudged), ending])
    assert same_numbers(got, wanted, 1e-8)


@pytest.mark.parametrize("init", ["orthogonal", "gaussian"])
def test_spectrum_with_auxiliary_units_at_every_layer(init: str, rng: np.random.Generator) -> None:
    """Decreasing widths: one chain for every unit that nothing reads, as long as its layer."""
    widths, nudged, gamma = (7, 6, 5, 3, 3), 2, 0.3
    trial = make_trial(
        rng, "itp", "leaky_relu", gamma, widths=widths, n_outputs=nudged, init=init,
        time_constant=1.0,
    )  # fmt: skip
    ends = (*widths[2:], nudged)
    wanted = [chain_spectrum(gamma, 4)] * nudged
    for layer, (width, projecting) in enumerate(zip(widths[1:], ends, strict=True), 1):
        wanted += [chain_spectrum(gamma, layer, auxiliary=True)] * (width - projecting)
    assert same_numbers(spectrum(trial), np.concatenate(wanted), 1e-8)


def test_spectrum_of_the_gait_circuit_depends_on_the_weights(rng: np.random.Generator) -> None:
    """The negative control: another draw, other eigenvalues; none are those of the ITP circuit."""
    gamma, depth, n = 0.3, 4, 4
    draws = []
    for _ in range(2):
        trial = make_trial(
            rng, "gait", "leaky_relu", gamma, widths=(n,) * (depth + 1), n_outputs=n,
            time_constant=1.0,
        )  # fmt: skip
        draws.append(spectrum(trial))
        assert not same_numbers(draws[-1], np.repeat(chain_spectrum(gamma, depth), n), 1e-2)
    assert np.max(np.abs(np.sort(draws[0].real) - np.sort(draws[1].real))) > 1e-2


# Construction


@pytest.fixture
def network(rng: np.random.Generator) -> Network:
    return initialise((4, 4, 3, 3), rng, n_outputs=2)


@pytest.mark.parametrize(
    ("strength", "nudge", "wanted"),
    [
        (0.1, None, (0.1, 0.1, 0.1)),
        (0.1, 0.3, (0.1, 0.1, 0.3)),
        ((0.1, 0.2, 0.3), None, (0.1, 0.2, 0.3)),
        ((0.1, 0.2), 0.3, (0.1, 0.2, 0.3)),
        ((0.1, 0.2, 0.9), 0.3, (0.1, 0.2, 0.3)),
        (np.array([0.1, 0.2, 0.3]), None, (0.1, 0.2, 0.3)),
        (np.array([0.1, 0.2]), 0.3, (0.1, 0.2, 0.3)),
        (np.float64(0.1), 0.3, (0.1, 0.1, 0.3)),
    ],
)
def test_strengths(
    strength: object, nudge: float | None, wanted: tuple[float, ...], network: Network
) -> None:
    """One for all, one per layer, or one per hidden layer beside a nudge."""
    circuit = build_circuit(network, "itp", strength, nudge=nudge, time_constant=(1, 2, 3))
    assert circuit.strengths == wanted
    assert [circuit.strength(layer) for layer in (1, 2, 3)] == list(wanted)
    assert circuit.time_constants == (1.0, 2.0, 3.0)
    assert build_circuit(network).time_constants == (0.010,) * 3


@pytest.mark.parametrize("pathway", PATHWAYS)
def test_gains_are_products_of_ratios(pathway: str, network: Network) -> None:
    """The known size of a shift: c_l of the gambler's ruin, or gamma / (1 - gamma) per layer."""
    gammas = (0.1, 0.2, 0.3)
    circuit = build_circuit(network, pathway, gammas)
    if pathway != "itp":
        wanted = [0.1 / 0.9 * 0.2 / 0.8 * 0.3, 0.2 / 0.8 * 0.3, 0.3]
    else:
        ruin = np.array([[1, -0.1, 0], [-0.8, 1, -0.2], [0, -0.7, 1]])
        wanted = np.linalg.solve(ruin, [0, 0, 0.3])
    np.testing.assert_allclose([gain.value for gain in circuit.gains], wanted, rtol=1e-14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pathway": "bp"}, "'bp' is unknown; choose from itp, gait"),
        ({"feedback_strength": 0.0}, "gamma = 0 at layer 1 is outside"),
        ({"feedback_strength": 1.0}, "gamma = 1 at layer 1 is outside"),
        ({"feedback_strength": -0.1}, r"gamma = -0\.1 at layer 1"),
        ({"feedback_strength": math.nan}, "gamma = nan at layer 1"),
        ({"feedback_strength": (0.1, 2, 0.1)}, "gamma = 2 at layer 2"),
        ({"feedback_strength": (0.1, 0.1)}, "2 feedback strengths for 3 layers"),
        ({"feedback_strength": (0.1,) * 4}, "4 feedback strengths for 3 layers"),
        ({"feedback_strength": (0.1,), "nudge": 0.1}, "2 feedback strengths for 3 layers"),
        ({"feedback_strength": (0.1,) * 4, "nudge": 0.1}, "5 feedback strengths for 3 layers"),
        ({"nudge": 1.5}, r"gamma = 1\.5 at layer 3"),
        ({"nudge": 0.0}, "gamma = 0 at layer 3"),
        ({"time_constant": 0.0}, "time constants .* give one or 3 positive"),
        ({"time_constant": -1}, "time constants"),
        ({"time_constant": math.inf}, "time constants"),
        ({"time_constant": math.nan}, "time constants"),
        ({"time_constant": (1.0, 2.0)}, "give one or 3 positive"),
    ],
)
def test_bad_circuits_are_refused(
    options: dict[str, object], message: str, network: Network
) -> None:
    """In one line that names the value."""
    with pytest.raises(CircuitError, match=message) as caught:
        build_circuit(network, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"inputs": np.ones((2, 3))}, ShapeMismatch, r"inputs have shape \(2, 3\)"),
        ({"inputs": np.ones(4)}, ShapeMismatch, r"inputs have shape \(4,\)"),
        ({"inputs": np.ones((2, 4), np.float32)}, ShapeMismatch, "dtype float32"),
        ({"inputs": np.full((2, 4), np.nan)}, NotFinite, "inputs holds nan"),
        ({"targets": np.ones((2, 3))}, ShapeMismatch, r"targets have shape \(2, 3\)"),
        ({"targets": np.ones((1, 2))}, ShapeMismatch, r"targets have shape \(1, 2\)"),
        ({"targets": np.full((2, 2), np.inf)}, NotFinite, "targets holds inf"),
        ({"loss": "hinge"}, CircuitError, "loss 'hinge' is unknown"),
    ],
)
def test_bad_data_are_refused(
    change: dict[str, object], kind: type[CircuitError], message: str, network: Network
) -> None:
    """Shapes, precision, NaN and infinity, an unknown loss."""
    data = {"inputs": np.ones((2, 4)), "targets": np.ones((2, 2)), "loss": "quadratic"} | change
    with pytest.raises(kind, match=message):
        begin(build_circuit(network), **data)


def test_tanh_refuses_rates_outside_its_range(rng: np.random.Generator) -> None:
    """A sender at 1 or beyond has no pre-activation to report."""
    trial = make_trial(rng, "itp", "tanh", 0.1)
    rates = [*trial.activity.rates[1:-1], np.full_like(trial.activity.rates[-1], 1.5)]
    with pytest.raises(TargetOutOfRange, match=r"1\.5"):
        velocity(trial, rates)


def test_rates_of_the_gait_circuit_may_lie_beyond_tanh(rng: np.random.Generator) -> None:
    """What counts is what is sent down, u + A^2 (y - u), which is inside where y is not."""
    trial = make_trial(rng, "gait", "tanh", 0.1)
    *below, output = trial.activity.rates[1:]
    bent = np.abs(output) > 0.4
    assert bent.any()
    beyond = np.where(bent, 1.05 * np.sign(output), output)
    assert all(np.isfinite(found).all() for found in velocity(trial, [*below, beyond]))
    with pytest.raises(TargetOutOfRange):
        velocity(make_trial(np.random.default_rng(1), "itp", "tanh", 0.1), [*below, beyond])


def test_samples_of_a_trial(rng: np.random.Generator) -> None:
    """Some samples of the batch, in the order asked for, as if begun alone."""
    trial = make_trial(rng, "gait", "asinh", 0.1, batch=4)
    part, shifts = trial.samples([3, 1]), random_shifts(rng, trial)
    few = shifts.with_values(tuple(value[[3, 1]] for value in shifts.values))
    np.testing.assert_array_equal(part.target, trial.target[[3, 1]])
    pairs = zip(shift_velocity(part, few), shift_velocity(trial, shifts), strict=True)
    for got, wanted in pairs:
        np.testing.assert_allclose(got, wanted[[3, 1]], rtol=1e-12)


@pytest.mark.parametrize("pathway", PATHWAYS)
def test_other_feedback_is_another_circuit_on_the_same_forward_pass(
    pathway: str, rng: np.random.Generator
) -> None:
    """As if begun at that feedback strength, bit for bit, with all else kept."""
    options = {"widths": (5, 5, 4, 4), "time_constant": (0.01, 0.02, 0.03)}
    trial = make_trial(rng, pathway, "asinh", 0.01, **options)
    for feedback in (0.2, (0.1, 0.2, 0.3)):
        other = trial.with_feedback(feedback)
        built = build_circuit(
            trial.network, pathway, feedback, time_constant=options["time_constant"]
        )
        again = begin(built, trial.activity.rates[0], trial.target[..., :2])
        assert other.activity is trial.activity
        assert other.circuit.gains == built.gains != trial.circuit.gains
        rates = [y + 0.1 for y in trial.activity.rates[1:]]
        fresh = velocity(replace(again, error=trial.error), rates)
        pairs = zip(velocity(other, rates), fresh, strict=True)
        assert all(np.array_equal(one, two) for one, two in pairs)
    for feedback in (1.0, 0.0, (0.1, 0.2)):
        with pytest.raises(CircuitError):
            trial.with_feedback(feedback)


def test_in_float64(rng: np.random.Generator) -> None:
    """The same weights, input and targets; the forward pass in twice the precision."""
    trial = make_trial(rng, "gait", "asinh", 0.01, dtype="float32", error=0.01)
    precise = in_float64(trial)
    assert in_float64(precise) is precise
    for sample in range(2):
        literal = LiteralCircuit(trial, sample)
        target = [
            float(trial.activity.rates[-1][sample, i]) + float(trial.error[sample, i])
            for i in range(2)
        ]
        for layer in range(1, 4):
            wanted = np.array([float(y) for y in literal.forward[layer]])
            np.testing.assert_allclose(precise.activity.rates[layer][sample], wanted, rtol=1e-14)
        np.testing.assert_allclose(precise.target[sample, :2], target, rtol=1e-14)
        np.testing.assert_array_equal(precise.error[sample, 2:], 0.0)


def test_a_circuit_is_what_it_was_given(network: Network) -> None:
    """`build_circuit` only checks and completes."""
    circuit = build_circuit(network, "itp", 0.2)
    assert isinstance(circuit, Circuit)
    assert circuit.network is network
    assert circuit.pathway.name == "itp"
