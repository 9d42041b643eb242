"""Difference target propagation with feedback that learns to be the transpose.

    t_{l-1} = y_{l-1} + g_l(t_l) - g_l(y_l) ,    t_L = y_L + eta e                  (`difference`)

read as a target. Every g_l, l = 2 .. L, learns by itself, from the local difference reconstruction
loss of independent disturbances dx of y_{l-1} and dy of y_l, of one variance,

    - 2 <dx, g_l(f_l(W_l (y_{l-1} + dx) + b_l)) - g_l(y_l)> + |g_l(y_l + dy) - g_l(y_l)|^2 .

It is least where the Jacobian of g_l is the transpose of that of f_l. With g_l(y) = B u(y), and the
changes u_x and u_y of what B reads,

    B <- B + rate / s <dx u_x^T - B u_y u_y^T> ,    s = 1 + N_l / batch ,

in units of the variance, and for u = f of its largest slope squared; s is what the square of
<u_y u_y^T> is in the mean for a batch of white u_y, so that rates below 2 are stable. In linear
layers it ends at B = W^T, so that difference target propagation is back-propagation; in leaky-ReLU
layers with u = f too, but for units that cross their kink.

Ernoult, Normandin, Moudgil, Spinney, Belilovsky, Rish, Richards and Bengio, Towards scaling
difference target propagation by learning backprop targets, ICML 2022.
"""

from __future__ import annotations

from circuit.learned_inverse.companions import model_of
from circuit.learned_inverse.model import KEYS, WEIGHTS, random_model
from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, outer_sum, rows_times
from circuit.peers.difference import Read, difference_shifts, reader
from circuit.peers.disturbed import disturbance, raised, require_learnt
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import Signal
from circuit.peers.table import TABLE
from circuit.settings.peers.dtp import ABOVE
from circuit.settings.peers.feedback import steps_in
from circuit.settings.peers.ldrl import LocalDifferenceSettings


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: LocalDifferenceSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """As `Rule.signal`."""
    error = output_error(network, activity, targets, loss)
    model = model_of(companions)
    shifts = difference_shifts(network, activity, error, model, settings.unit, settings.nudge)
    return Signal(activity, shifts)


def companions(network: Network, settings: LocalDifferenceSettings, keys: Array) -> Companions:
    """Keys of what is random, and Gaussian feedback weights."""
    return {KEYS: (keys,), WEIGHTS: random_model(network, keys).weights}


def practise(
    network: Network,
    activity: Activity,
    companions: Companions,
    settings: LocalDifferenceSettings,
    step: int,
) -> Companions:
    """As `Rule.practise`. Raises `NotFinite`."""
    keys, learnt = companions[KEYS][0], []
    for layer, weights in enumerate(companions[WEIGHTS], 2):
        read = reader(network, activity, settings.unit, layer)
        for again in range(steps_in(step, settings.steps, settings.before)):
            weights = _improved(
                network, activity, layer, read, weights, settings, keys, step, again
            )
        learnt.append(weights)
    return {**companions, WEIGHTS: require_learnt("ldrl", tuple(learnt), 2)}


def _improved(
    network: Network,
    activity: Activity,
    layer: int,
    read: Read,
    weights: Array,
    settings: LocalDifferenceSettings,
    keys: Array,
    step: int,
    again: int,
) -> Array:
    """B of `layer` after one step."""
    scale = settings.noise
    below, rates = activity.rates[layer - 1], activity.rates[layer]
    batch, units = rates.shape[-2:]
    up = disturbance(keys, step, again, layer, like=below, units=network.n_projecting(layer - 1))
    down = disturbance(keys, step, again, layer, 1, like=rates, units=units)
    change = raised(network, activity, layer, up, scale)
    seen_up, seen_down = read(change, scale), read(down, scale)
    steepest = network.activation(layer).largest_slope if settings.unit == ABOVE else 1.0
    step_size = settings.rate / (batch + units) / steepest**2
    grown = outer_sum(up, seen_up) - outer_sum(rows_times(seen_down, weights), seen_down)
    return weights + step_size * grown


RULE = Rule(
    name="ldrl",
    words=TABLE["ldrl"].words,
    reference="Ernoult et al. 2022",
    settings=LocalDifferenceSettings,
    signal=signal,
    companions=companions,
    practise=practise,
)
