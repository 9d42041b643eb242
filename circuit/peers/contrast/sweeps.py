"""Layers beside layers brought to rest by sweeps down and up, and judged image by image.

Owns the loop, what of it is kept, and the verdict. Does not own the equations
(`circuit.peers.contrast.layers`).

A sweep goes from the output down, each layer taking what it now gets from above with what it last
got from below, and then up. What a layer gets from the other side has not changed meanwhile, so
that each of the two passes is one product a layer: both half sweeps of a symmetric block
Gauss-Seidel step for the price of one. Each value is the minimum of the energy over its own layer
(`circuit.peers.contrast.critical`), which therefore never rises: where the energy is bounded below,
as with units that saturate, there is no cycle, and where it is convex one state. Where feedback is
weak enough, the first sweeps overshoot a little (`circuit.peers.contrast.relaxation`), which
gains a factor of two to three, or all there is to gain. The error of a sweep is about gamma f'^2.

A state is judged by its own equations, with what its layers get from both sides computed for it:
the miss of every layer beside its value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import array_api_compat
import numpy as np

from circuit.network import Network
from circuit.numerics.arrays import (
    Array,
    all_finite,
    epsilon,
    flattened,
    namespace,
    product_rounding,
    put_rows,
    row_norms,
    take_rows,
)
from circuit.peers.contrast.layers import Coupled, Descent, cast, overshot
from circuit.records.brief import Brief
from circuit.verification.judgement import Status
from circuit.verification.samples import RISE_OF_DIVERGENCE, ROUNDING_SLACK, repeats

EVERY = 8  # sweeps after which a state is judged in any case
OVERSHOOTING = 64  # sweeps after which none overshoots, so that the energy cannot rise
GROWN = 1e6  # values so many times those of the start are on their way out
ROUGH, ROUGH_SWEEPS = 3.0, 6  # eps that rough sweeps aim at, and how many may be made
NEAR = 3.0  # times the tolerance: a predicted miss worth looking at


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


def descend(layers: Coupled, below: Sequence[Array], before: Sequence[Array]) -> Descent:
    """From the values `before`, from the output down, where each layer gets `below` from below."""
    depth, factors = layers.network.depth, layers.factors
    first = layers.respond(depth, below[-1], before[-1])
    descent = Descent([first], [first], [])
    for layer in range(depth - 1, 0, -1):
        descent.above.insert(0, layers.from_above(layer, descent.values[0]))
        response, last = (
            layers.respond(layer, below[layer - 1] + descent.above[0]),
            before[layer - 1],
        )
        descent.responses.insert(0, response)
        descent.values.insert(0, overshot(last, last, response, factors[layer - 1]))
    return descent


def ascend(layers: Coupled, descent: Descent) -> tuple[list[Array], list[Array], list[Array]]:
    """From there, layer 1 keeping its value, up. Values, responses, and what the layers 1 .. L got
    from below.
    """
    depth, factors = layers.network.depth, layers.factors
    values, responses = descent.values[:1], descent.responses[:1]
    below = [layers.from_below(1, values[0])]
    for layer in range(2, depth + 1):
        value, before = descent.values[layer - 1], descent.responses[layer - 1]
        below.append(layers.from_below(layer, values[-1]))
        drive = below[-1] + descent.above[layer - 1] if layer < depth else below[-1]
        responses.append(layers.respond(layer, drive, value))
        values.append(overshot(value, before, responses[-1], factors[layer - 1]))
    return values, responses, below


def settled(
    layers: Coupled,
    descent: Descent,
    tolerance: float,
    budget: int,
    rough: Network | None = None,
) -> Settlement:
    """Sweep until every sample is decided.

    Parameters
    ----------
    tolerance : of the miss of every layer beside its value
    budget : sweeps
    rough : the network in less precision, in which the first sweeps are made; a pass counts half
    """
    batch = _Samples(layers, descent.values, tolerance)
    passes, sweeps, going = 1.0, 0, list(range(batch.count))  # one pass was the descent
    if rough is not None:
        descent, spent = _roughly(layers, rough, descent)
        passes += spent
    while going:
        new, responses, below = ascend(batch.layers, descent)
        sweeps, passes = sweeps + 1, passes + 1
        last = sweeps >= budget
        if last or sweeps % EVERY == 0 or promise(descent, new, responses, tolerance):
            passes, before = passes + 1, len(going)
            going = batch.judge(new, below, last=last)
            if 0 < len(going) < before:
                below = [take_rows(one, going) for one in below]
                new = [take_rows(one, going) for one in new]
        if sweeps == OVERSHOOTING:
            batch.layers = batch.layers.plain()
        if going:
            descent = descend(batch.layers, below, new)
            passes += 1
    return batch.settlement(passes)


def promise(
    descent: Descent, new: Sequence[Array], responses: Sequence[Array], tolerance: float
) -> bool:
    """Whether all samples seem to be at rest: what an ascent to the `new` values changed above a
    layer comes down to it as what was there before did.
    """
    for i, got in enumerate(descent.above):
        before = row_norms(descent.values[i + 1])
        moved = row_norms(new[i + 1] - descent.values[i + 1]) * row_norms(got)
        beyond = row_norms(new[i] - responses[i])
        room = NEAR * tolerance * row_norms(new[i])
        if not bool(namespace(got).all(moved + beyond * before <= room * before)):
            return False
    return True


def _roughly(layers: Coupled, network: Network, descent: Descent) -> tuple[Descent, float]:
    """A descent from where a few sweeps come to in the precision of `network`, and their passes;
    the given one, if they come to nothing finite.
    """
    rough, passes, exact = layers.rough(network), 0.0, layers.network
    here = Descent(
        *(
            [cast(network, one) for one in arrays]
            for arrays in (descent.values, descent.responses, descent.above)
        )
    )
    for sweep in range(ROUGH_SWEEPS):
        new, responses, below = ascend(rough, here)
        passes += 0.5
        done = promise(here, new, responses, ROUGH * epsilon(new[0]))
        if done or sweep == ROUGH_SWEEPS - 1:
            break
        here = descend(rough, below, new)
        passes += 0.5
    if not all_finite(new):
        return descent, passes
    base = layers.from_below(1, descent.values[0])
    values = [cast(exact, one) for one in new]
    return descend(layers, [base, *(cast(exact, one) for one in below[1:])], values), passes + 1


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

    def settlement(self, passes: float) -> Settlement:
        """Of all samples, when they are decided."""
        status = tuple(one for one in self._status if one is not None)
        found = tuple(self._values), tuple(self._drives)
        return Settlement(*found, status, self._residuals, passes)

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
