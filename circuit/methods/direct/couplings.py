"""The couplings of a circuit, found by descents that are as cheap as the digits allow.

Owns how often one descends before the descent that counts, in which precision, and how far the
couplings go each time. The theory is in `circuit.methods.direct.method`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from circuit.methods.direct.descent import (
    Couplings,
    Descent,
    Through,
    ascend,
    descend,
    sent_ratio,
    some_samples,
)
from circuit.network import Activity
from circuit.numerics.arrays import (
    Array,
    epsilon,
    flattened,
    largest,
    namespace,
    put_rows,
    rows_times,
)
from circuit.records.brief import Brief
from circuit.trial import Trial

PREPARATORY_DESCENTS = 60
UNDAMPED = 4  # preparatory descents before any damping; weak feedback needs fewer in all
# Of a step of the couplings: it is cut where it turns back on the last one, and grows otherwise.
CUT, GROWTH, SHORTEST = 0.7, 1.05, 0.05
WELL_CONDITIONED = 100.0  # weights through which float32 still leaves the digits that are wanted
SURE = 1e-2  # of the tolerance: an expected error below it is not worth another descent


@dataclass(frozen=True, eq=False, repr=False)
class Damping(Brief):
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
        return Damping(self.share[list(rows)], some_samples(self.moves, rows))


@dataclass(frozen=True, eq=False, repr=False)
class Matrices(Brief):
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


def prepare(
    trial: Trial,
    descent: Descent,
    previous: Couplings,
    matrices: Matrices,
    tolerance: float,
    base: Descent | None = None,
) -> tuple[Couplings, int]:
    """The couplings that follow from `descent`, which was made with `previous`; and the number of
    further descents that this took.

    They are small beside the shifts, so that a few digits of them are enough. `base` is a descent
    in full precision, where there has been one. Where half of the samples or fewer are left
    to prepare, the others are set aside.
    """
    couplings, damping, done = list(previous), None, 0
    del previous
    set_aside: list[tuple[Couplings, list[int]]] = []  # and which of their samples are gone on with
    pull, lowest = pull_near(base, trial, matrices), _lowest_carrying(descent)
    while done < PREPARATORY_DESCENTS:
        before = list(couplings) if done >= UNDAMPED else None
        change, size = ascend(trial, descent, couplings, matrices.push)
        # the state is off by `change`; the couplings made from it are off by that times their size
        unsure = (change * size > SURE * tolerance) & (change > 8 * matrices.rounding)
        left = np.flatnonzero(unsure).tolist()
        if not left:
            break
        if before is not None:
            couplings, damping = _damped(before, couplings, damping)
            del before
        few = trial.error.ndim == 2 and len(left) <= trial.error.shape[0] // 2
        scales = descent.scales
        del descent  # as large as all the shifts, and of no further use
        if few:
            set_aside.append((couplings, left))
            trial, couplings = trial.samples(left), list(some_samples(couplings, left))
            base = None if base is None else base.samples(left)
            damping = None if damping is None else damping.samples(left)
            pull = pull_near(base, trial, matrices)
        descent = descend(trial, couplings, pull, scales, bottom=lowest)
        lowest = _lowest_carrying(descent) if few else lowest
        done += 1
    found: Couplings = couplings
    for whole, rows in reversed(set_aside):
        found = _merged(whole, rows, found)
    return found, done


def _lowest_carrying(descent: Descent) -> int:
    """The lowest layer with anything to carry: below it nothing will be coupled."""
    return min(
        (i for i, carried in enumerate(descent.carried, 1) if carried is not None), default=1
    )


def _damped(
    before: Couplings, after: Couplings, last: Damping | None
) -> tuple[list[Array | None], Damping]:
    """Go from the couplings `before` towards those `after`, in each sample as far as it bears."""
    moves = tuple(new if old is None else new - old for old, new in zip(before, after, strict=True))
    if last is None:
        samples = next(flattened(new[..., 0]).size for new in after if new is not None)
        return list(after), Damping(np.ones(samples), moves)
    along: Any = 0.0
    for move, previous in zip(moves, last.moves, strict=True):
        if move is not None and previous is not None:
            along = along + flattened(namespace(move).linalg.vecdot(move, previous))
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


def matrices_of(trial: Trial) -> Matrices:
    """Those of the network in its own precision."""
    factors = trial.network.factors
    return Matrices(
        push=lambda layer, rows: rows_times(rows, factors[layer - 1].weights),
        pull=lambda layer, rows: factors[layer - 1].pull(rows),
        rounding=epsilon(trial.error),
    )


def low_matrices(trial: Trial) -> Matrices:
    """The same in float32, for rows of any precision."""
    xp, factors = namespace(trial.error), trial.network.factors
    if trial.error.dtype == xp.float32:
        return matrices_of(trial)

    def low(through: Callable[[Array], Array], rows: Array) -> Array:
        product = through(xp.astype(rows, xp.float32, copy=False))
        return xp.astype(product, rows.dtype, copy=False)

    return Matrices(
        push=lambda layer, rows: low(factors[layer - 1].quick_push, rows),
        pull=lambda layer, rows: low(factors[layer - 1].quick_pull, rows),
        rounding=float(xp.finfo(xp.float32).eps),
    )


def pull_near(base: Descent | None, trial: Trial, matrices: Matrices) -> Through:
    """The pull-back through `matrices`; for states near that of `base`, where there was one in full
    precision, only what has changed since goes through them.
    """
    if base is None:
        return matrices.pull

    def pull(layer: int, message: Array) -> Array:
        inflow: Any = base.inflows[layer - 2]
        known = inflow[..., : message.shape[-1]]
        known = known / sent_ratio(trial.circuit, base.scales, layer)
        return known + matrices.pull(layer, message - base.messages[layer - 1])

    return pull


def _merged(couplings: Couplings, rows: list[int], few: Couplings) -> Couplings:
    """`couplings` with those of some samples replaced."""
    return tuple(
        all_ if all_ is None or some is None else put_rows(all_, rows, some)
        for all_, some in zip(couplings, few, strict=True)
    )


def well_conditioned(trial: Trial) -> bool:
    """Whether float32 leaves digits enough on the way through all weights that are inverted."""
    factors = trial.network.factors[1:]  # W_1 has no inverse in the circuit
    return max((factor.condition for factor in factors), default=1.0) < WELL_CONDITIONED


def in_float32(trial: Trial) -> Trial:
    """The trial in float32; or itself, where it already is or would leave the range of float32."""
    xp = namespace(trial.error)
    if trial.error.dtype == xp.float32:
        return trial
    curved = any(not unit.piecewise_linear for unit in trial.network.activations)

    def low(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        # layer 1 has no part in the preparation
        return (arrays[0], *(xp.astype(array, xp.float32) for array in arrays[1:]))

    drives = low(trial.activity.drives)
    ranges = [xp.abs(array) for array in (trial.error, *drives[1:])]
    if trial.circuit.pathway.row_adjusted:
        layers = range(2, trial.network.depth + 1)
        ranges += [trial.network.squared_lengths(layer) for layer in layers]
    if not all(1e-15 < largest(values) < 1e15 for values in ranges):
        return trial
    gait = trial.circuit.pathway.gradient_adjusted
    rates = trial.activity.rates if gait and not curved else low(trial.activity.rates)
    activity = Activity(rates, drives, low(trial.activity.slopes))
    return Trial(trial.circuit, activity, xp.astype(trial.error, xp.float32))
