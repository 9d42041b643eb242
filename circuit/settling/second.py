"""A second method for what the first did not find.

Owns which samples of a record are tried again, where no method was named, and how two records
become one. Does not own the methods.
"""

from __future__ import annotations

import math
from dataclasses import replace

from circuit.errors import NotFinite, TargetOutOfRange
from circuit.methods.table import METHODS
from circuit.numerics.arrays import is_numpy
from circuit.outcome import Equilibrium
from circuit.settling.blocks import settle_all
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import Status, judge
from circuit.verification.samples import worst_of

SECOND = "newton"
SEARCHED_UNITS = 1024  # up to so many in all layers
UNFOUND = {Status.DIVERGED, Status.CYCLING, Status.OUT_OF_BUDGET, Status.NOT_FINITE}


def with_second(found: Equilibrium) -> Equilibrium:
    """The record with what `SECOND` settles of the samples that it did not.

    Those of a small circuit of one network, in NumPy; else the record itself.
    """
    trial = found.trial
    left = [i for i, status in enumerate(found.sample_status) if status in UNFOUND]
    small = sum(trial.network.widths[1:]) <= SEARCHED_UNITS
    if not (left and small and is_numpy(trial.error) and trial.error.ndim == 2):
        return found
    second = METHODS[SECOND]()
    again = settle_all(trial.samples(left), second, found.tolerance, second.budget, {})
    better = [i for i, status in enumerate(again.sample_status) if status is Status.CONVERGED]
    method = f"{found.method} and {again.method}"
    if not better:
        return replace(found, method=method)
    statuses, rows = list(found.sample_status), [left[place] for place in better]
    for row in rows:
        statuses[row] = Status.CONVERGED
    shifts = found.shifts.with_rows(rows, again.shifts.samples(better))
    return replace(
        found,
        shifts=shifts,
        status=worst_of(statuses),
        sample_status=tuple(statuses),
        relative_residuals=_worst_residuals(trial, shifts, found.tolerance),
        evaluations=found.evaluations + again.evaluations,
        steps=found.steps + again.steps,
        method=method,
    )


def _worst_residuals(trial: Trial, shifts: Shifts, tolerance: float) -> tuple[float, ...]:
    """The worst sample's, for every layer; infinite for a state that is none."""
    try:
        found = judge(trial, shifts, tolerance).relative_residuals
    except (TargetOutOfRange, NotFinite):
        return (math.inf,) * trial.network.depth
    return tuple(math.inf if math.isnan(value) else value for value in found)
