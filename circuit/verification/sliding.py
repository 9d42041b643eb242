"""Units that rest at their kink: the slope there, between its two values, that balance asks for.

Owns the set-valued message of a unit of the GAIT pathway at its kink, and which units of a state
use it (docs/derivation.md, section 4). Does not own how such a state is found
(`circuit.methods.direct.unit_equations`), nor its judgement (`circuit.verification.judgement`).

A unit whose mismatch m is negative is driven towards its kink from both sides where feedback
contradicts either slope: what it sends down, f^-1(u + A^2 m) - f^-1(u), jumps there from a m to
m / a (in the GRAIT circuit with N^2 m for m). In the sense of Filippov (1988) the field at the kink
is every one between, and the rates come to rest where one of them balances: as if the unit's slope
A there lay between a and 1. (A positive mismatch drives it away from the kink on both sides, and
nothing rests there.)

Which message balances follows from the inverse, unit by unit. Through another feedback it is the
messages of all units at their kink together that come nearest to a balance, each within its
interval: the convex hull of the field there is the product of these intervals. They need not be one
choice alone, but whichever balances, the state is the same.

All arrays are (..., batch, units) of one layer; `below` and `scale` are the scales in which the
drive shift k and the layer's own shift are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from circuit.activations import Activation
from circuit.feedback import Gain
from circuit.numerics.arrays import Array, any_true, namespace, smallest_normal
from circuit.shift_dynamics import Balance, LayerTerms, layer_terms, scale_ratio
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.hull import hull_messages


def has_kink(unit: Activation) -> bool:
    """Whether the slope of `unit` jumps, so that what a GAIT pathway sends down does."""
    return unit.piecewise_linear and unit.smallest_slope < unit.largest_slope


def messages_at_kink(
    unit: Activation, gain: Gain, mismatch: Array, scale: float
) -> tuple[Array, Array]:
    """The least and the largest message of a unit at its kink, for a mismatch that is negative (in
    the GRAIT circuit times N^2).
    """

    def sent(slope: float) -> Array:
        blank = 0 * mismatch
        return unit.inverse_difference(blank, gain.local(blank + slope, mismatch), scale)

    return sent(unit.largest_slope), sent(unit.smallest_slope)


def near_a_kink(
    trial: Trial, shifts: Shifts, layer: int, terms: LayerTerms, residual: Array
) -> bool:
    """Whether any unit of `layer` can be rather at its kink: one with a negative mismatch that
    is nearer to its kink than what it contradicts, the `residual` of its drive.
    """
    xp = namespace(residual)
    gap = xp.abs(_from_kink(trial, shifts, layer, terms))
    return any_true((gap <= 2 * xp.abs(residual)) & (terms.mismatch < 0))


def _from_kink(trial: Trial, shifts: Shifts, layer: int, terms: LayerTerms) -> Array:
    """How far the drives of `layer` are from their kink, in units of the scale below."""
    below = shifts.scales[layer - 2].value
    drive = trial.activity.drive(layer)
    return drive / max(below, smallest_normal(drive)) + terms.drive_shift


def balanced_messages(
    trial: Trial, shifts: Shifts, layer: int, terms: LayerTerms
) -> tuple[Array, Array, Array]:
    """Which units of `layer` are rather at their kink, what all of them send down then, and how far
    those are from the kink, in units of the scale below.

    A unit counts as being at its kink where the state, as it is, contradicts that less: the least
    change of its drive beside the least change of its message, both as the layer below feels them.
    """
    xp, unit, i = namespace(terms.message), trial.network.activation(layer), layer - 1
    scale = shifts.scales[i].value
    weight = trial.circuit.strength(layer - 1) * scale_ratio(shifts, layer, layer - 1)
    wanted = terms.demand_drive / weight
    deviation = trial.circuit.by_rows(layer, terms.mismatch)
    least, largest = messages_at_kink(unit, trial.circuit.pathway, deviation, scale)
    nearest = xp.minimum(xp.maximum(wanted, least), largest)
    away = _from_kink(trial, shifts, layer, terms)
    there = weight * xp.abs(wanted - nearest) + xp.abs(away) < weight * xp.abs(
        wanted - terms.message
    )
    there = there & (terms.mismatch < 0)
    return there, xp.where(there, nearest, terms.message), xp.where(there, away, 0 * away)


def balanced_hull(
    trial: Trial, shifts: Shifts, layer: int, terms: LayerTerms, demand: Array
) -> tuple[Array, Array, Array]:
    """As `hull_messages`, with the intervals of the units of `layer`.

    `demand` is that of the layer below.
    """
    xp, unit, scale = namespace(demand), trial.network.activation(layer), shifts.scales[layer - 1]
    deviation = _deviation(trial, shifts, layer, terms.mismatch)
    held = deviation < 0
    ends = messages_at_kink(
        unit, trial.circuit.pathway, xp.where(held, deviation, deviation * 0 - 1), scale.value
    )
    start = _sent_at_rest(trial, shifts, layer)
    least, largest = (xp.where(held, end - start, xp.nan * deviation) for end in ends)
    return hull_messages(trial, shifts, layer, terms, demand, (least, largest))


def _deviation(trial: Trial, shifts: Shifts, layer: int, mismatch: Array) -> Array:
    """All of a layer's mismatch, that of the free phase of a plain circuit too, times N^2."""
    deviation = trial.circuit.by_rows(layer, mismatch)
    if trial.still is None:
        return deviation
    scale = max(shifts.scales[layer - 1].value, smallest_normal(deviation))
    return deviation + trial.still_by_rows(layer) / scale


def _sent_at_rest(trial: Trial, shifts: Shifts, layer: int) -> Array | float:
    """The drive from which messages of `layer` count: 0 at the kink, if it is the present one."""
    if not trial.circuit.is_plain:
        return 0.0
    scale = shifts.scales[layer - 1].value
    return trial.senders_at_rest(layer) / max(scale, smallest_normal(trial.error))


def sliding_slopes(trial: Trial, shifts: Shifts) -> tuple[Array, ...]:
    """For the layers 1 .. L the slope of every unit that rests at its kink, 0 of all others.

    `shifts` is a settled state.
    """
    xp, gait = namespace(trial.error), trial.circuit.pathway.gradient_adjusted
    slopes = [xp.zeros_like(value) for value in shifts.values]
    if not (gait and any(map(has_kink, trial.network.activations))):
        return tuple(slopes)
    exact, demand = trial.circuit.feedback is None, None
    for layer, terms in enumerate(layer_terms(trial, shifts, push_demands=exact), 1):
        unit, below, demand = trial.network.activation(layer), demand, terms.demand
        if layer == 1 or not has_kink(unit):
            continue
        if exact:
            there, message, _ = balanced_messages(trial, shifts, layer, terms)
        else:
            there, message, _ = balanced_hull(trial, shifts, layer, terms, below)
        _, flattest = messages_at_kink(
            unit,
            trial.circuit.pathway,
            _deviation(trial, shifts, layer, terms.mismatch),
            shifts.scales[layer - 1].value,
        )
        message = message + _sent_at_rest(trial, shifts, layer)
        # the message grows with the square of the slope
        ratio = message / xp.where(there, flattest, 1 + 0 * flattest)
        slope = unit.smallest_slope * xp.sqrt(xp.where(there, ratio, 0 * ratio))
        slopes[layer - 1] = xp.where(there, slope, 0 * slope)
    return tuple(slopes)


def with_messages_at_kinks(
    trial: Trial, shifts: Shifts, terms: Balance, slopes: Sequence[Array]
) -> Balance:
    """`terms` with what units send down that rest at their kink with `slopes` (0 elsewhere)."""
    messages = list(terms.messages)
    for layer in range(2, trial.network.depth + 1):
        unit, i, slope = trial.network.activation(layer), layer - 1, slopes[layer - 1]
        if not has_kink(unit):  # whose range need not hold 0, the rate at a kink
            continue
        deviation = _deviation(trial, shifts, layer, terms.mismatches[i])
        xp, sent = namespace(slope), trial.circuit.pathway.local(slope, deviation)
        at_kink = unit.inverse_difference(0 * sent, sent, shifts.scales[i].value)
        at_kink = at_kink - _sent_at_rest(trial, shifts, layer)
        messages[i] = xp.where(slope > 0, at_kink, messages[i])
    return replace(terms, messages=tuple(messages))
