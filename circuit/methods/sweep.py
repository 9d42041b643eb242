"""Block Gauss-Seidel in shift coordinates: layer after layer takes what its neighbours say.

Owns the plain sweep, the yardstick for every cleverer method. One sweep goes from the output down
(carrying the error) and solves each layer's own equation for its own shift. Where feedback is not
the exact inverse, it is a pass of `circuit.methods.down_and_up`.
"""

from __future__ import annotations

from functools import cache

from circuit.messages import gait_message, itp_message, response
from circuit.method import Method, Progress
from circuit.methods.down_and_up import down_and_up
from circuit.numerics.arrays import Array, namespace
from circuit.numerics.scale import ONE, times
from circuit.shift_dynamics import scale_ratio
from circuit.trial import Trial
from circuit.verification.judgement import Judgement


def start(trial: Trial, tolerance: float) -> Progress:
    """The forward pass; the first pass from there where feedback is not the exact inverse."""
    if trial.circuit.feedback is not None:
        return Progress(down_and_up(trial, trial.at_rest()), 2)
    return Progress(trial.at_rest(), 0)


def sweep(trial: Trial, progress: Progress, judgement: Judgement) -> Progress:
    """One sweep from the output down to layer 1."""
    if trial.circuit.feedback is not None:
        return Progress(down_and_up(trial, progress.shifts), 2)
    circuit, network, shifts = trial.circuit, trial.network, progress.shifts
    xp, values = namespace(trial.error), list(progress.shifts.values)
    activity = trial.activity

    # what drives a layer is the state below it, which its own new value leaves as it is
    @cache
    def driven(layer: int) -> tuple[Array | None, Array]:
        """Drive shift k and feed-forward shift p of `layer` under the present shifts."""
        if layer == 1:
            return None, xp.zeros_like(values[0])
        k = network.push(layer, values[layer - 2])
        below = shifts.scales[layer - 2].value
        unit, h, slope = network.activation(layer), activity.drive(layer), activity.slope(layer)
        return k, scale_ratio(shifts, layer - 1, layer) * response(unit, h, slope, k, below)

    for layer in range(network.depth, 0, -1):
        gamma, n = circuit.strength(layer), network.n_projecting(layer)
        _, p = driven(layer)
        if layer == network.depth:
            error = times(trial.error, ONE.over(shifts.scales[-1]))
            pulled = p + gamma * (error - p)
        else:
            scale = shifts.scales[layer].value
            weight = gamma * scale_ratio(shifts, layer + 1, layer)
            unit, h = network.activation(layer + 1), activity.drive(layer + 1)
            slope = activity.slope(layer + 1)
            if circuit.pathway.gradient_adjusted:
                k, above = driven(layer + 1)
                below = shifts.scales[layer - 1].value
                deviation = circuit.by_rows(layer + 1, values[layer] - above)
                message = gait_message(unit, h, slope, k, below, deviation, scale, circuit.pathway)
                pulled = p + weight / (1 - gamma) * network.pull(layer + 1, message)
            else:
                y = activity.rates[layer + 1]
                message = itp_message(unit, h, y, slope, values[layer], scale)
                pulled = (1 - gamma) * p + weight * network.pull(layer + 1, message)
        values[layer - 1] = xp.concat([pulled[..., :n], p[..., n:]], axis=-1)
    return Progress(shifts.with_values(tuple(values)), 2)


METHOD = Method("sweep", start, sweep, budget=2000)
