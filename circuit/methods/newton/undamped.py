"""Newton's method without damping, and along a growing error: for smooth units far from rest.

Where units curve strongly, as the sinh in the messages of asinh units does, the residual on the way
to an equilibrium may rise by orders of magnitude, and a step that must lower it goes nowhere. The
undamped steps from the forward pass often arrive all the same (Newton's method does not depend on
the units in which residuals are measured, a test of descent does). Where they do not, a small
circuit is followed from an error of zero, whose equilibrium is the forward pass, to the given one.
That path may turn back before it is there; the equilibrium of a part of the error, found without
damping, is then where another undamped search begins.

Owns this search.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from circuit.methods.newton.steps import Layers, dense_direction, direction, is_small, residuals
from circuit.shifts import Shifts
from circuit.trial import Trial

STEPS = 60  # without damping, from the forward pass
STEPS_OF_LARGE = 12  # the same where one takes many products with the Jacobian
FOLLOWED_UNITS = 128  # up to so many a circuit is followed, and started from parts of the error
PARTS = (0.9, 0.7, 0.5, 0.3, 0.1)  # of the error
ARRIVED = 1e-7  # change of a layer beside its shift; the next step would be its square
STEPS_A_RUNG = 8  # at one error on the way
RUNGS = 60  # tried at most
SHRINK, GROW = 1 / 3, 2.0  # of the distance to the next error, after failure and success
LEAST_RUNG = 1e-4  # of the error; a path that bends sooner is given up


def search(trial: Trial) -> tuple[Layers, np.ndarray, int]:
    """Look for the equilibrium of every sample from the forward pass.

    Returns
    -------
    Values of the shifts in the scales of `trial.at_rest()`, L arrays (batch, N_l); which samples
    arrived (batch,); and passes over all layers. The values of samples that did not arrive are
    those of the forward pass.
    """
    rest = trial.at_rest()
    steps = STEPS if is_small(trial) else STEPS_OF_LARGE
    values, arrived, evaluations = undamped(trial, rest, steps)
    if sum(trial.network.widths[1:]) <= FOLLOWED_UNITS:
        for sample in np.flatnonzero(~arrived):
            part = trial.samples([int(sample)])
            found, more = follow(part)
            evaluations += more
            if found is None:
                found, more = from_parts(part)
                evaluations += more
            if found is not None:
                arrived[sample] = True
                # alone it may have other scales than the batch, whose errors decide them
                alone = part.at_rest().with_values(found)
                values = rest.with_values(values).with_rows([int(sample)], alone).values
    return values, arrived, evaluations


def undamped(trial: Trial, start: Shifts, steps: int) -> tuple[Layers, np.ndarray, int]:
    """Full Newton steps from `start`, each sample until it arrives, leaves the range of floats, or
    has had its `steps`. Returns as `search`, with `start` for samples that did not arrive.
    """
    values = tuple(value.copy() for value in start.values)
    arrived = np.zeros(trial.error.shape[0], dtype=bool)
    active, state, evaluations = np.arange(len(arrived)), start, 0
    solve = dense_direction if is_small(trial) else direction
    for _ in range(steps):
        part = trial.samples(active.tolist())
        residual = residuals(part, state)
        evaluations += 1
        rows = np.flatnonzero(np.all([np.isfinite(r).all(axis=1) for r in residual], axis=0))
        if not rows.size:
            break
        active, part, state = active[rows], part.samples(rows.tolist()), _rows(state, rows)
        changes, passes = solve(part, state, tuple(r[rows] for r in residual))
        evaluations += passes
        moved = tuple(v + change for v, change in zip(state.values, changes, strict=True))
        steady = np.ones(len(active), dtype=bool)
        for value, change in zip(moved, changes, strict=True):
            size, step = np.abs(value).max(axis=1), np.abs(change).max(axis=1)
            steady &= step <= ARRIVED * size
        for value, new in zip(values, moved, strict=True):
            value[active[steady]] = new[steady]
        arrived[active[steady]] = True
        active, state = active[~steady], _rows(start.with_values(moved), ~steady)
        if not active.size:
            break
    return values, arrived, evaluations


def follow(trial: Trial) -> tuple[Layers | None, int]:
    """The equilibrium of one sample on the path from an error of zero; None where it is lost.

    The next state is first guessed on the line through the last two. Returns the values in the
    scales of `trial.at_rest()`, and passes over all layers.
    """
    rest = trial.at_rest()
    before, here = (0.0, rest.values), (0.0, rest.values)
    distance, evaluations = SHRINK, 0
    for _ in range(RUNGS):
        error = min(1.0, here[0] + distance)
        ahead = (error - here[0]) / (here[0] - before[0]) if here[0] > before[0] else 0.0
        guess = tuple(
            new + ahead * (new - old) for new, old in zip(here[1], before[1], strict=True)
        )
        there = replace(trial, error=error * trial.error)
        values, arrived, passes = undamped(there, rest.with_values(guess), STEPS_A_RUNG)
        evaluations += passes
        if arrived[0]:
            before, here = here, (error, values)
            distance *= GROW
            if error == 1.0:
                return values, evaluations
        else:
            distance *= SHRINK
            if distance < LEAST_RUNG:
                break
    return None, evaluations


def from_parts(trial: Trial) -> tuple[Layers | None, int]:
    """The equilibrium of one sample from those of parts of its error, stretched; as `follow`."""
    rest, evaluations = trial.at_rest(), 0
    for part in PARTS:
        less = replace(trial, error=part * trial.error)
        values, arrived, passes = undamped(less, rest, STEPS)
        evaluations += passes
        if arrived[0]:
            stretched = rest.with_values(tuple(value / part for value in values))
            values, arrived, passes = undamped(trial, stretched, STEPS)
            evaluations += passes
            if arrived[0]:
                return values, evaluations
    return None, evaluations


def _rows(shifts: Shifts, rows: np.ndarray) -> Shifts:
    return shifts.with_values(tuple(value[rows] for value in shifts.values))
