"""Newton-Krylov: for smooth units, strong feedback, and whatever the structured methods miss.

Owns an inexact Newton iteration in shift coordinates that lowers the residual step by step, and
what is done where no step does. Does not own the direction (`circuit.methods.newton.steps`) nor the
search without damping (`circuit.methods.newton.undamped`). NumPy only.
"""

from __future__ import annotations

import math

import numpy as np

from circuit.method import Method, Progress
from circuit.methods.newton import pieces
from circuit.methods.newton.steps import Layers, direction, is_small, residuals
from circuit.methods.newton.undamped import search
from circuit.methods.sweep import sweep
from circuit.numerics.arrays import row_norms
from circuit.trial import Trial
from circuit.verification.judgement import Judgement

HALVINGS = 3  # of a Newton step that does not lower a sample's residual
LEAST_DECREASE = 0.1  # of a sample's residual, relative, for a full step
PATIENCE = 8  # steps of which some had to be halved, before samples are sought without damping
SEARCHED = math.inf  # in place of the number of such steps, once they were


def start(trial: Trial, tolerance: float) -> Progress:
    """The forward pass."""
    return Progress(trial.at_rest(), 0)


def newton_step(trial: Trial, progress: Progress, judgement: Judgement) -> Progress:
    """One Newton step, halved where it would raise a sample's residual.

    Where that does not help, or is slow, the sample is sought once by other means: smooth units
    without damping, small circuits with kinks piece by piece; what is still missing takes a sweep.
    """
    shifts = progress.shifts
    residual = residuals(trial, shifts)
    steps, evaluations = direction(trial, shifts, residual)
    evaluations += 1

    before = _sample_norms(residual)
    reach = np.ones_like(before)
    for _ in range(HALVINGS):
        values = tuple(
            value + reach[:, None] * step for value, step in zip(shifts.values, steps, strict=True)
        )
        after = _sample_norms(residuals(trial, shifts.with_values(values)))
        evaluations += 1
        worse = ~(after <= (1 - LEAST_DECREASE * reach) * before)
        if not worse.any():
            break
        reach = np.where(worse, reach / 2, reach)
    halved = (reach < 1) + (np.zeros_like(before) if progress.memory is None else progress.memory)
    sought = (worse | (halved > PATIENCE)) & (halved < SEARCHED)
    pieced, smooth = _kind(trial)
    if sought.any() and (pieced or smooth):
        found, arrived, more = pieces.search(trial, shifts, sought) if pieced else search(trial)
        arrived = arrived & sought
        evaluations, worse = evaluations + more, worse & ~arrived
        halved = np.where(sought, SEARCHED, halved)
        values = _chosen(arrived, found, values)
    if worse.any():
        # at a kink there may be no descent along Newton's direction; a sweep needs none
        swept = sweep(trial, progress, judgement)
        evaluations += swept.evaluations
        values = _chosen(worse, swept.shifts.values, values)
    return Progress(shifts.with_values(values), evaluations, memory=halved)


METHOD = Method("newton", start, newton_step, numpy_only=True, budget=60)


def _kind(trial: Trial) -> tuple[bool, bool]:
    """Whether it is small and all units are linear in pieces; and whether no unit is."""
    linear = {unit.piecewise_linear for unit in trial.network.activations}
    return linear == {True} and is_small(trial), linear == {False}


def _chosen(rows: np.ndarray, these: Layers, others: Layers) -> Layers:
    """`these` in some samples, `others` elsewhere."""
    pairs = zip(these, others, strict=True)
    return tuple(np.where(rows[:, None], this, other) for this, other in pairs)


def _sample_norms(residual: Layers) -> np.ndarray:
    """Size of each sample's residual over all layers, in units of the layers' scales."""
    return np.asarray(row_norms(np.stack([row_norms(values) for values in residual], axis=-1)))
