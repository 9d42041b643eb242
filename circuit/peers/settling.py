"""Settling image by image: the loop over steps, the budget and the verdict, for rules that iterate.

Owns who goes on and what is said of each image, from the residuals of a rule's own equations in
every layer. Does not own any rule's equations.

An image that is decided is set aside, and the others go on without it; in a stack of networks it
stays as it is. So no image's way depends on which others there are; how far it goes on it does
where a rule judges its states only now and then (`circuit.peers.contrast.sweeps`), or makes as many
steps for all images as one needs (`after_steps`), but never by more than was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import array_api_compat
import numpy as np

from circuit.numerics.arrays import (
    Array,
    epsilon,
    flattened,
    namespace,
    product_rounding,
    put_rows,
    take_rows,
)
from circuit.peers.signal import Rest
from circuit.records.brief import Brief
from circuit.verification.judgement import Status
from circuit.verification.samples import RISE_OF_DIVERGENCE, ROUNDING_SLACK, repeats

GROWN = 1e6  # values so many times those of the start are on their way out
PATIENCE = 5  # steps, at kinks, in which the lowest residual need not fall


@dataclass(frozen=True, eq=False, repr=False)
class Tried(Brief):
    """A state of all images, and what is left of the equations there.

    Attributes
    ----------
    arrays : each with the images as its first axis (of a stack: behind the stack's)
    residuals : (L, samples), relative, in every layer
    passes : over the layers, since the last point
    floors : (L, samples), what rounding leaves of the residuals, where images differ in it
    sizes : (samples,), of the values; None where nothing can grow without end
    last : whether there is no other point to come
    """

    arrays: tuple[Array, ...]
    residuals: np.ndarray
    passes: float
    floors: np.ndarray | None = None
    sizes: np.ndarray | None = None
    last: bool = False


class Equations(Protocol):
    """A rule's equations for a batch of images."""

    def samples(self, rows: Sequence[int]) -> Self:
        """Those of some images of one network."""

    def start(self) -> Tried:
        """A first state."""

    def improved(self, point: Tried) -> Tried:
        """A better one."""


def relative(left: Sequence[Array], shifts: Sequence[Array], error: Array) -> np.ndarray:
    """|what is left| over |shift| in every layer, (L, samples).

    Parameters
    ----------
    left, shifts : L arrays (..., batch), norms
    error : (..., batch), norm of the output error; where it is 0, no shift is the right answer

    A layer with neither a shift nor anything left is as far as the layer above it has come: nothing
    has reached it yet, or nothing is to reach it.
    """
    higher = np.where(flattened(error) == 0, 0.0, np.inf)
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
    problem: Equations,
    *,
    tolerance: float,
    floors: np.ndarray | None = None,
    budget: int,
    splittable: bool,
    kinks: bool = False,
) -> tuple[tuple[Array, ...], Rest]:
    """From the problem's start until every image is decided.

    Parameters
    ----------
    tolerance : relative residual to reach in every layer of every image
    floors : (L,), what rounding alone leaves; None where points tell
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
    active, history, passes = list(range(n)), [], 0.0  # the images that go on, in this order
    sizes: list[np.ndarray] = []
    for step in range(1, budget + 1):
        passes += point.passes * (len(active) if splittable else n) / n
        if splittable:
            arrays = point.arrays if len(active) == n else _put(arrays, active, point.arrays)
        else:
            point = _only(active, point, arrays, residuals)
            arrays = point.arrays
        these = ... if splittable else active
        residuals[:, active] = now = point.residuals[:, these]
        history.append(now.max(axis=0))
        if point.sizes is not None:
            sizes.append(point.sizes[these])
        floor = np.zeros((1, 1)) if floors is None else floors[:, None]
        if point.floors is not None:
            floor = point.floors[:, these]
        close = np.asarray((now <= np.maximum(tolerance, ROUNDING_SLACK * floor)).all(axis=0))
        undecided = []
        for place, image in enumerate(active):
            past = [float(worst[place]) for worst in history]
            ended, grown = step == budget or point.last, [float(one[place]) for one in sizes]
            fate = verdict(past, tolerance, bool(close[place]), ended, kinks, grown)
            statuses[image] = fate
            if statuses[image] is None:
                undecided.append(place)
        if not undecided:
            break
        if len(undecided) < len(active):
            active = [active[place] for place in undecided]
            history = [worst[undecided] for worst in history]
            sizes = [one[undecided] for one in sizes]
            if splittable:
                problem = problem.samples(undecided)
                few = tuple(take_rows(array, undecided) for array in point.arrays)
                point = replace(point, arrays=few, residuals=point.residuals[:, undecided])
        point = problem.improved(point)
    decided = tuple(status for status in statuses if status is not None)
    return arrays, Rest(decided, residuals, passes)


def _put(old: Sequence[Array], rows: Sequence[int], new: Sequence[Array]) -> tuple[Array, ...]:
    return tuple(put_rows(a, rows, b) for a, b in zip(old, new, strict=True))


def _only(
    active: Sequence[int], point: Tried, arrays: Sequence[Array], residuals: np.ndarray
) -> Tried:
    """The point, with images of a stack that are decided as they were."""
    if len(active) == residuals.shape[1]:
        return point
    xp, first = namespace(arrays[0]), arrays[0]
    goes = np.zeros(residuals.shape[1], dtype=bool)
    goes[list(active)] = True
    batch = first.shape[: len(first.shape) - 1]
    mask = xp.asarray(goes.reshape(batch), device=array_api_compat.device(first))
    kept = []
    for new, old in zip(point.arrays, arrays, strict=True):
        shape = (*batch, *(1 for _ in old.shape[len(batch) :]))
        kept.append(xp.where(xp.reshape(mask, shape), new, old))
    return replace(point, arrays=tuple(kept), residuals=np.where(goes, point.residuals, residuals))


def verdict(
    past: list[float],
    tolerance: float,
    near_floor: bool,
    last: bool,
    kinks: bool,
    sizes: Sequence[float] = (),
) -> Status | None:
    """What became of an image with these worst residuals, step by step, and these sizes, if they
    are known; None while undecided.
    """
    now = past[-1]
    if math.isnan(now) or not all(map(math.isfinite, sizes)):
        return Status.NOT_FINITE
    if now <= tolerance:
        return Status.CONVERGED
    if near_floor and len(past) > 2 and now > 0.5 * min(past[-3:-1]):
        return Status.NOT_RESOLVABLE
    if now > RISE_OF_DIVERGENCE * min(past) or (sizes and sizes[-1] > GROWN * sizes[0]):
        return Status.DIVERGED
    stands = kinks and len(past) > PATIENCE and min(past[-PATIENCE:]) >= min(past[:-PATIENCE])
    if stands or repeats(past):  # as does what grows by one factor in every step
        grows = len(sizes) > 1 and sizes[-1] > (1 + tolerance) * sizes[-2]
        return Status.DIVERGED if grows else Status.CYCLING
    if last:
        return Status.NOT_RESOLVABLE if near_floor else Status.OUT_OF_BUDGET
    return None


def over(residuals: np.ndarray, tolerance: float) -> bool:
    """Whether every image has settled, or come to nothing finite, (L, samples)."""
    return bool((((residuals <= tolerance).all(axis=0)) | np.isnan(residuals).any(axis=0)).all())


def after_steps(
    last: Sequence[np.ndarray], tolerance: float, passes: float, words: str = ""
) -> Rest:
    """What became of images by a rule of so many steps.

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
    return Rest(tuple(status), last[-1], passes, words, by_steps=True)
