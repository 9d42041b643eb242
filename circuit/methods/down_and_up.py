"""A sweep for circuits whose feedback is not the exact inverse: mismatches down, then rates up.

Owns that pass. Does not own the loop, nor the sweep of the exact circuit (`circuit.methods.sweep`).

With the drives that layers have now, the mismatches follow from the output down, and from them the
shifts from the input up. What the mismatches then are short of is smaller by gamma^2, and more
where feedback does not invert the weights.
"""

from __future__ import annotations

from circuit.messages import gait_message, plain_message, response
from circuit.numerics.arrays import Array, widened
from circuit.numerics.scale import ONE, times
from circuit.shift_dynamics import scale_ratio
from circuit.shifts import Shifts
from circuit.trial import Trial


def down_and_up(trial: Trial, shifts: Shifts) -> Shifts:
    """The state after one pass, from the drives of `shifts`."""
    return shifts.with_values(_up(trial, shifts, mismatches_from_above(trial, shifts)))


def mismatches_from_above(trial: Trial, shifts: Shifts) -> list[Array]:
    """What the output and feedback make of the mismatches of layers 1 .. L, in the scales of
    `shifts`, with the drives that these cause.
    """
    circuit, network, depth = trial.circuit, trial.network, trial.network.depth
    driven, n = [_driven(trial, shifts, layer) for layer in range(2, depth + 1)], network.n_outputs
    mismatch = 0 * shifts.values[-1]
    if not trial.is_free:
        pulled = times(trial.error, ONE.over(shifts.scales[-1]))
        if depth > 1:
            pulled = pulled - driven[-1][1]
        pulled = circuit.strength(depth) * pulled[..., :n]
        mismatch = widened(pulled, network.widths[-1])
    found = [mismatch]
    for layer in range(depth, 1, -1):
        below = layer - 1
        kept = 1 - circuit.strength(below)
        pulled = circuit.pull(layer, _message(trial, shifts, layer, *driven[below - 1], found[-1]))
        weight = circuit.strength(below) * scale_ratio(shifts, layer, below)
        pulled = weight / kept * pulled
        if circuit.is_plain:
            # feedback stands for the whole rate below, not for what it is to deviate by
            own = shifts.values[below - 1][..., : pulled.shape[-1]]
            if trial.is_free:
                own = own - trial.source[below - 1]
            pulled = pulled - circuit.strength(below) / kept * own
        found.append(widened(pulled, network.widths[below]))
    return found[::-1]


def _driven(trial: Trial, shifts: Shifts, layer: int) -> tuple[Array, Array]:
    """Drive shift k and feed-forward shift p of `layer`, 2 or more, under these shifts."""
    unit, below = trial.network.activation(layer), shifts.scales[layer - 2].value
    h, slope = trial.activity.drive(layer), trial.activity.slope(layer)
    k = trial.network.push(layer, shifts.values[layer - 2])
    return k, scale_ratio(shifts, layer - 1, layer) * response(unit, h, slope, k, below)


def _message(
    trial: Trial, shifts: Shifts, layer: int, k: Array, p: Array, mismatch: Array
) -> Array:
    """What `layer` sends down at the drive it has now, with another mismatch."""
    circuit, activity, i = trial.circuit, trial.activity, layer - 1
    unit, h, slope = trial.network.activation(layer), activity.drive(layer), activity.slope(layer)
    below, scale = shifts.scales[i - 1].value, shifts.scales[i].value
    deviation, gain = circuit.by_rows(layer, mismatch), circuit.pathway
    if circuit.is_plain:
        ratio, still = scale_ratio(shifts, layer - 1, layer), trial.still_by_rows(layer)
        return plain_message(unit, h, k, below, p, deviation, scale, ratio, gain, still)
    return gait_message(unit, h, slope, k, below, deviation, scale, gain)


def _up(trial: Trial, shifts: Shifts, mismatches: list[Array]) -> tuple[Array, ...]:
    """The shifts that these mismatches make, in the scales of `shifts`."""
    values = list(mismatches)
    for layer in range(2, trial.network.depth + 1):
        _, p = _driven(trial, shifts.with_values(tuple(values)), layer)
        values[layer - 1] = mismatches[layer - 1] + p
    return tuple(values)
