"""Closed form, verified, refined: block elimination in shift coordinates.

Owns the default method. It rests on what the two circuits are in a linear piece:

ITP   Eliminating from the bottom, delta_{l-1} = a_{l-1} W_l^-1 v_l with the scalar ratios of a
      gambler's ruin, so the drive from below, W_l delta_{l-1} = a_{l-1} v_l, costs no product.
GAIT  m_{l-1} = r_{l-1} W_l^-1 v_l with r = gamma / (1 - gamma), so W_l m_{l-1} = r_{l-1} v_l; the
      rest of the drive, W_l p_{l-1}, is smaller by a factor r (r N^2 in the GRAIT circuit).

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

from dataclasses import replace

import numpy as np

from circuit.feedback import INCREMENTAL
from circuit.method import Method, Progress
from circuit.methods.direct.couplings import (
    Matrices,
    in_float32,
    low_matrices,
    matrices_of,
    prepare,
    pull_near,
    well_conditioned,
)
from circuit.methods.direct.descent import Couplings, Descent, descend
from circuit.methods.direct.unit_equations import known_ratio
from circuit.methods.sweep import sweep
from circuit.numerics.arrays import Array, namespace, put_rows, row_indices
from circuit.numerics.scale import Scale
from circuit.shift_dynamics import balance
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import Judgement, jumps_at_kinks

STALLED = 0.3  # a descent that leaves more than this of the residual has gained too little
FAR = 30.0  # times the tolerance: what one descent is not thought to bridge


def start(trial: Trial, tolerance: float) -> Progress:
    """The closed form, with the couplings that it leaves out found in low precision."""
    gains, trial = trial.circuit.gains, _simplest(trial)
    nothing: Couplings = (None,) * trial.network.depth
    exact = matrices_of(trial)
    if _needs_preparation(trial):
        couplings, scales, evaluations = _prepared(trial, exact, tolerance)
        final = descend(trial, couplings, exact.pull, scales, values_only=True)
        return Progress(Shifts(final.values, final.scales, gains), evaluations + 2)
    final = descend(trial, nothing, exact.pull)
    shifts, rows = Shifts(final.values, final.scales, gains), _coupled(final)
    if not rows or trial.error.ndim != 2:
        return Progress(shifts, 1)
    # only where a unit crossed its kink is anything left to couple: once more for those samples
    part, few = trial.samples(rows), final.samples(rows)
    # rounding of the low precision grows with the condition of the weights
    quick = low_matrices(trial) if well_conditioned(trial) else exact
    couplings, evaluations = prepare(part, few, nothing, quick, tolerance, base=few)
    again = descend(part, couplings, pull_near(few, part, quick), final.scales)
    pairs = zip(shifts.values, again.values, strict=True)
    values = tuple(put_rows(old, rows, new) for old, new in pairs)
    return Progress(shifts.with_values(values), evaluations + 2)


def _prepared(
    trial: Trial, exact: Matrices, tolerance: float
) -> tuple[Couplings, tuple[Scale, ...], int]:
    """Couplings of every sample, the scales they are in, and the descents that they took."""
    xp, nothing = namespace(trial.error), (None,) * trial.network.depth
    low = in_float32(trial)
    quick = low_matrices(trial) if low is not trial else exact
    first = [descend(low, nothing, quick.pull, bottom=2)]
    scales = first[0].scales
    couplings, evaluations = prepare(low, first.pop(), nothing, quick, tolerance)
    couplings = tuple(
        None if q is None else xp.astype(q, trial.error.dtype, copy=False) for q in couplings
    )
    return couplings, scales, evaluations


def refine(trial: Trial, progress: Progress, judgement: Judgement) -> Progress:
    """One descent with the couplings of the state that was judged; the first time several, where
    there is far to go.

    Where the last one did not gain much (strong feedback, kinks), a sweep instead: it converges in
    cases in which descents only go round. Not where units may rest at their kink, which a sweep
    throws off it: there several descents again. Which it is, is asked of every sample by itself.
    """
    worst = np.nan_to_num(judgement.by_sample.max(axis=0), nan=np.inf, posinf=np.inf)
    far = worst > FAR * judgement.tolerance
    may_slide, second = jumps_at_kinks(trial), far
    ways = [_once, _several]
    if progress.memory is not None:
        stalled = worst > STALLED * progress.memory
        second = stalled & far if may_slide else stalled
        ways = ways if may_slide else [_once, _swept]
    if trial.error.ndim != 2:  # a stack goes one way
        second = np.full_like(second, second.any())
    parts = [(way, np.flatnonzero(second == i).tolist()) for i, way in enumerate(ways)]
    parts = [(way, rows) for way, rows in parts if rows]
    if len(parts) == 1:
        return parts[0][0](trial, progress, judgement, worst)
    values, memory, evaluations = progress.shifts.values, np.zeros_like(worst), 0
    for way, rows in parts:
        few = trial.samples(rows), progress.samples(rows), judgement.samples(rows)
        found = way(*few, worst[rows])
        pairs = zip(values, found.shifts.values, strict=True)
        values = tuple(put_rows(old, rows, new) for old, new in pairs)
        evaluations = max(evaluations, found.evaluations)
        memory[rows] = found.memory
    return Progress(progress.shifts.with_values(values), evaluations, memory=memory)


def _swept(trial: Trial, progress: Progress, judgement: Judgement, worst: np.ndarray) -> Progress:
    """A sweep, after which another descent will be tried."""
    return replace(sweep(trial, progress, judgement), memory=worst / STALLED)


def _once(trial: Trial, progress: Progress, judgement: Judgement, worst: np.ndarray) -> Progress:
    """One descent."""
    return _descent(trial, progress, judgement.tolerance, worst, several=False)


def _several(trial: Trial, progress: Progress, judgement: Judgement, worst: np.ndarray) -> Progress:
    """Several descents, with no judgement between them, where one is not thought to do."""
    return _descent(trial, progress, judgement.tolerance, worst, several=True)


def _descent(
    trial: Trial, progress: Progress, tolerance: float, worst: np.ndarray, *, several: bool
) -> Progress:
    gains, shifts, trial = trial.circuit.gains, progress.shifts, _simplest(trial)
    circuit = trial.circuit
    terms = balance(trial, shifts, push_demands=circuit.pathway.gradient_adjusted)
    couplings: list[Array | None] = [None]
    for layer in range(2, trial.network.depth + 1):
        drive_shift = terms.drive_shifts[layer - 1]
        if circuit.pathway.gradient_adjusted:
            # the pushed demand of the layer below is (1 - gamma) W m
            known = terms.demand_drives[layer - 2] / (1 - circuit.strength(layer - 1))
        else:
            known = known_ratio(circuit, shifts.scales, layer) * terms.messages[layer - 1]
        couplings.append(drive_shift - known)

    def pull(layer: int, drive_shift: Array) -> Array:
        return trial.network.factors[layer - 1].solve(drive_shift)

    final, evaluations = descend(trial, couplings, pull, shifts.scales), 1
    if several:
        # without kinks only this once, so that whatever does not get there in this way has all the
        # others left
        couplings[1] = None  # as it is at equilibrium, and no descent would make it so
        better, more = prepare(trial, final, couplings, matrices_of(trial), tolerance)
        if more:
            final = descend(trial, better, pull, shifts.scales)
            evaluations += more + 1
    return Progress(Shifts(final.values, final.scales, gains), evaluations, memory=worst)


# Where units may rest at their kink a step may be sixty descents: what converges takes few of them.
METHOD = Method("direct", start, refine, exact_only=True, budget=200, patience=6, gain=0.5)


def _coupled(descent: Descent) -> list[int]:
    """Samples of which some part is carried on: those in which a unit below the output is bent."""
    rows: set[int] = set()
    for carried in descent.carried:
        if carried is not None:
            rows.update(row_indices(namespace(carried).any(carried != 0, axis=-1)))
    return sorted(rows)


def _simplest(trial: Trial) -> Trial:
    """The trial; with the ITP pathway for the GAIT pathway where A = 1, which makes them one."""
    units = trial.network.activations
    identical = all(unit.smallest_slope == unit.largest_slope == 1 for unit in units)
    if trial.circuit.pathway.row_adjusted or not identical:
        return trial
    return replace(trial, circuit=replace(trial.circuit, pathway=INCREMENTAL))


def _needs_preparation(trial: Trial) -> bool:
    """Whether Q is at work in every sample, and not only where a unit crossed a kink."""
    curved = any(not unit.piecewise_linear for unit in trial.network.activations)
    return trial.circuit.pathway.gradient_adjusted or curved
