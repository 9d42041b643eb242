"""Layers beside layers brought to rest by sweeps down and up, and judged image by image.

Owns the loop, what of it is kept, and the verdict. Does not own the equations
(`circuit.peers.contrast.layers`).

A sweep goes from the output down, each layer taking what it now gets from above with what it last
got from below, and then up. What a layer gets from the other side has not changed meanwhile, so
that each of the two passes is one product a layer: both half sweeps of a symmetric block
Gauss-Seidel step for the price of one. Each value is the minimum of the energy over its own layer
(`circuit.peers.contrast.critical`), which therefore never rises: where the energy is bounded below,
as with units that saturate, there is no cycle, and where it is convex one state. A layer's error
falls by about gamma f'^2 in every sweep, for small gamma.

A state is judged by its own equations, with what its layers get from both sides computed for it:
the miss of every layer beside its value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import array_api_compat
import numpy as np

from circuit.numerics.arrays import (
    Array,
    epsilon,
    flattened,
    namespace,
    product_rounding,
    put_rows,
    row_norms,
    take_rows,
)
from circuit.peers.contrast.layers import Coupled
from circuit.records.brief import Brief
from circuit.verification.judgement import Status
from circuit.verification.samples import RISE_OF_DIVERGENCE, ROUNDING_SLACK, repeats

EVERY = 4  # sweeps after which a state is judged in any case
GROWN = 1e6  # values so many times those of the start are on their way out
NEAR = 2.0  # times the tolerance: a predicted miss worth looking at


@dataclass(frozen=True, eq=False, repr=False)
class Settlement(Brief):
    """What became of layers beside layers.

    Attributes
    ----------
    values, drives : L arrays (..., batch, N_l); the drives are those of the values
    status : (samples,)
    residuals : (L, samples), the miss of a layer's equation beside its value
    passes : over all layers, each of one product a layer
    """

    values: tuple[Array, ...]
    drives: tuple[Array, ...]
    status: tuple[Status, ...]
    residuals: np.ndarray
    passes: float


def descend(
    layers: Coupled, below: Sequence[Array], last: Array | None = None
) -> tuple[list[Array], list[Array]]:
    """Values from the output down where each layer gets `below` from below; and what each of the
    layers 1 .. L - 1 got from above. `last` is the output's value before.
    """
    depth = layers.network.depth
    values: list[Array] = [layers.respond(depth, below[-1], last)]
    above: list[Array] = []
    for layer in range(depth - 1, 0, -1):
        above.insert(0, layers.from_above(layer, values[0]))
        values.insert(0, layers.respond(layer, below[layer - 1] + above[0]))
    return values, above


def ascend(
    layers: Coupled, before: Sequence[Array], above: Sequence[Array]
) -> tuple[list[Array], list[Array]]:
    """Values from layer 1 up, which keeps the one it had `before`, where each layer gets `above`
    from above; and what each of the layers 1 .. L got from below.
    """
    values, below = [before[0]], [layers.from_below(1, before[0])]
    for layer in range(2, layers.network.depth + 1):
        below.append(layers.from_below(layer, values[-1]))
        drive = below[-1] + above[layer - 1] if layer <= len(above) else below[-1]
        values.append(layers.respond(layer, drive, before[layer - 1]))
    return values, below


def settled(
    layers: Coupled,
    values: Sequence[Array],
    above: Sequence[Array],
    tolerance: float,
    budget: int,
) -> Settlement:
    """Sweep until every sample is decided.

    Parameters
    ----------
    values, above : of a descent
    tolerance : of the miss of every layer beside its value
    budget : sweeps
    """
    batch = _Samples(layers, values, tolerance)
    passes, sweeps, going = 1, 0, list(range(batch.count))  # one pass was the descent
    while going:
        new, below = ascend(batch.layers, values, above)
        sweeps, passes = sweeps + 1, passes + 1
        last = sweeps >= budget
        if last or sweeps % EVERY == 0 or batch.promises(values, above, new):
            passes, before = passes + 1, len(going)
            going = batch.judge(new, below, last=last)
            if 0 < len(going) < before:
                below = [take_rows(one, going) for one in below]
                new = [take_rows(one, going) for one in new]
        if going:
            values, above = descend(batch.layers, below, new[-1])
            passes += 1
    return batch.settlement(passes)


class _Samples:
    """The samples of a batch, those that are decided and those that go on."""

    def __init__(self, layers: Coupled, start: Sequence[Array], tolerance: float) -> None:
        self.layers = layers
        shape = start[0].shape[:-1]
        self.count = int(np.prod(shape))
        self._splits = len(shape) == 1
        self._tolerance = tolerance
        self._active = list(range(self.count))
        self._status: list[Status | None] = [None] * self.count
        self._residuals = np.full((layers.network.depth, self.count), np.inf)
        self._worst: list[np.ndarray] = []  # miss of every active sample, by judgement
        self._sizes = [_sizes(start)]
        self._values: list[Array] = []
        self._drives: list[Array] = []

    def promises(
        self, values: Sequence[Array], above: Sequence[Array], new: Sequence[Array]
    ) -> bool:
        """Whether all active samples seem to be at rest: what the last ascent changed above a layer
        comes down to it as what was there before did.
        """
        for i, got in enumerate(above):
            moved = row_norms(new[i + 1] - values[i + 1]) * row_norms(got)
            room = NEAR * self._tolerance * row_norms(new[i]) * row_norms(values[i + 1])
            if not bool(namespace(got).all(moved <= room)):
                return False
        return True

    def judge(self, values: Sequence[Array], below: Sequence[Array], *, last: bool) -> list[int]:
        """Measure a state. Returns the places, among the active samples, of those that go on."""
        residuals, floors, drives = self._measured(values, below)
        self._worst.append(residuals.max(axis=0))
        self._sizes.append(_sizes(values))
        floors = np.maximum(self._tolerance, ROUNDING_SLACK * floors)
        near = (residuals <= floors).all(axis=0)
        fresh = [place for place, i in enumerate(self._active) if self._status[i] is None]
        for place in fresh:
            self._status[self._active[place]] = self._verdict(place, bool(near[place]), last)
        self._residuals[:, [self._active[place] for place in fresh]] = residuals[:, fresh]
        self._keep(values, drives, fresh)
        going = [place for place in fresh if self._status[self._active[place]] is None]
        if not going or len(going) == len(self._active):
            return going
        if not self._splits:
            return list(range(len(self._active)))
        self.layers = self.layers.samples(going)
        self._active = [self._active[place] for place in going]
        self._worst = [one[going] for one in self._worst]
        self._sizes = [one[going] for one in self._sizes]
        return going

    def settlement(self, passes: int) -> Settlement:
        """Of all samples, when they are decided."""
        status = tuple(one for one in self._status if one is not None)
        found = tuple(self._values), tuple(self._drives)
        return Settlement(*found, status, self._residuals, float(passes))

    def _measured(
        self, values: Sequence[Array], below: Sequence[Array]
    ) -> tuple[np.ndarray, np.ndarray, list[Array]]:
        """Relative residuals (L, samples), what rounding alone leaves of them, and the drives."""
        layers, depth = self.layers, self.layers.network.depth
        residuals, floors, drives = [], [], []
        eps, widths = epsilon(values[0]), layers.network.widths
        for layer, value in enumerate(values, 1):
            parts = [below[layer - 1]]
            if layer < depth:
                parts.append(layers.from_above(layer, values[layer]))
            drives.append(parts[0] + parts[1] if layer < depth else parts[0])
            size = flattened(row_norms(value))
            miss = flattened(row_norms(layers.miss(layer, value, drives[-1])))
            # where a value is zero, so may be what asks for it: weights of zero, or no error
            right = (size == 0) & (miss == 0)
            whole = np.where(size == 0, 1.0, size)
            residuals.append(np.where(right, 0.0, np.where(size == 0, np.inf, miss / whole)))
            terms = sum(flattened(row_norms(part)) for part in parts) + size
            widest = max(widths[layer - 1 : layer + 2])
            floors.append(product_rounding(eps, widest) * terms / whole)
        return np.array(residuals), np.array(floors), drives

    def _verdict(self, place: int, near: bool, last: bool) -> Status | None:
        past = [float(one[place]) for one in self._worst]
        sizes = [float(one[place]) for one in self._sizes]
        now = past[-1]
        if not np.isfinite(sizes[-1]) or np.isnan(now):
            return Status.NOT_FINITE
        if now <= self._tolerance:
            return Status.CONVERGED
        if near and len(past) > 2 and now > 0.5 * min(past[-3:-1]):
            return Status.NOT_RESOLVABLE
        grows = sizes[-1] > (1 + self._tolerance) * sizes[-2]
        if sizes[-1] > GROWN * sizes[0] or now > RISE_OF_DIVERGENCE * min(past):
            return Status.DIVERGED
        if repeats(past):  # also what grows by the same factor in every sweep
            return Status.DIVERGED if grows else Status.CYCLING
        if last:
            return Status.NOT_RESOLVABLE if near else Status.OUT_OF_BUDGET
        return None

    def _keep(self, values: Sequence[Array], drives: Sequence[Array], places: list[int]) -> None:
        """The state of samples that were not decided before."""
        if not self._values:
            self._values, self._drives = list(values), list(drives)
            return
        for kept, new in ((self._values, values), (self._drives, drives)):
            for i, (old, one) in enumerate(zip(kept, new, strict=True)):
                kept[i] = self._put(old, one, places)

    def _put(self, old: Array, new: Array, places: list[int]) -> Array:
        if len(places) == self.count:
            return new
        if self._splits:
            return put_rows(old, self._active, new)
        xp, mask = namespace(old), np.zeros(self.count, dtype=bool)
        mask[places] = True
        fresh = xp.asarray(mask.reshape(old.shape[:-1]), device=array_api_compat.device(old))
        return xp.where(fresh[..., None], new, old)


def _sizes(values: Sequence[Array]) -> np.ndarray:
    """Of every sample, (samples,), the largest norm of a layer."""
    return np.array([flattened(row_norms(value)) for value in values]).max(axis=0)
