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
from typing import Any

import array_api_compat
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
from circuit.dynamics import Circuit, Trial, balance
from circuit.feedback import INCREMENTAL
from circuit.methods.method import Method, Progress
from circuit.methods.sweep import sweep
from circuit.network import Activity
from circuit.scale import ONE, Scale
from circuit.shifts import Shifts, renormalised
from circuit.units import exact_gait_message, replace_crossing
from circuit.verification import Judgement, may_lack_equilibrium

Through = Callable[[int, Array], Array]  # (layer, array) -> the array beyond W_layer
Couplings = Sequence[Array | None]  # Q_1 .. Q_L, None where zero

UNIT_ITERATIONS = 200  # of the scalar equation at a unit; inside a linear piece it takes one
# The same for a GAIT unit with a kink: two in each of the four pieces that drive and sender make.
# A unit in the gap of docs/derivation.md, section 4, has no solution, and would take all others'.
KINKED_ITERATIONS = 8
NEWTON_ITERATIONS = 6
STEEPEST_SECANT = 0.9  # above it a secant is not trusted, and the iteration is left plain
STALLED = 0.3  # a descent that leaves more than this of the residual has gained too little
PREPARATORY_DESCENTS = 60
FAR = 30.0  # times the tolerance: what one descent is not thought to bridge
UNDAMPED = 4  # preparatory descents before any damping; weak feedback needs fewer in all
# Of a step of the couplings: it is cut where it turns back on the last one, and grows otherwise.
CUT, GROWTH, SHORTEST = 0.7, 1.05, 0.05
GAINING = 0.9  # what a preparatory descent must bring the error down to, for another one to follow
WELL_CONDITIONED = 100.0  # weights through which float32 still leaves the digits that are wanted
SURE = 1e-2  # of the tolerance: an expected error below it is not worth another descent


@dataclass(frozen=True, eq=False)
class Descent:
    """One pass from the output down.

    Attributes
    ----------
    values : d_l for l = 1 .. L, if the descent went all the way
    sizes : the norm of d_l, (..., batch), for the layers above
    inflows : what reached each layer from above, in units of its scale
    messages : v_l, if the descent went all the way
    carried : the part of d_l whose way through the weights above is not yet accounted for; None
        where there is none
    scales : s_1 .. s_L
    crossed : samples in which a unit crossed its kink (all of them, for units that curve)
    """

    values: tuple[Array | None, ...]
    sizes: tuple[Array | None, ...]
    inflows: tuple[Array | None, ...]
    messages: tuple[Array | None, ...]
    carried: tuple[Array | None, ...]
    scales: tuple[Scale, ...]
    crossed: frozenset[int] = frozenset()

    def samples(self, rows: Sequence[int]) -> Descent:
        """The descent of some samples of the batch."""
        return Descent(
            _some(self.values, rows),
            _some(self.sizes, rows),
            _some(self.inflows, rows),
            _some(self.messages, rows),
            _some(self.carried, rows),
            self.scales,
            frozenset(place for place, row in enumerate(rows) if row in self.crossed),
        )


@dataclass(frozen=True, eq=False)
class Damping:
    """How far the couplings go towards those that a descent implies.

    At strong feedback full steps overshoot, and then units go to and fro across their kinks.

    Attributes
    ----------
    share : of the full step, (samples,)
    moves : the last full step of Q_1 .. Q_L
    """

    share: np.ndarray
    moves: Couplings

    def samples(self, rows: Sequence[int]) -> Damping:
        """That of some samples of the batch."""
        return Damping(self.share[list(rows)], _some(self.moves, rows))


@dataclass(frozen=True, eq=False)
class Matrices:
    """The weights and their explicit inverses, in full or in low precision.

    Attributes
    ----------
    push, pull
        (layer, rows) -> `W_layer` or its inverse applied to every row, in the dtype of the rows.
    rounding : of their entries, relative
    """

    push: Through
    pull: Through
    rounding: float


def start(trial: Trial, tolerance: float) -> Progress:
    """The closed form, with the couplings that it leaves out found in low precision."""
    gains, trial = trial.circuit.gains, _simplest(trial)
    nothing: Couplings = (None,) * trial.network.depth
    exact = _matrices(trial)
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
    quick = _low_matrices(trial) if _well_conditioned(trial) else exact
    couplings, evaluations = _prepare(part, few, nothing, quick, tolerance, base=few)
    again = descend(part, couplings, _pull_near(few, part, quick), final.scales)
    pairs = zip(shifts.values, again.values, strict=True)
    values = tuple(put_rows(old, rows, new) for old, new in pairs)
    return Progress(shifts.with_values(values), evaluations + 2)


def _prepared(
    trial: Trial, exact: Matrices, tolerance: float
) -> tuple[Couplings, tuple[Scale, ...], int]:
    """Couplings of every sample, the scales they are in, and the descents that they took."""
    xp, nothing = namespace(trial.error), (None,) * trial.network.depth
    low = _in_float32(trial)
    quick = _low_matrices(trial) if low is not trial else exact
    first = [descend(low, nothing, quick.pull, bottom=2)]
    scales = first[0].scales
    couplings, evaluations = _prepare(low, first.pop(), nothing, quick, tolerance)
    couplings = tuple(
        None if q is None else xp.astype(q, trial.error.dtype, copy=False) for q in couplings
    )
    return couplings, scales, evaluations


def _prepare(
    trial: Trial,
    descent: Descent,
    previous: Couplings,
    matrices: Matrices,
    tolerance: float,
    base: Descent | None = None,
    damping: Damping | None = None,
    done: int = 0,
) -> tuple[Couplings, int]:
    """The couplings that follow from `descent`, which was made with `previous`; and the number of
    further descents that this took.

    They are small beside the shifts, so that a few digits of them are enough. `base` is a descent
    in full precision, where there has been one; `done` counts the descents before this call.
    """
    pull = matrices.pull if base is None else _pull_near(base, trial, matrices)
    # below the lowest layer with anything to carry nothing will be coupled
    carrying = (i for i, carried in enumerate(descent.carried, 1) if carried is not None)
    lowest, scales = min(carrying, default=1), descent.scales
    couplings = list(previous)
    del previous
    hopeful: Any = np.inf if may_lack_equilibrium(trial) and _well_conditioned(trial) else None
    for evaluations in range(PREPARATORY_DESCENTS - done):
        before = list(couplings) if evaluations + done >= UNDAMPED else None
        change, size = ascend(trial, descent, couplings, matrices.push)
        # the state is off by `change`; the couplings made from it are off by that times their size
        unsure = (change * size > SURE * tolerance) & (change > 8 * matrices.rounding)
        if hopeful is not None:
            # where it does not fall, as in a sample without equilibrium, more of it is no use
            unsure &= change < GAINING * hopeful
            hopeful = change
        left = np.flatnonzero(unsure).tolist()
        if not left:
            return couplings, evaluations
        if before is not None:
            couplings, damping = _damped(before, couplings, damping)
            del before
        if trial.error.ndim == 2 and len(left) <= trial.error.shape[0] // 2:
            break
        del descent  # as large as all the shifts, and of no further use
        descent = descend(trial, couplings, pull, scales, bottom=lowest)
    else:
        return couplings, PREPARATORY_DESCENTS - done
    del descent
    part, few = trial.samples(left), _some(couplings, left)
    near = None if base is None else base.samples(left)
    pull = matrices.pull if near is None else _pull_near(near, part, matrices)
    again = descend(part, few, pull, scales, bottom=lowest)
    damping = None if damping is None else damping.samples(left)
    done += evaluations + 1
    better, more = _prepare(part, again, few, matrices, tolerance, near, damping, done)
    return _merged(couplings, left, better), evaluations + 1 + more


def _damped(
    before: Couplings, after: Couplings, last: Damping | None
) -> tuple[list[Array | None], Damping]:
    """Go from the couplings `before` towards those `after`, in each sample as far as it bears."""
    moves = tuple(new if old is None else new - old for old, new in zip(before, after, strict=True))
    if last is None:
        samples = next(_flat(new[..., 0]).size for new in after if new is not None)
        return list(after), Damping(np.ones(samples), moves)
    along: Any = 0.0
    for move, previous in zip(moves, last.moves, strict=True):
        if move is not None and previous is not None:
            along = along + _flat(namespace(move).linalg.vecdot(move, previous))
    share = np.clip(last.share * np.where(along < 0, CUT, GROWTH), SHORTEST, 1.0)
    if np.all(share == 1):
        return list(after), Damping(share, moves)

    def part(new: Array | None, move: Array | None) -> Array | None:
        if move is None:
            return new
        xp, device = namespace(move), array_api_compat.device(move)
        shares = xp.asarray(share.reshape(move.shape[:-1]), dtype=move.dtype, device=device)
        return new - (1 - shares)[..., None] * move

    damped = [part(*arrays) for arrays in zip(after, moves, strict=True)]
    return damped, Damping(share, moves)


def _matrices(trial: Trial) -> Matrices:
    factors = trial.network.factors
    return Matrices(
        push=lambda layer, rows: rows_times(rows, factors[layer - 1].weights),
        pull=lambda layer, rows: factors[layer - 1].pull(rows),
        rounding=epsilon(trial.error),
    )


def _low_matrices(trial: Trial) -> Matrices:
    xp, factors = namespace(trial.error), trial.network.factors
    if trial.error.dtype == xp.float32:
        return _matrices(trial)

    def low(through: Callable[[Array], Array], rows: Array) -> Array:
        product = through(xp.astype(rows, xp.float32, copy=False))
        return xp.astype(product, rows.dtype, copy=False)

    return Matrices(
        push=lambda layer, rows: low(factors[layer - 1].quick_push, rows),
        pull=lambda layer, rows: low(factors[layer - 1].quick_pull, rows),
        rounding=float(xp.finfo(xp.float32).eps),
    )


def _pull_near(base: Descent, trial: Trial, matrices: Matrices) -> Through:
    """The pull-back for states near that of `base`, where there was one in full precision: only
    what has changed since goes through `matrices`.
    """

    def pull(layer: int, message: Array) -> Array:
        inflow: Any = base.inflows[layer - 2]
        known = inflow[..., : message.shape[-1]]
        known = known / _sent_ratio(trial.circuit, base.scales, layer)
        return known + matrices.pull(layer, message - base.messages[layer - 1])

    return pull


def _coupled(descent: Descent) -> list[int]:
    """Samples of which some part is carried on: those in which a unit below the output is bent."""
    rows: set[int] = set()
    for carried in descent.carried:
        if carried is not None:
            rows.update(row_indices(namespace(carried).any(carried != 0, axis=-1)))
    return sorted(rows)


def _some(arrays: Sequence[Array | None], rows: Sequence[int]) -> tuple[Array | None, ...]:
    return tuple(None if array is None else take_rows(array, rows) for array in arrays)


def _merged(couplings: Couplings, rows: list[int], few: Couplings) -> Couplings:
    """`couplings` with those of some samples replaced."""
    return tuple(
        all_ if all_ is None or some is None else put_rows(all_, rows, some)
        for all_, some in zip(couplings, few, strict=True)
    )


def _simplest(trial: Trial) -> Trial:
    """The trial; with the ITP pathway for the GAIT pathway where A = 1, which makes them one."""
    units = trial.network.activations
    if not all(unit.smallest_slope == unit.largest_slope == 1 for unit in units):
        return trial
    return replace(trial, circuit=replace(trial.circuit, pathway=INCREMENTAL))


def _well_conditioned(trial: Trial) -> bool:
    factors = trial.network.factors[1:]  # W_1 has no inverse in the circuit
    return max((factor.condition for factor in factors), default=1.0) < WELL_CONDITIONED


def _needs_preparation(trial: Trial) -> bool:
    """Whether Q is at work in every sample, and not only where a unit crossed a kink."""
    curved = any(not unit.piecewise_linear for unit in trial.network.activations)
    return trial.circuit.pathway.gradient_adjusted or curved


def refine(trial: Trial, progress: Progress, judgement: Judgement) -> Progress:
    """One descent with the couplings of the state that was judged; the first time several, where
    there is far to go.

    Where the last one did not gain much (strong feedback, kinks), a sweep instead: it converges in
    cases in which descents only go round.
    """
    if progress.memory is not None and judgement.worst > STALLED * progress.memory:
        return replace(sweep(trial, progress, judgement), memory=judgement.worst / STALLED)
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
            known = _known_ratio(circuit, shifts.scales, layer) * terms.messages[layer - 1]
        couplings.append(drive_shift - known)

    def pull(layer: int, drive_shift: Array) -> Array:
        return trial.network.factors[layer - 1].solve(drive_shift)

    final, evaluations = descend(trial, couplings, pull, shifts.scales), 1
    far = judgement.worst > FAR * judgement.tolerance
    if progress.memory is None and far and not may_lack_equilibrium(trial):
        # too far for one descent: several, with no judgement between them, and only this once, so
        # that whatever does not get there in this way has all the others left
        couplings[1] = None  # as it is at equilibrium, and no descent would make it so
        better, more = _prepare(trial, final, couplings, _matrices(trial), judgement.tolerance)
        if more:
            final = descend(trial, better, pull, shifts.scales)
            evaluations += more + 1
    return Progress(Shifts(final.values, final.scales, gains), evaluations, memory=judgement.worst)


# With kinks, what converges does so in less than ten steps, but for very few images.
METHOD = Method("direct", start, refine, budget=200, patience=20, gain=0.5)


def descend(
    trial: Trial,
    couplings: Couplings,
    pull: Through,
    scales: Sequence[Scale] | None = None,
    *,
    bottom: int = 1,
    values_only: bool = False,
) -> Descent:
    """From the output error to the shifts of all layers down to `bottom`, with Q given.

    `scales` are the units of Q. A first descent, which has no Q, takes the circuit's natural scales
    and lets them follow the growth of the shifts.
    """
    circuit, network = trial.circuit, trial.network
    depth = network.depth
    used = list(circuit.gains if scales is None else scales)
    values: list[Array | None] = [None] * depth
    sizes: list[Array | None] = [None] * depth
    inflows: list[Array | None] = [None] * depth
    carried: list[Array | None] = [None] * depth
    messages: list[Array | None] = [None] * depth
    crossed: set[int] = set()
    inflow = circuit.strength(depth) * ONE.over(used[-1]).value * trial.error
    for layer in range(depth, bottom - 1, -1):
        i = layer - 1
        value, message, rest, rows = _solve_units(trial, layer, inflow, couplings[i], used)
        if bottom == 1:
            values[i] = value
        if not values_only:
            sizes[i], inflows[i], carried[i] = row_norms(value), inflow, rest
            messages[i] = message if bottom == 1 else None
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
    return Descent(
        tuple(values),
        tuple(sizes),
        tuple(inflows),
        tuple(messages),
        tuple(carried),
        tuple(used),
        frozenset(crossed),
    )


def ascend(
    trial: Trial, descent: Descent, couplings: list[Array | None], push: Through
) -> tuple[np.ndarray, np.ndarray]:
    """Replace the couplings Q_1 .. Q_L by those that the state of a descent implies.

    Returns
    -------
    How far each sample is off because of the couplings that the descent was made with, and how
    large its couplings are beside its shifts; both relative, the worst layer, (samples,).
    """
    circuit, network = trial.circuit, trial.network
    samples = int(np.prod(trial.error.shape[:-1]))
    change, size = np.zeros(samples), np.zeros(samples)
    below = None  # Q of the layer below
    for layer in range(3, network.depth + 1):
        carried = descent.carried[layer - 2]
        if below is not None:
            _, _, carried, _ = _solve_units(
                trial, layer - 1, descent.inflows[layer - 2], below, descent.scales
            )
        below = None
        if carried is None:
            continue
        below = push(layer, carried[..., : network.widths[layer]])
        old, couplings[layer - 1] = couplings[layer - 1], below
        # a sample without error has no shift and no coupling
        shift = _flat(descent.sizes[layer - 1])
        relative = _ratio(descent.scales, layer - 1, layer) / np.where(shift == 0, 1.0, shift)
        moved = relative * _flat(row_norms(below if old is None else below - old))
        if circuit.pathway.gradient_adjusted:
            # what is sent down depends on a coupling at the output alone, unless a kink is near
            felt = np.full(samples, circuit.strength(layer) if layer == network.depth else 0.0)
            felt[list(descent.crossed)] = 1.0
            moved = moved * felt
        change = np.maximum(change, moved)
        size = np.maximum(size, relative * _flat(row_norms(below)))
    return change, size


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

    def solve(
        h: Array, y: Array, inflow: Array, own: Array, extra: Array, kept: Array, q: Array
    ) -> tuple[Array, ...]:
        d, kept_a = own + extra, kept * circuit.ratios[layer - 2]
        for iteration in range(UNIT_ITERATIONS):
            message = unit.inverse_difference(y, d, scale)
            k = q + rho * message
            gap = kept * alpha * unit.difference(h, k, below) + inflow - d
            if largest(xp.abs(gap)) <= 16 * epsilon(d) * largest(xp.abs(d)):
                break
            if iteration < NEWTON_ITERATIONS:
                steepness = unit.slope(h + below * k) / unit.slope(h + scale * message)
                d = d + gap / xp.maximum(1 - kept_a * steepness, 0.1 * (1 - kept_a))
            else:
                d = d + gap  # between two kinks Newton's method can go to and fro; this cannot
        return d, message, d - own

    h, y, slope = activity.drive(layer), activity.rates[layer], activity.slope(layer)
    own = d = inflow / (1 - kept * circuit.ratios[layer - 2])
    extra = None
    if coupling is not None:
        extra = (kept * alpha / (1 - kept * circuit.ratios[layer - 2])) * (slope * coupling)
        d = own + extra
    message = d / slope
    # the linear solution stands where neither the sender nor the drive crosses a kink
    stays = unit.stays(h, message, scale)
    if coupling is not None:
        stays = stays & unit.stays(h, rho * message + coupling, below)
    crossed = _crossing(stays)
    if crossed:
        none = xp.zeros_like(d)
        extra = none if extra is None else extra
        q = none if coupling is None else coupling
        d, message, extra = replace_crossing(
            stays, (d, message, extra), solve, (h, y, inflow, own, extra, none + kept, q)
        )
    if layer == trial.network.depth:
        extra = None  # nothing lies above
    return d, message, extra, crossed


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
    iterations = KINKED_ITERATIONS if unit.piecewise_linear else UNIT_ITERATIONS
    pulled: Array | float = 0.0
    if is_output:
        pulled = _on_projecting(trial, layer, inflow, circuit.strength(layer), 0.0)

    def solve(
        h: Array, inflow: Array, k: Array, m: Array, pulled: Array, q: Array
    ) -> tuple[Array, ...]:
        last = None
        for _ in range(iterations):
            p = alpha * unit.difference(h, k, below)
            if is_output:
                m = inflow - pulled * p
            message = exact_gait_message(unit, h, k, below, m, scale, circuit.pathway)
            image = q + rho * message
            step = ahead = image - k
            if largest(xp.abs(step)) <= 16 * epsilon(k) * largest(xp.abs(k)):
                break
            if last is not None:
                # by the secant (Wegstein 1958): in a linear piece this arrives
                moved = k - last[0]
                still = moved == 0
                secant = xp.where(
                    still, 0 * k, (image - last[1]) / xp.where(still, 1 + 0 * k, moved)
                )
                ahead = step / (1 - xp.where(secant < STEEPEST_SECANT, secant, 0 * k))
            last = k, image
            k = k + ahead
        return m + p, message, p

    h, slope, m = activity.drive(layer), activity.slope(layer), inflow
    if is_output:
        if coupling is not None:
            m = m - pulled * alpha * slope * coupling
        m = m / (1 + pulled * alpha * rho * slope * slope)
    message = slope * m
    k = rho * message
    if coupling is not None:
        k = k + coupling
    stays = unit.stays(h, k, below) & unit.stays(h + below * k, message, scale)
    p = alpha * (slope * k)
    d = m + p
    crossed = _crossing(stays)
    if crossed:
        none = xp.zeros_like(d)
        q = none if coupling is None else coupling
        d, message, p = replace_crossing(
            stays, (d, message, p), solve, (h, inflow, k, m, none + pulled, q)
        )
    return d, message, p, crossed


def _crossing(stays: Array) -> list[int]:
    """Samples in which some unit does not stay on its piece."""
    xp = namespace(stays)
    return [] if bool(xp.all(stays)) else row_indices(~xp.all(stays, axis=-1))


def _flat(values: Array) -> np.ndarray:
    """(..., batch) as a float64 vector of samples."""
    return to_numpy(values).reshape(-1).astype(np.float64)


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
