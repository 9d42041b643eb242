"""A rule whose synapses read every rate with noise, and what the noise of each layer is.

Owns the rule that the runs of this study learn by: the circuit, with one feedback strength or one
below and another at the output, or back-propagation; read with noise.

The noise follows from rates that fluctuate (docs/noise.md). Averaged over a time T of many time
constants, with s = sigma sqrt(2 tau / T), a chain of scalars (`chain`) says what is left of it in
layer l: s times `Chain.noise`. It is the same in every unit of a linear circuit with orthogonal
weights, and is drawn anew for every unit, layer and image. What is left out: that the averages of
two layers are correlated, and that curved units carry less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuit.dynamics import build_circuit
from circuit.equilibrium import settle
from circuit.feedback import PATHWAYS
from circuit.learned_inverse.inverse_model import exact_model, model_of_matrices
from circuit.learned_inverse.model import KEYS, read_with
from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, namespace, widened
from circuit.numerics.keyed_random import normals
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import Rest, Signal
from circuit.rules import back_propagation
from circuit.settings.declaration import Record
from circuit.trial import Trial

WAYS = BP, GAIT, GRAIT, TRANSPOSED = "bp", "gait", "grait", "transposed"
POSTSYNAPTIC, PRESYNAPTIC = "postsynaptic", "presynaptic"
DRAWN = {POSTSYNAPTIC: 2, PRESYNAPTIC: 3}  # what a random number is for; 0 to 2 as of an inverse
NONE = 1e-12  # a feedback strength at which nothing comes down
ROUGH = 1e-2  # relative residual that is left of each layer, far below the noise
SWEEPS = 30  # an image that needs more waits for the next epoch


# --- how much of the noise each layer has ---


@dataclass(frozen=True, eq=False)
class Chain:
    """The linear circuit with orthogonal weights, a chain of scalars.

    Attributes
    ----------
    signal : (L,), the read-out for an output error of 1
    noise : (L,), the standard deviation of the read-out averaged over a long T, over s
    rates : (L,), the same of the rates themselves
    drift : (L, L), J of the nudged phase, in 1/tau
    reads : (L, L), what makes the read-out of the nudged rates
    """

    signal: np.ndarray
    noise: np.ndarray
    rates: np.ndarray
    drift: np.ndarray
    reads: np.ndarray


def chain(strengths: tuple[float, ...], readout: str) -> Chain:
    """The chain of the feedback strengths gamma_1 .. gamma_L.

    tau dy_l/dt = -y_l + (1 - gamma_l) y_{l-1} + gamma_l y_{l+1} + noise, and at the output the
    target in place of y_{l+1}. With J = -1 + (what couples) an average over a long T has the
    covariance s^2 J^-1 J^-T (docs/noise.md), in the free phase with gamma_L = 0.

    Parameters
    ----------
    readout : "shift", the nudged average less the free one, or "mismatch", of the nudged phase
    """
    depth, gamma = len(strengths), np.asarray(strengths)
    eye = np.eye(depth)
    drift = np.diag(1 - gamma[1:], -1) + np.diag(gamma[:-1], 1) - eye
    unnudged = drift.copy()
    unnudged[-1, :-1] /= 1 - gamma[-1]
    nudged, free = np.linalg.inv(drift), np.linalg.inv(unnudged)
    reads = eye if readout == "shift" else eye - np.eye(depth, k=-1)
    variances = np.diag(reads @ nudged @ nudged.T @ reads.T)
    at_free = np.diag(free @ free.T)
    if readout == "shift":
        variances = variances + at_free
    signal = -(reads @ nudged)[:, -1] * gamma[-1]
    return Chain(signal, np.sqrt(variances), np.sqrt(at_free), drift, reads)


# --- the rule ---


@dataclass(frozen=True)
class NoisySettings(Record):
    """What the rule is set to.

    Attributes
    ----------
    way : one of `WAYS`: back-propagation, whose errors are read with the noise of a mismatch; the
        circuit, with pathway "gait" or "grait"; or that of "gait" through W^T in place of the
        inverse, of deviations only
    gamma, below : of the output and of the layers below; of all where `below` is None
    readout : "shift" or "mismatch"
    noise : s, the standard deviation of the average of a unit that is alone
    """

    way: str = BP
    gamma: float | None = None
    below: float | None = None
    readout: str | None = None
    noise: float = 0.0

    def strengths(self, depth: int) -> tuple[float, ...]:
        """gamma_1 .. gamma_L; next to nothing for back-propagation, whose noise has no feedback."""
        if self.gamma is None:
            return (NONE,) * depth
        return (*[self.gamma if self.below is None else self.below] * (depth - 1), self.gamma)

    def chain(self, depth: int) -> Chain:
        """Of a network of so many layers."""
        return chain(self.strengths(depth), self.readout or "mismatch")


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: NoisySettings,
    companions: Companions,
    step: int,
) -> Signal:
    """As `Rule.signal`."""
    error = output_error(network, activity, targets, loss)
    if settings.way == BP:
        found = Signal(activity, back_propagation(network, activity, error))
    else:
        found = _settled(network, activity, widened(error, network.widths[-1]), settings)
    if settings.noise > 0:
        found = _read(network, found, settings, companions[KEYS][0], step)
    return found


def _settled(network: Network, activity: Activity, error: Array, settings: NoisySettings) -> Signal:
    """What the circuit's layers shift by, or their mismatches; auxiliary units learn nothing."""
    if settings.way == TRANSPOSED:
        xp = namespace(error)
        back = model_of_matrices(network, [xp.matrix_transpose(W) for W in network.weights[1:]])
    else:
        back = exact_model(network)
    pathway = settings.way if settings.way in PATHWAYS else GAIT
    circuit = build_circuit(network, pathway, settings.strengths(network.depth), feedback=back)
    trial = Trial(circuit, activity, error)
    record = settle(trial, "sweep", tolerance=ROUGH, max_steps=SWEEPS, must_converge=False)
    shifts = record.read_out(settings.readout or "mismatch")
    values = (
        widened(value[..., : network.n_projecting(layer)], value.shape[-1])
        for layer, value in enumerate(shifts.values, 1)
    )
    worst = np.array(record.relative_residuals)[:, np.newaxis]
    residuals = np.broadcast_to(worst, (network.depth, len(record.sample_status)))
    rest = Rest(record.sample_status, residuals, record.evaluations)
    return Signal(activity, shifts.with_values(tuple(values)), rest=rest)


def _read(
    network: Network, signal: Signal, settings: NoisySettings, keys: Array, step: int
) -> Signal:
    """What synapses make of the signal: shifts and presynaptic rates, each with its own noise."""
    sizes = settings.chain(network.depth)
    rates, layers = signal.activity.rates, range(1, network.depth + 1)

    def drawn(what: str, size: float, layer: int) -> Array:
        units = network.n_projecting(layer)
        numbers = normals(keys, (DRAWN[what], step, layer), rates[layer], units)
        return settings.noise * size * numbers

    wrong = [drawn(POSTSYNAPTIC, float(sizes.noise[at - 1]), at) for at in layers]
    below = [drawn(PRESYNAPTIC, float(sizes.rates[at - 1]), at) for at in layers]
    pairs = zip(rates[1:], below, strict=True)
    read = (rates[0], *(rate + widened(off, rate.shape[-1]) for rate, off in pairs))
    return replace(signal, shifts=read_with(wrong, signal.shifts), read=read)


def keys_of(network: Network, settings: NoisySettings, keys: Array) -> Companions:
    """The keys from which the noise of each network follows."""
    return {KEYS: (keys,)}


RULE = Rule(
    name="noisy_circuit",
    words="the circuit, or back-propagation, with rates that are read with noise",
    reference="docs/noisy_learning.md",
    settings=NoisySettings,
    signal=signal,
    companions=keys_of,
    needs_inverse=True,
    settles=True,
)
