"""Fluctuations of the circuit's rates around an equilibrium, to first order in the noise.

Owns the covariances of linear noise and of its time averages, in continuous time and for the Euler
steps of a simulation, and the matrices that a circuit brings to them. Does not own the noise itself
(`circuit.brian`, whose definition this follows), nor what the fluctuations do to learning
(`studies.noise.theory`).

Every rate receives white noise, so strong that an isolated unit fluctuates with the standard
deviation sigma. With x = y - y* and J the Jacobian at the equilibrium y*, to first order in sigma,

    dx/dt = J x + sigma sqrt(Q) xi ,   Q = diag(2 / tau_l) ,   <xi(t) xi(t')> = delta(t - t')

so that every variance here is that at sigma = 1, and sigma^2 times it at sigma (docs/noise.md).

An array over the units of a circuit, `(..., N)`, holds the layers 1 .. L one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import scipy.linalg

from circuit.circuit import Circuit
from circuit.errors import CircuitError
from circuit.linearisation.matrix import dense_jacobian
from circuit.network import Network
from circuit.numerics.scale import ONE
from circuit.shifts import Shifts
from circuit.trial import Trial

SHORTEST = 1e-3  # of 1/|J|: an average over less keeps less than 13 of float64's 16 digits


# --- linear noise: covariances as functions of matrices ---


def stationary_covariance(drift: np.ndarray, diffusion: np.ndarray) -> np.ndarray:
    """C (N, N) with J C + C J^T + Q = 0.

    Parameters
    ----------
    drift : J (N, N) in 1/s
    diffusion : diagonal of Q (N,) in 1/s, positive

    Raises
    ------
    CircuitError
        Where a mode of J does not decay, so that there is no stationary state.
    """
    return _positive_definite(
        scipy.linalg.solve_continuous_lyapunov(drift, -np.diag(diffusion)),
        "the circuit's fluctuations have no stationary state; use weaker feedback",
    )


def average_covariance(drift: np.ndarray, covariance: np.ndarray, duration: float) -> np.ndarray:
    """Covariance (N, N) of the average of x over `duration` seconds.

    (2/T) int_0^T (1 - t/T) exp(J t) C dt = (2/T) [-J^-1 + J^-2 (exp(J T) - I) / T] C, symmetrised.

    Parameters
    ----------
    covariance : C, from `stationary_covariance`

    Raises
    ------
    CircuitError
        For a duration so short that the terms cancel.
    """
    shortest = SHORTEST / np.linalg.norm(drift, 2)
    if not shortest <= duration < math.inf:
        raise CircuitError(
            f"an average over {duration:g} s is none; give at least {shortest:.2g} s"
        )
    eye, inverse = np.eye(len(drift)), np.linalg.inv(drift)
    past = scipy.linalg.expm(drift * duration) - eye
    half = inverse @ (inverse @ past / duration - eye) @ covariance / duration
    return np.asarray(half + half.T)


def stationary_covariance_of_steps(
    drift: np.ndarray, diffusion: np.ndarray, step: float
) -> np.ndarray:
    """C of the Euler-Maruyama chain x' = P x + sqrt(h Q) n, P = I + h J: C = P C P^T + h Q.

    Parameters
    ----------
    drift, diffusion : as in `stationary_covariance`
    step : h in seconds

    Raises
    ------
    CircuitError
        Where the chain has no stationary state.
    """
    chain = np.eye(len(drift)) + step * drift
    return _positive_definite(
        scipy.linalg.solve_discrete_lyapunov(chain, step * np.diag(diffusion), method="bilinear"),
        f"Euler steps of {step:g} s grow; use a shorter step or weaker feedback",
    )


def average_covariance_of_steps(
    drift: np.ndarray, covariance: np.ndarray, step: float, count: int
) -> np.ndarray:
    """Covariance (N, N) of the average of x over `count` successive Euler steps.

    (1/n^2) [n C + S + S^T] with S = sum_{k=1}^{n-1} (n - k) P^k C
    = P [n A^-1 - (I - P^n) A^-2] C and A = I - P = -h J.
    """
    eye = np.eye(len(drift))
    chain, inverse = eye + step * drift, np.linalg.inv(-step * drift)
    gone = eye - np.linalg.matrix_power(chain, count)
    later = chain @ (count * eye - gone @ inverse) @ inverse @ covariance
    return np.asarray(count * covariance + later + later.T) / count**2


def _positive_definite(covariance: np.ndarray, complaint: str) -> np.ndarray:
    """A solution of a Lyapunov equation, which is positive definite if and only if J is stable."""
    covariance = (covariance + covariance.T) / 2
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise CircuitError(complaint) from None
    return covariance


# --- the circuit's own matrices ---


def diffusion(circuit: Circuit) -> np.ndarray:
    """Diagonal of Q, (N,) in 1/s: 2/tau at every unit, as in `circuit.brian.equations`."""
    widths = circuit.network.widths[1:]
    return np.repeat([2 / tau for tau in circuit.time_constants], widths)


def free_trial(trial: Trial) -> tuple[Trial, Shifts]:
    """The trial in its free phase, without a nudge; and its equilibrium, the forward pass."""
    strengths = (*trial.circuit.strengths[:-1], 0.0)
    circuit = trial.circuit.at_limits(strengths)
    free = replace(trial, circuit=circuit, error=0 * trial.error)
    zero = tuple(np.zeros_like(rates) for rates in trial.activity.rates[1:])
    return free, Shifts(zero, (ONE,) * len(zero), (ONE,) * len(zero))


def mismatch_matrix(trial: Trial, shifts: Shifts, sample: int = 0) -> np.ndarray:
    """M = I - D (N, N): m_l = y_l - g_l(y_{l-1}) as a linear function of the rates near a state."""
    network = trial.network
    matrix, blocks = np.eye(sum(network.widths[1:])), unit_slices(network)
    for layer in range(2, network.depth + 1):
        n, below = network.widths[layer], blocks[layer - 2].start
        drive = moved_drives(trial, shifts, layer)[sample]
        slope = network.activation(layer).slope(drive)
        matrix[blocks[layer - 1], below : below + n] = -slope[:, None] * network.weights[layer - 1]
    return matrix


def moved_drives(trial: Trial, shifts: Shifts, layer: int) -> np.ndarray:
    """h_l (batch, N_l) at the state that `shifts` leads to."""
    drive = trial.activity.drive(layer)
    if layer > 1:
        drive = drive + trial.network.push(layer, shifts.absolute(layer - 1))
    return np.asarray(drive)


def unit_slices(network: Network, *, projecting: bool = False) -> list[slice]:
    """Where the layers 1 .. L stand in an array (..., N); on request only their projecting units.

    At the output, those that carry an error.
    """
    starts = np.cumsum((0, *network.widths[1:]))
    sizes = [
        network.n_projecting(layer) if projecting else network.widths[layer]
        for layer in range(1, network.depth + 1)
    ]
    return [slice(int(a), int(a) + n) for a, n in zip(starts[:-1], sizes, strict=True)]


Average = Callable[[np.ndarray, np.ndarray], np.ndarray]  # J, diagonal of Q -> (..., N, N)


def averaged(durations: Sequence[float]) -> Average:
    """Averages over several durations in seconds: covariances (duration, N, N)."""

    def average(drift: np.ndarray, diffusion: np.ndarray) -> np.ndarray:
        covariance = stationary_covariance(drift, diffusion)
        return np.stack([average_covariance(drift, covariance, one) for one in durations])

    return average


def averaged_steps(step: float, count: int) -> Average:
    """The average over `count` Euler steps: a covariance (N, N)."""

    def average(drift: np.ndarray, diffusion: np.ndarray) -> np.ndarray:
        covariance = stationary_covariance_of_steps(drift, diffusion, step)
        return average_covariance_of_steps(drift, covariance, step, count)

    return average


def readout_covariances(trial: Trial, shifts: Shifts, sample: int, average: Average) -> np.ndarray:
    """Covariance of what each of `READOUTS` is off by, (readout, ..., N, N), at sigma = 1.

    The shift is the average of the nudged phase less that of the free phase: two independent
    averages, whose covariances add. The mismatch is M times the average of the nudged phase alone.

    Parameters
    ----------
    shifts : the nudged equilibrium of every sample
    average : `averaged(...)` or `averaged_steps(...)`
    """
    strength = diffusion(trial.circuit)
    free, rest = free_trial(trial)
    nudged_phase = average(dense_jacobian(trial, shifts, sample), strength)
    free_phase = average(dense_jacobian(free, rest, sample), strength)
    matrix = mismatch_matrix(trial, shifts, sample)
    return np.stack([nudged_phase + free_phase, matrix @ nudged_phase @ matrix.T])


def kink_noise(trial: Trial, shifts: Shifts, sample: int = 0) -> float:
    """The sigma at which one standard deviation of a drive reaches the kink nearest to it.

    Over the drives of layers 2 .. L (that of layer 1 is clamped) and over what these layers send
    down. The linear theory is for a small fraction of it. Infinite for units without a kink.
    """
    network, gait = trial.network, trial.circuit.pathway.gradient_adjusted
    drift = dense_jacobian(trial, shifts, sample)
    covariance = stationary_covariance(drift, diffusion(trial.circuit))
    blocks, matrix = unit_slices(network), mismatch_matrix(trial, shifts, sample)
    nearest = math.inf
    for layer in range(2, network.depth + 1):
        unit = network.activation(layer)
        if not unit.piecewise_linear or unit.smallest_slope == unit.largest_slope:
            continue
        drive = moved_drives(trial, shifts, layer)[sample]
        rate = trial.activity.rates[layer][sample] + shifts.absolute(layer)[sample]
        own = np.eye(len(matrix))[blocks[layer - 1]]
        mismatch, slope = matrix[blocks[layer - 1]], unit.slope(drive)[:, None]
        sent, sends = rate, own
        if gait:
            gain = trial.circuit.by_rows(layer, slope.T**2).T  # A^2, times N^2 in the GRAIT circuit
            sent = unit.value(drive) + gain[:, 0] * (rate - unit.value(drive))
            sends = own - mismatch + gain * mismatch
        for value, reads in ((drive, (own - mismatch) / slope), (sent, sends)):
            deviation = np.sqrt(np.sum((reads @ covariance) * reads, axis=-1))
            nearest = min(nearest, float((np.abs(value) / deviation).min()))
    return nearest
