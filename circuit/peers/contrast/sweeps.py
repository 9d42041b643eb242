"""Layers beside layers brought to rest by sweeps down and up, and judged image by image.

Owns the sweeps and the miss that is left. Does not own the equations
(`circuit.peers.contrast.layers`), nor the verdict (`circuit.peers.settling`).

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

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuit.network import Network
from circuit.numerics.arrays import (
    Array,
    all_finite,
    epsilon,
    flattened,
    largest,
    namespace,
    product_rounding,
    row_norms,
)
from circuit.peers.contrast.layers import Coupled, RoughLayers, Swept, WayDown, overshot
from circuit.peers.settling import Tried, settle
from circuit.peers.signal import Rest
from circuit.records.brief import Brief

EVERY = 8  # sweeps after which a state is judged in any case
OVERSHOOTING = 64  # sweeps after which none overshoots, so that the energy cannot rise
ROUGH_SWEEPS = 12  # that are made at most
LEAST_GAIN = 0.5  # a rough sweep that leaves more of the miss is the last one
NEAR = 3.0  # times the tolerance: a predicted miss worth looking at


def descend(layers: Swept, below: Sequence[Array], before: Sequence[Array]) -> WayDown:
    """From the values `before`, from the output down, where each layer gets `below` from below."""
    depth, factors = layers.network.depth, layers.factors
    first = layers.respond(depth, below[-1], before[-1])
    descent = WayDown([first], [first], [], before, below)
    for layer in range(depth - 1, 0, -1):
        descent.above.insert(0, layers.from_above(layer, descent.values[0]))
        response, last = (
            layers.respond(layer, below[layer - 1] + descent.above[0]),
            before[layer - 1],
        )
        descent.responses.insert(0, response)
        descent.values.insert(0, overshot(last, last, response, factors[layer - 1]))
    return descent


def ascend(layers: Swept, descent: WayDown) -> tuple[list[Array], list[Array], list[Array]]:
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
    descent: WayDown,
    tolerance: float,
    budget: int,
    rough: Network | None = None,
) -> tuple[list[Array], list[Array], Rest]:
    """Sweep until every sample is decided.

    Parameters
    ----------
    tolerance : of the miss of every layer beside its value
    budget : sweeps
    rough : the network in less precision, through which the first sweeps send changes; a pass of
        theirs counts half

    Returns
    -------
    Values and drives, L arrays (..., batch, N_l) each, the drives being those of the values; and
    what became of each sample, with the miss of every layer's equation beside its value.
    """
    depth, splits = layers.network.depth, descent.values[0].ndim == 2
    passes = 1.0  # the descent
    if rough is not None:
        descent, spent = _roughly(layers, rough, descent, NEAR * tolerance)
        passes += spent
    problem = Sweeping(layers, descent, tolerance, budget, passes)
    arrays, rest = settle(problem, tolerance=tolerance, budget=budget, splittable=splits)
    return list(arrays[:depth]), list(arrays[2 * depth :]), rest


@dataclass(eq=False, repr=False)
class Sweeping(Brief):
    """Equations for `circuit.peers.settling`, whose points hold values, what layers got from below,
    and drives.

    Attributes
    ----------
    left : sweeps that may still be made
    passes : over the layers, made and not yet told
    """

    layers: Coupled
    descent: WayDown
    tolerance: float
    left: int
    passes: float
    made: int = 0

    def samples(self, rows: Sequence[int]) -> Sweeping:
        """As `Equations`."""
        return replace(self, layers=self.layers.samples(rows))

    def start(self) -> Tried:
        """As `Equations`."""
        return self._swept()

    def improved(self, point: Tried) -> Tried:
        """As `Equations`."""
        depth = self.layers.network.depth
        if self.made >= OVERSHOOTING:
            self.layers = self.layers.plain()
        values, below = point.arrays[:depth], point.arrays[depth : 2 * depth]
        self._descend(below, values)
        return self._swept()

    def _descend(self, below: Sequence[Array], values: Sequence[Array]) -> None:
        self.descent, self.passes = descend(self.layers, below, values), self.passes + 1

    def _swept(self) -> Tried:
        """From a descent, until a state seems to be at rest, or is to be judged in any case."""
        while True:
            values, responses, below = ascend(self.layers, self.descent)
            self.passes, self.made, self.left = self.passes + 1, self.made + 1, self.left - 1
            due = self.left <= 0 or self.made % EVERY == 0
            if due or prospect(self.descent, values, responses) <= NEAR * self.tolerance:
                return self._judged(values, below)
            self._descend(below, values)

    def _judged(self, values: Sequence[Array], below: Sequence[Array]) -> Tried:
        layers, widths = self.layers, self.layers.network.widths
        residuals, floors, drives = [], [], []
        for layer, value in enumerate(values, 1):
            parts = [below[layer - 1]]
            if layer < len(values):
                parts.append(layers.from_above(layer, values[layer]))
            drives.append(parts[0] + parts[1] if layer < len(values) else parts[0])
            size = flattened(row_norms(value))
            miss = flattened(row_norms(layers.miss(layer, value, drives[-1])))
            # where a value is zero, so may be what asks for it: weights of zero, or no error
            right = (size == 0) & (miss == 0)
            whole = np.where(size == 0, 1.0, size)
            residuals.append(np.where(right, 0.0, np.where(size == 0, np.inf, miss / whole)))
            terms = sum(flattened(row_norms(part)) for part in parts) + size
            rounding = product_rounding(epsilon(value), max(widths[layer - 1 : layer + 2]))
            floors.append(rounding * terms / whole)
        passes, self.passes = self.passes + 1, 0.0
        return Tried(
            (*values, *below, *drives),
            np.array(residuals),
            passes,
            np.array(floors),
            np.array([flattened(row_norms(value)) for value in values]).max(axis=0),
            self.left <= 0,
        )


def prospect(descent: WayDown, new: Sequence[Array], responses: Sequence[Array]) -> float:
    """The relative miss that a state is likely to have, of the worst finite sample: what an ascent
    to the `new` values changed above a layer comes down to it as what was there before did.
    """
    worst = 0.0
    for i, got in enumerate(descent.above):
        before, size = row_norms(descent.values[i + 1]), row_norms(new[i])
        moved = row_norms(new[i + 1] - descent.values[i + 1]) * row_norms(got)
        beyond = row_norms(new[i] - responses[i])
        xp, whole = namespace(size), size * before
        likely = (moved + beyond * before) / xp.where(whole > 0, whole, xp.ones_like(whole))
        worst = max(worst, largest(xp.where(xp.isfinite(likely), likely, xp.zeros_like(likely))))
    return worst


def _roughly(
    layers: Coupled, network: Network, start: WayDown, aim: float
) -> tuple[WayDown, float]:
    """A way down from where sweeps come to whose changes go through `network`, and their passes;
    the given one, if they come to nothing finite. They end where one more sweep seems to be enough
    for a miss of `aim`, or gains nothing.
    """
    descent, passes, likely = start, 0.0, math.inf
    rough: Swept = (
        layers if not start.below else RoughLayers(layers, layers.through(network), start)
    )
    for sweep in range(ROUGH_SWEEPS):
        new, responses, below = ascend(rough, descent)
        if rough is layers:  # what comes from below has no digits yet that changes could add to
            start, passes = replace(start, before=new, below=below), passes + 0.5
            rough = RoughLayers(layers, layers.through(network), start)
        passes, last, likely = passes + 0.5, likely, prospect(descent, new, responses)
        gained = likely / last if 0 < last < math.inf else 1.0
        enough = likely * gained <= aim or not gained < LEAST_GAIN
        if sweep == ROUGH_SWEEPS - 1 or (sweep and enough):
            break
        descent = descend(rough, below, new)
        passes += 0.5
    if not all_finite(new):
        return start, passes
    return descend(layers, below, new), passes + 1
