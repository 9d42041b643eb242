"""What is predicted of a circuit that learns with noise, before it has learnt anything.

A layer's weights follow the mean of its updates over the images that it is shown. Noise averages
out over images and bias does not. So with G the update that the circuit's read-out gives without
noise, D back-propagation's, both averaged over images, and N^2 the mean square of the noise of one
image's update, the direction in which M images take the weights of layer l has the cosine

    c_l(M) = <G, D> / |D| / sqrt(|G|^2 + N^2 / M)                                              (1)

with D. It knows of no batch and no epoch, of M = images x epochs alone. Against gamma, G turns away
from D and N falls as gamma^-k, k = L + 1 - l: the best strength is where the least of the layers'
cosines is largest. `docs/noise.md` is M = 1.

Owns this prediction, and how long an image takes. Does not own the noise of a layer
(`studies.noisy_learning.reading`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg

from circuit.learned_inverse.model import KEYS
from circuit.learning.taught import of_settled
from circuit.losses import output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, to_numpy
from circuit.peers.reading import signal_updates
from circuit.plasticity import updates
from circuit.rules import back_propagation
from studies.noisy_learning.reading import NoisySettings, chain, signal

KEPT = 0.1  # of its signal that a read-out may be off by when averaging begins
STEP, LONGEST = 0.05, 500.0  # of time, in tau, in which rest is looked for


@dataclass(frozen=True, eq=False)
class Prospect:
    """What is known of each layer's update before learning; arrays (..., L).

    Attributes
    ----------
    along : <G, D> / |D|
    size : |G|
    noise : N, of one image, where s is 1
    """

    along: np.ndarray
    size: np.ndarray
    noise: np.ndarray


def cosine(
    along: np.ndarray, size: np.ndarray, noise: np.ndarray, images: float | np.ndarray
) -> np.ndarray:
    """c_l(M) of Eq. 1; `noise` is N, that of one image. NaN for a layer that nothing changes."""
    changed = np.sqrt(size**2 + noise**2 / images)
    return np.divide(along, changed, out=np.full(changed.shape, np.nan), where=changed > 0)


def largest_noise(
    along: np.ndarray,
    size: np.ndarray,
    noise: np.ndarray,
    images: float | np.ndarray,
    least: float,
) -> np.ndarray:
    """The s at which the least of the layers' cosines is `least`, (...); 0 where bias alone turns
    a layer that far.

    Parameters
    ----------
    along, size, noise : (..., L), the last where s is 1; NaN where there is no layer
    """
    room = np.maximum((along / least) ** 2 - size**2, 0) * (along > 0) * images
    return np.asarray(np.fmin.reduce(np.sqrt(room) / noise, axis=-1))


def prospect(
    network: Network, activity: Activity, targets: Array, settings: NoisySettings, keys: Array
) -> Prospect:
    """What networks `(...)` may expect of images, of which `activity` is the forward pass.

    Parameters
    ----------
    targets : array (..., batch, n_outputs)
    keys : one for each network
    """
    quiet = replace(settings, noise=0.0)
    taught = signal(network, activity, targets, "quadratic", quiet, {KEYS: (keys,)}, 0)
    taught, _ = of_settled(taught, targets)
    error = output_error(network, activity, targets, "quadratic")
    best = updates(network, activity, back_propagation(network, activity, error))
    factors = settings.chain(network.depth).noise
    columns = []
    for layer, own in enumerate(signal_updates(network, taught), 1):
        units, read = network.n_projecting(layer), network.n_projecting(layer - 1)
        G, D = (_rows(change.weights, units) for change in (own, best[layer - 1]))
        slopes = _squares(activity.slope(layer)[..., :units])
        below = _squares(activity.rates[layer - 1][..., :read])
        power = np.sqrt(np.mean(slopes * below, axis=-1))
        gain = taught.shifts.gains[layer - 1].value
        along = np.sum(G * D, axis=(-2, -1)) / np.linalg.norm(D, axis=(-2, -1))
        columns.append((along, np.linalg.norm(G, axis=(-2, -1)), factors[layer - 1] / gain * power))
    return Prospect(*(np.stack(part, axis=-1) for part in zip(*columns, strict=True)))


def _rows(weights: Any, units: int) -> np.ndarray:
    """Of the units that project, in float64."""
    return to_numpy(weights)[..., :units, :].astype(np.float64)


def _squares(values: Any) -> np.ndarray:
    return np.sum(to_numpy(values).astype(np.float64) ** 2, axis=-1)


# --- time ---


def averaged_noise(sigma: float, duration: float) -> float:
    """Standard deviation of the average over `duration` (in tau) of a rate that fluctuates by
    `sigma` and forgets within tau: sigma^2 (2/T) (1 - (1 - exp(-T)) / T), its square.
    """
    return sigma * math.sqrt(2 / duration * (1 + math.expm1(-duration) / duration))


def settling_time(strengths: tuple[float, ...], readout: str, error: float) -> float:
    """Time, in tau, after which no layer's read-out is off by more than `KEPT` of its signal.

    Of the chain, whose rates begin at 0 and come to rest at 1, image and label together; the signal
    is that of an output error of `error` beside these rates.
    """
    one = chain(strengths, readout)
    allowed = KEPT * error * np.abs(one.signal)
    step = scipy.linalg.expm(one.drift * STEP)
    off, last = np.ones(len(strengths)), 0
    for count in range(round(LONGEST / STEP)):
        if np.any(np.abs(one.reads @ off) > allowed):
            last = count
        off = step @ off
    return (last + 1) * STEP
