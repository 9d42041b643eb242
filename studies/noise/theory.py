"""Noise against bias: what rate noise leaves of a shift, and the feedback strength that suits it.

Owns the signal-to-noise ratio of the read-outs, the error of a weight update as bias and noise, the
strength at which it is smallest, and the comparison of the theory with Brian2. Does not own the
covariances (`studies.noise.fluctuations`, whose conventions hold here too) nor the equilibrium.

Auxiliary units are left out of every sum over a layer: they get no feedback, and learn nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.interpolate
import scipy.optimize

from circuit.network import Network
from circuit.plasticity import updates
from circuit.rules import RULES
from circuit.settings.circuits import READOUTS
from circuit.shifts import Shifts
from circuit.trial import Trial
from studies.noise.fluctuations import unit_slices

VANISHING = 1e-12  # a feedback strength at which what is of first order in it is below rounding


# --- signal, bias and noise of a layer ---


def layer_sums(network: Network, values: np.ndarray) -> np.ndarray:
    """Sums over the projecting units of each layer, (..., N) to (..., L)."""
    blocks = unit_slices(network, projecting=True)
    return np.stack([values[..., block].sum(axis=-1) for block in blocks], axis=-1)


def signals(trial: Trial, reading: Shifts) -> np.ndarray:
    """Root mean square, over samples, of the norm of a read-out, (L,), in units of the rates."""
    layers = range(1, reading.depth + 1)
    together = np.concatenate([reading.absolute(layer) for layer in layers], axis=-1)
    return np.asarray(np.sqrt(layer_sums(trial.network, together**2).mean(axis=0)))


def signal_to_noise(trial: Trial, reading: Shifts, variances: np.ndarray) -> np.ndarray:
    """|delta_l| over the square root of the trace of its covariance, (..., L), at sigma = 1.

    Root mean squares over samples. At sigma it is smaller by sigma.

    Parameters
    ----------
    variances : (..., batch, N) of the read-out
    """
    noise = layer_sums(trial.network, variances).mean(axis=-2)
    return signals(trial, reading) / np.sqrt(noise)


def target_updates(trial: Trial, rule: str) -> tuple[np.ndarray, ...]:
    """Update of `rule` in the limit of weak feedback, projecting rows only: L arrays (n, N_l)."""
    network = trial.network
    error = trial.error[..., : network.n_outputs]
    return readout_updates(trial, RULES[rule](network, trial.activity, error, VANISHING))


def readout_updates(trial: Trial, reading: Shifts) -> tuple[np.ndarray, ...]:
    """Update that a read-out leads to, per gain, projecting rows only: L arrays (n, N_l)."""
    network = trial.network
    changes = updates(network, trial.activity, reading)
    return tuple(
        np.asarray(change.weights[: network.n_projecting(layer)])
        for layer, change in enumerate(changes, 1)
    )


def update_bias(
    trial: Trial, reading: Shifts, targets: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Relative error |dW - target| / |target| without noise, and that of the direction, each (L,).

    The latter is the sine of the angle between the two: what is left if the size is put right.
    """
    errors, sines = [], []
    for change, target in zip(readout_updates(trial, reading), targets, strict=True):
        size = np.linalg.norm(target)
        errors.append(np.linalg.norm(change - target) / size)
        along = np.vdot(target, change) / size**2 * target
        sines.append(np.linalg.norm(change - along) / np.linalg.norm(change))
    return np.array(errors), np.array(sines)


def update_noise(
    trial: Trial, reading: Shifts, variances: np.ndarray, targets: Sequence[np.ndarray]
) -> np.ndarray:
    """Root mean square of the noise in dW over |target|, (..., L), at sigma = 1.

    Samples are shown one after the other, so that their noise is independent. Slopes and
    presynaptic rates are taken as free of noise: theirs changes the update by order sigma^2 more.

    Parameters
    ----------
    variances : (..., batch, N) of the read-out
    """
    network, batch = trial.network, trial.error.shape[0]
    noises = []
    for layer, block in enumerate(unit_slices(network, projecting=True), 1):
        slope = trial.activity.slope(layer)[:, : network.n_projecting(layer)]
        below = trial.activity.rates[layer - 1][:, : network.weights[layer - 1].shape[-1]]
        learned = np.sum(slope**2 * variances[..., block], axis=-1) * np.sum(below**2, axis=-1)
        deviation = np.sqrt(learned.sum(axis=-1)) / batch / reading.gains[layer - 1].value
        noises.append(deviation / np.linalg.norm(targets[layer - 1]))
    return np.stack(noises, axis=-1)


# --- the strength at which an update is least wrong ---


@dataclass(frozen=True)
class Best:
    """The feedback strength at which sqrt(bias^2 + noise^2) is smallest.

    Attributes
    ----------
    strength : gamma
    error : relative error of the update there
    inside : whether the minimum lies between the weakest and the strongest strength looked at
    """

    strength: float
    error: float
    inside: bool


def best_strength(strengths: np.ndarray, bias: np.ndarray, noise: np.ndarray) -> Best:
    """Minimise over gamma, between points measured at some strengths.

    Bias and noise are nearly powers of gamma: each is interpolated in logarithms (PCHIP, which adds
    no extrema), and the sum of squares is minimised between the neighbours of its best point.

    Parameters
    ----------
    strengths : (n,), increasing
    bias, noise : (n,), positive; NaN where there was nothing to measure, which ends the range
    """
    usable = np.isfinite(bias) & np.isfinite(noise)
    last = len(usable) if usable.all() else int(np.argmin(usable))
    if last < 3:
        return Best(math.nan, math.nan, False)
    x = np.log(strengths[:last])
    curves = [log_curve(strengths[:last], values[:last]) for values in (bias, noise)]

    def log_error(position: float) -> float:
        return float(np.logaddexp(*(2 * curve(position) for curve in curves)) / 2)

    best = int(np.argmin([log_error(position) for position in x]))
    low, high = x[max(best - 1, 0)], x[min(best + 1, last - 1)]
    found = scipy.optimize.minimize_scalar(
        log_error, bounds=(low, high), method="bounded", options={"xatol": 1e-6}
    )
    inside = bool(x[0] + 1e-3 < found.x < x[-1] - 1e-3)
    return Best(math.exp(found.x), math.exp(found.fun), inside)


def log_curve(strengths: np.ndarray, values: np.ndarray) -> scipy.interpolate.PchipInterpolator:
    """log(values) as a function of log(gamma), interpolated; zeros count as the smallest number."""
    tiny = np.finfo(np.float64).tiny
    logs = np.log(np.maximum(values, tiny))
    return scipy.interpolate.PchipInterpolator(np.log(strengths), logs)


def predicted_exponent(order: int, passes: int) -> float:
    """Of the best gamma in sigma^2/T: 1 / (2 (p + k)).

    Parameters
    ----------
    order : p, the bias being of order gamma^p
    passes : k, the layer's gain being of order gamma^k; L + 1 - l
    """
    return 1 / (2 * (order + passes))


def fitted_exponent(strengths: np.ndarray, bias: np.ndarray, noise: np.ndarray) -> float:
    """Exponent of the best gamma in sigma^2/T in the limit of weak feedback.

    gamma is best where d(bias^2) + p d(noise^2) = 0, which gives the noise power p = sigma^2/T for
    every gamma without a search. For small gamma log p = a + (1/s) log gamma + c gamma, fitted by
    least squares; s is returned. NaN where bias does not grow or noise not fall throughout, as when
    a unit crosses its kink.

    Parameters
    ----------
    strengths : (n,), five or more, increasing, all of them weak
    bias : (n,)
    noise : (n,), at sigma^2/T = 1
    """
    x = np.log(strengths)
    if not ((bias > 0).all() and (np.diff(bias) > 0).all() and (np.diff(noise) < 0).all()):
        return math.nan
    steeper_bias, steeper_noise = (
        values**2 * np.gradient(np.log(values), x) for values in (bias, noise)
    )
    power = -steeper_bias[1:-1] / steeper_noise[1:-1]  # centred differences
    columns = np.stack([np.ones(len(power)), x[1:-1], strengths[1:-1]], axis=-1)
    solution, *_ = np.linalg.lstsq(columns, np.log(power), rcond=None)
    return float(1 / solution[1])


# --- the same in Brian2 ---


@dataclass(frozen=True, eq=False)
class Simulated:
    """Averages of one image's read-outs in independent copies of the circuit.

    Attributes
    ----------
    averages : (readout, copies, N)
    step : seconds of an Euler step
    count : steps averaged over
    noise : sigma
    """

    averages: np.ndarray
    step: float
    count: int
    noise: float


def simulate(
    trial: Trial,
    sample: int,
    *,
    noise: float,
    copies: int,
    step: float,
    count: int,
    skip: int,
    generator: np.random.Generator,
) -> Simulated:
    """Run copies of one image through both phases in Brian2.

    Parameters
    ----------
    noise : sigma
    step : of Euler's method, in seconds
    count, skip : steps of each phase that are averaged over, and left out before
    """
    from circuit import brian

    network = trial.network
    copied = trial.samples([sample] * copies)
    model = brian.build(copied, step=step, noise=noise, record=None)
    phase = (skip + count) * step
    record = brian.run_phases(model, free=phase, nudged=phase, start="forward", generator=generator)
    shift = brian.average_shifts(record, skip * step)
    below, mismatch = [np.asarray(copied.activity.rates[0])[None]], []
    below += [rates[-count:] for rates in record.rates]  # (times, copies, N_l)
    for layer in range(1, network.depth + 1):
        drive = network.push(layer, below[layer - 1]) + network.biases[layer - 1]
        own = network.activation(layer).value(drive)
        mismatch.append((below[layer] - own).mean(axis=0))
    averages = np.stack([np.concatenate(parts, axis=-1) for parts in (shift, mismatch)])
    return Simulated(averages, step, count, noise)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Simulated variance of every layer's read-outs beside the theory of the same Euler steps.

    Attributes
    ----------
    ratio : (readout, L), simulated over theoretical trace of the covariance
    standard_error : (readout, L), of `ratio` if the theory holds
    z : (readout, L), how many standard deviations the ratio is off, on the scale of a normal
    mean_z : (readout, L), the same for the distance of the mean from the equilibrium's read-out
    """

    ratio: np.ndarray
    standard_error: np.ndarray
    z: np.ndarray
    mean_z: np.ndarray


def compare(
    network: Network, simulated: Simulated, covariances: np.ndarray, means: np.ndarray
) -> Comparison:
    """Hold a simulation against a theory.

    A sum of squares of Gaussians with covariance V has the mean tr V and the variance 2 tr V^2: it
    is taken for a chi-square with (tr V)^2 / tr V^2 degrees of freedom a copy.

    Parameters
    ----------
    covariances : (readout, N, N) at sigma = 1
    means : (readout, N), the equilibrium's read-outs
    """
    copies = simulated.averages.shape[1]
    shape = (len(READOUTS), network.depth)
    ratio, error, z, mean_z = (np.empty(shape) for _ in range(4))
    for layer, block in enumerate(unit_slices(network, projecting=True)):
        for readout in range(len(READOUTS)):
            covariance = simulated.noise**2 * covariances[readout, block, block]
            trace, values = np.trace(covariance), simulated.averages[readout, :, block]
            freedom = trace**2 / np.sum(covariance**2)
            centre = values.mean(axis=0)
            spread = np.sum((values - centre) ** 2) / (copies - 1) / trace
            offset = copies * np.sum((centre - means[readout, block]) ** 2) / trace
            at = (readout, layer)
            ratio[at] = spread
            error[at] = math.sqrt(2 / (freedom * (copies - 1)))
            z[at] = _normal_score(spread, freedom * (copies - 1))
            mean_z[at] = _normal_score(offset, freedom)
    return Comparison(ratio, error, z, mean_z)


def _normal_score(value: float, freedom: float) -> float:
    """The standard normal value as likely as a chi-square over its degrees of freedom.

    By the cube root of Wilson and Hilferty (1931), which is finite however unlikely the value.
    """
    spread = 2 / (9 * freedom)
    return float((np.cbrt(value) - (1 - spread)) / math.sqrt(spread))
