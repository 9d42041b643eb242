"""What a run needs and what it can show: how long to wait, and what float64 leaves of a shift.

Owns these two numbers, worked out without Brian2. Does not own the run (`circuit.brian.phases`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from circuit.arrays import epsilon, flattened, frobenius_norm, row_norms
from circuit.dynamics import Circuit, Trial
from circuit.scale import ONE, Scale
from circuit.shifts import Shifts, require_fits, times


def settling_time(circuit: Circuit) -> float:
    """Seconds in which the circuit's slowest mode falls to the rounding of float64.

    The modes are those of the ITP circuit in a linear piece (docs/derivation.md, section 3), where
    the weights do not matter; with time on top for a signal to pass through all layers.
    """
    gamma, tau = np.array(circuit.strengths), np.array(circuit.time_constants)
    # tau_l dy_l/dt = -y_l + (1 - gamma_l) y_{l-1} + gamma_l y_{l+1}, scaled by layer until both
    # ways between two layers are as strong: the same eigenvalues, and rounding cannot move them far
    between = np.sqrt((1 - gamma[1:]) * gamma[:-1] / (tau[1:] * tau[:-1]))
    chain = np.diag(-1 / tau) + np.diag(between, -1) + np.diag(between, 1)
    slowest = -np.linalg.eigvalsh(chain).max()
    return float((-math.log(np.finfo(np.float64).eps) + 2 * len(gamma)) / slowest)


def float_floor(trial: Trial, shifts: Shifts) -> tuple[float, ...]:
    """Relative error that rounding leaves in a shift read as the difference of two rates.

    eps |y_l| / |delta_l| for l = 1 .. L, Frobenius norms over the units that get feedback or a
    nudge, and the batch. Infinite for a shift of zero. Raises `ShapeMismatch`.
    """
    require_fits(shifts, trial.activity.rates[1:])
    floors = []
    for layer, (rates, value) in enumerate(_projecting(trial, shifts)):
        rounding = epsilon(rates) * float(frobenius_norm(rates))
        shift = Scale.of(float(frobenius_norm(value))).times(shifts.scales[layer])
        floors.append(Scale.of(rounding).over(shift).value if shift.mantissa else math.inf)
    return tuple(floors)


def float_floors(trial: Trial, shifts: Shifts) -> np.ndarray:
    """The same for every sample by itself, (L, samples)."""
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
