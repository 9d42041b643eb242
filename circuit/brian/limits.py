"""What a run needs and what it can show: how long to wait, and what float64 leaves of a shift.

Owns these numbers, and how long an Euler step may be, worked out without Brian2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from circuit.circuit import Circuit
from circuit.numerics.arrays import epsilon, flattened, frobenius_norm, row_norms
from circuit.numerics.scale import ONE, Scale, times
from circuit.shifts import Shifts, require_fits
from circuit.trial import Trial

LEAST_SLOPE = 0.1  # at which an Euler step is still sure to be short enough


def settling_time(circuit: Circuit) -> float:
    """Seconds in which the circuit's slowest mode falls to the rounding of float64.

    The modes are those of the ITP circuit in a linear piece (docs/derivation.md, section 3), where
    the weights do not matter, or those of the GRAIT circuit with orthogonal rows that are all as
    long as the longest of their layer (section 8); with time on top for a signal to pass through
    all layers. Of a circuit through another feedback than the exact inverse as if it were that.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import settling_time
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> 0.1 < settling_time(trial.circuit) < 1  # seconds
    True
    """
    slowest = min(float(rates.min()) for rates in _mode_rates(circuit))
    layers = len(circuit.strengths)
    return (-math.log(np.finfo(np.float64).eps) + 2 * layers) / slowest


def longest_step(circuit: Circuit) -> float:
    """Seconds that an Euler step may take: the smallest time constant, or less.

    In the GRAIT circuit long rows of weights make the fastest mode faster; it then falls by a half
    in a step. With orthogonal rows no mode is faster than those of `settling_time`. Through another
    feedback than the exact inverse no mode is faster than the norms of the matrices allow.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise
    >>> from circuit.brian import longest_step
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> longest_step(trial.circuit)
    0.01
    """
    shortest = min(circuit.time_constants)
    if circuit.feedback is not None:
        return min(shortest, 1.5 / _fastest_by_norms(circuit))
    if not circuit.pathway.row_adjusted:
        return shortest
    fastest = max(float(rates.max()) for rates in _mode_rates(circuit))
    return min(shortest, 1.5 / fastest)


def _fastest_by_norms(circuit: Circuit) -> float:
    """A bound in 1/s on the eigenvalues where no slope is below a tenth: the largest sum of the
    norms of what a layer feels of itself and of its neighbours.
    """
    network, model, found = circuit.network, circuit.feedback, []
    gait, rows = circuit.pathway.gradient_adjusted, circuit.pathway.row_adjusted
    for layer, gamma in enumerate(circuit.strengths, 1):
        size = 1.0
        if layer > 1:
            size += (1 - gamma) * network.factors[layer - 1].norm
        if layer < network.depth and model is not None:
            unit, up = network.activation(layer + 1), network.factors[layer].norm
            longest = float(np.max(model.squared_lengths(network, layer + 1))) if rows else 1.0
            own = longest if gait else 1 / max(unit.smallest_slope, LEAST_SLOPE)
            size += gamma * model.norms[layer - 1] * (own + (1 + longest) * up)
        found.append(size / circuit.time_constants[layer - 1])
    return max(found)


def _mode_rates(circuit: Circuit) -> list[np.ndarray]:
    """Rates in 1/s at which the modes of the circuit's chains decay, one array for each chain."""
    gamma, tau = np.array(circuit.strengths), np.array(circuit.time_constants)
    if circuit.pathway.row_adjusted:
        return _row_adjusted_rates(circuit)
    # tau_l dy_l/dt = -y_l + (1 - gamma_l) y_{l-1} + gamma_l y_{l+1}, scaled by layer until both
    # ways between two layers are as strong: the same eigenvalues, and rounding cannot move them far
    between = np.sqrt((1 - gamma[1:]) * gamma[:-1] / (tau[1:] * tau[:-1]))
    chain = np.diag(-1 / tau) + np.diag(between, -1) + np.diag(between, 1)
    return [-np.linalg.eigvalsh(chain)]


def _row_adjusted_rates(circuit: Circuit) -> list[np.ndarray]:
    """The squared singular values of the bidiagonal matrices of docs/derivation.md, section 8.

    One chain ends in an output unit that is nudged, and one in each layer with units that get no
    feedback, in such a unit.
    """
    network, gamma = circuit.network, np.array(circuit.strengths)
    tau = np.array(circuit.time_constants)
    lengths = [float(np.max(network.squared_lengths(k))) for k in range(2, network.depth + 1)]
    up = np.append(np.sqrt(gamma[:-1] * lengths), np.sqrt(gamma[-1]))
    found = []
    for layer in range(1, network.depth + 1):
        nudged = layer == network.depth
        ends = [True] if nudged else []
        ends += [False] if network.n_projecting(layer) < network.widths[layer] else []
        for fed in ends:
            kept = np.sqrt(1 - gamma[:layer])
            if not fed:
                kept[-1] = 1.0
            matrix = np.zeros((layer + 1, layer))
            matrix[:layer] = np.diag(kept) - np.diag(up[: layer - 1], -1)
            matrix[layer, -1] = up[-1] if fed else 0.0
            found.append(np.linalg.svd(matrix / np.sqrt(tau[:layer]), compute_uv=False) ** 2)
    return found


def float_floor(trial: Trial, shifts: Shifts) -> tuple[float, ...]:
    """Relative error that rounding leaves in a shift read as the difference of two rates.

    eps |y_l| / |delta_l| for l = 1 .. L, Frobenius norms over the units that get feedback or a
    nudge, and the batch. Infinite for a shift of zero. Raises `ShapeMismatch`.

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.brian import float_floor
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> lower, upper = float_floor(trial, settle(trial).shifts)
    >>> upper < 1e-15 < lower < 1e-12
    True
    """
    require_fits(shifts, trial.activity.rates[1:])
    floors = []
    for layer, (rates, value) in enumerate(_projecting(trial, shifts)):
        rounding = epsilon(rates) * float(frobenius_norm(rates))
        shift = Scale.of(float(frobenius_norm(value))).times(shifts.scales[layer])
        floors.append(Scale.of(rounding).over(shift).value if shift.mantissa else math.inf)
    return tuple(floors)


def float_floors(trial: Trial, shifts: Shifts) -> np.ndarray:
    """The same for every sample by itself, (L, samples).

    Examples
    --------
    >>> from circuit import begin, build_circuit, initialise, settle
    >>> from circuit.brian import float_floors
    >>> trial = begin(build_circuit(initialise([3, 3, 3], 0), "gait", 0.1), [[0.1, 0.2, 0.3]], [1])
    >>> float_floors(trial, settle(trial).shifts).shape
    (2, 1)
    """
    floors = []
    for layer, (rates, value) in enumerate(_projecting(trial, shifts)):
        rounding, size = epsilon(rates) * flattened(row_norms(rates)), flattened(row_norms(value))
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            # in the order in which nothing underflows: both norms are of ordinary size
            floors.append(times(rounding / size, ONE.over(shifts.scales[layer])))
    return np.array(floors)


def _projecting(trial: Trial, shifts: Shifts) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rates and shifts of the layers 1 .. L, of the units that get feedback or a nudge."""
    for layer, (rates, value) in enumerate(
        zip(trial.activity.rates[1:], shifts.values, strict=True), 1
    ):
        n = trial.network.n_projecting(layer)
        yield rates[..., :n], value[..., :n]
