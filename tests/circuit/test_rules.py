"""circuit.rules, shifts and feedback: the heart of the matter.

The oracle is Algorithm 1 of the paper written down literally, loop by loop and with absolute
targets, in mpmath. A target holds its shift as a difference of two numbers of size 1, so that a
shift of relative size gamma^(L-1) costs (L - 1) log10(1/gamma) digits; the oracle carries 60 digits
more than that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mpmath import mp, mpf

from circuit.errors import CircuitError, NotFinite, ShapeMismatch, TargetOutOfRange
from circuit.feedback import (
    GRADIENT_ADJUSTED,
    INCREMENTAL,
    PATHWAYS,
    ROW_ADJUSTED,
    TARGET_PROPAGATION,
    closed_form_gain,
    mismatch_ratios,
    output_only,
    per_layer,
    ruin_ratios,
)
from circuit.initialisation.networks import initialise
from circuit.initialisation.weights import gaussian, orthogonal
from circuit.losses import output_error
from circuit.network import Activity, Network, forward
from circuit.numerics.scale import ONE, Scale
from circuit.plasticity import updates
from circuit.rules import (
    RULES,
    Rule,
    back_propagation,
    gait_propagation,
    incremental_target_propagation,
    target_propagation,
)
from circuit.shifts import Shifts, renormalised
from circuit.units.table import activation
from tests.literal_units import LEAK, LITERAL, exactly

EPS = float(np.finfo(float).eps)
DIGITS = 60
TARGET_RULES = ("tp", "itp", "gait", "grait")
Vector = list[mpf]


# The oracle: paper sections 2, 4, 5, 7 and Alg. 1, loop by loop


def literal_forward(network: Network, x: np.ndarray) -> tuple[list[Vector], list[Vector]]:
    """y_0 .. y_L and h_1 .. h_L of one sample (Eq. 1)."""
    rates, drives = [exactly(x)], []
    for layer in range(1, network.depth + 1):
        weights, h = exactly(network.weights[layer - 1]), exactly(network.biases[layer - 1])
        for i in range(len(h)):
            for j in range(len(h)):
                h[i] += weights[i][j] * rates[-1][j]
        drives.append(h)
        rates.append([LITERAL[network.activation(layer).name].value(a) for a in h])
    return rates, drives


def literal_targets(
    network: Network,
    rates: list[Vector],
    target: Vector,
    epsilon: Callable[[int, int], mpf],
) -> dict[int, Vector]:
    """t_1 .. t_L of one sample by Eqs. 5, 12, 17 and, with auxiliary units, Eq. 22.

    `epsilon(l, i)` is what the deviation of unit i of layer l is multiplied with.
    """
    depth = network.depth
    t = {depth: target + rates[depth][len(target) :]}  # auxiliary outputs: no error signal
    for layer in range(depth, 1, -1):
        inverse = LITERAL[network.activation(layer).name].inverse
        bias = exactly(network.biases[layer - 1])
        drive = []
        for i in range(len(bias)):
            mixed = (1 - epsilon(layer, i)) * rates[layer][i] + epsilon(layer, i) * t[layer][i]
            drive.append(inverse(mixed) - bias[i])
        weights = mp.matrix(exactly(network.weights[layer - 1]))
        below = list(mp.lu_solve(weights, mp.matrix(drive)))
        t[layer - 1] = below + rates[layer - 1][len(below) :]  # z is copied from the forward pass
    return t


def literal_gain(
    name: str, network: Network, drives: list[Vector], gammas: Sequence[float]
) -> Callable[[int, int], mpf]:
    """epsilon of TP (1), ITP (gamma), GAIT-prop (gamma f'(h)^2, Eq. 16) and GRAIT-prop (times the
    sum of the squared weights of the unit).
    """

    def epsilon(layer: int, i: int) -> mpf:
        gamma = mpf(gammas[layer - 1])
        slope = LITERAL[network.activation(layer).name].slope(drives[layer - 1][i])
        if name == "grait":
            row = exactly(network.weights[layer - 1])[i]
            return gamma * slope**2 * sum(weight * weight for weight in row)
        return {"tp": mpf(1), "itp": gamma, "gait": gamma * slope**2}[name]

    return epsilon


def digits_for(gammas: Sequence[float]) -> int:
    """60 digits, and those that the absolute target of the first layer swallows."""
    return DIGITS + math.ceil(-sum(math.log10(gamma) for gamma in gammas[1:]))


def exact_scale(scale: Scale) -> mpf:
    """mantissa * 2^exponent, without rounding or underflow."""
    return mpf(scale.mantissa) * mpf(2) ** scale.exponent


def exact_shift(shifts: Shifts, layer: int, sample: int) -> mp.matrix:
    """The shift that `Shifts` stands for, without rounding or underflow."""
    return exact_scale(shifts.scales[layer - 1]) * mp.matrix(
        exactly(shifts.values[layer - 1][sample])
    )


def relative(got: mp.matrix, wanted: mp.matrix) -> float:
    """|got - wanted| / |wanted|."""
    return float(mpmath.norm(got - wanted) / mpmath.norm(wanted))


# What rounding can do: a first-order bound, from eps, the depth and the conditioning


def accumulated(maps: Sequence[np.ndarray], local: Sequence[float]) -> list[float]:
    """Errors after each step when step k adds `local[k]`, and `maps[k]` carries on what was before.

    |error_k| <= sum over j <= k of |maps_k ... maps_{j+1}|_2 local_j.
    """
    carried: list[tuple[np.ndarray, float]] = []
    errors = []
    for step, (matrix, size) in enumerate(zip(maps, local, strict=True)):
        carried = [(matrix @ product, old) for product, old in carried] if step else []
        carried.append((np.eye(len(matrix)), size))
        errors.append(sum(np.linalg.norm(product, 2) * old for product, old in carried))
    return errors


def rounding_of_rates(
    network: Network, rates: list[Vector], drives: list[Vector], eps: float
) -> list[float]:
    """Bound on |y_l - exact y_l| of the forward pass, for l = 0 .. L.

    A layer adds the rounding of its product, (N + 2) eps (|W| |y| + |b|), and carries on what is
    there with A_l W_l.
    """
    maps, local = [], []
    for layer in range(1, network.depth + 1):
        weights = network.weights[layer - 1].astype(float)
        n = len(weights)
        slope = LITERAL[network.activation(layer).name].slope
        slopes = np.array([float(slope(h)) for h in drives[layer - 1]])
        below = np.array([float(y) for y in rates[layer - 1][:n]])
        wide = np.linalg.norm(weights, 2) * np.linalg.norm(below)
        local.append((n + 2) * eps * (wide + np.linalg.norm(network.biases[layer - 1])))
        unread = network.widths[layer - 1] - n
        maps.append(np.pad(slopes[:, None] * weights, ((0, 0), (0, unread))))
    return [0.0, *accumulated(maps, local)]


def rounding_of_shifts(
    network: Network,
    rates: list[Vector],
    drives: list[Vector],
    targets: dict[int, Vector],
    epsilon: Callable[[int, int], mpf],
    eps: float,
) -> dict[int, float]:
    """Bound on the relative error of delta_l in every layer.

    delta_{l-1} = W_l^-1 k_l, k_l = f^-1(y_l + eps_l delta_l) - f^-1(y_l). Each layer adds
    (N + 4) eps cond(W_l) for the solve and the elementwise steps; what the error of the rates,
    r_l, does to f^-1; and carries on what is there with W_l^-1 diag(k_l / delta_l). The error of
    the rates enters in a piecewise linear f only where a unit crosses its kink, with
    (r_l + eps |eps_l delta_l|) (1/slope - 1); in asinh through the slopes, |f''/f'| r <= r each.
    """
    rate_error = rounding_of_rates(network, rates, drives, eps)
    depth = network.depth

    def shift(layer: int) -> Vector:
        return [t - y for t, y in zip(targets[layer], rates[layer], strict=True)]

    def norm(vector: Vector) -> mpf:
        return mpmath.norm(mp.matrix(vector))

    sizes = [float(norm(rates[depth])), float(norm(targets[depth])), rate_error[depth] / eps]
    local = [float(eps * sum(sizes) / norm(shift(depth)))]
    maps = [np.eye(network.widths[depth])]
    for layer in range(depth, 1, -1):
        weights = network.weights[layer - 1].astype(float)
        n, condition = len(weights), np.linalg.cond(weights)
        unit = network.activation(layer)
        inverse = LITERAL[unit.name].inverse
        delta, below = shift(layer), shift(layer - 1)
        secants, kink = [], mpf(0)
        for i, d in enumerate(delta):
            y, moved = rates[layer][i], rates[layer][i] + epsilon(layer, i) * d
            carried = inverse(moved) - inverse(y)
            secants.append(float(carried / d * norm(delta) / norm(below)) if d else 0.0)
            if unit.name == "asinh":
                kink = max(kink, 3 * rate_error[layer] * norm(delta) * abs(carried / d if d else 0))
            elif unit.name == "leaky_relu":
                # the oracle and the code must agree on which units cross
                assert min(abs(y), abs(moved)) > 2 * rate_error[layer], "choose another seed"
                if (y > 0) != (moved > 0):
                    kink += (rate_error[layer] + eps * abs(moved - y)) * (1 / LEAK - 1)
        inverse_norm = np.linalg.norm(np.linalg.inv(weights), 2)
        local.append((n + 4) * eps * condition + float(inverse_norm * kink / norm(below)))
        matrix = np.linalg.inv(weights) * np.array(secants)
        missing = network.widths[layer - 1] - n
        maps.append(np.pad(matrix, ((0, missing), (0, 0))))
    errors = accumulated(maps, local)
    return dict(zip(range(depth, 0, -1), errors, strict=True))


# Networks to try


def random_network(
    widths: Sequence[int],
    unit: str = "leaky_relu",
    *,
    seed: int = 0,
    spread: float = 0.3,
    dtype: str = "float64",
    n_outputs: int | None = None,
) -> Network:
    """Weights `spread` away from orthogonal, and biases."""
    rng = np.random.default_rng(seed)
    return Network(
        weights=tuple(
            (orthogonal(n, rng) + spread * gaussian(n, rng)).astype(dtype) for n in widths[1:]
        ),
        biases=tuple((0.3 * rng.standard_normal(n)).astype(dtype) for n in widths[1:]),
        activations=(activation(unit),) * (len(widths) - 1),
        n_inputs=widths[0],
        n_outputs=widths[-1] if n_outputs is None else n_outputs,
    )


def trial(network: Network, *, samples: int = 1, seed: int = 0) -> tuple[Activity, np.ndarray]:
    """A forward pass, and an output error of size 1/2 per unit."""
    rng = np.random.default_rng(1000 + seed)
    dtype = network.weights[0].dtype
    activity = forward(network, rng.standard_normal((samples, network.n_inputs)).astype(dtype))
    return activity, (0.5 * rng.standard_normal((samples, network.n_outputs))).astype(dtype)


def compare_with_literal(
    name: str,
    network: Network,
    gammas: Sequence[float],
    *,
    seed: int,
    error_size: float = 0.5,
    samples: int = 2,
) -> None:
    """A rule of the code against Alg. 1, layer by layer and sample by sample."""
    rng = np.random.default_rng(seed)
    dtype = network.weights[0].dtype
    eps = float(np.finfo(dtype).eps)
    inputs = rng.standard_normal((samples, network.n_inputs)).astype(dtype)
    activity = forward(network, inputs)
    outputs = activity.rates[-1][:, : network.n_outputs]
    targets = outputs + error_size * rng.standard_normal(outputs.shape).astype(dtype)
    shifts = RULES[name](network, activity, output_error(network, activity, targets), gammas)

    with mp.workdps(digits_for(gammas)):
        wanted_gain = mpf(1)
        for layer in range(network.depth, 0, -1):
            gain = exact_scale(shifts.gains[layer - 1])
            assert abs(gain / wanted_gain - 1) <= network.depth * EPS
            wanted_gain *= 1 if name == "tp" else mpf(gammas[layer - 1])
        for sample in range(samples):
            rates, drives = literal_forward(network, inputs[sample])
            epsilon = literal_gain(name, network, drives, gammas)
            exact = literal_targets(network, rates, exactly(targets[sample]), epsilon)
            allowed = rounding_of_shifts(network, rates, drives, exact, epsilon, eps)
            assert max(allowed.values()) < 5e4 * eps, "a bound that says little"
            for layer in range(1, network.depth + 1):
                wanted = mp.matrix(exact[layer]) - mp.matrix(rates[layer])
                error = relative(exact_shift(shifts, layer, sample), wanted)
                assert error <= allowed[layer], (layer, sample)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("gamma", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("depth", [3, 10, 30])
@pytest.mark.parametrize("name", TARGET_RULES)
def test_leaky_relu_against_algorithm_1(name: str, depth: int, gamma: float, dtype: str) -> None:
    """Eqs. 5, 12, 17, in every layer to rounding, whatever the depth and the feedback strength."""
    network = random_network((4,) * (depth + 1), seed=depth, dtype=dtype)
    compare_with_literal(name, network, (gamma,) * depth, seed=depth + 1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", TARGET_RULES)
def test_unequal_feedback_strengths(name: str, dtype: str) -> None:
    """gamma_l belongs to layer l (Eqs. 12 and 17), gamma_1 to no target."""
    network = random_network((5,) * 6, seed=7, dtype=dtype)
    compare_with_literal(name, network, (0.9, 1e-1, 1e-5, 0.3, 1e-3), seed=8)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("depth", "gamma"), [(3, 1e-1), (3, 1e-6), (8, 1e-2)])
@pytest.mark.parametrize("name", TARGET_RULES)
def test_asinh_against_algorithm_1(name: str, depth: int, gamma: float, dtype: str) -> None:
    """The same with smooth units."""
    network = random_network((3,) * (depth + 1), "asinh", seed=depth, dtype=dtype)
    compare_with_literal(name, network, (gamma,) * depth, seed=5, error_size=0.05)


@pytest.mark.parametrize("name", TARGET_RULES)
def test_auxiliary_units_against_eq_22(name: str) -> None:
    """Decreasing widths and auxiliary outputs: z is copied, W stays square (paper section 7)."""
    network = random_network((7, 5, 5, 3, 3), seed=3, n_outputs=2)
    compare_with_literal(name, network, (0.5, 0.1, 0.3, 0.01), seed=5, samples=3)


@pytest.mark.parametrize("name", RULES)
def test_auxiliary_units_learn_nothing(name: str) -> None:
    """Paper section 7: their targets are their rates, the weights onto them do not change."""
    network = random_network((7, 5, 5, 3, 3), seed=3, n_outputs=2)
    activity, error = trial(network, samples=4)
    shifts = RULES[name](network, activity, error, 0.1)
    changes = updates(network, activity, shifts)
    for layer in range(1, network.depth + 1):
        n = network.n_projecting(layer)
        assert shifts.values[layer - 1].shape == (4, network.widths[layer])
        assert not shifts.values[layer - 1][:, n:].any()
        assert not changes[layer - 1].weights[n:].any()
        assert not changes[layer - 1].biases[n:].any()
        assert shifts.values[layer - 1][:, :n].all()
        assert changes[layer - 1].weights[:n].all()


@pytest.mark.parametrize("name", ["itp", "gait"])
def test_one_increment_at_the_output_only(name: str) -> None:
    """Paper section 9: gamma_L at the output, the layers below without one.

    Literally: ITP inverts t_l itself below the output. For GAIT-prop, gamma_l = 1 leaves
    epsilon_l = A_l^2 (Eq. 16).
    """
    network = random_network((4,) * 6, seed=11)
    activity, error = trial(network, samples=1, seed=4)
    shifts = RULES[name](network, activity, error, output_only(0.01, network.depth))
    with mp.workdps(DIGITS):
        rates, drives = literal_forward(network, activity.rates[0][0])

        def epsilon(layer: int, i: int) -> mpf:
            incremental = mpf(0.01) if layer == network.depth else mpf(1)
            slope = LITERAL["leaky_relu"].slope(drives[layer - 1][i])
            return incremental * slope**2 if name == "gait" else incremental

        target = [y + e for y, e in zip(rates[-1], exactly(error[0]), strict=True)]
        exact = literal_targets(network, rates, target, epsilon)
        allowed = rounding_of_shifts(network, rates, drives, exact, epsilon, EPS)
        for layer in range(1, network.depth + 1):
            wanted = mp.matrix(exact[layer]) - mp.matrix(rates[layer])
            assert relative(exact_shift(shifts, layer, 0), wanted) <= allowed[layer]
            gain = 1.0 if layer == network.depth else 0.01
            assert shifts.gains[layer - 1].value == pytest.approx(gain, rel=4 * EPS)


# Back-propagation


def literal_loss(name: str, y: Vector, t: Vector) -> mpf:
    """Eq. 2, the cross-entropy of softmax, and a loss of the user's: |y - t|^4 / 4."""
    if name == "quadratic":
        return sum((a - b) ** 2 for a, b in zip(y, t, strict=True)) / 2
    if name == "cross_entropy":
        total = sum(mpmath.exp(a) for a in y)
        return -sum(b * mpmath.log(mpmath.exp(a) / total) for a, b in zip(y, t, strict=True))
    return sum((a - b) ** 4 for a, b in zip(y, t, strict=True)) / 4


LOSSES_TO_TRY = {
    "quadratic": "quadratic",
    "cross_entropy": "cross_entropy",
    "user": lambda y, t: (t - y) ** 3,
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", LOSSES_TO_TRY)
@pytest.mark.parametrize(
    ("widths", "unit"), [((5, 4, 4, 3), "leaky_relu"), ((3,) * 9, "asinh"), ((2, 2), "linear")]
)
def test_back_propagation_against_central_differences(
    widths: tuple[int, ...], unit: str, loss: str, dtype: str
) -> None:
    """Eq. 3 is minus the gradient of the loss in every weight and bias, averaged over the batch.

    Differences in mpmath, 50 digits, step 1e-20 (error of order 1e-40).
    """
    network = random_network(widths, unit, seed=2, dtype=dtype, n_outputs=2)
    rng = np.random.default_rng(1)
    samples, depth = 2, network.depth
    activity = forward(network, rng.standard_normal((samples, widths[0])).astype(dtype))
    targets = np.array([[0.25, 0.75], [1.0, 0.0]], dtype=dtype)
    error = output_error(network, activity, targets, LOSSES_TO_TRY[loss])
    changes = updates(network, activity, back_propagation(network, activity, error))

    step = mpf(10) ** -20
    with mp.workdps(50):

        def mean_loss(layer: int, i: int, j: int | None, size: mpf) -> mpf:
            total = mpf(0)
            for sample in range(samples):
                rates = exactly(activity.rates[0][sample])
                for k in range(1, depth + 1):
                    weights, h = literal[k]
                    h = list(h)
                    for a in range(len(h)):
                        h[a] += sum(w * y for w, y in zip(weights[a], rates, strict=False))
                    if k == layer:
                        h[i] += size * (1 if j is None else rates[j])
                    rates = [LITERAL[unit].value(a) for a in h]
                total += literal_loss(loss, rates[:2], exactly(targets[sample]))
            return total / samples

        literal = {
            k: (exactly(network.weights[k - 1]), exactly(network.biases[k - 1]))
            for k in range(1, depth + 1)
        }
        conditions = [np.linalg.cond(w) for w in network.weights]
        for layer in range(1, depth + 1):
            n = widths[layer]
            gradient = np.array(
                [
                    [
                        float((mean_loss(layer, i, j, step) - mean_loss(layer, i, j, -step)) / step)
                        for j in [*range(n), None]
                    ]
                    for i in range(n)
                ]
            )
            change = np.column_stack([changes[layer - 1].weights, changes[layer - 1].biases])
            # every product above rounds to (N + 4) eps cond(W), as does the forward pass
            allowed = 4 * (n + 4) * sum(conditions) * float(np.finfo(dtype).eps)
            lost = np.linalg.norm(2 * change + gradient) / np.linalg.norm(gradient)
            assert lost <= allowed, layer


@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
@pytest.mark.parametrize("unit", ["linear", "leaky_relu", "asinh", "tanh"])
def test_back_propagation_against_torch_autograd(unit: str, loss: str) -> None:
    """The same in a wider and deeper network, by another library."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    network = random_network((30, 20, 20, 20, 12, 12), unit, seed=4, n_outputs=5)
    activity, _ = trial(network, samples=7)
    targets = np.abs(np.random.default_rng(3).standard_normal((7, 5)))
    targets /= targets.sum(axis=1, keepdims=True)
    error = output_error(network, activity, targets, loss)
    changes = updates(network, activity, back_propagation(network, activity, error))

    functional = torch.nn.functional
    value = {
        "linear": lambda h: h,
        "leaky_relu": lambda h: functional.leaky_relu(h, LEAK),
        "asinh": torch.asinh,
        "tanh": torch.tanh,
    }[unit]
    weights = [torch.tensor(w, requires_grad=True) for w in network.weights]
    biases = [torch.tensor(b, requires_grad=True) for b in network.biases]
    y = torch.tensor(activity.rates[0])
    for w, b in zip(weights, biases, strict=True):
        y = value(functional.linear(y[:, : len(w)], w, b))
    y, t = y[:, :5], torch.tensor(targets)
    if loss == "quadratic":
        ((y - t) ** 2 / 2).sum(dim=1).mean().backward()
    else:
        functional.cross_entropy(y, t).backward()
    for layer, change in enumerate(changes):
        np.testing.assert_allclose(change.weights, -weights[layer].grad.numpy(), atol=1e-13)
        np.testing.assert_allclose(change.biases, -biases[layer].grad.numpy(), atol=1e-13)


# Theorems


def weight_changes(
    name: str, network: Network, activity: Activity, error: np.ndarray, gamma: float = 1e-8
) -> list[np.ndarray]:
    """dW_1 .. dW_L of a rule, divided by the products of gammas (Eq. 21)."""
    shifts = RULES[name](network, activity, error, gamma)
    return [change.weights for change in updates(network, activity, shifts)]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the angle between two matrices."""
    return float(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b))


def test_eq_8_in_a_linear_network() -> None:
    """dW_BP = F^T F dW_TP with F_l = W_L ... W_{l+1}; F^T F is positive definite."""
    network = random_network((6,) * 5, "linear", seed=1, spread=1.0)
    activity, error = trial(network, samples=9)
    bp, tp = (weight_changes(name, network, activity, error) for name in ("bp", "tp"))
    for layer in range(1, 5):
        f = np.eye(6)
        for k in range(layer + 1, 5):
            f = network.weights[k - 1] @ f
        allowed = 100 * EPS * np.linalg.cond(f) ** 2
        np.testing.assert_allclose(bp[layer - 1], f.T @ f @ tp[layer - 1], rtol=0, atol=allowed)
        assert layer == 4 or cosine(bp[layer - 1], tp[layer - 1]) < 0.999  # it says something


def printed_matrix(
    network: Network, activity: Activity, layer: int, gammas: Sequence[float], power: int
) -> np.ndarray:
    """M of Eq. 15 (power +1) or N of Eq. 20 (power -1) of a single sample, as printed."""
    depth, n = network.depth, network.widths[1]

    def a(k: int) -> np.ndarray:
        return np.diag(activity.slope(k)[0])

    prefactor = 1.0
    for j in range(layer + 1, depth + 1):
        prefactor *= gammas[j - 1] ** -1
    down, up = np.eye(n), np.eye(n)
    for j in range(layer + 1, depth + 1):
        down = down @ network.weights[j - 1].T @ a(j)
    for j in range(depth - (layer + 1) + 1):
        inner = a(depth - j) if power == 1 else np.linalg.inv(a(depth - j))
        up = up @ inner @ network.weights[depth - j - 1]
    return prefactor * a(layer) @ down @ up @ np.linalg.inv(a(layer))


def distances_from_bp(
    name: str, network: Network, gammas: Sequence[float], matrix_power: int | None
) -> list[float]:
    """|dW_BP - M dW| / |dW_BP| of layers 1 .. L-1, for one sample; M = prod 1/gamma if None."""
    activity, error = trial(network, seed=1)
    bp = weight_changes("bp", network, activity, error)
    shifts = RULES[name](network, activity, error, gammas)
    distances = []
    for layer in range(1, network.depth):
        rule = np.zeros_like(bp[layer - 1])  # Eqs. 13 and 18, entry by entry
        for i in range(len(rule)):
            for j in range(len(rule)):
                shift = shifts.absolute(layer)[0, i]
                rule[i, j] = activity.slope(layer)[0, i] * shift * activity.rates[layer - 1][0, j]
        if matrix_power is None:
            matrix = np.eye(len(rule)) / np.prod(gammas[layer:])
        else:
            matrix = printed_matrix(network, activity, layer, gammas, matrix_power)
        distances.append(
            np.linalg.norm(bp[layer - 1] - matrix @ rule) / np.linalg.norm(bp[layer - 1])
        )
    return distances


THEOREMS = pytest.mark.parametrize(
    ("name", "power", "spread"),
    [("itp", 1, 0.5), ("gait", -1, 0.5), ("gait", None, 0.0)],
    ids=["eq_15", "eq_20", "eq_21"],
)


@THEOREMS
def test_relation_to_bp_is_of_first_order_in_gamma(
    name: str, power: int | None, spread: float
) -> None:
    """Eqs. 14, 19 and 21 (orthogonal W) are limits: half the gammas, half the distance."""
    network = random_network((4,) * 5, "asinh", seed=6, spread=spread)
    gammas = np.array([1.0, 2e-3, 1e-3, 3e-3])
    far = distances_from_bp(name, network, gammas, power)
    near = distances_from_bp(name, network, gammas / 2, power)
    for a, b in zip(far, near, strict=True):
        assert a < 0.02
        assert a / b == pytest.approx(2, rel=0.02)


@THEOREMS
def test_relation_to_bp_is_exact_in_a_linear_piece(
    name: str, power: int | None, spread: float
) -> None:
    """As long as no unit crosses its kink there is no error beside rounding."""
    network = random_network((4,) * 5, "leaky_relu", seed=6, spread=spread)
    gammas = np.array([1.0, 2e-5, 1e-5, 3e-5])
    # the matrix magnifies rounding by its condition number, 1e4 at most here
    assert max(distances_from_bp(name, network, gammas, power)) < 1e5 * EPS


@pytest.mark.parametrize("unit", ["leaky_relu", "asinh", "tanh"])
def test_gait_is_bp_with_orthogonal_weights(unit: str) -> None:
    """Eq. 21 over a batch, depth 8, from the activation's own slopes only."""
    network = random_network((10,) * 9, unit, seed=2, spread=0.0)
    activity, error = trial(network, samples=6)
    bp, gait = (weight_changes(name, network, activity, error) for name in ("bp", "gait"))
    for a, b in zip(bp, gait, strict=True):
        assert np.linalg.norm(a - b) < 1e-5 * np.linalg.norm(a)  # first order: 1e-8 times 1/slope


@pytest.mark.parametrize(
    ("name", "init", "unit"),
    [
        ("itp", "orthogonal", "leaky_relu"),
        ("tp", "orthogonal", "leaky_relu"),
        ("gait", "gaussian", "leaky_relu"),
        ("gait", "gaussian", "linear"),
    ],
)
def test_rules_that_are_not_bp(name: str, init: str, unit: str) -> None:
    """Negative controls: no A^2 (section 4), no orthogonality (section 5)."""
    network = initialise((20,) * 6, np.random.default_rng(3), init=init, activation=unit)
    activity, error = trial(network, samples=5)
    bp, other = (weight_changes(rule, network, activity, error) for rule in ("bp", name))
    for layer in range(1, 5):
        assert cosine(bp[layer - 1], other[layer - 1]) < 0.9
    assert cosine(bp[0], other[0]) < 0.5
    np.testing.assert_allclose(bp[-1], other[-1], rtol=1e-12)  # the output layer has no feedback


def test_in_a_linear_network_itp_is_gait_and_tp() -> None:
    """A = 1: the gains differ by gamma only; with orthogonal W all equal BP (sections 3 and 6)."""
    for spread in (0.5, 0.0):
        network = random_network((6,) * 5, "linear", seed=1, spread=spread)
        activity, error = trial(network, samples=3)
        bp, tp, itp, gait = (
            weight_changes(name, network, activity, error, 0.1)
            for name in ("bp", "tp", "itp", "gait")
        )
        for layer in range(4):
            np.testing.assert_array_equal(itp[layer], gait[layer])
            np.testing.assert_allclose(itp[layer], tp[layer], rtol=1e-12, atol=1e-14)
            same = np.allclose(bp[layer], tp[layer], rtol=1e-12, atol=1e-13)
            assert same == (spread == 0.0 or layer == 3)


def test_back_and_target_propagation_ignore_the_feedback_strength() -> None:
    """Eqs. 3 to 5 contain no gamma; their gains are 1."""
    network = random_network((4,) * 4, seed=1)
    activity, error = trial(network)
    for rule in (back_propagation, target_propagation):
        plain, strong = rule(network, activity, error), rule(network, activity, error, 0.3)
        for layer in range(3):
            np.testing.assert_array_equal(plain.values[layer], strong.values[layer])
        assert plain.scales == strong.scales
        assert plain.gains == (ONE, ONE, ONE)


# Eq. 17 itself, where absolute targets lose nothing


@st.composite
def settings_to_try(draw: st.DrawFn) -> tuple[Network, tuple[float, ...], int]:
    """A small network of any shape, feedback strengths around 1/2, and a seed."""
    widths = sorted(draw(st.lists(st.integers(1, 5), min_size=2, max_size=6)), reverse=True)
    unit = draw(st.sampled_from(["linear", "leaky_relu", "asinh", "tanh"]))
    seed = draw(st.integers(0, 10**6))
    network = random_network(
        widths,
        unit,
        seed=seed,
        spread=draw(st.sampled_from([0.0, 0.3, 1.0])),
        n_outputs=draw(st.integers(1, widths[-1])),
    )
    depth = len(widths) - 1
    gammas = draw(st.lists(st.floats(0.3, 0.7), min_size=depth, max_size=depth))
    return network, tuple(gammas), seed


@given(settings_to_try(), st.sampled_from(TARGET_RULES), st.integers(1, 4))
def test_targets_satisfy_their_definition(
    setting: tuple[Network, tuple[float, ...], int], name: str, samples: int
) -> None:
    """g_l(t_{l-1}) = (1 - epsilon_l) y_l + epsilon_l t_l, t = y + delta (Eqs. 5, 12, 17, 22)."""
    network, gammas, seed = setting
    conditions = [np.linalg.cond(weights) for weights in network.weights]
    assume(max(conditions) < 100)
    activity, error = trial(network, samples=samples, seed=seed)
    try:
        shifts = RULES[name](network, activity, 0.1 * error, gammas)
    except TargetOutOfRange:
        assume(False)
    targets = [
        activity.rates[layer] + shifts.absolute(layer) for layer in range(1, 1 + len(gammas))
    ]
    assume(all(np.abs(target).max() < 100 for target in targets))
    for layer in range(2, network.depth + 1):
        n, weights = network.widths[layer], network.weights[layer - 1]
        slope, unit = activity.slope(layer), network.activation(layer)
        epsilon = {"tp": 1.0, "itp": gammas[layer - 1], "gait": gammas[layer - 1] * slope**2}.get(
            name, gammas[layer - 1] * slope**2 * np.sum(weights**2, axis=1)
        )
        below, y, t = targets[layer - 2], activity.rates[layer], targets[layer - 1]
        reached = unit.value(below[:, :n] @ weights.T + network.biases[layer - 1])
        size = (1 + np.abs(below).max()) * np.linalg.norm(weights, 2) * conditions[layer - 1]
        np.testing.assert_allclose(
            reached, (1 - epsilon) * y + epsilon * t, rtol=0, atol=20 * n * EPS * size
        )
        np.testing.assert_array_equal(below[:, n:], activity.rates[layer - 1][:, n:])


# The running scale


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sixty_layers_of_weak_feedback(dtype: str) -> None:
    """gamma^59 = 1e-354 is no float; the shift is still that of Alg. 1 (420 digits)."""
    network = random_network((3,) * 61, seed=2, spread=0.1, dtype=dtype)
    compare_with_literal("gait", network, (1e-6,) * 60, seed=3, samples=1)


def test_absolute_shifts_underflow_and_shifts_per_gain_do_not() -> None:
    """Eq. 21 holds at depth 60: what is learnt from is exact where the shift itself is 0."""
    network = random_network((4,) * 61, "leaky_relu", seed=3, spread=0.0)
    activity, error = trial(network, samples=2)
    shifts = gait_propagation(network, activity, error, 1e-6)
    bp = back_propagation(network, activity, error)
    assert not shifts.absolute(1).any()
    assert shifts.absolute(59).all()
    assert shifts.gains[0].value == 0
    assert shifts.gains[0].log10 == pytest.approx(-354, rel=1e-12)
    for layer in range(1, 61):
        signal, gradient = shifts.per_gain(layer), bp.absolute(layer)
        # one rounding of order N eps per layer, each magnified at most by how unequal slopes are
        assert np.linalg.norm(signal - gradient) < 1e-11 * np.linalg.norm(gradient)
        for sample in range(2):
            wanted = np.linalg.norm(gradient[sample]) * 1.0
            assert np.linalg.norm(signal[sample]) == pytest.approx(wanted, rel=1e-9)
    rms = math.sqrt((np.linalg.norm(bp.absolute(1), axis=1) ** 2).mean())
    assert shifts.norm(1).log10 == pytest.approx(math.log10(rms) - 354, rel=1e-12)


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_shifts_that_grow_out_of_range(dtype: str) -> None:
    """TP through 120 layers of weights 1e-6: a shift of 1e714, infinite as a float, never NaN."""
    depth, rng = 120, np.random.default_rng(0)
    widths = (5, *(3,) * (depth - 1))  # of layer 1, two units are auxiliary
    network = Network(
        weights=tuple((1e-6 * orthogonal(n, rng)).astype(dtype) for n in widths),
        biases=tuple(np.zeros(n, dtype=dtype) for n in widths),
        activations=(activation("linear"),) * depth,
        n_inputs=5,
        n_outputs=3,
    )
    activity = forward(network, np.ones((1, 5), dtype=dtype))
    shifts = target_propagation(network, activity, np.array([[0.0, 3.0, 4.0]], dtype=dtype))
    assert shifts.norm(1).log10 == pytest.approx(math.log10(5) + 6 * (depth - 1), abs=1e-3)
    for signal in (shifts.absolute(1), shifts.per_gain(1)):
        assert np.isinf(signal[:, :3]).all()
        assert not signal[:, 3:].any()
    assert np.isfinite(shifts.values[0]).all()


@pytest.mark.parametrize(("dtype", "size"), [("float64", 1e-200), ("float32", 1e-30)])
def test_a_tiny_output_error_has_a_norm(dtype: str, size: float) -> None:
    """The recursion is linear for small errors, and so is the norm of every shift."""
    network = random_network((4,) * 4, "leaky_relu", seed=3, dtype=dtype)
    activity, error = trial(network, samples=2)
    tiny = gait_propagation(network, activity, size * error, 0.1)
    small = gait_propagation(network, activity, error * np.array(1e-6, dtype=dtype), 0.1)
    for layer in (1, 2, 3):
        wanted = small.norm(layer).log10 + math.log10(size) + 6
        assert tiny.norm(layer).log10 == pytest.approx(wanted, abs=1e-4)


def test_renormalising_moves_powers_of_two_only() -> None:
    """Values out of hand are brought back to [1/2, 1) exactly; others are left alone."""
    scale = Scale.of(0.3)
    for peak in (1e300, 3e7, 1e-7, 1e-300):
        value, moved = renormalised(np.array([peak, -peak / 3, 0.0]), scale, 1)
        assert 0.5 <= np.abs(value).max() < 1
        assert moved.mantissa == scale.mantissa
        back = value * 2.0 ** (moved.exponent - scale.exponent)
        np.testing.assert_array_equal(back, [peak, -peak / 3, 0.0])
    for kept in (np.array([1e-5, 0.0]), np.array([1e5]), np.zeros(3), np.zeros((0, 2))):
        value, same = renormalised(kept, scale, 1)
        assert value is kept
        assert same == scale


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_shifts_that_are_not_finite(bad: float) -> None:
    """Named by layer, in one line."""
    with pytest.raises(NotFinite, match="shift of layer 7 is not finite; use better") as refusal:
        renormalised(np.array([1.0, bad]), ONE, 7)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("exponent", [0, -90, -99, -100, -101, -130, -140, -900, 90, 100, 120])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_shift_in_units_of_the_rates(dtype: str, exponent: int) -> None:
    """scale * value and scale / gain * value, wherever the product is in range."""
    value = np.array([[0.75, -1.5, 0.0]], dtype=dtype)
    shifts = Shifts((value,), (Scale(0.625, exponent),), (Scale(0.5, -3),))
    for got, power in ((shifts.absolute(1), exponent), (shifts.per_gain(1), exponent + 4)):
        assert got.dtype == dtype
        with mp.workdps(40):
            wanted = [mpf(0.625) * mpf(2) ** power * x for x in (0.75, -1.5, 0.0)]
        np.testing.assert_array_equal(got[0], np.array([float(x) for x in wanted], dtype=dtype))
    other = shifts.with_values((2 * value,))
    assert (other.scales, other.gains, other.depth) == (shifts.scales, shifts.gains, 1)
    np.testing.assert_array_equal(other.values[0], 2 * value)


# Refusals


@pytest.mark.parametrize("name", RULES)
def test_an_error_that_does_not_fit(name: str) -> None:
    """One entry per output unit that carries an error signal."""
    network = random_network((4, 3, 3), n_outputs=2)
    activity, _ = trial(network)
    with pytest.raises(ShapeMismatch, match="the output error has 3 units; the network has 2"):
        RULES[name](network, activity, np.ones((1, 3)), 0.1)
    with pytest.raises(NotFinite):
        RULES[name](network, activity, np.full((1, 2), np.nan), 0.1)


def test_a_shift_that_overflows_is_named_by_its_layer() -> None:
    """Weights of 1e-308 in layer 3 leave no finite shift in layer 2."""
    network = initialise((2, 2, 2, 2, 2), np.random.default_rng(0))
    weights = list(network.weights)
    weights[2] = 1e-308 * weights[2]
    network = Network(tuple(weights), network.biases, network.activations, 2, 2)
    activity = forward(network, np.ones((1, 2)))
    with pytest.raises(NotFinite, match="the shift of layer 2 is not finite"):
        target_propagation(network, activity, np.full((1, 2), 1e6))


@pytest.mark.parametrize("rule", [gait_propagation, incremental_target_propagation])
def test_weak_feedback_unless_asked_otherwise(rule: Rule) -> None:
    """The default feedback strength is 0.01, as documented."""
    network = random_network((3,) * 4)
    activity, error = trial(network)
    default, wanted = rule(network, activity, error), rule(network, activity, error, 0.01)
    np.testing.assert_array_equal(default.values[0], wanted.values[0])
    assert default.gains == wanted.gains


def test_full_targets_may_leave_the_range_of_tanh() -> None:
    """TP asks for rates that tanh cannot have; weak feedback does not (paper section 9)."""
    network = initialise((4, 4, 4), np.random.default_rng(0), activation="tanh")
    activity = forward(network, np.ones((2, 4)))
    error = 3 * np.ones((2, 4)) - activity.rates[-1]
    with pytest.raises(TargetOutOfRange):
        target_propagation(network, activity, error)
    assert gait_propagation(network, activity, error, 0.01).absolute(1).all()


# Feedback strengths


def test_gains_of_the_family() -> None:
    """epsilon = 1, gamma, gamma A^2 (Eq. 16): the part that a layer's own units set."""
    slope, deviation = np.array([0.5, 2.0]), np.array([3.0, 5.0])
    for gain, wanted in (
        (TARGET_PROPAGATION, [3.0, 5.0]),
        (INCREMENTAL, [3.0, 5.0]),
        (GRADIENT_ADJUSTED, [0.75, 20.0]),
    ):
        assert gain.local(slope, deviation).tolist() == wanted
    assert not TARGET_PROPAGATION.incremental
    assert INCREMENTAL.incremental
    assert GRADIENT_ADJUSTED.incremental
    assert PATHWAYS == {"itp": INCREMENTAL, "gait": GRADIENT_ADJUSTED, "grait": ROW_ADJUSTED}
    assert RULES["itp"] is incremental_target_propagation


@pytest.mark.parametrize("strength", [0.1, np.float64(0.1), np.float32(0.1), np.array(0.1)])
def test_one_strength_for_all_layers(strength: float) -> None:
    """A number of any kind."""
    assert per_layer(strength, 3) == (float(strength),) * 3


def test_strengths_of_single_layers() -> None:
    """A list or an array; 1 only where layers without an increment are allowed."""
    with pytest.raises(CircuitError):
        per_layer((1.0, 0.5), 2)
    assert per_layer([0.1, 0.2], 2) == (0.1, 0.2)
    assert per_layer(np.array([0.1, 0.2]), 2) == (0.1, 0.2)
    assert per_layer((1, 0.5), 2, up_to_one=True) == (1.0, 0.5)
    assert per_layer(1, 2, up_to_one=True) == (1.0, 1.0)
    assert output_only(0.2, 3) == (1.0, 1.0, 0.2)


@pytest.mark.parametrize(
    ("strength", "up_to_one", "words"),
    [
        (0.0, True, "gamma = 0 at layer 1"),
        (-0.1, True, "gamma = -0.1 at layer 1"),
        (1.0, False, "gamma = 1 at layer 1"),
        (1.5, True, "gamma = 1.5 at layer 1"),
        (math.nan, True, "gamma = nan"),
        ((0.1, 0.2, 2.0), False, "gamma = 2 at layer 3"),
        ((0.1, 0.2), False, "2 feedback strengths for 3 layers"),
        ((0.1,) * 4, False, "4 feedback strengths for 3 layers"),
    ],
)
def test_strengths_that_are_refused(strength: object, up_to_one: bool, words: str) -> None:
    """One line that names the value and its layer."""
    with pytest.raises(CircuitError, match=words) as refusal:
        per_layer(strength, 3, up_to_one=up_to_one)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)


def ruin(gammas: Sequence[float]) -> list[mpf]:
    """c_0 .. c_{L+1} of c_l = (1 - gamma_l) c_{l-1} + gamma_l c_{l+1} by a dense solve.

    c_0 = 0 (the clamped input) and c_{L+1} = 1 (the target): derivation.md, section 3.
    """
    depth = len(gammas)
    matrix, right = mp.zeros(depth), mp.zeros(depth, 1)
    for l, gamma in enumerate(map(mpf, gammas)):  # noqa: E741
        matrix[l, l] = mpf(1)
        if l > 0:
            matrix[l, l - 1] = -(1 - gamma)
        if l < depth - 1:
            matrix[l, l + 1] = -gamma
        else:
            right[l] = gamma
    return [mpf(0), *mp.lu_solve(matrix, right), mpf(1)]


UNEQUAL = [(0.3,), (0.9, 0.1), (0.01, 0.5, 0.99, 0.2), (1e-6, 0.7, 1e-3, 0.6, 0.6), (0.6,) * 30]


@pytest.mark.parametrize("gammas", [*UNEQUAL, (0.5,) * 7, (1e-4,) * 12, (0.999,) * 12])
def test_ratios_of_the_itp_circuit_against_a_dense_solve(gammas: tuple[float, ...]) -> None:
    """c_l / c_{l+1}, equal and unequal strengths, below and above 1/2."""
    with mp.workdps(100):
        c = ruin(gammas)
        for layer, ratio in enumerate(ruin_ratios(gammas), 1):
            wanted = c[layer] / c[layer + 1]
            # 1 - c_{l-1}/c_l keeps its absolute accuracy, and is added to gamma
            allowed = 4 * len(gammas) * EPS
            assert abs(ratio / wanted - 1) < allowed


@pytest.mark.parametrize("depth", [1, 2, 5, 50])
@pytest.mark.parametrize("gamma", [1e-6, 0.01, 0.3, 0.4999999, 0.5, 0.5000001, 0.7, 0.99, 1 - 1e-9])
def test_closed_form_gain_against_a_dense_solve(gamma: float, depth: int) -> None:
    """(q^l - 1) / (q^(L+1) - 1), q = 1/gamma - 1; l / (L+1) at gamma = 1/2."""
    with mp.workdps(60 + 7 * depth):
        c = ruin((gamma,) * depth)
        for layer in range(1, depth + 1):
            gain = closed_form_gain(gamma, layer, depth)
            # exp of (L + 1 - l) log r, whose own rounding it magnifies
            log_r = abs(math.log((1 - gamma) / gamma))
            assert abs(gain / c[layer] - 1) < 10 * EPS * (1 + depth * (1 + log_r))


def test_closed_form_gain_next_to_one_half() -> None:
    """No 0/0 at the floats beside 1/2, and no overflow in a deep network."""
    for gamma in (np.nextafter(0.5, 0), np.nextafter(0.5, 1)):
        assert closed_form_gain(float(gamma), 2, 5) == pytest.approx(1 / 3, rel=1e-14)
    assert closed_form_gain(1e-6, 1, 100) == 0.0
    assert closed_form_gain(1e-6, 100, 100) == pytest.approx(1e-6, rel=1e-5)
    assert closed_form_gain(1 - 1e-6, 1, 1000) == pytest.approx(1 - 1e-6, rel=1e-5)


@pytest.mark.parametrize("gammas", UNEQUAL)
def test_mismatch_ratios_against_a_dense_solve(gammas: tuple[float, ...]) -> None:
    """m_l = gamma_l / (1 - gamma_l) m_{l+1}, m_L = gamma_L (t - g(y_{L-1})): derivation section 4.

    In a chain of linear units with weight 1 both circuits are the ruin problem: y_l = c_l t.
    """
    with mp.workdps(100):
        c = ruin(gammas)
        m = [c[layer] - c[layer - 1] for layer in range(1, len(gammas) + 1)]
        above = [*m[1:], 1 - c[-3]]
        for ratio, lower, upper in zip(mismatch_ratios(gammas), m, above, strict=True):
            assert abs(ratio / (lower / upper) - 1) < 4 * EPS
