"""Settling image by image: the loop over steps, the budget and the verdict, for rules that iterate.

Owns who goes on and what is said of each image, from the residuals of a rule's own equations in
every layer. Does not own any rule's equations.

An image that is decided is set aside, and the others go on without it. Networks of a stack go on
together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from circuit.network import Activity
from circuit.numerics.arrays import Array, epsilon, flattened, product_rounding, put_rows, take_rows
from circuit.peers.signal import Rest
from circuit.verification.judgement import Status
from circuit.verification.samples import RISE_OF_DIVERGENCE, ROUNDING_SLACK, repeats

PATIENCE = 5  # steps, at kinks, in which the lowest residual need not fall


@dataclass(frozen=True, eq=False)
class Point:
    """A state of all images, and what is left of the equations there.

    Attributes
    ----------
    arrays : each with the images as its first axis (of a stack: behind the stack's)
    residuals : (L, samples), relative, in every layer
    passes : over the layers, since the last point
    """

    arrays: tuple[Array, ...]
    residuals: np.ndarray
    passes: float


class Problem(Protocol):
    """A rule's equations for a batch of images."""

    def samples(self, rows: Sequence[int]) -> Self:
        """Those of some images of one network."""

    def start(self) -> Point:
        """A first state."""

    def improved(self, point: Point) -> Point:
        """A better one."""


def some(activity: Activity, rows: Sequence[int]) -> Activity:
    """That of some images of one network."""

    def few(arrays: Sequence[Array]) -> tuple[Array, ...]:
        return tuple(take_rows(array, rows) for array in arrays)

    return Activity(few(activity.rates), few(activity.drives), few(activity.slopes))


def relative(
    left: Sequence[Array], shifts: Sequence[Array], error: Array, above: np.ndarray | None = None
) -> np.ndarray:
    """|what is left| over |shift| in every layer, (L, samples).

    Parameters
    ----------
    left, shifts : L arrays (..., batch), norms
    error : (..., batch), norm of the output error; where it is 0, no shift is the right answer
    above : (samples,), in place of the output layer's own where it has neither

    A layer with neither a shift nor anything left is as far as the layer above it has come: nothing
    has reached it yet, or nothing is to reach it.
    """
    silent = flattened(error) == 0
    higher = np.where(silent, 0.0, np.inf) if above is None else above
    rows = []
    for part, whole in zip(map(flattened, left[::-1]), map(flattened, shifts[::-1]), strict=True):
        empty = whole == 0
        found = part / np.where(empty, 1.0, whole)
        found = np.where(empty & ~np.isnan(part), np.where(part == 0, higher, np.inf), found)
        rows.append(found)
        higher = found
    return np.array(rows[::-1])


def rounding_floors(like: Array, widths: Sequence[int]) -> np.ndarray:
    """(L,), the relative residual that rounding alone leaves in the layers 1 .. L."""
    eps = epsilon(like)
    return np.array([2 * product_rounding(eps, width) for width in widths[1:]])


def tolerance_for(asked: float, like: Array) -> float:
    """The relative residual that is asked for; where it is 0 that of the precision, as
    `circuit.equilibrium.default_tolerance` has it.
    """
    return asked if asked > 0 else epsilon(like) ** 0.64


@np.errstate(all="ignore")  # what overflows on the way is judged, not printed
def settle(
    problem: Problem,
    *,
    tolerance: float,
    floors: np.ndarray,
    budget: int,
    splittable: bool,
    kinks: bool = False,
) -> tuple[tuple[Array, ...], Rest]:
    """From the problem's start until every image is decided.

    Parameters
    ----------
    tolerance : relative residual to reach in every layer of every image
    floors : (L,), what rounding alone leaves
    budget : points that are judged at most
    splittable : whether images may be set aside, which those of a stack may not
    kinks : whether units have kinks, so that an image may have no state to settle in

    Returns
    -------
    arrays : those of the last point of every image
    rest : what became of each
    """
    point = problem.start()
    arrays, residuals = point.arrays, point.residuals.copy()
    n = residuals.shape[1]
    statuses: list[Status | None] = [None] * n
    active, history, passes = list(range(n)), [], 0.0
    near = np.maximum(tolerance, ROUNDING_SLACK * floors)[:, None]
    steps = 1
    while True:
        passes += point.passes * len(active) / n
        if len(active) < n:
            pairs = zip(arrays, point.arrays, strict=True)
            arrays = tuple(put_rows(old, active, new) for old, new in pairs)
        else:
            arrays = point.arrays
        residuals[:, active] = point.residuals
        history.append(point.residuals.max(axis=0))
        close = (point.residuals <= near).all(axis=0)
        undecided = []
        for place, image in enumerate(active):
            past = [float(worst[place]) for worst in history]
            statuses[image] = verdict(past, tolerance, bool(close[place]), steps >= budget, kinks)
            if statuses[image] is None:
                undecided.append(place)
        if not undecided:
            break
        if splittable and len(undecided) < len(active):
            problem = problem.samples(undecided)
            few = tuple(take_rows(array, undecided) for array in point.arrays)
            point = replace(point, arrays=few, residuals=point.residuals[:, undecided])
            active = [active[place] for place in undecided]
            history = [worst[undecided] for worst in history]
        point = problem.improved(point)
        steps += 1
    decided = tuple(status for status in statuses if status is not None)
    return arrays, Rest(decided, residuals, passes)


def verdict(
    past: list[float], tolerance: float, near_floor: bool, last: bool, kinks: bool
) -> Status | None:
    """What became of an image with these worst residuals, step by step; None while undecided."""
    now = past[-1]
    if math.isnan(now):
        return Status.NOT_FINITE
    if now <= tolerance:
        return Status.CONVERGED
    if near_floor and len(past) > 2 and now > 0.5 * min(past[-3:-1]):
        return Status.NOT_RESOLVABLE
    if now > RISE_OF_DIVERGENCE * min(past):
        return Status.DIVERGED
    stands = kinks and len(past) > PATIENCE and min(past[-PATIENCE:]) >= min(past[:-PATIENCE])
    if stands or repeats(past):
        return Status.CYCLING
    if last:
        return Status.NOT_RESOLVABLE if near_floor else Status.OUT_OF_BUDGET
    return None


def after_steps(
    last: Sequence[np.ndarray], tolerance: float, passes: float, words: str = ""
) -> Rest:
    """What became of images after a given number of steps.

    Parameters
    ----------
    last : (L, samples) each, the residuals after the last step, and before it those of the one
        before, if any
    """
    worst = [residuals.max(axis=0) for residuals in last]
    before = worst[0] if len(worst) > 1 else np.full_like(worst[0], np.inf)
    status = []
    for now, past in zip(worst[-1], before, strict=True):
        fate = verdict([float(past), float(now)], tolerance, False, True, False)
        assert fate is not None  # the last step is always decided
        status.append(fate)
    return Rest(tuple(status), last[-1], passes, words)
