"""Direct linear difference target propagation: learned weights from the output to every layer.

    t_l = y_l + Q_l (t_L - y_L) ,    t_L = y_L + eta e ,    l < L ,

read as a target. Q_l (n, outputs) learns before the network in every step, from what a disturbance
xi of y_l does to the outputs, in units of its standard deviation,

    |Q_l (y_L(y_l + xi) - y_L) - xi|^2 + decay |Q_l|^2       (difference reconstruction loss) .

With F_l = dy_L / dy_l it ends in a linear network at Q_l = F_l^T (F_l F_l^T + decay)^-1: damped
Gauss-Newton, which for F_l with orthonormal rows is back-propagation over 1 + decay.

Meulemans, Carzaniga, Suykens, Sacramento and Grewe, A theoretical framework for target propagation,
NeurIPS 2020 (DDTP-linear).
"""

from __future__ import annotations

from circuit.learned_inverse.model import KEYS
from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array
from circuit.peers.dfa import DIRECT, direct_shifts, direct_weights
from circuit.peers.disturbed import disturbance, raised, regressed, require_learnt
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import Signal
from circuit.peers.table import TABLE
from circuit.settings.peers.ddtp import DirectDifferenceSettings
from circuit.settings.peers.feedback import steps_in


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: DirectDifferenceSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """As `Rule.signal`."""
    error = output_error(network, activity, targets, loss)
    return Signal(activity, direct_shifts(network, error, companions[DIRECT], settings.nudge))


def companions(network: Network, settings: DirectDifferenceSettings, keys: Array) -> Companions:
    """Keys of what is random, and Gaussian weights Q_1 .. Q_{L-1}."""
    return {KEYS: (keys,), DIRECT: direct_weights(network, keys)}


def practise(
    network: Network,
    activity: Activity,
    companions: Companions,
    settings: DirectDifferenceSettings,
    step: int,
) -> Companions:
    """As `Rule.practise`. Raises `NotFinite`."""
    keys, learnt, scale = companions[KEYS][0], [], settings.noise
    for layer, weights in enumerate(companions[DIRECT], 1):
        like, units = activity.rates[layer], network.n_projecting(layer)
        for again in range(steps_in(step, settings.steps, settings.before)):
            change = noise = disturbance(keys, step, again, layer, like=like, units=units)
            for above in range(layer + 1, network.depth + 1):
                change = raised(network, activity, above, change, scale)
            read = change[..., : network.n_outputs]
            weights = regressed(weights, noise, read, settings.rate, settings.decay)
        learnt.append(weights)
    return {**companions, DIRECT: require_learnt("ddtp", tuple(learnt), 1)}


RULE = Rule(
    name="ddtp",
    words=TABLE["ddtp"].words,
    reference="Meulemans et al. 2020",
    settings=DirectDifferenceSettings,
    signal=signal,
    companions=companions,
    practise=practise,
)
