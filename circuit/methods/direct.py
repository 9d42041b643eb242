"""Closed form, verified, refined: block elimination in shift coordinates.

Owns the default method. It rests on what the two circuits are in a linear piece:

ITP   Eliminating from the bottom, delta_{l-1} = a_{l-1} W_l^-1 v_l with the scalar ratios of a
      gambler's ruin, so the drive from below, W_l delta_{l-1} = a_{l-1} v_l, costs no product.
GAIT  m_{l-1} = r_{l-1} W_l^-1 v_l with r = gamma / (1 - gamma), so W_l m_{l-1} = r_{l-1} v_l; the
      rest of the drive, W_l p_{l-1}, is smaller by a factor r.

So in both, with `rho_l v_l` for the part that is known,

    k_l = rho_l v_l + Q_l ,     Q_l = W_l (d_{l-1} - a_{l-1} W_l^-1 v_l)   or   W_l p_{l-1},

where Q_l is zero or small. A *descent* takes Q as given and goes from the output down to layer 1:
at each unit a scalar equation (exact, also for a unit that crosses a kink), at each layer one
pull-back. The state that it leaves gives a better Q. Descents in float32, which are cheap, find Q
well enough before one descent in full precision: the remaining error is the product of two small
numbers. In the ITP circuit with piecewise linear units Q is zero in every sample in which no unit
crosses a kink, so there the full descent comes at once. Whatever is left, the refinement (one
descent with the Q of the judged state) takes care of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuit.arrays import (
    Array,
    epsilon,
    largest,
    namespace,
    put_rows,
    row_indices,
    row_norms,
    rows_times,
    take_rows,
    to_numpy,
    widened,
)
from circuit.dynamics import Circuit, Trial
from circuit.methods.method import Method, Progress
from circuit.methods.sweep import sweep
from circuit.network import Activity
from circuit.scale import ONE, Scale
from circuit.shifts import Shifts, renormalised
from circuit.units import gait_message, itp_message, response, where_crossing
from circuit.verification import Judgement

Through = Callable[[int, Array], Array]  # (layer, array) -> the array beyond W_layer
Couplings = Sequence[Array | None]  # Q_1 .. Q_L, None where zero

UNIT_ITERATIONS = 200  # of the scalar equation at a unit; inside a linear piece it takes one
NEWTON_ITERATIONS = 6
STALLED = 0.3  # a descent that leaves more than this of the residual has gained too little
PREPARATORY_DESCENTS = 20
CROSSING_DESCENTS = 3


@dataclass(frozen=True, eq=False)
class Descent:
    """One pass from the output down.

    Attributes
    ----------
    values : d_l for l = 1 .. L (None below the layer where the descent ended)
    inflows : what reached each layer from above, in units of its scale
    carried : the part of d_l whose way through the weights above is not yet accounted for
    scales : s_1 .. s_L
    crossed : samples in which a unit crossed its kink (all of them, for units that curve)
    """

    values: tuple[Array | None, ...]
    inflows: tuple[Array | None, ...]
    carried: tuple[Array | None, ...]
    scales: tuple[Scale, ...]
    crossed: frozenset[int] = frozenset()


def start(trial: Trial, tolerance: float) -> Progress:
    """The closed form, with the couplings that it leaves out found in low precision."""
    xp, factors = namespace(trial.error), trial.network.factors
    low = _in_float32(trial)

    def pull(layer: int, drive_shift: Array) -> Array:
        return rows_times(drive_shift, factors[layer - 1].inverse)

    def pull_low(layer: int, drive_shift: Array) -> Array:
        if low is trial:
            return pull(layer, drive_shift)
        return rows_times(drive_shift, factors[layer - 1].low_precision[1])

    def push_low(layer: int, shift: Array) -> Array:
        if low is trial:
            return rows_times(shift, factors[layer - 1].weights)
        return rows_times(shift, factors[layer - 1].low_precision[0])

    couplings: Couplings = (None,) * trial.network.depth
    scales, evaluations = None, 0
    while _needs_preparation(trial) and evaluations < PREPARATORY_DESCENTS:
        descent = descend(low, couplings, pull_low, scales, bottom=2)
        scales, evaluations = descent.scales, evaluations + 1
        previous, couplings = couplings, ascend(low, descent, push_low)
        change, size = _change(low, descent, couplings, previous)
        # the state is off by `change`; the couplings made from it are off by that times their size
        unsure = (change * size > 1e-3 * tolerance) & (change > 8 * epsilon(low.error))
        left = np.flatnonzero(unsure).tolist()
        if not left:
            break
        if low.error.ndim == 2 and len(left) <= low.error.shape[0] // 2:
            couplings = _prepare_few(low, left, couplings, scales, pull_low, push_low)
            break
    couplings = tuple(None if q is None else xp.astype(q, trial.error.dtype) for q in couplings)
    final = descend(trial, couplings, pull, scales)
    shifts = Shifts(final.values, final.scales, trial.circuit.gains)
    if not _needs_preparation(trial) and trial.error.ndim == 2:
        shifts = _resolve_crossings(trial, final, shifts, tolerance, pull)
    return Progress(shifts, evaluations + 1)


def _prepare_few(
    trial: Trial,
    rows: list[int],
    couplings: Couplings,
    scales: Sequence[Scale],
    pull: Through,
    push: Through,
) -> Couplings:
    """Repeat the descent for a few samples, so that their couplings are as good as the others'."""
    part = trial.samples(rows)
    few: Couplings = tuple(None if q is None else take_rows(q, rows) for q in couplings)
    few = ascend(part, descend(part, few, pull, scales, bottom=2), push)
    pairs = zip(couplings, few, strict=True)
    return tuple(
        all_ if all_ is None or some is None else put_rows(all_, rows, some) for all_, some in pairs
    )


def _resolve_crossings(
    trial: Trial, descent: Descent, shifts: Shifts, tolerance: float, pull: Through
) -> Shifts:
    """Repeat the descent, with couplings, for the few samples in which a unit crossed a kink."""
    crossing = sorted(
        {
            sample
            for value, carried in zip(descent.values, descent.carried, strict=True)
            if carried is not None
            for sample in row_indices(row_norms(carried) > 100 * epsilon(value) * row_norms(value))
        }
    )
    if not crossing:
        return shifts

    def some(arrays: Sequence[Array | None], rows: Sequence[int]) -> tuple[Array | None, ...]:
        return tuple(None if array is None else take_rows(array, rows) for array in arrays)

    rows: list[int] = crossing
    couplings: Couplings = (None,) * trial.network.depth
    part, few = trial.samples(rows), descent
    few = Descent(
        some(few.values, rows), some(few.inflows, rows), some(few.carried, rows), few.scales
    )
    for _ in range(CROSSING_DESCENTS):
        previous, couplings = couplings, ascend(part, few, trial.network.push)
        few = descend(part, couplings, pull, descent.scales)
        pairs = zip(shifts.values, few.values, strict=True)
        shifts = shifts.with_values(tuple(put_rows(old, rows, new) for old, new in pairs))
        change, size = _change(part, few, couplings, previous)
        left = np.flatnonzero(change * size > 1e-3 * tolerance).tolist()
        if not left:
            break
        rows, couplings, part = [rows[i] for i in left], some(couplings, left), part.samples(left)
        few = Descent(
            some(few.values, left), some(few.inflows, left), some(few.carried, left), few.scales
        )
    return shifts


def _needs_preparation(trial: Trial) -> bool:
    """Whether Q is at work in every sample, and not only where a unit crossed a kink."""
    curved = any(not unit.piecewise_linear for unit in trial.network.activations)
    return trial.circuit.pathway.gradient_adjusted or curved


def refine(trial: Trial, progress: Progress, judgement: Judgement) -> Progress:
    """One descent with the couplings of the state that was judged.

    Where the last one did not gain much (strong feedback, kinks), a sweep instead: it converges in
    cases in which descents only go round.
    """
    if progress.memory is not None and judgement.worst > STALLED * progress.memory:
        return replace(sweep(trial, progress, judgement), memory=judgement.worst / STALLED)
    circuit, terms, shifts = trial.circuit, judgement.terms, progress.shifts
    couplings: list[Array | None] = [None]
    for layer in range(2, trial.network.depth + 1):
        drive_shift = terms.drive_shifts[layer - 1]
        if circuit.pathway.gradient_adjusted:
            # the pushed demand of the layer below is (1 - gamma) W m
            known = terms.demand_drives[layer - 2] / (1 - circuit.strength(layer - 1))
        else:
            known = _known_ratio(circuit, shifts.scales, layer) * terms.messages[layer - 1]
        couplings.append(drive_shift - known)

    def pull(layer: int, drive_shift: Array) -> Array:
        return trial.network.factors[layer - 1].solve(drive_shift)

    final = descend(trial, couplings, pull, shifts.scales)
    return Progress(Shifts(final.values, final.scales, circuit.gains), 1, memory=judgement.worst)


METHOD = Method("direct", start, refine, budget=200)


def descend(
    trial: Trial,
    couplings: Couplings,
    pull: Through,
    scales: Sequence[Scale] | None = None,
    *,
    bottom: int = 1,
) -> Descent:
    """From the output error to the shifts of all layers down to `bottom`, with Q given.

    `scales` are the units of Q. A first descent, which has no Q, takes the circuit's natural scales
    and lets them follow the growth of the shifts.
    """
    circuit, network = trial.circuit, trial.network
    depth = network.depth
    used = list(circuit.gains if scales is None else scales)
    values: list[Array | None] = [None] * depth
    inflows: list[Array | None] = [None] * depth
    carried: list[Array | None] = [None] * depth
    crossed: set[int] = set()
    inflow = circuit.strength(depth) * ONE.over(used[-1]).value * trial.error
    for layer in range(depth, bottom - 1, -1):
        i = layer - 1
        inflows[i] = inflow
        values[i], message, carried[i], rows = _solve_units(
            trial, layer, inflow, couplings[i], used
        )
        crossed.update(rows)
        if layer == bottom:
            break
        inflow = _sent_ratio(circuit, used, layer) * pull(layer, message)
        if scales is None:
            inflow, grown = renormalised(inflow, used[i - 1], layer - 1)
            step = grown.exponent - used[i - 1].exponent
            # the layers below inherit the growth, so that the ratios of scales stay moderate
            used[:i] = [scale.shifted(step) for scale in used[:i]]
        inflow = widened(inflow, network.widths[layer - 1])
    return Descent(tuple(values), tuple(inflows), tuple(carried), tuple(used), frozenset(crossed))


def ascend(trial: Trial, descent: Descent, push: Through) -> Couplings:
    """The couplings Q_1 .. Q_L that the state of a descent implies."""
    network = trial.network
    couplings: list[Array | None] = [None, None]
    carried = descent.carried[1] if network.depth > 1 else None
    for layer in range(3, network.depth + 1):
        if layer > 3 and couplings[-1] is not None:
            _, _, carried, _ = _solve_units(
                trial, layer - 1, descent.inflows[layer - 2], couplings[-1], descent.scales
            )
        elif layer > 3:
            carried = descent.carried[layer - 2]
        couplings.append(
            None if carried is None else push(layer, carried[..., : network.widths[layer]])
        )
    return tuple(couplings[: network.depth])


def _solve_units(
    trial: Trial, layer: int, inflow: Array, coupling: Array | None, scales: Sequence[Scale]
) -> tuple[Array, Array | None, Array | None, list[int]]:
    """d_l, its message v_l, the part that the weights above have yet to carry, and the samples in
    which a unit crossed its kink.
    """
    if layer == 1:
        return inflow, None, None, []
    if trial.circuit.pathway.gradient_adjusted:
        return _gait_units(trial, layer, inflow, coupling, scales)
    return _itp_units(trial, layer, inflow, coupling, scales)


def _itp_units(
    trial: Trial, layer: int, inflow: Array, coupling: Array | None, scales: Sequence[Scale]
) -> tuple[Array, Array, Array | None, list[int]]:
    """Solve d = (1 - gamma) p(k) + inflow with k = rho v(d) + Q, unit by unit."""
    circuit, unit, activity = trial.circuit, trial.network.activation(layer), trial.activity
    xp, alpha = namespace(inflow), _ratio(scales, layer - 1, layer)
    rho = _known_ratio(circuit, scales, layer)
    scale, below = scales[layer - 1].value, scales[layer - 2].value
    kept = _on_projecting(trial, layer, inflow, 1 - circuit.strength(layer), 1.0)
    kept_a = kept * circuit.ratios[layer - 2]
    pivot = 1 - kept_a

    def solve(h: Array, y: Array, slope: Array, inflow: Array, d: Array, *q: Array) -> Array:
        for iteration in range(UNIT_ITERATIONS):
            message = itp_message(unit, h, y, slope, d, scale)
            k = sum(q, rho * message)
            gap = kept * alpha * response(unit, h, slope, k, below) + inflow - d
            if largest(xp.abs(gap)) <= 16 * epsilon(d) * largest(xp.abs(d)):
                break
            if iteration < NEWTON_ITERATIONS:
                steepness = unit.slope(h + below * k) / unit.slope(h + scale * message)
                d = d + gap / xp.maximum(1 - kept_a * steepness, 0.1 * pivot + 0 * d)
            else:
                d = d + gap  # between two kinks Newton's method can go to and fro; this cannot
        return d

    h, y, slope = activity.drive(layer), activity.rates[layer], activity.slope(layer)
    d = inflow if coupling is None else inflow + kept * alpha * slope * coupling
    d = d / pivot
    # the linear solution stands where neither the sender nor the drive crosses a kink
    stays = unit.stays(h, d / slope, scale)
    extra: tuple[Array, ...] = ()
    if coupling is not None:
        extra = (coupling,)
        stays = stays & unit.stays(h, rho * (d / slope) + coupling, below)
    d = where_crossing(stays, d, solve, (h, y, slope, inflow, d, *extra))
    message = itp_message(unit, h, y, slope, d, scale)
    crossed = row_indices(~stays)
    if layer == trial.network.depth:
        return d, message, None, crossed
    carried = d - (circuit.ratios[layer - 1] / circuit.strength(layer)) * inflow
    negligible = largest(xp.abs(carried)) <= 32 * epsilon(d) * largest(xp.abs(d))
    return d, message, None if negligible else carried, crossed


def _gait_units(
    trial: Trial, layer: int, inflow: Array, coupling: Array | None, scales: Sequence[Scale]
) -> tuple[Array, Array, Array, list[int]]:
    """Solve k = rho v(k, m) + Q unit by unit, with m the inflow, and at the output
    m = inflow - gamma p(k).
    """
    circuit, unit, activity = trial.circuit, trial.network.activation(layer), trial.activity
    xp, alpha = namespace(inflow), _ratio(scales, layer - 1, layer)
    rho = _known_ratio(circuit, scales, layer)
    scale, below = scales[layer - 1].value, scales[layer - 2].value
    is_output = layer == trial.network.depth
    pulled: Array | float = 0.0
    if is_output:
        pulled = _on_projecting(trial, layer, inflow, circuit.strength(layer), 0.0)

    def settled(k: Array, p: Array, m: Array, message: Array) -> Array:
        return xp.concat([m + p, message, p], axis=-1)

    def solve(h: Array, slope: Array, inflow: Array, k: Array, m: Array, *q: Array) -> Array:
        for _ in range(UNIT_ITERATIONS):
            p = alpha * response(unit, h, slope, k, below)
            if is_output:
                m = inflow - pulled * p
            message = gait_message(unit, h, slope, k, below, m, scale, circuit.pathway)
            previous, k = k, sum(q, rho * message)
            if largest(xp.abs(k - previous)) <= 16 * epsilon(k) * largest(xp.abs(k)):
                break
        return settled(k, p, m, message)

    h, slope, m = activity.drive(layer), activity.slope(layer), inflow
    extra: tuple[Array, ...] = ()
    if is_output:
        if coupling is not None:
            m = m - pulled * alpha * slope * coupling
        m = m / (1 + pulled * alpha * rho * slope * slope)
    message = slope * m
    k = rho * message
    if coupling is not None:
        extra, k = (coupling,), k + coupling
    stays = unit.stays(h, k, below) & unit.stays(h + below * k, message, scale)
    p = alpha * (slope * k)
    crossing = row_indices(~stays)
    if not crossing:
        return m + p, message, p, []
    arrays = (h, slope, inflow, k, m, *extra)
    solved = where_crossing(stays, settled(k, p, m, message), solve, arrays)
    n = inflow.shape[-1]
    return solved[..., :n], solved[..., n : 2 * n], solved[..., 2 * n :], crossing


def _change(
    trial: Trial, descent: Descent, couplings: Couplings, previous: Couplings
) -> tuple[np.ndarray, np.ndarray]:
    """How far each sample is off because of the couplings it was made with, and how large its
    couplings are beside its shifts; both relative, the worst layer, (samples,).
    """
    circuit, depth = trial.circuit, trial.network.depth
    samples = int(np.prod(trial.error.shape[:-1]))
    change, size = np.zeros(samples), np.zeros(samples)
    for layer in range(3, depth + 1):
        new, old = couplings[layer - 1], previous[layer - 1]
        if new is None:
            continue
        alpha = _ratio(descent.scales, layer - 1, layer)
        shift = _norms(descent.values[layer - 1])
        # a sample without error has no shift and no coupling
        shift = np.where(shift == 0, 1.0, shift)
        moved = _norms(new if old is None else new - old) / shift * alpha
        if circuit.pathway.gradient_adjusted:
            # what is sent down depends on a coupling at the output alone, unless a kink is near
            felt = np.full(samples, circuit.strength(layer) if layer == depth else 0.0)
            felt[list(descent.crossed)] = 1.0
            moved = moved * felt
        change = np.maximum(change, moved)
        size = np.maximum(size, _norms(new) / shift * alpha)
    return change, size


def _norms(values: Array) -> np.ndarray:
    return to_numpy(row_norms(values)).reshape(-1).astype(np.float64)


def _on_projecting(
    trial: Trial, layer: int, like: Array, here: float, elsewhere: float
) -> Array | float:
    """`here` at the units of `layer` that get feedback or a nudge, `elsewhere` at the others."""
    width, n = trial.network.widths[layer], trial.network.n_projecting(layer)
    if n == width:
        return here
    one_row = namespace(like).zeros_like(like[..., :1, :n])
    return widened(one_row + (here - elsewhere), width) + elsewhere


def _ratio(scales: Sequence[Scale], upper: int, lower: int) -> float:
    return scales[upper - 1].over(scales[lower - 1]).value


def _known_ratio(circuit: Circuit, scales: Sequence[Scale], layer: int) -> float:
    """rho_l: the known part of the drive shift k_l is rho_l v_l."""
    return circuit.ratios[layer - 2] * _ratio(scales, layer, layer - 1)


def _sent_ratio(circuit: Circuit, scales: Sequence[Scale], layer: int) -> float:
    """What W_l^-1 v_l is multiplied by on its way into layer l-1."""
    if circuit.pathway.gradient_adjusted:
        return _known_ratio(circuit, scales, layer)
    return circuit.strength(layer - 1) * _ratio(scales, layer, layer - 1)


def _in_float32(trial: Trial) -> Trial:
    """The trial in float32; or itself, where it already is or would leave the range of float32."""
    xp = namespace(trial.error)
    if trial.error.dtype == xp.float32:
        return trial
    curved = any(not unit.piecewise_linear for unit in trial.network.activations)

    def low(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        # layer 1 has no part in the preparation
        return (arrays[0], *(xp.astype(array, xp.float32) for array in arrays[1:]))

    drives = low(trial.activity.drives)
    for drive in drives[1:]:
        if not 1e-15 < largest(xp.abs(drive)) < 1e15:
            return trial
    gait = trial.circuit.pathway.gradient_adjusted
    rates = trial.activity.rates if gait and not curved else low(trial.activity.rates)
    activity = Activity(rates, drives, low(trial.activity.slopes))
    return Trial(trial.circuit, activity, xp.astype(trial.error, xp.float32))
